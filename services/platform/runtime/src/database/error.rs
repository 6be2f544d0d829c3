//! What can go wrong with a database, as far as a store or a client needs to know.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use contract::error_code::{DATABASE_UNAVAILABLE, INTERNAL_ERROR};
use dropshot::HttpError;
use rusqlite::ffi::{SQLITE_CONSTRAINT_PRIMARYKEY, SQLITE_CONSTRAINT_UNIQUE};

/// Why an operation on the database failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Another row has a value that must be unique. Nothing was written.
    #[error("a value that must be unique is taken")]
    UniqueViolation,
    /// The database is away or cannot work now; trying again may help. A write may or may not have happened.
    #[error("{0}")]
    Unavailable(String),
    /// A fault of ours: a statement, a type or a schema that is wrong.
    #[error("{0}")]
    Fault(Arc<dyn Error + Send + Sync>),
}

impl DatabaseError {
    /// A value that is not of the type it must be, stored or to be stored.
    pub fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
        sqlx::Error::Decode(Box::new(error))
    }

    pub(super) fn no_answer_within(limit: Duration) -> Self {
        Self::Unavailable(format!("no answer within {} ms", limit.as_millis()))
    }

    /// Whether the database refused what sqlx told it, as a whole, for what it says: nothing was written.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::UniqueViolation => true,
            Self::Unavailable(_) => false,
            Self::Fault(error) => matches!(error.downcast_ref(), Some(sqlx::Error::Database(_))),
        }
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{Database, Io, PoolClosed, PoolTimedOut, Protocol, RowNotFound, Tls, WorkerCrashed};
        match error {
            Database(error) if error.is_unique_violation() => Self::UniqueViolation,
            // What `INSERT … ON CONFLICT DO NOTHING RETURNING` gives for a value that is taken.
            RowNotFound => Self::UniqueViolation,
            Database(error) if error.code().is_some_and(|code| passes(&code)) => Self::Unavailable(error.to_string()),
            Io(_) | Tls(_) | Protocol(_) | PoolTimedOut | PoolClosed | WorkerCrashed => {
                Self::Unavailable(error.to_string())
            }
            error => Self::Fault(Arc::new(error)),
        }
    }
}

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error().map(|error| error.extended_code) {
            Some(SQLITE_CONSTRAINT_UNIQUE | SQLITE_CONSTRAINT_PRIMARYKEY) => Self::UniqueViolation,
            Some(code) if passes_on_sqlite(code) => Self::Unavailable(error.to_string()),
            _ => Self::Fault(Arc::new(error)),
        }
    }
}

impl From<DatabaseError> for HttpError {
    /// What the client is told. A unique violation that the rules do not expect is a fault.
    fn from(error: DatabaseError) -> Self {
        match &error {
            DatabaseError::Unavailable(_) => DATABASE_UNAVAILABLE.with_cause(error),
            DatabaseError::UniqueViolation | DatabaseError::Fault(_) => INTERNAL_ERROR.with_cause(error),
        }
    }
}

/// Whether the error with this code is one of the database's state, not of the statement.
///
/// PostgreSQL has five characters, of which the first two are the class (manual, appendix A): connections, resources,
/// operator intervention, system errors, transactions that lost against others, and what a server says of us that is
/// not let in (28, 3D) or only reads (25). SQLite has a number whose lowest byte is the primary code (sqlite.org/rescode):
/// busy, locked, out of memory, read-only, I/O error, corrupt, full, cannot open, protocol, not a database.
fn passes(code: &str) -> bool {
    if code.len() == 5 {
        return matches!(&code[..2], "08" | "25" | "28" | "3D" | "40" | "53" | "55" | "57" | "58");
    }
    code.parse().is_ok_and(passes_on_sqlite)
}

fn passes_on_sqlite(code: i32) -> bool {
    matches!(code & 0xff, 5 | 6 | 7 | 8 | 10 | 11 | 13 | 14 | 15 | 26)
}

#[cfg(test)]
mod tests {
    use super::passes;

    #[test]
    fn what_passes_is_told_from_what_is_our_fault() {
        // Connection lost, server stopping, disk full, lock not available; busy, busy in recovery, full, read-only.
        for code in ["08006", "57P01", "53100", "55P03", "5", "261", "13", "8"] {
            assert!(passes(code), "{code}");
        }
        // Syntax, no such table, division by zero, not null; error, constraint, mismatch.
        for code in ["42601", "42P01", "22012", "23502", "1", "19", "20"] {
            assert!(!passes(code), "{code}");
        }
    }
}
