//! A pool of rusqlite connections to one SQLite file, for work that bypasses sqlx's thread per connection.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::error::DatabaseError;

/// Maximum age of a connection, as in sqlx's pool: a replaced file is noticed by then.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);
/// How long a writer waits for another process that writes to the same file.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(4);
/// The pragmas of every connection to a file, through rusqlite or sqlx.
pub(super) const SETTINGS: [(&str, &str); 3] = [
    // Acknowledged commits survive a loss of power; NORMAL would lose the last ones.
    ("synchronous", "FULL"),
    // The write-ahead log is checkpointed into the file after this many pages of 4 KiB, four times SQLite's default: a
    // page that many orders change is then written once, not four times.
    ("wal_autocheckpoint", "4000"),
    // Page cache of a connection: -500 means 500 KiB, a quarter of SQLite's default. The system's page cache usually
    // has the rest.
    ("cache_size", "-500"),
];

/// Connections to one file, as many as are used at the same time.
pub(super) struct SqliteConnections {
    path: PathBuf,
    flags: OpenFlags,
    busy_timeout: Duration,
    /// Idle connections, each with the time it was opened; `None` once closed for good.
    idle: Mutex<Option<Vec<(Connection, Instant)>>>,
}

/// A connection in use. Dropping it closes the connection; [`SqliteConnections::release`] makes it idle again.
pub(super) struct Lease {
    pub(super) connection: Connection,
    opened: Instant,
}

impl SqliteConnections {
    /// Connections to the file at `path`, opened with `flags`, that wait for locks up to `busy_timeout`.
    pub(super) fn new(path: PathBuf, flags: OpenFlags, busy_timeout: Duration) -> Self {
        // One thread at a time uses a connection.
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self { path, flags, busy_timeout, idle: Mutex::new(Some(Vec::new())) }
    }

    /// An idle connection, or a new one.
    pub(super) fn acquire(&self) -> Result<Lease, DatabaseError> {
        let mut idle = self.idle();
        let idle_connection =
            idle.as_mut().ok_or_else(|| DatabaseError::Unavailable("the database is closed".to_owned()))?.pop();
        drop(idle);
        match idle_connection.filter(|(_, opened)| opened.elapsed() < MAX_AGE) {
            Some((connection, opened)) => Ok(Lease { connection, opened }),
            None => Ok(Lease { connection: self.open()?, opened: Instant::now() }),
        }
    }

    /// Makes a connection idle after successful work. A connection on which something failed is dropped instead.
    pub(super) fn release(&self, Lease { connection, opened }: Lease) {
        if let Some(idle) = self.idle().as_mut() {
            idle.push((connection, opened));
        }
    }

    /// Closes idle connections now, and others on release.
    pub(super) fn close(&self) {
        self.idle().take();
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(&self.path, self.flags)?;
        connection.busy_timeout(self.busy_timeout)?;
        for (name, value) in SETTINGS {
            connection.pragma_update(None, name, value)?;
        }
        Ok(connection)
    }

    fn idle(&self) -> MutexGuard<'_, Option<Vec<(Connection, Instant)>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
