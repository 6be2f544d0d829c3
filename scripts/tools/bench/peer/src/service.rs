//! What all services have: a database, an HTTP client, and errors.

use std::error::Error;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{PgPool, SqlitePool};

/// The maximum of connections to PostgreSQL, and of readers of a SQLite file: the same as in the platform's services.
const MAX_POSTGRES_CONNECTIONS: u32 = 10;
const MAX_SQLITE_READERS: u32 = 4;

#[derive(Clone)]
pub(crate) enum Database {
    Postgres(PgPool),
    /// With a single writer, as more would only wait for each other's locks.
    Sqlite {
        reader: SqlitePool,
        writer: SqlitePool,
    },
}

#[derive(Clone)]
pub(crate) struct Service {
    pub(crate) database: Database,
    pub(crate) http: reqwest::Client,
    pub(crate) user_service: String,
    pub(crate) product_service: String,
}

/// An error answer; every error becomes a 500.
pub(crate) struct Failure(pub(crate) StatusCode);

impl<E: Error> From<E> for Failure {
    fn from(error: E) -> Self {
        eprintln!("{error}");
        Self(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

/// Opens the database at `url`.
pub(crate) async fn open(url: &str) -> Result<Database, sqlx::Error> {
    let Some(path) = url.strip_prefix("sqlite:") else {
        let pool = sqlx::postgres::PgPoolOptions::new().max_connections(MAX_POSTGRES_CONNECTIONS).connect(url).await?;
        return Ok(Database::Postgres(pool));
    };
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
    let reader =
        SqlitePoolOptions::new().max_connections(MAX_SQLITE_READERS).connect_with(options.read_only(true)).await?;
    Ok(Database::Sqlite { reader, writer })
}
