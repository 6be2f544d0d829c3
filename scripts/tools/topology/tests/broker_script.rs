//! Runs the script that starts RabbitMQ's container, with a server that only shows its environment.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use topology::platform;
use topology_tool::workspace_root;

/// Runs the script in `directory`, with `password` for each service.
fn run(directory: &TempDir, password: &str) -> Output {
    let server = directory.path().join("docker-entrypoint.sh");
    fs::write(&server, "#!/bin/sh\necho \"$*\"\nenv\n").unwrap();
    fs::set_permissions(&server, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap());
    Command::new("sh")
        .arg(workspace_root().join("deploy/docker/rabbitmq/start.sh"))
        .env("PATH", path)
        .env("TMPDIR", directory.path())
        .env("RABBITMQ_PASSWORD", "Secret-1")
        .envs(platform().services.iter().map(|service| (format!("{}_EVENTS_PASSWORD", service.variable()), password)))
        .output()
        .unwrap()
}

fn definitions(directory: &TempDir, file: &str) -> Value {
    let path = directory.path().join("definitions").join(file);
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// The members `key` of each element of `list`.
fn each<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|element| element[key].as_str().unwrap()).collect()
}

#[test]
fn every_service_has_a_user_with_its_password_and_rights() {
    let directory = TempDir::new().unwrap();
    let started = run(&directory, "Secret.2_~");
    assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
    let environment = String::from_utf8(started.stdout).unwrap();
    assert!(environment.starts_with("rabbitmq-server\n"), "{environment}");
    assert!(!environment.contains("Secret"), "the server needs no password: {environment}");

    let services: Vec<_> = platform().services.iter().map(|service| (service.identifier(), "Secret.2_~")).collect();
    let made = definitions(&directory, "1-users.json");
    let (users, passwords) = (each(&made["users"], "name"), each(&made["users"], "password"));
    let made_users: BTreeSet<_> = users.into_iter().zip(passwords).collect();
    let of_services = services.iter().map(|(name, password)| (name.as_str(), *password));
    assert_eq!(made_users, of_services.chain([("administrator", "Secret-1")]).collect());
    assert_eq!(each(&made["permissions"], "user"), ["administrator"]);

    // Only services: whoever runs a broker of his own imports it as it is.
    let rights = definitions(&directory, "2-rights.json");
    let names: Vec<_> = services.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(each(&rights["permissions"], "user"), names);
    assert_eq!(each(&rights["topic_permissions"], "user"), names);
    let mode = fs::metadata(directory.path().join("definitions")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_password_that_would_break_a_url_is_refused_by_name() {
    for password in ["", "p@ss", "a/b", "a%41", "a b", "a\"b", "a$b", "ü", "a\nb"] {
        let refused = run(&TempDir::new().unwrap(), password);
        let first = platform().services[0].variable();
        let error = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && refused.stdout.is_empty(), "{password}");
        assert!(error.contains(&format!("{first}_EVENTS_PASSWORD: only letters")), "{password}: {error}");
    }
}

#[test]
fn a_restart_begins_anew() {
    let directory = TempDir::new().unwrap();
    assert!(run(&directory, "before").status.success());
    assert!(run(&directory, "after").status.success());
    let users = definitions(&directory, "1-users.json").to_string();
    assert!(users.contains("after") && !users.contains("before"), "{users}");
}
