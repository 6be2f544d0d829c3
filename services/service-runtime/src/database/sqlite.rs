//! SQLite, in one file.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rusqlite::OpenFlags;
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::Semaphore;

use super::at_once::AtOnce;
use super::file::File;
use super::group_commit::GroupCommit;
use super::lane::{Kept, Lane, Trust};
use super::metrics::Durations;
use super::migrate::{self, Dialect};
use super::{Connections, Database, Migrations, Pool, Together};

/// How many statements may read at the same time.
const READERS: u32 = 4;
/// How long to wait for another process that writes to the same file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(4);
/// After how many pages, of 4 KiB, what was written is moved from the write-ahead log into the file: four times SQLite's
/// default. A page that many orders change is then moved once, not four times.
const CHECKPOINT_PAGES: &str = "4000";
/// How the connection that writes for many is set up: like sqlx's.
const WRITING: [(&str, &str); 3] =
    [("synchronous", "FULL"), ("wal_autocheckpoint", CHECKPOINT_PAGES), ("cache_size", CACHE_SIZE)];
/// How much of the file each connection keeps in memory, half of SQLite's default: -1000 are 1000 KiB. What is not there the
/// system has, as a rule.
const CACHE_SIZE: &str = "-1000";

pub(super) async fn open(path: &Path, migrations: &Migrations) -> Result<Database> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot create the data directory {}", directory.display()))?;
    }
    let cannot_use = || format!("cannot use the database sqlite:{}", path.display());
    let options = SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .journal_mode(SqliteJournalMode::Wal)
        // What was acknowledged survives a loss of power; NORMAL would lose the last commits.
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma("cache_size", CACHE_SIZE);

    let writer = pool(1, options.clone().create_if_missing(true));
    migrate_alone(path, &writer, migrations).await.with_context(cannot_use)?;
    let (trust, durations) = (Trust::default(), Durations::default());
    let to_pool = |pool: SqlitePool| {
        let lane = Lane::Sqlite(Arc::new(Kept::new(pool.clone(), trust.clone())));
        Pool::new(Connections::Sqlite(pool), lane, trust.clone(), durations.clone())
    };
    let reader = to_pool(pool(READERS, options.read_only(true)));
    let writer = Pool { turn: Some(Arc::new(Semaphore::new(1))), ..to_pool(writer) };
    // Who would have to wait for a lock is better off on a thread that may.
    let to_read =
        File::new(path.to_owned(), OpenFlags::SQLITE_OPEN_READ_ONLY, Duration::ZERO, &[("cache_size", CACHE_SIZE)]);
    let to_write = File::new(path.to_owned(), OpenFlags::SQLITE_OPEN_READ_WRITE, BUSY_TIMEOUT, &WRITING);
    let together = Arc::new(Together::Sqlite(GroupCommit::new(to_write, writer.clone())));
    Ok(Database { reader, writer, at_once: Some(Arc::new(AtOnce::new(to_read))), together })
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
        let file = std::fs::File::create(&lock_path)?;
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
