//! Opening a database in a SQLite file.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use sqlx::{Connection as _, SqliteConnection, SqlitePool};

use super::batch_connection::{BatchConnection, ConnectionCache};
use super::connection_health::ConnectionHealth;
use super::durations::Durations;
use super::inline_reads::InlineReads;
use super::migrate::{self, Dialect, Migrations};
use super::pool::{Connections, Pool};
use super::sqlite_file::{SqliteFile, with_suffix};
use super::start_wait::StartWait;

/// How many statements may read at the same time.
const READERS: u32 = 4;

/// How long a writer waits for another process that writes to the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(4);
/// How long to wait between two attempts to lock the file of a migration.
const LOCK_INTERVAL: Duration = Duration::from_millis(25);
/// The pragmas of every connection to a file, through rusqlite or sqlx.
const SETTINGS: [(&str, &str); 4] = [
    // Acknowledged commits survive a loss of power; NORMAL would lose the last ones.
    ("synchronous", "FULL"),
    // The write-ahead log is checkpointed into the file after this many pages of 4 KiB, four times SQLite's default: a
    // page that many orders change is then written once, not four times.
    ("wal_autocheckpoint", "4000"),
    // Bytes: the write-ahead log is truncated to this size once it has been checkpointed. Without it a log that grew
    // while another program read the file, which delays checkpoints, would keep its size.
    ("journal_size_limit", "33554432"),
    // Page cache of a connection: -500 means 500 KiB, a quarter of SQLite's default. The system's page cache usually
    // has the rest.
    ("cache_size", "-500"),
];

/// The ways to an open file.
pub(super) struct Opened {
    pub(super) reader: Pool,
    pub(super) writer: Pool,
    pub(super) inline_reads: InlineReads,
}

pub(super) async fn open(path: &Path, migrations: &Migrations<'_>, wait: &StartWait) -> Result<Opened> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot create the data directory {}", directory.display()))?;
    }
    let cannot_use = || format!("cannot use the database sqlite:{}", path.display());
    let options =
        SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT).journal_mode(SqliteJournalMode::Wal);
    let options = SETTINGS.into_iter().fold(options, |options, (name, value)| options.pragma(name, value));

    let writer = pool(1, options.clone().create_if_missing(true));
    migrate_exclusively(path, &writer, migrations, wait).await.with_context(cannot_use)?;
    let file = SqliteFile::of(path).with_context(cannot_use)?;
    let (health, durations) = (ConnectionHealth::default(), Durations::default());
    let to_pool = |pool: SqlitePool| {
        let cache = Arc::new(ConnectionCache::new(pool.clone(), health.clone()));
        Pool::new(Connections::Sqlite(pool), BatchConnection::Sqlite(cache), health.clone(), durations.clone())
    };
    let reader = to_pool(pool(READERS, options.read_only(true)));
    let writer = to_pool(writer).of_file(file);
    Ok(Opened { reader, writer, inline_reads: InlineReads::new(path.to_owned(), &SETTINGS) })
}

fn pool(connections: u32, options: SqliteConnectOptions) -> SqlitePool {
    // A connection to a file cannot break while it is idle.
    let pool = SqlitePoolOptions::new().max_connections(connections).test_before_acquire(false);
    let pool = pool.after_release(|connection, _| Box::pin(is_outside_transactions(connection)));
    pool.connect_lazy_with(options)
}

/// Whether `connection` can be used again. SQLite itself rolls back when the disk is full, after which sqlx's own rollback
/// fails and leaves it in the belief that the transaction is still open: the next one would be a savepoint, whose commit
/// stores nothing.
async fn is_outside_transactions(connection: &mut SqliteConnection) -> sqlx::Result<bool> {
    if connection.is_in_transaction() {
        // Lets a rollback that was begun when a transaction was dropped end first.
        connection.ping().await?;
    }
    Ok(!connection.is_in_transaction())
}

/// Migrates under a file lock: sqlx takes none for SQLite, and two starters would both try to create the same table.
async fn migrate_exclusively(
    path: &Path,
    writer: &SqlitePool,
    migrations: &Migrations<'_>,
    wait: &StartWait,
) -> Result<()> {
    let lock_path = with_suffix(path, ".migration-lock");
    let name = lock_path.display();
    let lock = File::create(&lock_path).with_context(|| format!("cannot open its lock file {name}"))?;
    let what = format!("another process that migrates the database and has locked {name}");
    wait.limited(&what, async { lock_when_free(&lock).await.with_context(|| format!("cannot lock {name}")) }).await?;
    let mut connection = writer.acquire().await?;
    // The steps need not wait for the disk one by one: the first later commit that does also makes them durable.
    sqlx::query("PRAGMA synchronous = NORMAL").execute(&mut *connection).await?;
    migrate::run(migrations, Dialect::Sqlite, &mut *connection, wait).await?;
    sqlx::query("PRAGMA synchronous = FULL").execute(&mut *connection).await?;
    Ok(())
}

async fn lock_when_free(file: &File) -> std::io::Result<()> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_INTERVAL).await,
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}
