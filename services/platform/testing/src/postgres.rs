//! Starts PostgreSQL clusters in temporary directories. Clients connect through a Unix socket, so that ports cannot
//! collide.

use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail, ensure};
use service_runtime::database::{Connections, Database, DatabaseUrl};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use tempfile::TempDir;

use crate::server_user::server_user;

/// The variable that holds the directory of the cluster's socket.
pub const CLUSTER_VARIABLE: &str = "TEST_POSTGRES_SOCKET_DIRECTORY";

/// The superuser of these clusters.
const SUPERUSER: &str = "postgres";

/// Which writes survive a power failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// None: commits do not wait for the disk. For tests.
    None,
    /// Every acknowledged one, PostgreSQL's default. For benchmarks.
    Full,
}

/// A running cluster; stopped and removed when dropped.
#[derive(Debug)]
pub struct Cluster {
    directory: TempDir,
    binaries: PathBuf,
    durability: Durability,
}

impl Cluster {
    /// Creates and starts a cluster for tests.
    pub fn start() -> Result<Self> {
        Self::start_with(Durability::None)
    }

    /// Creates and starts a cluster with this durability.
    pub fn start_with(durability: Durability) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("pg-").tempdir()?;
        if let Some((user, group)) = server_user("postgres")? {
            chown(directory.path(), Some(user), Some(group))?;
        }
        let cluster = Self { directory, binaries: find_binaries()?, durability };
        run(cluster.command("initdb")?.args([
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--username",
            SUPERUSER,
        ]))?;
        cluster.restart()?;
        Ok(cluster)
    }

    /// The directory of its socket.
    pub fn socket_directory(&self) -> &Path {
        self.directory.path()
    }

    /// The path of a PostgreSQL program of the server's version.
    pub fn program(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    /// Creates an empty database in this cluster.
    pub async fn create_database(&self) -> Result<DatabaseUrl> {
        create_database(&self.socket_directory().display().to_string()).await
    }

    /// The lines of the server's log around its first crash, if there was one. The server restarts after a crash; only its
    /// clients notice.
    pub fn crash_report(&self) -> Option<String> {
        let log = std::fs::read(self.directory.path().join("server.log")).ok()?;
        let log = String::from_utf8_lossy(&log);
        let crash =
            log.lines().position(|line| line.contains("PANIC:") || line.contains("was terminated by signal"))?;
        Some(log.lines().skip(crash.saturating_sub(5)).take(20).collect::<Vec<_>>().join("\n"))
    }

    /// Stops the server immediately, without waiting for its clients.
    pub fn kill(&self) -> Result<()> {
        run(self.command("pg_ctl")?.args(["stop", "--mode=immediate", "--wait"]))
    }

    /// Starts the server again, and waits until it accepts connections.
    pub fn restart(&self) -> Result<()> {
        let directory = self.socket_directory();
        let fsync = match self.durability {
            Durability::None => "off",
            Durability::Full => "on",
        };
        // No TCP: the socket in its directory is enough.
        let settings =
            format!("-k {} -c listen_addresses= -c fsync={fsync} -c max_connections=400", directory.display());
        let log = directory.join("server.log");
        run(self.command("pg_ctl")?.args(["start", "--wait", "--options", &settings, "--log"]).arg(log))
    }

    /// A command that runs a PostgreSQL program on this cluster, as a user that the server accepts.
    fn command(&self, program: &str) -> Result<Command> {
        let mut command = Command::new(self.program(program));
        if let Some((user, group)) = server_user("postgres")? {
            command.uid(user).gid(group);
        }
        // That user may have no access to the working directory of a test.
        command.current_dir("/").env("PGDATA", self.directory.path().join("data"));
        Ok(command)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It may have been stopped already.
        let _ = self.kill();
    }
}

fn run(command: &mut Command) -> Result<()> {
    // The server inherits stderr and keeps it open, so that reading from a pipe would never end.
    let errors = tempfile::tempfile()?;
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(errors.try_clone()?).status();
    let status = status.with_context(|| format!("cannot run {command:?}"))?;
    if status.success() {
        return Ok(());
    }
    let mut text = String::new();
    (&errors).seek(SeekFrom::Start(0))?;
    (&errors).read_to_string(&mut text)?;
    bail!("{command:?} failed: {text}")
}

pub(crate) async fn create_database(socket_directory: &str) -> Result<DatabaseUrl> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let name = format!("test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let options = PgConnectOptions::new_without_pgpass().socket(socket_directory).port(5432).username(SUPERUSER);
    let mut connection = options.clone().database("postgres").connect().await?;
    connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
    Ok(DatabaseUrl::Postgres(Box::new(options.database(&name))))
}

/// Removes the database that `options` name, whoever is connected to it. A run of all tests makes a thousand, which take
/// 8 GB: enough to fill the disk of a small machine.
pub(crate) fn remove_database(options: &PgConnectOptions) {
    let Some(name) = options.get_database().map(str::to_owned) else { return };
    let options = options.clone().database("postgres");
    // The caller's thread may run a tokio runtime, which cannot wait here.
    let removal = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut connection = options.connect().await?;
            connection.execute(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await?;
            connection.close().await.map_err(anyhow::Error::from)
        })
    });
    // Not a failure of the test: its cluster may be gone.
    let _ = removal.join();
}

/// Returns the statements prepared on the only connection of `database`, which must be PostgreSQL. Fails if one has a
/// custom plan, or if its generic plan does not read its rows from an index in the order of the result.
pub async fn check_index_scans(database: &Database) -> Result<Vec<String>> {
    let Connections::Postgres(pool) = &database.reader().connections else {
        bail!("only PostgreSQL has generic plans")
    };
    let prepared: Vec<(String, String, i32, i64)> = sqlx::query_as(
        "SELECT name, statement, cardinality(parameter_types), custom_plans FROM pg_prepared_statements
         WHERE statement NOT LIKE '%pg_prepared_statements%'",
    )
    .fetch_all(pool)
    .await?;
    let mut statements = Vec::with_capacity(prepared.len());
    for (name, statement, parameters, custom_plans) in prepared {
        ensure!(custom_plans == 0, "{custom_plans} custom plans: {statement}");
        let values = match usize::try_from(parameters)? {
            0 => String::new(),
            number => format!("({})", vec!["NULL"; number].join(", ")),
        };
        let explain = AssertSqlSafe(format!("EXPLAIN (COSTS OFF) EXECUTE {name} {values}"));
        let lines: Vec<String> = sqlx::query_scalar(explain).persistent(false).fetch_all(pool).await?;
        let reads_without_index = lines.iter().enumerate().any(|(number, line)| {
            let has = |node| line.contains(node);
            let condition = lines.get(number + 1).is_some_and(|next| next.trim_start().starts_with("Index Cond"));
            ["Seq Scan", "Bitmap", "Sort", "Join"].into_iter().any(has) || has("Index") && has("Scan") && !condition
        });
        ensure!(!reads_without_index, "{statement}\n{}", lines.join("\n"));
        statements.push(statement);
    }
    Ok(statements)
}

/// The directory of the server's programs: Debian's newest version, or else the first on the path.
fn find_binaries() -> Result<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, path)| path.join("initdb").exists())
        .collect();
    found.sort();
    if let Some((_, path)) = found.pop() {
        return Ok(path);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find(|directory| directory.join("initdb").exists())
        .context("PostgreSQL's server programs are missing; on Debian: apt-get install postgresql")
}
