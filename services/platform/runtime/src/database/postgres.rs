//! Opening a database on PostgreSQL, 14 or later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::batch_connection::{BatchConnection, ConnectionCache};
use super::connection_health::ConnectionHealth;
use super::durations::Durations;
use super::migrate::{self, Dialect, Migrations};
use super::pool::{Connections, Pool};
use super::postgres_url::socket_directory;
use super::start_wait::StartWait;
use super::url::DatabaseUrl;

const MIN_VERSION: u32 = 14;
/// Error codes of a server that may accept a connection later: `cannot_connect_now`, while it starts, stops or recovers,
/// and `too_many_connections`.
const LATER: [&str; 2] = ["57P03", "53300"];
/// The error code of a wrong password.
const INVALID_PASSWORD: &str = "28P01";
/// How long to wait between two attempts to reach the server at start.
const WAIT_INTERVAL: Duration = Duration::from_millis(250);
/// The time that an attempt after the first one needs to be worth making.
const MIN_ATTEMPT: Duration = Duration::from_millis(250);
/// How long an attempt to connect at the start may take. Later ones have less time, because requests wait for them.
const START_TIMEOUT: Duration = Duration::from_secs(5);
/// How much later than the service itself the server gives up a wait of its start for a lock.
const LOCK_GRACE: Duration = Duration::from_secs(1);
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long the health check of a released connection may take.
const RELEASE_TIMEOUT: Duration = Duration::from_millis(500);

/// Each statement has one generic plan per connection, and that plan uses the index that the statement is written for.
/// By default the server plans every batch anew, a fifth of the time of a lone read; and a generic plan made while the
/// table was empty would use a sequential scan, a bitmap scan or a sort once the table has grown.
const PLANNER_SETTINGS: [(&str, &str); 6] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
    ("enable_incremental_sort", "off"),
    // A plan that is forbidden and made all the same costs so much by the estimate that the server compiles it first, which
    // takes hundreds of milliseconds.
    ("jit", "off"),
];

/// Opens a pool of up to `connections` connections.
pub(super) async fn open(
    options: &PgConnectOptions,
    connections: u32,
    migrations: &Migrations<'_>,
    wait: &StartWait,
) -> Result<Pool> {
    let options = options.clone().application_name(migrations.service_name);
    prepare(&options, migrations, wait)
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

/// Checks the server and migrates, on a connection outside the pool: a migration may take longer than a request.
async fn prepare(options: &PgConnectOptions, migrations: &Migrations<'_>, wait: &StartWait) -> Result<()> {
    // A service that has given up leaves no server process behind that waits for its turn.
    let lock_timeout = (wait.limit + LOCK_GRACE).as_millis();
    let options = options.clone().options([("lock_timeout", lock_timeout)]);
    let mut connection = wait_and_connect(&options, wait).await?;
    migrate::run(migrations, Dialect::Postgres, &mut connection, wait).await?;
    // The schema is up to date; a failing close does not matter.
    let _ = tokio::time::timeout(START_TIMEOUT, connection.close()).await;
    Ok(())
}

/// Connects to the server; waits for one that does not accept connections yet: services may start before their database.
async fn wait_and_connect(options: &PgConnectOptions, wait: &StartWait) -> Result<PgConnection> {
    let deadline = Instant::now() + wait.limit;
    let mut logged = false;
    loop {
        let time_limit = START_TIMEOUT.min(deadline.saturating_duration_since(Instant::now()));
        let (error, may_accept_later) = match tokio::time::timeout(time_limit, connect(options)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => {
                let may_accept_later = may_accept_later(&error);
                (explain(error, options), may_accept_later)
            }
            Err(_) => (anyhow!("no answer within {} ms", time_limit.as_millis()), true),
        };
        // The next attempt is not worth its while, and its error tells less, if it ends as soon as it has begun.
        if !may_accept_later || Instant::now() + WAIT_INTERVAL + MIN_ATTEMPT > deadline {
            return Err(error);
        }
        if !logged {
            wait.warn(&error.to_string());
            logged = true;
        }
        tokio::time::sleep(WAIT_INTERVAL).await;
    }
}

/// A connection to a server that is new enough, and to a database that can store every character.
async fn connect(options: &PgConnectOptions) -> Result<PgConnection> {
    let mut connection = options.connect().await?;
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

async fn show(connection: &mut PgConnection, query: &'static str) -> sqlx::Result<String> {
    sqlx::query_scalar(query).fetch_one(connection).await
}

/// Whether a server that is absent, starts, stops or is full caused `error`.
fn may_accept_later(error: &anyhow::Error) -> bool {
    match error.downcast_ref() {
        Some(sqlx::Error::Io(_)) => true,
        Some(sqlx::Error::Database(error)) => error.code().is_some_and(|code| LATER.contains(&&*code)),
        _ => false,
    }
}

/// `error` as one short line for whoever starts the service.
fn explain(error: anyhow::Error, options: &PgConnectOptions) -> anyhow::Error {
    match error.downcast() {
        Ok(sqlx::Error::Io(error)) => match socket_directory(options) {
            Some(directory) => {
                let socket = directory.join(format!(".s.PGSQL.{}", options.get_port()));
                anyhow!("cannot connect to the socket {}: {error}", socket.display())
            }
            None => anyhow!("cannot connect: {error}"),
        },
        Ok(sqlx::Error::Database(error)) => {
            let hint = match error.code().as_deref() {
                Some(INVALID_PASSWORD) => "; special characters of a password in the URL must be percent-encoded",
                _ => "",
            };
            anyhow!("the server says: {}{hint}", error.message())
        }
        Ok(error) => error.into(),
        Err(error) => error,
    }
}
