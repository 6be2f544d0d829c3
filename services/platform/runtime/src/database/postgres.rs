//! Opening a database on PostgreSQL, 14 or later.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use slog::{Logger, warn};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::batch_connection::{BatchConnection, ConnectionCache};
use super::connection_health::ConnectionHealth;
use super::durations::Durations;
use super::migrate::{self, Dialect, Migrations};
use super::pool::{Connections, Pool};
use super::url::DatabaseUrl;

const MIN_VERSION: u32 = 14;
/// The error code of a server that is starting, stopping or recovering: `cannot_connect_now`.
const CANNOT_CONNECT_NOW: &str = "57P03";
/// How long to wait between two attempts to reach the server at start.
const WAIT_INTERVAL: Duration = Duration::from_millis(250);
/// How long the first connection may take. Later ones have less time, because requests wait for them.
const START_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long the health check of a released connection may take.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(500);

/// Each statement has one generic plan per connection, and that plan uses the index that the statement is written for.
/// By default the server plans every batch anew, a fifth of the time of a lone read; and a generic plan made while the
/// table was empty would use a sequential scan, a bitmap scan or a sort once the table has grown.
const PLANNER_SETTINGS: [(&str, &str); 5] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
    ("enable_incremental_sort", "off"),
];

/// Opens a pool of up to `connections` connections.
pub(super) async fn open(options: &PgConnectOptions, connections: u32, migrations: &Migrations<'_>) -> Result<Pool> {
    let options = options.clone().application_name(migrations.service_name);
    prepare(&options, migrations)
        .await
        .with_context(|| format!("cannot use the database {}", DatabaseUrl::Postgres(Box::new(options.clone()))))?;

    // The server cancels a statement after the client has given up on it; a lock wait earlier, so that certainly
    // nothing was written.
    let options = options.options([("statement_timeout", "1000"), ("lock_timeout", "700")]).options(PLANNER_SETTINGS);
    let health = ConnectionHealth::default();
    let (idle_health, released_health) = (health.clone(), health.clone());
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(move |connection, metadata| {
            let is_outdated = idle_health.is_outdated(metadata.age);
            let needs_check = idle_health.needs_check(metadata.idle_for);
            Box::pin(async move {
                if is_outdated || !needs_check {
                    Ok(!is_outdated)
                } else {
                    ping_within(ACQUIRE_TIMEOUT, connection).await
                }
            })
        })
        // sqlx itself pings a released connection without a time limit: in a network that drops packets every
        // connection would be stuck in that ping, and the pool would be dead. An error here closes the connection.
        .after_release(move |connection, metadata| {
            let is_outdated = released_health.is_outdated(metadata.age);
            Box::pin(async move { Ok(!is_outdated && ping_within(RELEASE_TIMEOUT, connection).await?) })
        })
        .connect_lazy_with(options);
    let cache = BatchConnection::Postgres(Arc::new(ConnectionCache::new(pool.clone(), health.clone())));
    Ok(Pool::new(Connections::Postgres(pool), cache, health, Durations::default()))
}

/// Whether to keep `connection`: always, unless the ping fails.
async fn ping_within(time_limit: Duration, connection: &mut PgConnection) -> sqlx::Result<bool> {
    let ping = tokio::time::timeout(time_limit, connection.ping()).await;
    ping.map_err(|_| sqlx::Error::PoolTimedOut)?.map(|()| true)
}

/// Waits until the server answers, even if only with a refusal.
pub(super) async fn wait_for(options: &PgConnectOptions, log: &Logger) {
    let mut logged = false;
    loop {
        let attempt = tokio::time::timeout(START_TIMEOUT, options.connect()).await;
        let cause = match attempt {
            Ok(Err(sqlx::Error::Io(error))) => error.to_string(),
            Ok(Err(sqlx::Error::Database(error))) if error.code().as_deref() == Some(CANNOT_CONNECT_NOW) => {
                error.to_string()
            }
            Err(_) => "no answer".to_owned(),
            Ok(Err(_)) => return,
            Ok(Ok(connection)) => {
                // The server is up; a failing close does not matter.
                let _ = connection.close().await;
                return;
            }
        };
        if !logged {
            let database = DatabaseUrl::Postgres(Box::new(options.clone()));
            warn!(log, "waiting for the database"; "database" => database.to_string(), "error" => cause);
            logged = true;
        }
        tokio::time::sleep(WAIT_INTERVAL).await;
    }
}

/// Checks the server and migrates, on a connection outside the pool: a migration may take longer than a request.
async fn prepare(options: &PgConnectOptions, migrations: &Migrations<'_>) -> Result<()> {
    let mut connection = match tokio::time::timeout(START_TIMEOUT, connect(options)).await {
        Ok(connected) => connected?,
        Err(_) => bail!("no answer within {} ms", START_TIMEOUT.as_millis()),
    };
    migrate::run(migrations, Dialect::Postgres, &mut connection).await?;
    connection.close().await.map_err(short_error)
}

/// A connection to a server that is new enough, and to a database that can store every character.
async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    let mut connection = options.connect().await.map_err(short_error)?;
    let version = show(&mut connection, "SHOW server_version_num").await?;
    let major = version.parse::<u32>().unwrap_or_default() / 10_000;
    if major < MIN_VERSION {
        bail!("PostgreSQL {MIN_VERSION} or later is needed, this is {major}");
    }
    let encoding = show(&mut connection, "SHOW server_encoding").await?;
    if encoding != "UTF8" {
        bail!("a database with the encoding UTF8 is needed, this one has {encoding}");
    }
    Ok(connection)
}

async fn show(connection: &mut PgConnection, query: &'static str) -> Result<String> {
    sqlx::query_scalar(query).fetch_one(connection).await.map_err(short_error)
}

/// `error` as one short line for whoever starts the service.
fn short_error(error: sqlx::Error) -> anyhow::Error {
    match error {
        sqlx::Error::Io(error) => anyhow!("cannot connect: {error}"),
        sqlx::Error::Database(error) => anyhow!("the server says: {}", error.message()),
        error => error.into(),
    }
}
