//! One store on two databases: PostgreSQL, or SQLite in a file.
//!
//! A store writes each query once, in SQL that both databases understand (`$1`, `RETURNING`, `ON CONFLICT`), and runs
//! it with [`with_pool!`](crate::with_pool), which compiles it for each. Where the SQL must differ, the store matches
//! on [`Connections`]. [`DatabaseError`] holds what a store needs to know about a failure.
//!
//! Six rules for stores, each learned the hard way:
//!
//! - Run a statement that writes with `execute` or `fetch_all`, never with `fetch_one` or `fetch_optional`: on SQLite
//!   those return the row of `RETURNING` before the statement has committed, and swallow a failing commit.
//! - Decide and write in one statement (`UPDATE … WHERE … RETURNING`); never read first and write afterwards.
//! - Write a value that must be unique with `ON CONFLICT DO NOTHING`; [`sqlx::Error::RowNotFound`] then means that it
//!   is taken. A unique violation would make PostgreSQL log the values, which can be personal data.
//! - Bind times as parameters in whole microseconds; never use `now()` in SQL. The one exception, `clock_timestamp()`,
//!   asks PostgreSQL for its clock, to compare it with the process's before stored responses are removed.
//! - A time of a change never moves back, although clocks do: `CASE WHEN updated_at > $1 THEN updated_at ELSE $2 END`.
//! - A statement finds its rows through an index and returns them in index order: PostgreSQL makes one generic plan per
//!   statement and has every other access path disabled. The tests of a store check this
//!   (`service_testing::check_index_scans`).

mod batch_connection;
mod batches;
mod claim;
mod connection_health;
mod connection_metrics;
mod durations;
mod error;
mod handle;
mod in_list;
mod inline_reads;
mod list;
mod migrate;
mod pool;
mod postgres;
mod postgres_url;
mod read_by_id;
mod sqlite;
mod sqlite_file;
mod start_wait;
mod url;

pub use batch_connection::{BatchConnection, ConnectionCache};
pub use batches::{Batches, by_halves};
pub use claim::ClaimSql;
pub use error::{DatabaseError, fail_all};
pub use handle::Database;
pub use in_list::InList;
pub use list::{ListSql, ListValue};
pub use migrate::{Migration, Migrations};
pub use pool::{Connections, Pool};
pub use read_by_id::read_by_id;
pub(crate) use start_wait::{DEFAULT_START_TIMEOUT_MS, StartWait};
pub use url::DatabaseUrl;
