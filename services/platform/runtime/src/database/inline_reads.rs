//! Single rows of SQLite, read on the thread that asks.
//!
//! sqlx gives each connection to SQLite a thread of its own, and going there and back takes longer than looking up a row by
//! its key. So that is done by rusqlite, on the same SQLite library, without leaving the thread that serves the request.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::sqlite_connections::{SqliteConnections, run};

/// How long the reads of a batch may keep the thread: ten times what the largest takes while the file is in memory.
const LONGEST: Duration = Duration::from_millis(5);
/// How long nothing is read at once after that took too long: a slow disk costs the thread that much in a second.
const REST: Duration = Duration::from_secs(1);

/// Connections that read rows at once. There are as many as threads that read at the same time.
pub(super) struct InlineReads {
    file: SqliteConnections,
    longest: Duration,
    /// Until then nothing is read at once.
    disabled_until: Mutex<Option<Instant>>,
}

impl InlineReads {
    /// Reads `file`.
    pub(super) fn new(file: SqliteConnections) -> Self {
        Self { file, longest: LONGEST, disabled_until: Mutex::default() }
    }

    /// The row that `sql` gives for each of `keys`, if it gives one; `None` if that cannot be told at once, whatever the
    /// reason is.
    pub(super) fn rows<R>(&self, sql: &'static str, keys: impl ExactSizeIterator<Item = i64>) -> Option<Vec<Option<R>>>
    where
        R: for<'row> TryFrom<&'row Row<'row>, Error = rusqlite::Error>,
    {
        let began = Instant::now();
        if self.disabled_until().is_some_and(|end| began < end) {
            return None;
        }
        let taken = self.file.take().ok()?;
        // A connection on which it failed is not used again.
        let rows = rows(&taken.connection, sql, keys, began + self.longest).ok()?;
        self.file.release(taken);
        *self.disabled_until() = rows.is_none().then(|| Instant::now() + REST);
        rows
    }

    pub(super) fn close(&self) {
        self.file.close();
    }

    fn disabled_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.disabled_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None`: that was not done by `end`.
fn rows<R>(
    connection: &Connection,
    sql: &str,
    keys: impl ExactSizeIterator<Item = i64>,
    end: Instant,
) -> rusqlite::Result<Option<Vec<Option<R>>>>
where
    R: for<'row> TryFrom<&'row Row<'row>, Error = rusqlite::Error>,
{
    // In one transaction the locks are taken once. A statement alone is one.
    let several = keys.len() > 1;
    if several {
        run(connection, "BEGIN")?;
    }
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = Some(Vec::with_capacity(keys.len()));
    for key in keys {
        let row = statement.query_row([key], |row| R::try_from(row)).optional()?;
        rows = rows.filter(|_| Instant::now() < end);
        let Some(rows) = &mut rows else { break };
        rows.push(row);
    }
    if several {
        run(connection, "COMMIT")?;
    }
    Ok(rows)
}

impl fmt::Debug for InlineReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InlineReads").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]
mod tests {
    use std::path::Path;

    use rusqlite::OpenFlags;

    use super::*;

    const FOREVER: Duration = Duration::from_secs(60 * 60);

    /// Reads of a file with the things 1 and 7, which stalls of the machine do not end; and a connection that writes to it.
    fn things(directory: &Path) -> (InlineReads, Connection) {
        let path = directory.join("things.db");
        let writer = Connection::open(&path).unwrap();
        let create = "PRAGMA journal_mode = WAL; CREATE TABLE things (id INTEGER PRIMARY KEY);
                      INSERT INTO things VALUES (1), (7)";
        writer.execute_batch(create).unwrap();
        let file = SqliteConnections::new(path, OpenFlags::SQLITE_OPEN_READ_ONLY, Duration::ZERO);
        (InlineReads { longest: FOREVER, ..InlineReads::new(file) }, writer)
    }

    fn read(inline_reads: &InlineReads, sql: &'static str, ids: &[i64]) -> Option<Vec<Option<i64>>> {
        let rows: Vec<Option<(i64,)>> = inline_reads.rows(sql, ids.iter().copied())?;
        Some(rows.into_iter().map(|row| row.map(|(id,)| id)).collect())
    }

    const THING: &str = "SELECT id FROM things WHERE id = $1";

    #[test]
    fn each_key_has_its_row_or_none() {
        let directory = tempfile::tempdir().unwrap();
        let (inline_reads, writer) = things(directory.path());
        assert_eq!(read(&inline_reads, THING, &[7, 8, 7]), Some(vec![Some(7), None, Some(7)]));
        // What was acknowledged is seen.
        writer.execute("INSERT INTO things VALUES (8)", []).unwrap();
        assert_eq!(read(&inline_reads, THING, &[8, 1]), Some(vec![Some(8), Some(1)]));
        assert_eq!(read(&inline_reads, THING, &[]), Some(vec![]));
        // A failure is left to the ordinary statement, and spoils nothing.
        assert_eq!(read(&inline_reads, "SELECT id FROM nothing WHERE id = $1", &[8]), None);
        assert_eq!(read(&inline_reads, "SELECT 'eight' FROM things WHERE id = $1", &[8]), None);
        assert_eq!(read(&inline_reads, THING, &[8]), Some(vec![Some(8)]));
        inline_reads.close();
        assert_eq!(read(&inline_reads, THING, &[8]), None);
    }

    #[test]
    fn what_takes_too_long_is_given_up_and_not_tried_again_for_a_while() {
        let directory = tempfile::tempdir().unwrap();
        let (mut inline_reads, _) = things(directory.path());
        inline_reads.longest = Duration::ZERO;
        assert_eq!(read(&inline_reads, THING, &[7, 1]), None);
        inline_reads.longest = FOREVER;
        *inline_reads.disabled_until() = Some(Instant::now() + FOREVER);
        assert_eq!(read(&inline_reads, THING, &[7]), None, "it rests");
        *inline_reads.disabled_until() = Some(Instant::now());
        assert_eq!(read(&inline_reads, THING, &[7, 1]), Some(vec![Some(7), Some(1)]));
    }
}
