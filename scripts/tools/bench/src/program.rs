//! A service as a process: started, watched, and always ended.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::http;

/// How long a program may take until it serves; valgrind takes its time.
const START_PATIENCE: Duration = Duration::from_secs(60);

/// A running service; killed when dropped.
#[derive(Debug)]
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From its start until it answered `/health`.
    pub(crate) start: Duration,
    log_lines: Arc<AtomicU64>,
}

impl Program {
    /// Runs `command` with nothing but `settings` in its environment, in `directory`, and waits until it is healthy. What
    /// it logs goes through a pipe and is counted.
    pub(crate) fn start(command: &mut Command, directory: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let name = format!("{}", command.get_program().display());
        let begin = Instant::now();
        let mut child = command
            // Where there is no .env to read.
            .current_dir(directory)
            .env_clear()
            .env("LISTEN_ADDRESS", "127.0.0.1:0")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{name} cannot be run; scripts/bench builds it"))?;
        let (sender, receiver) = channel();
        let log_lines = Arc::<AtomicU64>::default();
        if let Some(stdout) = child.stdout.take() {
            let counter = Arc::clone(&log_lines);
            std::thread::spawn(move || drain(stdout, &sender, &counter));
        }
        // From here on it is killed if anything fails.
        let mut program = Self { child, address: ([127, 0, 0, 1], 0).into(), start: Duration::ZERO, log_lines };
        program.address = receiver.recv_timeout(START_PATIENCE).with_context(|| format!("{name} does not serve"))?;
        ensure!(healthy(program.address)?, "{name} is not healthy");
        program.start = begin.elapsed();
        Ok(program)
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How many lines it has logged since it served.
    pub(crate) fn log_lines(&self) -> u64 {
        self.log_lines.load(Ordering::Relaxed)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads a log to its end: first up to the line that tells the address, then only counting.
fn drain(stdout: ChildStdout, address: &Sender<SocketAddr>, lines: &AtomicU64) {
    let mut reader = BufReader::with_capacity(256 * 1024, stdout);
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
        if let Some(found) = announced(&line) {
            // Whoever waited may have given up.
            let _ = address.send(found);
            break;
        }
        line.clear();
    }
    let mut chunk = vec![0; 256 * 1024];
    while let Ok(length @ 1..) = reader.read(&mut chunk) {
        let count = chunk[..length].iter().filter(|byte| **byte == b'\n').count();
        lines.fetch_add(count as u64, Ordering::Relaxed);
    }
}

/// The address in the line that says that a service serves.
fn announced(line: &str) -> Option<SocketAddr> {
    let record: Value = serde_json::from_str(line).ok()?;
    let url = record["url"].as_str().filter(|_| record["message"] == "serving")?;
    url.strip_prefix("http://")?.parse().ok()
}

fn healthy(address: SocketAddr) -> Result<bool> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(START_PATIENCE))?;
    std::io::Write::write_all(&mut stream, &http::get("/health"))?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    Ok(answer == *b"HTTP/1.1 200")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_in_the_line_that_says_so() {
        let line = r#"{"time":"2026","message":"serving","url":"http://127.0.0.1:1234"}"#;
        assert_eq!(announced(line), Some(([127, 0, 0, 1], 1234).into()));
        assert_eq!(announced(r#"{"message":"waiting","url":"http://127.0.0.1:1234"}"#), None);
        assert_eq!(announced("plain"), None);
    }
}
