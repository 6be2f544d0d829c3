//! Single rows of SQLite, read on the thread that asks.
//!
//! sqlx gives each connection to SQLite a thread of its own, and going there and back takes longer than looking up a row by
//! its key. So that is done by rusqlite, on the same SQLite library, without leaving the thread that serves the request.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row};

/// How long the reads of a batch may keep the thread: ten times what the largest takes while the file is in memory.
const LONGEST: Duration = Duration::from_millis(5);
/// How long nothing is read at once after that took too long: a slow disk costs the thread that much in a second.
const REST: Duration = Duration::from_secs(1);
/// How long a connection lives, as long as one of sqlx's pool: a file that was replaced is noticed.
const LIFE: Duration = Duration::from_secs(30 * 60);

/// Connections that read rows at once. There are as many as threads that read at the same time.
pub(super) struct AtOnce {
    path: PathBuf,
    cache_size: &'static str,
    longest: Duration,
    /// `None` once they are closed for good.
    state: Mutex<Option<State>>,
}

#[derive(Default)]
struct State {
    /// Those that nobody uses, with when they were opened.
    connections: Vec<(Connection, Instant)>,
    /// Until then nothing is read at once.
    rests_until: Option<Instant>,
}

impl AtOnce {
    /// Connections to the file at `path`, each of which keeps `cache_size` of it in memory (as SQLite's pragma says it).
    pub(super) fn new(path: PathBuf, cache_size: &'static str) -> Self {
        Self { path, cache_size, longest: LONGEST, state: Mutex::new(Some(State::default())) }
    }

    /// The row that `sql` gives for each of `keys`, if it gives one; `None` if that cannot be told at once, whatever the
    /// reason is.
    pub(super) fn rows<R>(&self, sql: &'static str, keys: impl Iterator<Item = i64>) -> Option<Vec<Option<R>>>
    where
        R: for<'row> TryFrom<&'row Row<'row>, Error = rusqlite::Error>,
    {
        let began = Instant::now();
        let kept = self.with(|state| {
            let rests = state.rests_until.is_some_and(|end| began < end);
            (!rests).then(|| state.connections.pop().filter(|(_, opened)| opened.elapsed() < LIFE))
        })??;
        let (connection, opened) = kept.map_or_else(|| self.open().map(|opened| (opened, began)), Ok).ok()?;
        // A connection on which it failed is not used again.
        let rows = rows(&connection, sql, keys, began + self.longest).ok()?;
        self.with(|state| {
            state.connections.push((connection, opened));
            state.rests_until = rows.is_none().then(|| Instant::now() + REST);
        });
        rows
    }

    pub(super) fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        // Who would have to wait for a lock is better off on a thread that may.
        connection.busy_timeout(Duration::ZERO)?;
        connection.pragma_update(None, "cache_size", self.cache_size)?;
        Ok(connection)
    }

    /// What `use_it` makes of the state; `None` once all is closed.
    fn with<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> Option<T> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map(use_it)
    }
}

/// `None`: that was not done by `end`.
fn rows<R>(
    connection: &Connection,
    sql: &str,
    keys: impl Iterator<Item = i64>,
    end: Instant,
) -> rusqlite::Result<Option<Vec<Option<R>>>>
where
    R: for<'row> TryFrom<&'row Row<'row>, Error = rusqlite::Error>,
{
    // In one transaction the locks are taken once.
    let transaction = connection.unchecked_transaction()?;
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = Vec::new();
    for key in keys {
        rows.push(statement.query_row([key], |row| R::try_from(row)).optional()?);
        if Instant::now() >= end {
            return Ok(None);
        }
    }
    drop(statement);
    transaction.commit()?;
    Ok(Some(rows))
}

impl fmt::Debug for AtOnce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtOnce").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]
mod tests {
    use std::path::Path;

    use super::*;

    const FOREVER: Duration = Duration::from_secs(60 * 60);

    /// Reads of a file with the things 1 and 7, which stalls of the machine do not end; and a connection that writes to it.
    fn things(directory: &Path) -> (AtOnce, Connection) {
        let path = directory.join("things.db");
        let writer = Connection::open(&path).unwrap();
        let create = "PRAGMA journal_mode = WAL; CREATE TABLE things (id INTEGER PRIMARY KEY);
                      INSERT INTO things VALUES (1), (7)";
        writer.execute_batch(create).unwrap();
        (AtOnce { longest: FOREVER, ..AtOnce::new(path, "-1000") }, writer)
    }

    fn read(at_once: &AtOnce, sql: &'static str, ids: &[i64]) -> Option<Vec<Option<i64>>> {
        let rows: Vec<Option<(i64,)>> = at_once.rows(sql, ids.iter().copied())?;
        Some(rows.into_iter().map(|row| row.map(|(id,)| id)).collect())
    }

    const THING: &str = "SELECT id FROM things WHERE id = $1";

    #[test]
    fn each_key_has_its_row_or_none() {
        let directory = tempfile::tempdir().unwrap();
        let (at_once, writer) = things(directory.path());
        assert_eq!(read(&at_once, THING, &[7, 8, 7]), Some(vec![Some(7), None, Some(7)]));
        // What was acknowledged is seen.
        writer.execute("INSERT INTO things VALUES (8)", []).unwrap();
        assert_eq!(read(&at_once, THING, &[8, 1]), Some(vec![Some(8), Some(1)]));
        assert_eq!(read(&at_once, THING, &[]), Some(vec![]));
        // A failure is left to the ordinary statement, and spoils nothing.
        assert_eq!(read(&at_once, "SELECT id FROM nothing WHERE id = $1", &[8]), None);
        assert_eq!(read(&at_once, "SELECT 'eight' FROM things WHERE id = $1", &[8]), None);
        assert_eq!(read(&at_once, THING, &[8]), Some(vec![Some(8)]));
        at_once.close();
        assert_eq!(read(&at_once, THING, &[8]), None);
    }

    #[test]
    fn what_takes_too_long_is_given_up_and_not_tried_again_for_a_while() {
        let directory = tempfile::tempdir().unwrap();
        let (mut at_once, _) = things(directory.path());
        at_once.longest = Duration::ZERO;
        assert_eq!(read(&at_once, THING, &[7]), None);
        at_once.longest = FOREVER;
        at_once.with(|state| state.rests_until.as_mut().map(|end| *end += FOREVER));
        assert_eq!(read(&at_once, THING, &[7]), None, "it rests");
        at_once.with(|state| state.rests_until = Some(Instant::now()));
        assert_eq!(read(&at_once, THING, &[7]), Some(vec![Some(7)]));
    }
}
