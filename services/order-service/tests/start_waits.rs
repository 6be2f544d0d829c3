//! Tests what the start of the `order-service` program waits for, and what it says meanwhile. `user-service` starts with the
//! same code.

#![allow(clippy::unwrap_used, reason = "test code may panic")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;

use service_runtime::database::DatabaseUrl;
use service_testing::{CLUSTER_VARIABLE, Kind, TestDatabase};
use sqlx::migrate::Migrate;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use tempfile::TempDir;

/// Long enough for the warning, which is logged after a second.
const LIMIT_MS: &str = "1500";

/// The program, which migrates its database and exits.
fn migration(database_url: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_order-service"));
    command.env_clear().env("DATABASE_URL", database_url).arg("--migrate-only").stdin(Stdio::null());
    command
}

/// Runs a program whose wait is in vain, and asserts that it says so: first in the log, then on stderr.
fn waits_in_vain(program: &mut Command, what: &str) {
    let Output { status, stdout, stderr } = program.env("DATABASE_START_TIMEOUT_MS", LIMIT_MS).output().unwrap();
    let (log, error) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert_eq!((status.code(), error.lines().count()), (Some(1), 1), "{error}");
    assert!(error.contains(&format!("waited {LIMIT_MS} ms for {what}")), "{error}");
    assert!(log.contains("waiting for the database") && log.contains(what), "{log}");
}

async fn postgres() -> (TestDatabase, PgConnectOptions, String) {
    let database = TestDatabase::new(Kind::Postgres).await;
    let DatabaseUrl::Postgres(options) = &database.url else { panic!("the database is not on PostgreSQL") };
    let options = PgConnectOptions::clone(options);
    let name = options.get_database().unwrap().to_owned();
    (database, options, name)
}

fn url_of(database: &str, role: &str, socket_directory: &str) -> String {
    format!("postgres:///{database}?user={role}&host={socket_directory}")
}

fn cluster() -> String {
    std::env::var(CLUSTER_VARIABLE).unwrap()
}

async fn execute(options: &PgConnectOptions, sql: String) {
    let mut connection = options.connect().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
}

#[tokio::test]
async fn a_lock_of_another_postgres_session_is_named() {
    let (_database, options, name) = postgres().await;
    let url = url_of(&name, "postgres", &cluster());
    assert!(migration(&url).status().unwrap().success());

    let mut other = options.connect().await.unwrap();
    other.lock().await.unwrap();
    waits_in_vain(&mut migration(&url), "the advisory lock of migrations: another process holds it");
    other.unlock().await.unwrap();

    let mut transaction = other.begin().await.unwrap();
    sqlx::raw_sql("LOCK TABLE _sqlx_migrations").execute(&mut *transaction).await.unwrap();
    waits_in_vain(&mut migration(&url), "the table _sqlx_migrations: another session has locked it");
}

#[tokio::test]
async fn a_postgres_connection_that_died_ends_the_start() {
    let (_database, _, name) = postgres().await;
    let directory = TempDir::new().unwrap();
    swallow_after(b"pg_advisory_lock", directory.path());
    let url = url_of(&name, "postgres", directory.path().to_str().unwrap());
    waits_in_vain(&mut migration(&url), "the advisory lock of migrations");
}

#[test]
fn a_silent_server_is_given_up_at_the_limit() {
    let directory = TempDir::new().unwrap();
    let _accepts_and_says_nothing = UnixListener::bind(directory.path().join(".s.PGSQL.5432")).unwrap();
    let url = url_of("orders", "app", directory.path().to_str().unwrap());
    let Output { status, stderr, .. } = migration(&url).env("DATABASE_START_TIMEOUT_MS", LIMIT_MS).output().unwrap();
    let line = String::from_utf8(stderr).unwrap();
    assert_eq!((status.code(), line.lines().count()), (Some(1), 1), "{line}");
    let waited = line.split_once("no answer within ").and_then(|(_, rest)| rest.split_once(" ms")).unwrap().0;
    assert!(waited.parse::<u32>().unwrap() <= LIMIT_MS.parse().unwrap(), "{line}");
}

