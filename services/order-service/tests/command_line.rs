//! Tests the command line of the `order-service` program. `user-service` starts with the same code.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use service_runtime::database::{Database, DatabaseUrl};
use service_testing::{Kind, TestDatabase, on_both_databases};
use tempfile::TempDir;

fn program(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_order-service"));
    command.current_dir(directory).env_clear().env("LISTEN_ADDRESS", "127.0.0.1:0").stdin(Stdio::null());
    command
}

/// Starts the program with a database that it cannot use, and returns its only line on stderr.
fn startup_error(database_url: &str, exit_code: i32) -> String {
    let directory = TempDir::new().unwrap();
    only_line(program(directory.path()).env("DATABASE_URL", database_url), exit_code)
}

/// As [`startup_error`], for a server that does not answer.
fn absent_error(database_url: &str) -> String {
    let directory = TempDir::new().unwrap();
    only_line(
        program(directory.path()).envs([("DATABASE_URL", database_url), ("DATABASE_START_TIMEOUT_MS", "1000")]),
        1,
    )
}

/// Runs a program that cannot start, and returns its only line on stderr.
fn only_line(program: &mut Command, exit_code: i32) -> String {
    let Output { status, stderr, .. } = program.output().unwrap();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(exit_code), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr
}

/// The URL of the database as an operator would pass it.
fn as_url(url: &DatabaseUrl) -> String {
    match url {
        DatabaseUrl::Sqlite(_) => url.to_string(),
        DatabaseUrl::Postgres(options) => format!(
            "postgres:///{}?user={}&host={}",
            options.get_database().unwrap(),
            options.get_username(),
            std::env::var(service_testing::CLUSTER_VARIABLE).unwrap(),
        ),
    }
}

fn migrate(database: &TestDatabase) -> Output {
    let directory = TempDir::new().unwrap();
    program(directory.path()).args(["--migrate-only", "--database-url", &as_url(&database.url)]).output().unwrap()
}

on_both_databases! {
    async fn migrate_only_migrates_and_exits(database: TestDatabase) {
        for _ in 0..2 {
            let Output { status, stdout, stderr } = migrate(&database);
            assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
            assert!(String::from_utf8(stdout).unwrap().contains("schema is up to date"));
        }
        order_service::SERVICE.open(&database.url, 1).await.unwrap();
    }

    async fn the_database_of_another_service_is_refused(database: TestDatabase) {
        let other = service_runtime::database::Migrations {
            service_name: "other-service",
            steps: &[service_runtime::database::Migration::new("0001_other", "CREATE TABLE other (id INTEGER);")],
        };
        Database::open(&database.url, 1, &other).await.unwrap().close().await;
        let line = startup_error(&as_url(&database.url), 1);
        assert!(line.contains("does not hold the schema of order-service"), "{line}");
    }
}

#[test]
fn an_unreachable_database_is_reported_without_its_password() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let line = absent_error(&format!("postgres://app:secret@{closed}/orders"));
    assert!(line.contains(&format!("postgres://app@{closed}/orders")) && line.contains("refused"), "{line}");
    assert!(!line.contains("secret"), "{line}");
}

#[test]
fn an_ipv6_address_is_not_looked_up_as_a_name() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let line = absent_error(&format!("postgres://app:secret@[::1]:{port}/orders"));
    assert!(line.contains(&format!("postgres://app@[::1]:{port}/orders: cannot connect: ")), "{line}");
    assert!(!line.contains("lookup"), "{line}");
}

#[test]
fn a_missing_socket_is_named() {
    let line = absent_error("postgres:///orders?user=app&host=/absent");
    assert!(line.contains("postgres://app@/orders?host=/absent: "), "{line}");
    assert!(line.contains("cannot connect to the socket /absent/.s.PGSQL.5432: No such file"), "{line}");
}

