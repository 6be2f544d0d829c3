//! Tests the program that `cargo run` starts from the outside: its output, exit codes, signals and settings.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

/// The program with free ports and this working directory, and without the variables of the test's environment.
fn program(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_all-in-one"));
    command.current_dir(directory).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    for service in &topology::platform().services {
        command.env(listen_address(&service.name), "127.0.0.1:0");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// `program` as a terminal starts it: after `nohup scripts/test` SIGHUP would be ignored.
fn with_default_signals(program: &Command) -> Command {
    let mut command = Command::new("perl");
    command.args(["-e", "$SIG{HUP} = 'DEFAULT'; exec @ARGV"]).arg(program.get_program());
    command.current_dir(program.get_current_dir().unwrap());
    command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The variable with the listen address of a service.
fn listen_address(service: &str) -> String {
    format!("{}_LISTEN_ADDRESS", service.to_uppercase().replace('-', "_"))
}

struct Running {
    process: Child,
    welcome: String,
}

/// Starts the program and waits for its welcome text.
fn start(directory: &Path) -> Running {
    start_program(&mut program(directory))
}

fn start_program(program: &mut Command) -> Running {
    let mut process = program.spawn().unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map(Result::unwrap);
    let mut welcome = String::new();
    for line in lines.by_ref() {
        welcome += &format!("{line}\n");
        if line.starts_with("Ctrl-C stops everything") {
            break;
        }
    }
    assert!(welcome.contains("Ctrl-C"), "the program exited early: {welcome}");
    // Drains stderr, so that the pipe does not fill up.
    std::thread::spawn(move || lines.for_each(drop));
    Running { process, welcome }
}

impl Running {
    fn commands(&self) -> Vec<String> {
        self.welcome.lines().map(str::trim).filter(|line| line.starts_with("curl ")).map(str::to_owned).collect()
    }

    /// Stops the program as Ctrl-C does; returns its log.
    fn interrupt(self) -> String {
        self.stop_by("-INT")
    }

    fn stop_by(mut self, signal: &str) -> String {
        let process = self.process.id().to_string();
        assert!(Command::new("kill").args([signal, &process]).status().unwrap().success());
        let mut log = String::new();
        self.process.stdout.take().unwrap().read_to_string(&mut log).unwrap();
        assert!(self.process.wait().unwrap().success(), "{log}");
        log
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn paste(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that cannot start, and returns its only line on stderr.
fn startup_error(command: &mut Command, exit_code: i32) -> String {
    // A program that accepts what it should refuse ends as well: the last of its ports is in use.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    if exit_code == 2 {
        command.env("ORDER_SERVICE_LISTEN_ADDRESS", taken.local_addr().unwrap().to_string());
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(exit_code), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(!String::from_utf8(stdout).unwrap().contains("panicked"));
    stderr
}

#[test]
fn the_printed_commands_work_after_every_start() {
    let directory = TempDir::new().unwrap();
    for start_number in 1..=2 {
        let running = start(directory.path());
        let commands = running.commands();
        let [list, create, order, read, paid, sent] = commands.as_slice() else { panic!("six commands: {commands:?}") };
        let response = paste(list);
        assert!(response.starts_with("HTTP/1.1 200 ") && response.contains("Blue mug"), "{response}");
        let response = paste(create);
        assert!(response.starts_with("HTTP/1.1 201 "), "{response}");
        assert!(response.contains(&format!(r#"{{"id":{start_number},"#)), "{response}");
        let response = paste(order);
        assert!(response.starts_with("HTTP/1.1 201 "), "{response}");
        assert!(response.ends_with(&format!(r#"{{"order_id":{start_number},"status":"created"}}"#)), "{response}");
        let response = paste(read);
        assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
        // Two mugs at 19.98 and a tea at 6.50.
        assert!(response.contains(r#""total":{"amount":4646,"currency":"EUR"}"#), "{response}");
        // Events take a moment.
        while !paste(paid).contains(r#""status":"completed""#) {
            std::thread::sleep(Duration::from_millis(20));
        }
        while !paste(read).contains(r#""status":"confirmed""#) {
            std::thread::sleep(Duration::from_millis(20));
        }
        // Welcome, receipt and confirmation.
        while paste(sent).matches(r#""channel":"email","status":"sent""#).count() < 3 {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(std::fs::read_dir(directory.path().join("data/messages")).unwrap().count() >= 3);
        for line in running.interrupt().lines() {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        }
    }
}

/// The products after a start with these arguments.
fn products(directory: &Path, arguments: &[&str]) -> Value {
    let running = start_program(program(directory).args(arguments));
    let list = running.commands()[0].replace("curl -i", "curl -s").replace("?search=blue", "");
    serde_json::from_str::<Value>(&paste(&list)).unwrap()["items"].clone()
}

#[test]
fn only_a_new_data_directory_gets_demo_products() {
    let directory = TempDir::new().unwrap();
    assert_eq!(products(directory.path(), &["--demo=false"]), Value::Array(Vec::new()));
    assert_eq!(products(directory.path(), &[]), Value::Array(Vec::new()));
    let demo = products(directory.path(), &["--demo"]);
    assert!(demo.as_array().unwrap().len() >= 10, "{demo}");
    // Again, they exist already.
    assert_eq!(products(directory.path(), &["--demo"]), demo);
    for (arguments, is_hinted) in [(&[][..], true), (&["--demo"], false)] {
        let running = start_program(program(directory.path()).args(arguments));
        assert_eq!(running.welcome.contains("--demo"), is_hinted, "{}", running.welcome);
    }
    assert_eq!(products(TempDir::new().unwrap().path(), &[]).as_array().unwrap().len(), demo.as_array().unwrap().len());
}

#[test]
fn the_printed_links_open_the_docs_and_the_documents() {
    let directory = TempDir::new().unwrap();
    let running = start(directory.path());
    let links: Vec<&str> = running.welcome.split_whitespace().filter(|word| word.starts_with("http://")).collect();
    for (ending, content_type) in [("/docs", "text/html"), ("/openapi.json", "application/json")] {
        let links: Vec<_> = links.iter().filter(|link| link.ends_with(ending)).collect();
        assert_eq!(links.len(), topology::platform().services.len(), "{}", running.welcome);
        for link in links {
            let response = paste(&format!("curl -si {link}"));
            assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
            assert!(response.contains(&format!("content-type: {content_type}")), "{response}");
        }
    }
    let table = running.welcome.lines().take_while(|line| !line.starts_with("Try it"));
    assert!(table.into_iter().all(|line| line.len() <= 120), "{}", running.welcome);
}

#[test]
fn a_signal_stops_it_despite_an_idle_connection() {
    for signal in ["-INT", "-TERM", "-HUP"] {
        let directory = TempDir::new().unwrap();
        let running = start_program(&mut with_default_signals(&program(directory.path())));
        let url = running.commands()[1].split(' ').find_map(|word| word.strip_prefix("http://")).unwrap().to_owned();
        let _idle = std::net::TcpStream::connect(url.split('/').next().unwrap()).unwrap();
        let log = running.stop_by(signal);
        assert!(log.contains("\"stopping\"") && log.contains("\"stopped\""), "{log}");
    }
}

#[test]
fn a_port_in_use_is_reported_in_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let directory = TempDir::new().unwrap();
    for service in &topology::platform().services {
        let line = startup_error(program(directory.path()).env(listen_address(&service.name), &address), 1);
        assert!(line.contains(&address) && line.contains("in use"), "{line}");
    }
}

#[test]
fn a_data_directory_that_cannot_be_created_is_reported() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("data"), "a file in its place").unwrap();
    let line = startup_error(&mut program(directory.path()), 1);
    assert!(line.contains("data directory data"), "{line}");
}

#[test]
fn a_file_that_is_not_a_database_is_reported() {
    let directory = TempDir::new().unwrap();
    std::fs::create_dir(directory.path().join("data")).unwrap();
    std::fs::write(directory.path().join("data/order-service.db"), "no database, whatever it is called".repeat(100))
        .unwrap();
    let line = startup_error(&mut program(directory.path()), 1);
    assert!(line.contains("sqlite:data/order-service.db") && line.contains("not a database"), "{line}");
}

#[test]
fn the_environment_takes_precedence_over_a_dotenv_file() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join(".env"), "LOG_LEVEL=loud\n").unwrap();
    let line = startup_error(&mut program(directory.path()), 2);
    assert!(line.contains("LOG_LEVEL") && line.contains("\"loud\""), "{line}");
    let line = startup_error(program(directory.path()).env("LOG_LEVEL", "louder"), 2);
    assert!(line.contains("\"louder\""), "{line}");
    std::fs::write(directory.path().join(".env"), "\nthis is secret\n").unwrap();
    let line = startup_error(&mut program(directory.path()), 2);
    assert!(line.contains("line 2 of .env") && !line.contains("secret"), "{line}");
}

#[test]
fn the_last_line_of_a_dotenv_file_wins() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join(".env"), "LOG_LEVEL=info\nLOG_LEVEL='lo$ud \"#'\n").unwrap();
    let line = startup_error(&mut program(directory.path()), 2);
    assert!(line.contains("LOG_LEVEL") && line.contains("is \"lo$ud \"#\": "), "{line}");
}

#[test]
fn a_database_url_is_refused() {
    let directory = TempDir::new().unwrap();
    let url = "postgres://app:secret@localhost/users";
    let line = startup_error(program(directory.path()).env("DATABASE_URL", url), 2);
    assert!(line.starts_with("error: DATABASE_URL is set, but all-in-one stores only in SQLite files"), "{line}");
    assert!(!line.contains("secret") && !directory.path().join("data").exists(), "{line}");
}

#[test]
fn a_missing_directory_is_reported_with_what_is_expected() {
    let directory = TempDir::new().unwrap();
    let line = startup_error(program(directory.path()).args(["--data-directory", ""]), 2);
    let expected =
        "DATA_DIRECTORY (--data-directory) has no value: expected a value, PATH (Directory for the database files";
    assert!(line.contains(expected), "{line}");
}

#[test]
fn it_serves_although_nobody_reads_stderr() {
    let directory = TempDir::new().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    // Empty variables count as unset.
    let empty = [("DATABASE_URL", ""), ("DATA_DIRECTORY", ""), ("LOG_LEVEL", "")];
    let process = program(directory.path()).envs(empty).stderr(writer).spawn().unwrap();
    let mut running = Running { process, welcome: String::new() };
    let mut log = BufReader::new(running.process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let serving = log.by_ref().filter(|line| line.contains("\"serving\"")).nth(1).unwrap();
    let url = serde_json::from_str::<Value>(&serving).unwrap()["url"].as_str().unwrap().to_owned();
    assert!(paste(&format!("curl -si {url}/health")).starts_with("HTTP/1.1 200 "));
    assert!(directory.path().join("data").exists());
    assert!(Command::new("kill").args(["-INT", &running.process.id().to_string()]).status().unwrap().success());
    log.for_each(drop);
    assert!(running.process.wait().unwrap().success());
}

#[test]
fn a_file_at_its_size_limit_is_a_503() {
    let directory = TempDir::new().unwrap();
    let program = program(directory.path());
    let mut limited = Command::new("sh");
    // At most 1000 blocks of 512 or 1024 bytes.
    limited.args(["-c", "ulimit -f 1000 && exec \"$0\"", env!("CARGO_BIN_EXE_all-in-one")]).env_clear();
    limited.env("DEMO", "false");
    limited.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?)))).current_dir(directory.path());
    limited.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = start_program(&mut limited);
    let create = &running.commands()[1];
    let full = (0..1000).map(|number| paste(&create.replace("user@example.com", &format!("user{number}@example.com"))));
    let response = full.into_iter().find(|response| !response.starts_with("HTTP/1.1 201 ")).unwrap();
    assert!(response.starts_with("HTTP/1.1 503 ") && response.contains("database_unavailable"), "{response}");
    running.interrupt();
}

#[test]
fn it_stops_despite_clients_that_stall() {
    let directory = TempDir::new().unwrap();
    let running = start(directory.path());
    let url = running.welcome.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
    let address = url.trim_start_matches("http://").split('/').next().unwrap();
    let mut client = TcpStream::connect(address).unwrap();
    // More than the socket buffers hold.
    for _ in 0..8 {
        client.write_all(format!("GET /docs/scalar.js HTTP/1.1\r\nhost: {address}\r\n\r\n").as_bytes()).unwrap();
    }
    client.read_exact(&mut [0]).unwrap();
    let mut slow = TcpStream::connect(address).unwrap();
    let head = format!("POST /api/v1/users HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n");
    slow.write_all(format!("{head}content-length: 100\r\n\r\n{{").as_bytes()).unwrap();
    let mut silent = TcpStream::connect(address).unwrap();
    silent.write_all(b"GET /health HTT").unwrap();
    let log = running.stop_by("-TERM");
    assert!(log.contains("requests aborted after the drain timeout"), "{log}");
}
