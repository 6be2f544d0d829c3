//! What the tests of services stand on. For tests only: nothing that is released depends on it.
//!
//! Each test has databases of its own: a file in a temporary directory, or a database of the PostgreSQL cluster
//! that `cargo with-postgres` starts. Without that cluster the tests on PostgreSQL fail and say so; none is
//! skipped.

#![allow(clippy::expect_used, reason = "a test that cannot be set up must fail")]

pub mod golden;
pub mod honesty;
mod log;
mod postgres;

use anyhow::{Context, Result};
use service_runtime::database::DatabaseUrl;
use tempfile::TempDir;

pub use log::{CapturedLog, KEEP_VARIABLE};
pub use postgres::{CLUSTER_VARIABLE, Cluster, Durability, statements_along_an_index};

/// Every kind of database.
pub const KINDS: [Kind; 2] = [Kind::Sqlite, Kind::Postgres];

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A SQLite file.
    Sqlite,
    /// A database of a PostgreSQL cluster.
    Postgres,
}

impl Kind {
    /// Whether golden examples run on it: `scripts/check` leaves out PostgreSQL with `TEST_DATABASES=sqlite`.
    fn is_tested(self) -> bool {
        self == Self::Sqlite || std::env::var("TEST_DATABASES").as_deref() != Ok("sqlite")
    }
}

/// An empty database that belongs to one test.
#[derive(Debug)]
pub struct TestDatabase {
    /// Where it is.
    pub url: DatabaseUrl,
    _directory: Option<TempDir>,
}

impl TestDatabase {
    /// A new database of `kind`.
    pub async fn new(kind: Kind) -> Self {
        Self::create(kind).await.expect("a database for the test")
    }

    async fn create(kind: Kind) -> Result<Self> {
        match kind {
            Kind::Sqlite => {
                let directory = tempfile::tempdir()?;
                let url = DatabaseUrl::Sqlite(directory.path().join("test.db"));
                Ok(Self { url, _directory: Some(directory) })
            }
            Kind::Postgres => {
                let cluster = std::env::var(CLUSTER_VARIABLE).with_context(|| {
                    format!("{CLUSTER_VARIABLE} is not set: run the tests with scripts/test or cargo with-postgres cargo test")
                })?;
                Ok(Self { url: postgres::create_database(&cluster).await?, _directory: None })
            }
        }
    }
}

/// Declares a test that runs once on SQLite and once on PostgreSQL, each time with an empty database.
#[macro_export]
macro_rules! on_both_databases {
    ($($(#[doc = $doc:literal])* async fn $name:ident($database:ident: TestDatabase) $body:block)+) => { $(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn test($database: $crate::TestDatabase) $body

            #[tokio::test]
            async fn on_sqlite() {
                test($crate::TestDatabase::new($crate::Kind::Sqlite).await).await;
            }

            #[tokio::test]
            async fn on_postgres() {
                test($crate::TestDatabase::new($crate::Kind::Postgres).await).await;
            }
        }
    )+ };
}
