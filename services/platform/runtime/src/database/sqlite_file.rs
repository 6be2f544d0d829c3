//! Whether the file of an open SQLite database is still at its path.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use rusqlite::{Connection, OpenFlags};

/// An open database file. Connections to a file that was removed or replaced keep working, but the next start would
/// find nothing of what they wrote.
#[derive(Clone, Debug)]
pub(super) struct SqliteFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
    /// The write-ahead log, which holds the latest writes, and its identity; `None` on a file system that cannot have
    /// one.
    log: Option<(PathBuf, (u64, u64))>,
    /// A connection that is never used. SQLite itself deletes the log when the last connection closes, which must not
    /// be taken for a removal: pools close connections that are idle, old or broken, and connect anew.
    open: Arc<Mutex<Option<Connection>>>,
}

impl SqliteFile {
    /// The file at `path`, which a connection that writes has open.
    pub(super) fn of(path: &Path) -> Result<Self> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        // From its first read on, a connection counts as one that uses the log.
        connection.query_row("SELECT COUNT(*) FROM sqlite_schema", [], |_| Ok(()))?;
        let log = with_suffix(path, "-wal");
        let log = identity(&log).ok().map(|identity| (log, identity));
        let open = Arc::new(Mutex::new(Some(connection)));
        Ok(Self { path: path.to_owned(), identity: identity(path)?, log, open })
    }

    /// Fails if the file, or its write-ahead log, was removed or replaced.
    pub(super) fn check(&self) -> io::Result<()> {
        if is_at(&self.path, self.identity) && self.log.as_ref().is_none_or(|(log, identity)| is_at(log, *identity)) {
            return Ok(());
        }
        let path = self.path.display();
        Err(io::Error::other(format!("the file {path} or its write-ahead log was removed or replaced")))
    }

    /// Lets the last connection of the pools move the log into the file and delete it.
    pub(super) fn close(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// `path` with `suffix` after the file's name.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn is_at(path: &Path, expected: (u64, u64)) -> bool {
    identity(path).is_ok_and(|identity| identity == expected)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    path.metadata().map(|file| (file.dev(), file.ino()))
}
