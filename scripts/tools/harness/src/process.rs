//! Starts the programs of the services, finds their addresses, and ends them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::http::{Client, get};

/// How often a condition is polled that nothing notifies of.
pub const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// Descriptors that this program and a service need in addition to the connections of many clients.
const SPARE_DESCRIPTORS: u64 = 1000;

/// Environment variables, by name.
pub type Settings = Vec<(String, String)>;

/// What happens to the output of a program.
#[derive(Clone, Debug)]
pub enum Output {
    /// It is written to this file, errors included.
    File(PathBuf),
    /// Its lines are counted and discarded; errors go to the terminal.
    Counted,
}

/// A started program; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Log,
    begin: Instant,
}

#[derive(Debug)]
enum Log {
    File(PathBuf),
    Pipe { address: watch::Receiver<Option<SocketAddr>>, lines: Arc<AtomicU64> },
}

/// A program that serves.
#[derive(Debug)]
pub struct Instance {
    /// Its process.
    pub process: Process,
    /// Where it listens.
    pub address: SocketAddr,
    /// The time from its start until it answered `/health`.
    pub start: Duration,
}

impl Process {
    /// Starts `command` in `directory`, where there must be no `.env`, with `settings` as its whole environment and any
    /// free port to listen on.
    pub fn spawn(
        mut command: Command,
        directory: &Path,
        settings: &[(String, String)],
        output: Output,
    ) -> Result<Self> {
        let name = Path::new(command.get_program()).file_name().unwrap_or_default().display().to_string();
        command.current_dir(directory).env_clear().env("LISTEN_ADDRESS", "127.0.0.1:0").stdin(Stdio::null());
        command.envs(settings.iter().map(|(name, value)| (name, value)));
        match &output {
            Output::File(path) => {
                let file = File::create(path)?;
                command.stdout(file.try_clone()?).stderr(file);
            }
            Output::Counted => {
                command.stdout(Stdio::piped());
            }
        }
        let begin = Instant::now();
        let mut child = command
            .spawn()
            .with_context(|| format!("{name} cannot be started; scripts/chaos and scripts/bench build it"))?;
        let log = match (output, child.stdout.take()) {
            (Output::File(path), _) => Log::File(path),
            (Output::Counted, stdout) => {
                let (sender, address) = watch::channel(None);
                let lines = Arc::<AtomicU64>::default();
                let counter = Arc::clone(&lines);
                std::thread::spawn(move || stdout.map(|stdout| drain(stdout, &sender, &counter)));
                Log::Pipe { address, lines }
            }
        };
        Ok(Self { name, child, log, begin })
    }

    /// Waits until it logs that it serves and answers `/health`, for at most `time_limit`.
    pub async fn serving(mut self, time_limit: Duration) -> Result<Instance> {
        let address = loop {
            if let Some(address) = self.announced().await? {
                break address;
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status} instead of serving: {}", self.name, self.last_line());
            }
            if self.begin.elapsed() > time_limit {
                bail!("{} does not serve after {time_limit:?}: {}", self.name, self.last_line());
            }
        };
        let health = Client::new(address, time_limit).send(&get("/health")).await?;
        ensure!(health.status == 200, "{} answered /health with {}", self.name, health.status);
        let start = self.begin.elapsed();
        Ok(Instance { process: self, address, start })
    }

    /// The address that it has announced; waits for one poll interval if there is none yet.
    async fn announced(&mut self) -> Result<Option<SocketAddr>> {
        match &mut self.log {
            Log::File(path) => {
                let mut text = Vec::new();
                // The announcement is among the first lines.
                File::open(path)?.take(16 * 1024).read_to_end(&mut text)?;
                let address = text.split(|byte| *byte == b'\n').find_map(serving_address);
                if address.is_none() {
                    sleep(POLL_INTERVAL).await;
                }
                Ok(address)
            }
            Log::Pipe { address, .. } => {
                let announced = timeout(POLL_INTERVAL, address.wait_for(Option::is_some)).await;
                if let Ok(Ok(address)) = announced {
                    return Ok(*address);
                }
                // After the end of the output there is nothing to wait for but the end of the process.
                if matches!(announced, Ok(Err(_))) {
                    sleep(POLL_INTERVAL).await;
                }
                Ok(None)
            }
        }
    }

    fn last_line(&self) -> String {
        let text = match &self.log {
            Log::File(path) => std::fs::read_to_string(path).unwrap_or_default(),
            Log::Pipe { .. } => String::new(),
        };
        text.lines().last().unwrap_or("no output").to_owned()
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// How many lines it has logged since it serves; zero if they are written to a file.
    pub fn log_lines(&self) -> u64 {
        match &self.log {
            Log::File(_) => 0,
            Log::Pipe { lines, .. } => lines.load(Ordering::Relaxed),
        }
    }

    /// Ends it immediately (SIGKILL), as a crash does.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits for that, for at most `time_limit`.
    pub async fn terminate(&mut self, time_limit: Duration) -> Result<ExitStatus> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if begin.elapsed() > time_limit {
                bail!("{} has not ended {time_limit:?} after SIGTERM", self.name);
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}

impl Instance {
    /// Whether the instance at `address` answers that it is ready.
    pub async fn is_ready(address: SocketAddr) -> bool {
        let answer = Client::new(address, Duration::from_secs(1)).send(&get("/ready")).await;
        answer.is_ok_and(|answer| answer.status == 200)
    }
}

/// Reads a log to its end: up to the line with the address, then only counting lines.
fn drain(stdout: ChildStdout, address: &watch::Sender<Option<SocketAddr>>, lines: &AtomicU64) {
    let mut reader = BufReader::with_capacity(256 * 1024, stdout);
    let mut line = Vec::new();
    while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        if let Some(found) = serving_address(&line) {
            address.send_replace(Some(found));
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

/// The address in a log line that says that a service serves.
fn serving_address(line: &[u8]) -> Option<SocketAddr> {
    let record: Value = serde_json::from_slice(line).ok()?;
    let url = record["url"].as_str().filter(|_| record["message"] == "serving")?;
    url.strip_prefix("http://")?.parse().ok()
}

/// How many connections this process, and a service that inherits its limit, can have.
pub fn spare_connections() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    usize::try_from(limit.saturating_sub(SPARE_DESCRIPTORS)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_that_says_serving_has_the_address() {
        let line = br#"{"time":"2026","message":"serving","url":"http://127.0.0.1:1234"}"#;
        assert_eq!(serving_address(line), Some(([127, 0, 0, 1], 1234).into()));
        assert_eq!(serving_address(br#"{"message":"waiting","url":"http://127.0.0.1:1234"}"#), None);
        assert_eq!(serving_address(b"plain"), None);
    }

    #[tokio::test]
    async fn a_program_that_ends_instead_of_serving_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        for output in [Output::Counted, Output::File(directory.path().join("log"))] {
            let process = Process::spawn(Command::new("false"), directory.path(), &[], output).unwrap();
            let error = process.serving(Duration::from_secs(60)).await.unwrap_err().to_string();
            assert!(error.starts_with("false ended with exit status: 1"), "{error}");
        }
    }
}
