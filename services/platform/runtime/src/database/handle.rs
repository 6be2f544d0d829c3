//! [`Database`]: the handle of a service to its open database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use prometheus_client::registry::Registry;

use super::error::DatabaseError;
use super::inline_reads::InlineReads;
use super::migrate::Migrations;
use super::pool::{Connections, Pool};
use super::start_wait::StartWait;
use super::url::DatabaseUrl;
use super::{connection_metrics, durations, postgres, sqlite};

/// How long to wait for connections to close when the service stops.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// An open database of one service, its schema up to date. Clones share it.
#[derive(Clone, Debug)]
pub struct Database {
    reader: Pool,
    writer: Pool,
    /// `None` on PostgreSQL.
    inline_reads: Option<Arc<InlineReads>>,
}

impl Database {
    /// Opens the database at `url` for the service that `migrations` belong to, and brings its schema up to date.
    ///
    /// Uses at most `connections` connections to PostgreSQL; SQLite has a fixed number. Creates a missing SQLite file
    /// and its directory. Waits for a server that does not answer yet, and then for another process that migrates the
    /// database, each for up to the default of `DATABASE_START_TIMEOUT_MS`. Fails with one clear line if the database
    /// cannot be reached, is too old, or holds anything but this service's schema.
    pub async fn open(url: &DatabaseUrl, connections: u32, migrations: &Migrations<'_>) -> Result<Self> {
        Self::open_within(&StartWait::default(), url, connections, migrations).await
    }

    /// As [`open`](Self::open), with other limits of the waits.
    pub(crate) async fn open_within(
        wait: &StartWait,
        url: &DatabaseUrl,
        connections: u32,
        migrations: &Migrations<'_>,
    ) -> Result<Self> {
        match url {
            DatabaseUrl::Postgres(options) => {
                let pool = postgres::open(options, connections, migrations, wait).await?;
                Ok(Self { reader: pool.clone(), writer: pool, inline_reads: None })
            }
            DatabaseUrl::Sqlite(path) => {
                let sqlite::Opened { reader, writer, inline_reads } = sqlite::open(path, migrations, wait).await?;
                Ok(Self { reader, writer, inline_reads: Some(Arc::new(inline_reads)) })
            }
        }
    }

    /// Connections for statements that only read.
    pub fn reader(&self) -> &Pool {
        &self.reader
    }

    /// Connections for statements that write. SQLite has a single one, so that writers queue instead of failing on each
    /// other's locks.
    pub fn writer(&self) -> &Pool {
        &self.writer
    }

    /// Reads the row for each of `keys` on the calling thread, without a hop to another thread. Returns `None` on
    /// PostgreSQL, and on SQLite for any failure: the caller then runs an ordinary statement, which reports the error.
    ///
    /// `select` is a statement up to the condition, by which an index finds at most one row: it blocks the thread
    /// meanwhile. It must be text of the program, never input.
    pub(super) fn read_inline<R>(
        &self,
        select: &str,
        keys: impl ExactSizeIterator<Item = i64>,
    ) -> Option<Vec<Option<R>>>
    where
        R: for<'row> TryFrom<&'row rusqlite::Row<'row>, Error = rusqlite::Error>,
    {
        let began = Instant::now();
        let rows = self.inline_reads.as_ref()?.rows(&format!("{select} = $1"), keys)?;
        self.reader.durations.record(durations::SUCCESS, began.elapsed());
        Some(rows)
    }

    /// Checks that the database answers a query that reads stored data, and that a file is still at its path.
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        self.writer.check_file()?;
        let newest = "SELECT MAX(version) FROM _sqlx_migrations";
        crate::with_pool!(self.reader(), |pool| sqlx::query_scalar::<_, i64>(newest).fetch_one(pool)).map(|_| ())
    }

    /// Closes every connection, or gives up after a timeout. Moves SQLite's write-ahead log into the file.
    pub async fn close(&self) {
        if let Some(inline_reads) = &self.inline_reads {
            inline_reads.close();
        }
        self.writer.close_file();
        for pool in [&self.reader, &self.writer] {
            pool.clear_batch_connections();
            let closed = async {
                match &pool.connections {
                    Connections::Postgres(pool) => pool.close().await,
                    Connections::Sqlite(pool) => pool.close().await,
                }
            };
            // The end of the process closes what is left.
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, closed).await;
        }
    }

    /// Registers the metrics of this database.
    pub(crate) fn register(&self, registry: &mut Registry) {
        // All pools share one family of durations.
        self.reader.durations.register(registry);
        connection_metrics::register(registry, &self.reader.connections, &self.writer.connections);
    }
}