#[tokio::test]
async fn an_absent_postgres_database_is_named_in_one_line() {
    let database = TestDatabase::new(Kind::Postgres).await;
    let line = startup_error(&as_url(&database.url).replace("test_", "absent_"), 1);
    assert!(line.contains("absent_") && line.contains("does not exist"), "{line}");
}

#[test]
fn check_ready_succeeds_only_while_the_service_is_ready() {
    let directory = TempDir::new().unwrap();
    let mut service = program(directory.path()).stdout(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(service.stdout.take().unwrap()).lines().map(Result::unwrap);
    let serving: serde_json::Value = serde_json::from_str(&log.find(|line| line.contains("serving")).unwrap()).unwrap();
    let address = serving["url"].as_str().unwrap().strip_prefix("http://").unwrap();
    let check = || {
        // The check must not open the database.
        let database = "sqlite:/absent/orders.db";
        program(directory.path())
            .args(["--check-ready", "--listen-address", address, "--database-url", database])
            .output()
            .unwrap()
    };

    let Output { status, stdout, stderr } = check();
    assert!(status.success() && stdout.is_empty() && stderr.is_empty(), "{}", String::from_utf8_lossy(&stderr));

    service.kill().unwrap();
    service.wait().unwrap();
    let Output { status, stderr, .. } = check();
    let stderr = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with(&format!("order-service: no answer from http://{address}/ready: ")), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn a_bad_value_is_reported_with_its_variable_and_format() {
    let directory = TempDir::new().unwrap();
    for (variable, value, expected) in [
        ("LISTEN_ADDRESS", "8001", "expected an IP address and a port"),
        ("LOG_LEVEL", "loud", "expected one of critical, error, warning"),
        ("DATABASE_URL", "mysql://app@host/orders", "expected sqlite:PATH or postgres://"),
        (
            "DATABASE_URL",
            "postgres://app@host/orders?ssl_mode=require",
            "the parameter ssl_mode is not supported; sslmode",
        ),
        ("DATABASE_URL", "postgres://app@host/orders?sslmode=on", "sslmode is \"on\": expected one of disable"),
        ("USER_SERVICE_URL", "user-service:8000", "expected http://HOST"),
        ("USER_SERVICE_URL", "https://user-service", "expected http://HOST"),
        ("USER_SERVICE_URL", "http://user-service:0", "expected a port from 1 to 65535"),
        ("USER_SERVICE_TIMEOUT_MS", "2s", "expected a number of milliseconds from 1 to 60000"),
        ("USER_SERVICE_CONNECT_TIMEOUT_MS", "0", "expected a number of milliseconds from 1 to 60000"),
        ("USER_SERVICE_ATTEMPT_TIMEOUT_MS", "60001", "expected a number of milliseconds from 1 to 60000"),
        ("USER_SERVICE_CONCURRENCY", "0", "expected a number of calls from 1 to 10000"),
        ("DATABASE_CONNECTIONS", "-1", "expected a number of connections from 1 to 1000"),
    ] {
        // If the value is accepted, the program ends too.
        let output = program(directory.path()).env(variable, value).arg("--migrate-only").output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{variable} is {value}: {stderr}");
        let is_named =
            stderr.starts_with(&format!("error: {variable} (--")) && stderr.contains(&format!(" is \"{value}\": "));
        assert!(is_named && stderr.contains(expected) && stderr.lines().count() == 1, "{stderr}");
    }
}

#[test]
fn a_variable_of_libpq_with_a_bad_value_is_named() {
    let directory = TempDir::new().unwrap();
    let mut command = program(directory.path());
    command.envs([("DATABASE_URL", "postgres://app@127.0.0.1/orders"), ("PGSSLMODE", "verify_full")]);
    let line = only_line(command.env("DATABASE_START_TIMEOUT_MS", "1"), 2);
    assert!(line.contains("PGSSLMODE is \"verify_full\": expected one of disable"), "{line}");
}

#[test]
fn a_missing_value_is_reported_with_what_is_expected() {
    let directory = TempDir::new().unwrap();
    let line = only_line(program(directory.path()).arg("--listen-address"), 2);
    let expected = "error: LISTEN_ADDRESS (--listen-address) has no value: expected a value, IP:PORT (Address and port";
    assert!(line.starts_with(expected), "{line}");
}

#[test]
fn a_number_that_no_exporter_can_use_is_refused() {
    let directory = TempDir::new().unwrap();
    for (variable, value) in [("OTEL_BSP_MAX_QUEUE_SIZE", "18446744073709551615"), ("OTEL_BSP_SCHEDULE_DELAY", "0")] {
        let line = only_line(program(directory.path()).env(variable, value).arg("--migrate-only"), 2);
        assert!(line.starts_with(&format!("error: {variable} is \"{value}\": expected a number from 1 to ")), "{line}");
    }
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let directory = TempDir::new().unwrap();
    let mut command = program(directory.path());
    for variable in
        ["LOG_LEVEL", "DATABASE_URL", "USER_SERVICE_URL", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_BSP_SCHEDULE_DELAY"]
    {
        command.env(variable, "");
    }
    let Output { status, stderr, .. } = command.arg("--migrate-only").output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    assert!(directory.path().join("data/order-service.db").exists());
}

#[test]
fn a_closed_stderr_changes_no_exit_code() {
    let directory = TempDir::new().unwrap();
    for (arguments, exit_code) in
        [(["--log-level", "loud"], 2), (["--data", "x"], 2), (["--database-url", "sqlite:/dev/null/orders.db"], 1)]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let status = program(directory.path()).args(arguments).stdout(Stdio::null()).stderr(writer).status().unwrap();
        assert_eq!(status.code(), Some(exit_code), "{arguments:?}");
    }
}

#[test]
fn a_process_without_threads_does_not_start() {
    let directory = TempDir::new().unwrap();
    // A stack for each new thread that is larger than the address space.
    let line = only_line(program(directory.path()).env("RUST_MIN_STACK", (1_u64 << 47).to_string()), 1);
    assert!(line.starts_with("order-service: ") && line.contains("thread"), "{line}");
}

#[test]
fn help_lists_every_variable_and_no_secret() {
    let directory = TempDir::new().unwrap();
    let mut command = program(directory.path());
    let output = command.env("DATABASE_URL", "postgres://app:secret@host/orders").arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    for variable in [
        "LISTEN_ADDRESS",
        "DATABASE_URL",
        "DATABASE_CONNECTIONS",
        "USER_SERVICE_URL",
        "USER_SERVICE_CONNECT_TIMEOUT_MS",
        "USER_SERVICE_ATTEMPT_TIMEOUT_MS",
        "USER_SERVICE_TIMEOUT_MS",
        "USER_SERVICE_CONCURRENCY",
        "PRODUCT_SERVICE_URL",
        "PRODUCT_SERVICE_TIMEOUT_MS",
        "LOG_LEVEL",
        "--migrate-only",
        "--check-ready",
    ] {
        assert!(help.contains(variable), "{variable}: {help}");
    }
    assert!(!help.contains("secret"), "{help}");
}

/// The settings of user-service are a subset of these.
#[test]
fn operations_md_lists_every_setting_with_its_default() {
    let reference = include_str!("../../../docs/operations.md");
    let directory = TempDir::new().unwrap();
    let output = program(directory.path()).env_remove("LISTEN_ADDRESS").arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let mut settings = 0;
    for description in help.split("\n      --") {
        let Some((_, variable)) = description.split_once("[env: ") else { continue };
        let variable = variable.split(['=', ']']).next().unwrap();
        let default =
            description.split_once("[default: ").map_or("", |(_, default)| default.split(']').next().unwrap());
        let row = reference.lines().find(|line| line.starts_with(&format!("| `{variable}` |")));
        assert!(row.is_some_and(|row| row.contains(default)), "{variable}, {default}: {row:?}");
        settings += 1;
    }
    assert!(settings > 10, "{help}");
}
