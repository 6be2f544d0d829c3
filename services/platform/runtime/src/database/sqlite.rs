//! SQLite, in one file.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rusqlite::OpenFlags;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
use tokio::sync::Semaphore;

use super::batch_connection::{BatchConnection, ConnectionCache, ConnectionHealth};
use super::group_commit::GroupCommit;
use super::inline_reads::InlineReads;
use super::metrics::Durations;
use super::migrate::{self, Dialect};
use super::sqlite_connections::SqliteConnections;
use super::{BatchWriter, Connections, Database, Migrations, Pool};

/// How many statements may read at the same time.
const READERS: u32 = 4;
/// How long to wait for another process that writes to the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(4);
/// How every connection to a file is set up.
pub(super) const SETTINGS: [(&str, &str); 3] = [
    // What was acknowledged survives a loss of power; NORMAL would lose the last commits.
    ("synchronous", "FULL"),
    // After how many pages, of 4 KiB, what was written is moved from the write-ahead log into the file: four times SQLite's
    // default. A page that many orders change is then moved once, not four times.
    ("wal_autocheckpoint", "4000"),
    // How much of the file a connection keeps in memory, a quarter of SQLite's default: -500 are 500 KiB. What is not there the
    // system has, as a rule.
    ("cache_size", "-500"),
];

pub(super) async fn open(path: &Path, migrations: &Migrations) -> Result<Database> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot create the data directory {}", directory.display()))?;
    }
    let cannot_use = || format!("cannot use the database sqlite:{}", path.display());
    let options =
        SqliteConnectOptions::new().filename(path).busy_timeout(BUSY_TIMEOUT).journal_mode(SqliteJournalMode::Wal);
    let options = SETTINGS.into_iter().fold(options, |options, (name, value)| options.pragma(name, value));

    let writer = pool(1, options.clone().create_if_missing(true));
    migrate_alone(path, &writer, migrations).await.with_context(cannot_use)?;
    let (trust, durations) = (ConnectionHealth::default(), Durations::default());
    let to_pool = |pool: SqlitePool| {
        let lane = BatchConnection::Sqlite(Arc::new(ConnectionCache::new(pool.clone(), trust.clone())));
        Pool::new(Connections::Sqlite(pool), lane, trust.clone(), durations.clone())
    };
    let reader = to_pool(pool(READERS, options.read_only(true)));
    let writer = Pool { turn: Some(Arc::new(Semaphore::new(1))), ..to_pool(writer) };
    // Who would have to wait for a lock is better off on a thread that may.
    let to_read = SqliteConnections::new(path.to_owned(), OpenFlags::SQLITE_OPEN_READ_ONLY, Duration::ZERO);
    let to_write = SqliteConnections::new(path.to_owned(), OpenFlags::SQLITE_OPEN_READ_WRITE, BUSY_TIMEOUT);
    let group_commit = GroupCommit::new(to_write, writer.clone()).context("cannot start the thread that writes")?;
    let batch_writer = Arc::new(BatchWriter::Sqlite(group_commit));
    Ok(Database { reader, writer, inline_reads: Some(Arc::new(InlineReads::new(to_read))), batch_writer })
}

fn pool(connections: u32, options: SqliteConnectOptions) -> SqlitePool {
    // No network is between that could have lost it.
    let pool = SqlitePoolOptions::new().max_connections(connections).test_before_acquire(false);
    pool.connect_lazy_with(options)
}

/// sqlx takes no lock for SQLite's migrations; two starters would both try to create the same table.
async fn migrate_alone(path: &Path, writer: &SqlitePool, migrations: &Migrations) -> Result<()> {
    let mut lock_path = path.as_os_str().to_owned();
    lock_path.push(".migration-lock");
    let lock = tokio::task::spawn_blocking(move || {
        let file = File::create(&lock_path)?;
        file.lock()?;
        Ok::<_, std::io::Error>(file)
    });
    // Held until the end of this function.
    let _lock = lock.await?.context("cannot lock it for its migrations")?;
    let mut connection = writer.acquire().await?;
    // The first commit that waits for the disk makes it keep those before: the steps of a schema need not wait each.
    sqlx::query("PRAGMA synchronous = NORMAL").execute(&mut *connection).await?;
    migrate::run(migrations, Dialect::Sqlite, &mut *connection).await?;
    sqlx::query("PRAGMA synchronous = FULL").execute(&mut *connection).await?;
    Ok(())
}
