//! Database failures, classified by what a store or a client needs to know.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use contract::error_code::{DATABASE_UNAVAILABLE, INTERNAL_ERROR};
use dropshot::HttpError;

/// Why an operation on the database failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Another row has a value that must be unique. Nothing was written.
    #[error("a value that must be unique is taken")]
    UniqueViolation,
    /// The database is unreachable or cannot work now; a retry may help. A write may or may not have happened.
    #[error("{0}")]
    Unavailable(String),
    /// A bug: a wrong statement, type or schema.
    #[error("{0}")]
    Fault(Arc<dyn Error + Send + Sync>),
}

impl DatabaseError {
    /// The error for a stored value that cannot be read as its type, or a value that cannot be written.
    pub fn decode_error(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
        sqlx::Error::Decode(Box::new(error))
    }

    pub(crate) fn no_answer_within(time_limit: Duration) -> Self {
        Self::Unavailable(format!("no answer within {} ms", time_limit.as_millis()))
    }

    /// Whether the database rejected a statement because of its content: nothing was written.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::UniqueViolation => true,
            Self::Unavailable(_) => false,
            Self::Fault(error) => matches!(error.downcast_ref(), Some(sqlx::Error::Database(_))),
        }
    }
}

/// The outcomes of `count` items whose batch failed as a whole.
pub fn fail_all<T>(count: usize, error: &DatabaseError) -> Vec<Result<T, DatabaseError>> {
    (0..count).map(|_| Err(error.clone())).collect()
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{Database, Io, PoolClosed, PoolTimedOut, Protocol, RowNotFound, Tls, WorkerCrashed};
        match error {
            Database(error) if error.is_unique_violation() => Self::UniqueViolation,
            // `INSERT … ON CONFLICT DO NOTHING RETURNING` returns no row for a value that is taken.
            RowNotFound => Self::UniqueViolation,
            Database(error) if error.code().is_some_and(|code| is_transient(&code) || is_of_session(&code)) => {
                Self::Unavailable(error.to_string())
            }
            Io(_) | Tls(_) | Protocol(_) | PoolTimedOut | PoolClosed | WorkerCrashed => {
                Self::Unavailable(error.to_string())
            }
            error => Self::Fault(Arc::new(error)),
        }
    }
}

impl From<DatabaseError> for HttpError {
    /// The error of the HTTP answer. A unique violation that the rules do not handle is a fault.
    fn from(error: DatabaseError) -> Self {
        match &error {
            DatabaseError::Unavailable(_) => DATABASE_UNAVAILABLE.with_cause(error),
            DatabaseError::UniqueViolation | DatabaseError::Fault(_) => INTERNAL_ERROR.with_cause(error),
        }
    }
}

/// Whether a statement failed because of the session of its connection: another connection may well succeed.
pub(super) fn is_session_failure(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| is_of_session(&code))
}

/// Whether an error with this code of PostgreSQL (manual, appendix A) is caused by the session: its transaction state, such
/// as read-only (25), a prepared statement that no longer fits its table (0A000), or is unknown to the server (26000).
fn is_of_session(code: &str) -> bool {
    code.len() == 5 && (code.starts_with("25") || matches!(code, "0A000" | "26000"))
}

/// Whether an error with this code is caused by the state of the database, not by the statement.
///
/// A PostgreSQL code has five characters, the first two its class (manual, appendix A). Transient classes: connections
/// (08), rejected login (28) or database (3D), lost conflicts between transactions (40), resources (53), locks (55),
/// operator intervention (57), system errors (58). A SQLite code is a number with the primary code in its lowest byte
/// (sqlite.org/rescode): busy, locked, out of memory, read-only, I/O error, corrupt, full, cannot open, protocol, not a
/// database.
fn is_transient(code: &str) -> bool {
    if code.len() == 5 {
        return matches!(&code[..2], "08" | "28" | "3D" | "40" | "53" | "55" | "57" | "58");
    }
    code.parse().is_ok_and(|code: i32| matches!(code & 0xff, 5 | 6 | 7 | 8 | 10 | 11 | 13 | 14 | 15 | 26))
}

#[cfg(test)]
mod tests {
    use super::is_transient;

    #[test]
    fn transient_errors_differ_from_faults() {
        // Connection lost, server stopping, disk full, lock not available; busy, busy in recovery, full, read-only.
        for code in ["08006", "57P01", "53100", "55P03", "5", "261", "13", "8"] {
            assert!(is_transient(code), "{code}");
        }
        // Syntax, no such table, division by zero, not null; error, constraint, mismatch.
        for code in ["42601", "42P01", "22012", "23502", "1", "19", "20"] {
            assert!(!is_transient(code), "{code}");
        }
    }
}
