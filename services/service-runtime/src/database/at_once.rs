//! Single rows of SQLite, read on the thread that asks.
//!
//! sqlx gives each connection to SQLite a thread of its own, and going there and back takes longer than looking up a row by
//! its key. So that is done by rusqlite, on the same SQLite library, without leaving the thread that serves the request.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row};

/// Connections that read one row at once. There are as many as threads that read at the same time.
pub(super) struct AtOnce {
    path: PathBuf,
    cache_size: &'static str,
    /// Those that nobody uses; `None` once they are closed for good.
    connections: Mutex<Option<Vec<Connection>>>,
}

impl AtOnce {
    /// Connections to the file at `path`, each of which keeps `cache_size` of it in memory (as SQLite's pragma says it).
    pub(super) fn new(path: PathBuf, cache_size: &'static str) -> Self {
        Self { path, cache_size, connections: Mutex::new(Some(Vec::new())) }
    }

    /// The row that `sql` gives for each of `keys`, if it gives one; `None` if that cannot be told at once, whatever the
    /// reason is.
    pub(super) fn rows<R>(&self, sql: &'static str, keys: impl Iterator<Item = i64>) -> Option<Vec<Option<R>>>
    where
        R: for<'row> TryFrom<&'row Row<'row>, Error = rusqlite::Error>,
    {
        let kept = self.lock(|connections| connections.pop())?;
        let connection = kept.map_or_else(|| self.open(), Ok).ok()?;
        // A connection on which it failed is not used again.
        let rows = rows(&connection, sql, keys).ok()?;
        self.lock(|connections| connections.push(connection));
        Some(rows)
    }

    pub(super) fn close(&self) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        // Who would have to wait for a lock is better off on a thread that may.
        connection.busy_timeout(Duration::ZERO)?;
        connection.pragma_update(None, "cache_size", self.cache_size)?;
        Ok(connection)
    }

    /// What `take` makes of the connections; `None` once they are closed.
    fn lock<T>(&self, take: impl FnOnce(&mut Vec<Connection>) -> T) -> Option<T> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(take)
    }
}

fn rows<R>(connection: &Connection, sql: &str, keys: impl Iterator<Item = i64>) -> rusqlite::Result<Vec<Option<R>>>
where
    R: for<'row> TryFrom<&'row Row<'row>, Error = rusqlite::Error>,
{
    // In one transaction the locks are taken once.
    let transaction = connection.unchecked_transaction()?;
    let mut statement = connection.prepare_cached(sql)?;
    let rows =
        keys.map(|key| statement.query_row([key], |row| R::try_from(row)).optional()).collect::<Result<_, _>>()?;
    drop(statement);
    transaction.commit()?;
    Ok(rows)
}

impl fmt::Debug for AtOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtOnce").finish_non_exhaustive()
    }
}
