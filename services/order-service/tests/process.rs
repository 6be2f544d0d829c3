//! Tests the `order-service` program while it serves: its log and its signals. `user-service` runs by the same code.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::thread;

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

    /// The response to a `GET` of `path`.
    fn get(&self, path: &str) -> String {
        let (_, address) = self.started.last().unwrap().split_once("\"url\":\"http://").unwrap();
        let address = address.split('"').next().unwrap();
        let mut connection = TcpStream::connect(address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        connection.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        connection.read_to_string(&mut response).unwrap();
        response
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
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
fn traces_pass_a_proxy_except_on_this_machine() {
    for (collector, expected) in [("127.0.0.1", "collector"), ("localhost", "collector"), ("10.0.0.1", "proxy")] {
        let (arrived, arrivals) = mpsc::channel();
        let listen = |name| {
            let (listener, arrived) = (TcpListener::bind("127.0.0.1:0").unwrap(), arrived.clone());
            let port = listener.local_addr().unwrap().port();
            thread::spawn(move || listener.accept().map(|_| arrived.send(name)));
            port
        };
        let (collector_port, proxy_port) = (listen("collector"), listen("proxy"));
        let directory = TempDir::new().unwrap();
        let mut program = Command::new(env!("CARGO_BIN_EXE_order-service"));
        program.env_clear().env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}:{collector_port}"));
        program.env("HTTP_PROXY", format!("http://127.0.0.1:{proxy_port}"));
        let mut service = Running::start(&mut program, directory.path());
        let is_named = service.started.iter().any(|line| line.contains("\"variable\":\"HTTP_PROXY\""));
        assert_eq!(is_named, expected == "proxy", "{:?}", service.started);
        service.get("/api/v1/orders/1");
        service.signal("-INT");
        assert_eq!(arrivals.recv().unwrap(), expected, "{collector}");
        assert!(service.process.wait().unwrap().success());
    }
}

#[test]
fn sighup_is_ignored_after_nohup() {
    let directory = TempDir::new().unwrap();
    let mut program = Command::new("nohup");
    program.arg(env!("CARGO_BIN_EXE_order-service"));
    let mut service = Running::start(&mut program, directory.path());
    service.signal("-HUP");
    let health = service.get("/health");
    assert!(health.starts_with("HTTP/1.1 200 "), "{health}");
    service.signal("-TERM");
    let stopping = service.log.by_ref().map(Result::unwrap).find(|line| line.contains("stopping")).unwrap();
    assert!(stopping.contains("SIGTERM"), "{stopping}");
    assert!(service.process.wait().unwrap().success());
}

#[test]
fn a_signal_repeated_at_once_is_the_same_request_to_stop() {
    let directory = TempDir::new().unwrap();
    let mut service = Running::start(&mut Command::new(env!("CARGO_BIN_EXE_order-service")), directory.path());
    service.signal("-TERM");
    assert!(service.log.any(|line| line.unwrap().contains("stopping")));
    // It still serves for a second.
    service.signal("-INT");
    assert!(service.process.wait().unwrap().success());
}
