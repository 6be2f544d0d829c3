//! A SQLite file, opened without sqlx: for what must not go through the thread that sqlx has for each connection.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};

use super::DatabaseError;
use super::sqlite::SETTINGS;

/// How long a connection lives, as long as one of sqlx's pool: a file that was replaced is noticed.
const LIFE: Duration = Duration::from_secs(30 * 60);

/// Connections to one file. There are as many as are used at the same time.
pub(super) struct SqliteConnections {
    path: PathBuf,
    flags: OpenFlags,
    busy_timeout: Duration,
    /// Those that nobody uses, with when they were opened; `None` once they are closed for good.
    idle: Mutex<Option<Vec<(Connection, Instant)>>>,
}

/// A connection that was taken, with when it was opened.
pub(super) struct Lease {
    pub(super) connection: Connection,
    opened: Instant,
}

impl SqliteConnections {
    /// Connections to the file at `path`, each opened with `flags`, that wait for locks up to `busy_timeout`.
    pub(super) fn new(path: PathBuf, flags: OpenFlags, busy_timeout: Duration) -> Self {
        // Each is used by one thread at a time.
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self { path, flags, busy_timeout, idle: Mutex::new(Some(Vec::new())) }
    }

    /// A connection that nobody uses, or a new one. It is not used again unless it is given back.
    pub(super) fn take(&self) -> Result<Lease, DatabaseError> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = idle.as_mut().ok_or_else(|| DatabaseError::Unavailable("the database is closed".to_owned()))?.pop();
        drop(idle);
        match kept.filter(|(_, opened)| opened.elapsed() < LIFE) {
            Some((connection, opened)) => Ok(Lease { connection, opened }),
            None => Ok(Lease { connection: self.open()?, opened: Instant::now() }),
        }
    }

    /// Keeps a connection on which everything went well for the next.
    pub(super) fn release(&self, Lease { connection, opened }: Lease) {
        if let Some(idle) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            idle.push((connection, opened));
        }
    }

    /// Closes all that nobody uses; those that are used, when they are given back.
    pub(super) fn close(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(&self.path, self.flags)?;
        connection.busy_timeout(self.busy_timeout)?;
        for (name, value) in SETTINGS {
            connection.pragma_update(None, name, value)?;
        }
        Ok(connection)
    }
}

/// Runs `sql`, which gives no rows, and keeps it prepared.
pub(super) fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
