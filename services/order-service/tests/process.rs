//! Tests the `order-service` program while it serves: its log and its signals. `user-service` runs by the same code.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::TempDir;

/// The program while it serves.
struct Running {
    process: Child,
    /// The log until the program served.
    started: Vec<String>,
    /// The log after that.
    log: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(program: &mut Command, directory: &Path) -> Self {
        program.current_dir(directory).env("LISTEN_ADDRESS", "127.0.0.1:0");
        program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = program.spawn().unwrap();
        let mut log = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut started = Vec::new();
        while !started.last().is_some_and(|line: &String| line.contains("\"serving\"")) {
            started.push(log.next().unwrap().unwrap());
        }
        Self { process, started, log }
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.process.id().to_string()]).status().unwrap().success());
    }

    /// The response to `GET /health`.
    fn health(&self) -> String {
        let (_, address) = self.started.last().unwrap().split_once("\"url\":\"http://").unwrap();
        let address = address.split('"').next().unwrap();
        let mut connection = TcpStream::connect(address).unwrap();
        let request = format!("GET /health HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        connection.read_to_string(&mut response).unwrap();
        response
    }
}

#[test]
fn a_variable_without_effect_is_named_without_a_collector() {
    let directory = TempDir::new().unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_order-service"));
    program.env_clear().env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318");
    program.env("OTEL_BSP_SCHEDULE_DELAY", "5000").env("OTEL_SERVICE_NAME", "");
    let mut service = Running::start(&mut program, directory.path());
    let named: Vec<_> = service.started.iter().filter(|line| line.contains("variable has no effect")).collect();
    let [line] = named[..] else { panic!("{named:?}") };
    assert!(line.contains("\"variable\":\"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT\""), "{line}");
    service.signal("-TERM");
    assert!(service.process.wait().unwrap().success());
}

#[test]
fn sighup_is_ignored_after_nohup() {
    let directory = TempDir::new().unwrap();
    let mut program = Command::new("nohup");
    program.arg(env!("CARGO_BIN_EXE_order-service"));
    let mut service = Running::start(&mut program, directory.path());
    service.signal("-HUP");
    let health = service.health();
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    service.signal("-TERM");
    let stopping = service.log.by_ref().map(Result::unwrap).find(|line| line.contains("stopping")).unwrap();
    assert!(stopping.contains("SIGTERM"), "{stopping}");
    assert!(service.process.wait().unwrap().success());
}
