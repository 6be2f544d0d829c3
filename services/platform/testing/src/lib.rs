//! Support for the tests of services, and the generic [`suite`] that every service must pass.
//!
//! Each test has its own databases: a file in a temporary directory, or a database of the PostgreSQL cluster that
//! `cargo with-postgres` starts. Without that cluster, the tests on PostgreSQL fail instead of being skipped. The same
//! holds for carriers of events: a file, or a virtual host of the RabbitMQ broker that `cargo with-rabbitmq` starts.

#![allow(clippy::expect_used, reason = "test code may panic")]

mod broker;
mod carrier;
pub mod conformance;
mod events;
pub mod golden;
mod log;
mod platform;
mod postgres;
mod server_user;
pub mod suite;
pub mod world;

use std::time::Duration;

use anyhow::{Context, Result};
use service_runtime::Service;
use service_runtime::config::{Config, DependencyConfig};
use service_runtime::database::DatabaseUrl;
use tempfile::TempDir;

pub use broker::{BROKER_VARIABLE, Broker, MANAGEMENT_VARIABLE};
pub use carrier::TestCarrier;
pub use events::{Listener, outbox, publish, types_and_data};
pub use log::{CapturedLog, KEEP_VARIABLE};
pub use platform::{Started, start_all};
pub use postgres::{CLUSTER_VARIABLE, Cluster, Durability, check_index_scans};

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
    /// The kinds that tests over all kinds run on: `scripts/check` leaves out PostgreSQL with `TEST_DATABASES=sqlite`.
    pub(crate) fn tested() -> impl Iterator<Item = Self> {
        let sqlite_only = std::env::var("TEST_DATABASES").as_deref() == Ok("sqlite");
        KINDS.into_iter().filter(move |kind| !sqlite_only || *kind == Self::Sqlite)
    }
}

/// An empty database that belongs to one test; removed when dropped.
#[derive(Debug)]
pub struct TestDatabase {
    /// Its URL.
    pub url: DatabaseUrl,
    _directory: Option<TempDir>,
}

impl TestDatabase {
    /// Creates a database of `kind`; panics if that fails.
    pub async fn new(kind: Kind) -> Self {
        Self::create(kind).await.expect("the test database can be created")
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

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let DatabaseUrl::Postgres(options) = &self.url {
            postgres::remove_database(options);
        }
    }
}

/// The configuration of `service` for a test: on `database` and a free port, with the base URLs of the services that it
/// calls. Generous timeouts: CI may be slow.
pub fn config_of(service: &Service, database: &DatabaseUrl, called: &[(&str, String)]) -> Config {
    let mut config = service.config(([127, 0, 0, 1], 0).into(), database.clone());
    for (name, url) in called {
        let dependency = config.dependencies.get_mut(*name).expect("the service calls this one");
        dependency.url = Some(url.clone());
        call_patiently(dependency);
    }
    config
}

/// Sets the timeouts of calls in tests that do not test timeouts: CI may be slow.
pub(crate) fn call_patiently(dependency: &mut DependencyConfig) {
    dependency.settings.attempt_timeout = Duration::from_secs(60);
    dependency.settings.timeout = Duration::from_secs(60);
}

/// Declares tests that run once on SQLite and once on PostgreSQL, each time on an empty database.
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