/// Forwards connections to the cluster, each until the client sends `text`.
fn swallow_after(text: &'static [u8], directory: &Path) {
    let listener = UnixListener::bind(directory.join(".s.PGSQL.5432")).unwrap();
    thread::spawn(move || {
        for client in listener.incoming().map(Result::unwrap) {
            let server = UnixStream::connect(format!("{}/.s.PGSQL.5432", cluster())).unwrap();
            let (mut answers, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || std::io::copy(&mut answers, &mut to_client));
            thread::spawn(move || {
                let (mut requests, mut to_server, mut buffer) = (client, server, [0; 8192]);
                loop {
                    let length = requests.read(&mut buffer).unwrap();
                    let sent = &buffer[..length];
                    if sent.is_empty() || sent.windows(text.len()).any(|window| window == text) {
                        // Both connections stay open until the client gives up.
                        while requests.read(&mut buffer).is_ok_and(|length| length > 0) {}
                        return;
                    }
                    to_server.write_all(sent).unwrap();
                }
            });
        }
    });
}

#[tokio::test]
async fn a_full_postgres_server_is_waited_for() {
    let (_database, options, name) = postgres().await;
    let role = format!("{name}_app");
    execute(&options, format!("CREATE ROLE {role} LOGIN CONNECTION LIMIT 0; ALTER DATABASE {name} OWNER TO {role}"))
        .await;
    let url = url_of(&name, &role, &cluster());
    let mut program = migration(&url).stdout(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(program.stdout.take().unwrap()).lines().map(Result::unwrap);
    let waiting = log.find(|line| line.contains("waiting for the database")).unwrap();
    assert!(waiting.contains("too many connections"), "{waiting}");
    execute(&options, format!("ALTER ROLE {role} CONNECTION LIMIT -1")).await;
    assert!(log.any(|line| line.contains("schema is up to date")));
    assert!(program.wait().unwrap().success());
}

#[tokio::test]
async fn a_postgres_role_without_rights_gets_an_error_that_names_them() {
    let (_database, options, name) = postgres().await;
    let role = format!("{name}_app");
    // Before PostgreSQL 15 everybody may create tables.
    execute(&options, format!("CREATE ROLE {role} LOGIN; REVOKE ALL ON SCHEMA public FROM PUBLIC")).await;
    for rights in ["", "USAGE"] {
        if !rights.is_empty() {
            execute(&options, format!("GRANT {rights} ON SCHEMA public TO {role}")).await;
        }
        let Output { status, stderr, .. } = migration(&url_of(&name, &role, &cluster())).output().unwrap();
        let line = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), line.lines().count()), (Some(1), 1), "{line}");
        assert!(line.contains("the role needs") && line.contains("CREATE on the schema public"), "{line}");
    }
}

#[test]
fn a_locked_migration_lock_file_is_named() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("orders.db.migration-lock");
    let lock = File::create(&path).unwrap();
    lock.lock().unwrap();
    let url = format!("sqlite:{}", directory.path().join("orders.db").display());
    let what = format!("another process that migrates the database and has locked {}", path.display());
    waits_in_vain(&mut migration(&url), &what);
}

#[test]
fn a_lock_file_that_cannot_be_opened_is_named() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("orders.db.migration-lock");
    std::fs::create_dir(&path).unwrap();
    let url = format!("sqlite:{}", directory.path().join("orders.db").display());
    let Output { status, stderr, .. } = migration(&url).output().unwrap();
    let line = String::from_utf8(stderr).unwrap();
    assert_eq!((status.code(), line.lines().count()), (Some(1), 1), "{line}");
    assert!(line.contains(&format!("cannot open its lock file {}: ", path.display())), "{line}");
}
