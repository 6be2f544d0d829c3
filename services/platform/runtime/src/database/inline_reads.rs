//! Reads of single SQLite rows on the calling thread.
//!
//! sqlx runs each SQLite connection on a thread of its own, and the hop there and back takes longer than a lookup by
//! key. Here rusqlite, on the same SQLite library, looks the row up on the thread that serves the request.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row};

/// How long the reads of a batch may block the thread: ten times what the largest batch takes while the file is cached.
const TIME_LIMIT: Duration = Duration::from_millis(5);
/// How long inline reads are disabled after a slow one: a slow disk then blocks the thread once a second at most.
const DISABLED_FOR: Duration = Duration::from_secs(1);

/// Maximum age of a connection, as in sqlx's pool: a replaced file is noticed by then.
const MAX_AGE: Duration = Duration::from_secs(30 * 60);

/// Read-only connections to one file, as many as threads read at the same time.
#[derive(Debug)]
pub(super) struct InlineReads {
    path: PathBuf,
    settings: &'static [(&'static str, &'static str)],
    /// Idle connections, each with the time it was opened; `None` once closed for good.
    idle: Mutex<Option<Vec<(Connection, Instant)>>>,
    time_limit: Duration,
    disabled_until: Mutex<Option<Instant>>,
}

impl InlineReads {
    /// Inline reads of the file at `path`, on connections with these pragmas.
    pub(super) fn new(path: PathBuf, settings: &'static [(&'static str, &'static str)]) -> Self {
        let idle = Mutex::new(Some(Vec::new()));
        Self { path, settings, idle, time_limit: TIME_LIMIT, disabled_until: Mutex::default() }
    }

    /// Reads the row for each of `keys` with `sql`. Returns `None` on any failure, after a slow read, and while
    /// disabled.
    pub(super) fn rows<R>(&self, sql: &str, keys: impl ExactSizeIterator<Item = i64>) -> Option<Vec<Option<R>>>
    where
        R: for<'row> TryFrom<&'row Row<'row>, Error = rusqlite::Error>,
    {
        let began = Instant::now();
        if self.disabled_until().is_some_and(|end| began < end) {
            return None;
        }
        let idle = self.idle().as_mut()?.pop();
        let (connection, opened) = match idle {
            Some((connection, opened)) if opened.elapsed() < MAX_AGE => (connection, opened),
            _ => (self.open().ok()?, Instant::now()),
        };
        // A connection on which a read failed is dropped.
        let rows = read_rows(&connection, sql, keys, began + self.time_limit).ok()?;
        if let Some(idle) = self.idle().as_mut() {
            idle.push((connection, opened));
        }
        *self.disabled_until() = rows.is_none().then(|| Instant::now() + DISABLED_FOR);
        rows
    }

    /// Closes idle connections now, and others after use.
    pub(super) fn close(&self) {
        self.idle().take();
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        // One thread at a time uses a connection.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        // A read that would block falls back to sqlx's thread.
        connection.busy_timeout(Duration::ZERO)?;
        for (name, value) in self.settings {
            connection.pragma_update(None, name, value)?;
        }
        Ok(connection)
    }

    fn idle(&self) -> MutexGuard<'_, Option<Vec<(Connection, Instant)>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disabled_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.disabled_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The row for each of `keys`; `None` if they were not all read by `deadline`.
fn read_rows<R>(
    connection: &Connection,
    sql: &str,
    keys: impl ExactSizeIterator<Item = i64>,
    deadline: Instant,
) -> rusqlite::Result<Option<Vec<Option<R>>>>
where
    R: for<'row> TryFrom<&'row Row<'row>, Error = rusqlite::Error>,
{
    // A transaction takes the file's locks once for all keys.
    let in_transaction = keys.len() > 1;
    if in_transaction {
        execute(connection, "BEGIN")?;
    }
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = Some(Vec::with_capacity(keys.len()));
    for key in keys {
        let row = statement.query_row([key], |row| R::try_from(row)).optional()?;
        rows = rows.filter(|_| Instant::now() < deadline);
        let Some(rows) = &mut rows else { break };
        rows.push(row);
    }
    if in_transaction {
        execute(connection, "COMMIT")?;
    }
    Ok(rows)
}

/// Runs `sql`, which returns no rows, as a cached prepared statement.
fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const FOREVER: Duration = Duration::from_secs(60 * 60);

    /// Inline reads without a time limit, of a file with the items 1 and 7; and a connection that writes to it.
    fn items(directory: &Path) -> (InlineReads, Connection) {
        let path = directory.join("items.db");
        let writer = Connection::open(&path).unwrap();
        let create = "PRAGMA journal_mode = WAL; CREATE TABLE items (id INTEGER PRIMARY KEY);
                      INSERT INTO items VALUES (1), (7)";
        writer.execute_batch(create).unwrap();
        (InlineReads { time_limit: FOREVER, ..InlineReads::new(path, &[]) }, writer)
    }

    fn read(inline_reads: &InlineReads, sql: &str, ids: &[i64]) -> Option<Vec<Option<i64>>> {
        let rows: Vec<Option<(i64,)>> = inline_reads.rows(sql, ids.iter().copied())?;
        Some(rows.into_iter().map(|row| row.map(|(id,)| id)).collect())
    }

    const ITEM: &str = "SELECT id FROM items WHERE id = $1";

    #[test]
    fn each_key_has_its_row_or_none() {
        let directory = tempfile::tempdir().unwrap();
        let (inline_reads, writer) = items(directory.path());
        assert_eq!(read(&inline_reads, ITEM, &[7, 8, 7]), Some(vec![Some(7), None, Some(7)]));
        // Acknowledged writes are visible.
        writer.execute("INSERT INTO items VALUES (8)", []).unwrap();
        assert_eq!(read(&inline_reads, ITEM, &[8, 1]), Some(vec![Some(8), Some(1)]));
        assert_eq!(read(&inline_reads, ITEM, &[]), Some(vec![]));
    }

    #[test]
    fn a_failed_read_is_none_and_the_next_one_works() {
        let directory = tempfile::tempdir().unwrap();
        let (inline_reads, _) = items(directory.path());
        assert_eq!(read(&inline_reads, "SELECT id FROM missing WHERE id = $1", &[7]), None);
        assert_eq!(read(&inline_reads, "SELECT 'seven' FROM items WHERE id = $1", &[7]), None);
        assert_eq!(read(&inline_reads, ITEM, &[7]), Some(vec![Some(7)]));
        inline_reads.close();
        assert_eq!(read(&inline_reads, ITEM, &[7]), None);
    }

    #[test]
    fn a_slow_read_is_none_and_disables_inline_reads() {
        let directory = tempfile::tempdir().unwrap();
        let (mut inline_reads, _) = items(directory.path());
        inline_reads.time_limit = Duration::ZERO;
        assert_eq!(read(&inline_reads, ITEM, &[7, 1]), None);
        assert!(inline_reads.disabled_until().is_some());
        inline_reads.time_limit = FOREVER;
        *inline_reads.disabled_until() = Some(Instant::now() + FOREVER);
        assert_eq!(read(&inline_reads, ITEM, &[7]), None, "disabled");
        *inline_reads.disabled_until() = Some(Instant::now());
        assert_eq!(read(&inline_reads, ITEM, &[7, 1]), Some(vec![Some(7), Some(1)]));
    }
}
