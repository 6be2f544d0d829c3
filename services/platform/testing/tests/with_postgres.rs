//! Tests the program `with-postgres`.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn the_cluster_is_removed_after_ctrl_c() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_with-postgres"))
        .args(["sh", "-c", "echo $TEST_POSTGRES_SOCKET_DIRECTORY && exec cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut directory = String::new();
    BufReader::new(program.stdout.take().unwrap()).read_line(&mut directory).unwrap();
    let directory = Path::new(directory.trim());
    assert!(directory.join(".s.PGSQL.5432").exists());

    // A terminal sends SIGINT to the whole process group.
    let group = format!("-{}", program.id());
    assert!(Command::new("kill").args(["-INT", "--", &group]).status().unwrap().success());
    program.wait().unwrap();
    assert!(!directory.exists());
}
