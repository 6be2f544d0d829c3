//! PostgreSQL, 14 or later.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::migrate::{self, Dialect};
use super::{Database, DatabaseUrl, Migrations, Pool};

const OLDEST_VERSION: u32 = 14;
/// How long the first connection may take. Later ones have less: requests wait for them.
const START_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(500);

pub(super) async fn open(options: &PgConnectOptions, connections: u32, migrations: &Migrations) -> Result<Database> {
    let options = options.clone().application_name(migrations.service_name);
    prepare(&options, migrations)
        .await
        .with_context(|| format!("cannot use the database {}", DatabaseUrl::Postgres(Box::new(options.clone()))))?;

    // The server gives up on what the client has given up on.
    let bounded = options.options([("statement_timeout", "2000"), ("lock_timeout", "1000")]);
    let pool =
        PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_TIMEOUT).connect_lazy_with(bounded);
    Ok(Database { reader: Pool::Postgres(pool.clone()), writer: Pool::Postgres(pool) })
}

/// Migrates over a connection of its own: a migration may take longer than a request.
async fn prepare(options: &PgConnectOptions, migrations: &Migrations) -> Result<()> {
    let mut connection = match tokio::time::timeout(START_TIMEOUT, options.connect()).await {
        Ok(connected) => connected.map_err(plainly)?,
        Err(_) => bail!("no answer within {} ms", START_TIMEOUT.as_millis()),
    };
    check_version(&mut connection).await?;
    migrate::run(migrations, Dialect::Postgres, &mut connection).await?;
    connection.close().await.map_err(plainly)
}

async fn check_version(connection: &mut PgConnection) -> Result<()> {
    let version: String = sqlx::query_scalar("SHOW server_version_num").fetch_one(connection).await.map_err(plainly)?;
    let major = version.parse::<u32>().unwrap_or_default() / 10_000;
    if major < OLDEST_VERSION {
        bail!("PostgreSQL {OLDEST_VERSION} or later is needed, this is {major}");
    }
    Ok(())
}

fn plainly(error: sqlx::Error) -> anyhow::Error {
    match error {
        sqlx::Error::Io(error) => anyhow!("cannot connect: {error}"),
        sqlx::Error::Database(error) => anyhow!("the server says: {}", error.message()),
        error => error.into(),
    }
}
