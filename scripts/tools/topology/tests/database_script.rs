//! Runs the script that makes the databases of a new PostgreSQL container, as the image does at its first start.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use tempfile::TempDir;
use topology::platform;
use topology_tool::workspace_root;

const SCRIPT: &str = "deploy/docker/postgres/create-databases.sh";

/// Runs the script with a `psql` that does `what`, on a cluster of one file; returns whether both are still there.
fn run(what: &str) -> (bool, bool) {
    let directory = TempDir::new().unwrap();
    let psql = directory.path().join("psql");
    fs::write(&psql, format!("#!/bin/sh\n{what}\n")).unwrap();
    fs::set_permissions(&psql, fs::Permissions::from_mode(0o755)).unwrap();
    let cluster = directory.path().join("cluster");
    fs::create_dir_all(cluster.join("base")).unwrap();
    fs::write(cluster.join("PG_VERSION"), "17\n").unwrap();
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap());
    let status = Command::new(workspace_root().join(SCRIPT))
        .env("PATH", path)
        .envs([("PGDATA", cluster.to_str().unwrap()), ("POSTGRES_USER", "postgres")])
        .envs(platform().services.iter().map(|service| (format!("{}_DATABASE_PASSWORD", service.variable()), "x")))
        .status()
        .unwrap();
    (status.success(), fs::read_dir(&cluster).unwrap().count() == 2)
}

#[test]
fn a_failed_first_start_leaves_nothing_behind() {
    assert_eq!(run("exit 0"), (true, true));
    assert_eq!(run("exit 3"), (false, false));
    let last = &platform().services.last().unwrap().database;
    assert_eq!(run(&format!("case \"$*\" in *{last}*) exit 3 ;; esac")), (false, false));
}

#[test]
fn a_checkout_on_windows_keeps_the_line_ends() {
    let directory = TempDir::new().unwrap();
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "core.autocrlf=true"]).args(arguments).current_dir(directory.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    for file in [".gitattributes", SCRIPT] {
        let copy = directory.path().join(file);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(workspace_root().join(file), copy).unwrap();
    }
    git(&["init", "--quiet"]);
    git(&["add", "."]);
    fs::remove_file(directory.path().join(SCRIPT)).unwrap();
    git(&["checkout", "--", SCRIPT]);
    let text = fs::read_to_string(directory.path().join(SCRIPT)).unwrap();
    assert!(text.starts_with("#!/bin/sh\n"), "{text}");
}
