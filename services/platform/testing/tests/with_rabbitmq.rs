//! Tests the program `with-rabbitmq`.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

#[test]
fn the_broker_is_stopped_after_ctrl_c() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_with-rabbitmq"))
        .args(["sh", "-c", "echo $TEST_RABBITMQ_URL && exec cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut url = String::new();
    BufReader::new(program.stdout.take().unwrap()).read_line(&mut url).unwrap();
    let (_, address) = url.trim().rsplit_once('@').unwrap();
    assert!(TcpStream::connect(address).is_ok());

    // A terminal sends SIGINT to the whole process group.
    let group = format!("-{}", program.id());
    assert!(Command::new("kill").args(["-INT", "--", &group]).status().unwrap().success());
    program.wait().unwrap();
    assert!(TcpStream::connect(address).is_err());
}
