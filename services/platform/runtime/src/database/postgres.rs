//! PostgreSQL, 14 or later.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use slog::{Logger, warn};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::batch_connection::{BatchConnection, ConnectionCache, ConnectionHealth};
use super::metrics::Durations;
use super::migrate::{self, Dialect};
use super::{BatchWriter, Connections, Database, DatabaseUrl, Migrations, Pool};

const OLDEST_VERSION: u32 = 14;
/// The code of a server that starts, stops or recovers: `cannot_connect_now`.
const STARTING: &str = "57P03";
/// How long to wait before asking again whether the server answers.
const WAIT_INTERVAL: Duration = Duration::from_millis(250);
/// How long the first connection may take. Later ones have less: requests wait for them.
const START_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a connection that was used may take to prove that it is still good.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(500);

/// A statement is planned once for each connection, whatever its values, and always along the index that it is written
/// for. Left to itself the server would plan every batch anew, a fifth of the time of a lone read; and a plan made once
/// while the table was empty would go through all of it, or collect and sort, when it no longer is.
const PLANNED_ONCE: [(&str, &str); 5] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
    ("enable_incremental_sort", "off"),
];

pub(super) async fn open(options: &PgConnectOptions, connections: u32, migrations: &Migrations) -> Result<Database> {
    let options = options.clone().application_name(migrations.service_name);
    prepare(&options, migrations)
        .await
        .with_context(|| format!("cannot use the database {}", DatabaseUrl::Postgres(Box::new(options.clone()))))?;

    // The server gives up on what the client has given up on; on a lock before it, so that certainly nothing was written.
    let bounded = options.options([("statement_timeout", "1000"), ("lock_timeout", "700")]).options(PLANNED_ONCE);
    let trust = ConnectionHealth::default();
    let tried = trust.clone();
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(move |connection, rest| {
            let trusted = tried.holds(rest.idle_for);
            Box::pin(async move {
                if trusted {
                    return Ok(true);
                }
                let ping = tokio::time::timeout(ACQUIRE_TIMEOUT, connection.ping()).await;
                ping.map_err(|_| sqlx::Error::PoolTimedOut)?.map(|()| true)
            })
        })
        // sqlx pings a connection when it comes back, without a limit: in a network that swallows packets every
        // connection would stay there, and the pool would be dead. An error here discards the connection at once.
        .after_release(|connection, _| {
            Box::pin(async move {
                let ping = tokio::time::timeout(RELEASE_TIMEOUT, connection.ping()).await;
                ping.map_err(|_| sqlx::Error::PoolTimedOut)?.map(|()| true)
            })
        })
        .connect_lazy_with(bounded);
    let lane = Arc::new(ConnectionCache::new(pool.clone(), trust.clone()));
    let pool =
        Pool::new(Connections::Postgres(pool), BatchConnection::Postgres(lane.clone()), trust, Durations::default());
    let batch_writer = Arc::new(BatchWriter::Postgres(pool.clone(), lane));
    Ok(Database { reader: pool.clone(), writer: pool, inline_reads: None, batch_writer })
}

/// Waits until the server answers, if only to refuse.
pub(super) async fn wait_for(options: &PgConnectOptions, log: &Logger) {
    let mut told = false;
    loop {
        let attempt = tokio::time::timeout(START_TIMEOUT, options.connect()).await;
        let cause = match attempt {
            Ok(Err(sqlx::Error::Io(error))) => error.to_string(),
            Ok(Err(sqlx::Error::Database(error))) if error.code().as_deref() == Some(STARTING) => error.to_string(),
            Err(_) => "no answer".to_owned(),
            Ok(Err(_)) => return,
            Ok(Ok(connection)) => {
                // Only a sign of life was wanted.
                let _ = connection.close().await;
                return;
            }
        };
        if !told {
            let database = DatabaseUrl::Postgres(Box::new(options.clone()));
            warn!(log, "waiting for the database"; "database" => database.to_string(), "error" => cause);
            told = true;
        }
        tokio::time::sleep(WAIT_INTERVAL).await;
    }
}

/// Migrates over a connection of its own: a migration may take longer than a request.
async fn prepare(options: &PgConnectOptions, migrations: &Migrations) -> Result<()> {
    let mut connection = match tokio::time::timeout(START_TIMEOUT, connect(options)).await {
        Ok(connected) => connected?,
        Err(_) => bail!("no answer within {} ms", START_TIMEOUT.as_millis()),
    };
    migrate::run(migrations, Dialect::Postgres, &mut connection).await?;
    connection.close().await.map_err(plainly)
}

/// A connection to a server that is new enough and a database that keeps every character.
async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    let mut connection = options.connect().await.map_err(plainly)?;
    let version = show(&mut connection, "SHOW server_version_num").await?;
    let major = version.parse::<u32>().unwrap_or_default() / 10_000;
    if major < OLDEST_VERSION {
        bail!("PostgreSQL {OLDEST_VERSION} or later is needed, this is {major}");
    }
    let encoding = show(&mut connection, "SHOW server_encoding").await?;
    if encoding != "UTF8" {
        bail!("a database with the encoding UTF8 is needed, this one has {encoding}");
    }
    Ok(connection)
}

async fn show(connection: &mut PgConnection, query: &'static str) -> Result<String> {
    sqlx::query_scalar(query).fetch_one(connection).await.map_err(plainly)
}

fn plainly(error: sqlx::Error) -> anyhow::Error {
    match error {
        sqlx::Error::Io(error) => anyhow!("cannot connect: {error}"),
        sqlx::Error::Database(error) => anyhow!("the server says: {}", error.message()),
        error => error.into(),
    }
}
