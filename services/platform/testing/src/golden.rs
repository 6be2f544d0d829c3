//! Replays golden examples against a running service.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use chrono::DateTime;
use contract::examples::{Example, Request, RequestStep, State};
use contract::paths;
use futures::StreamExt;
use reqwest::{Body, Client, Method, RequestBuilder, Response};
use serde_json::{Map, Value};
use service_runtime::database::DatabaseUrl;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, SqliteConnection};

/// How long a service may take to do what follows from an event.
pub(crate) const EVENTS_TIME_LIMIT: Duration = Duration::from_secs(30);

/// Makes the requests of golden examples to a service.
#[derive(Debug)]
pub struct Replay {
    document: Value,
    base_url: String,
    http: Client,
}

impl Replay {
    /// A client for the service at `base_url` with this `document`.
    pub fn new(document: &str, base_url: String) -> Result<Self> {
        Ok(Self { document: serde_json::from_str(document)?, base_url, http: Client::builder().no_proxy().build()? })
    }

    /// Makes a request that an example requires first.
    pub async fn prepare(&self, step: &RequestStep) -> Result<()> {
        let response = self.send(&step.operation, &step.request).await?;
        ensure!(response.status().is_success(), "given {}: {}", step.operation, response.text().await?);
        Ok(())
    }

    /// Makes the request of `example` and compares the response: status, headers and the whole body. Only the format of
    /// times and of the request id is compared. After an event the request is repeated until the response fits.
    pub async fn compare(&self, example: &Example) -> Result<()> {
        let began = Instant::now();
        loop {
            match self.compare_once(example).await {
                Err(_) if example.follows_events() && began.elapsed() < EVENTS_TIME_LIMIT => {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn compare_once(&self, example: &Example) -> Result<()> {
        let response = match &example.state {
            State::BodyStalls => self.send_unfinished(&example.operation, &example.request).await?,
            State::KeyInUse => self.send_twice(&example.operation, &example.request).await?,
            _ => self.send(&example.operation, &example.request).await?,
        };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        ensure!(status == example.status, "status {status}, not {}: {text}", example.status);
        for (name, value) in &example.headers {
            let actual = headers.get(name).and_then(|value| value.to_str().ok());
            ensure!(actual == Some(value), "header {name}: {actual:?}, not {value:?}");
        }
        let actual = if text.is_empty() { None } else { Some(serde_json::from_str(&text)?) };
        let (actual, expected) = (actual.map(normalize), example.response_body().map(normalize));
        ensure!(actual == expected, "{actual:#?}, not {expected:#?}");
        Ok(())
    }

    /// Makes the request of the first of `examples` that creates something.
    pub async fn seed(&self, examples: &[Example]) -> Result<()> {
        let Some(creation) = examples.iter().find(|example| example.status == 201) else { return Ok(()) };
        let response = self.send(&creation.operation, &creation.request).await?;
        ensure!(response.status() == 201, "{}: {}", creation.operation, response.text().await?);
        Ok(())
    }

    /// The path of `request` to `operation`.
    pub fn path(&self, operation: &str, request: &Request) -> Result<String> {
        let (_, mut path) = self.find_operation(operation)?;
        for (name, value) in &request.path {
            path = path.replace(&format!("{{{name}}}"), value);
        }
        Ok(path)
    }

    /// Makes one request.
    pub async fn send(&self, operation: &str, request: &Request) -> Result<Response> {
        Ok(self.request(operation, request)?.send().await?)
    }

    /// The request, not yet sent.
    pub fn request(&self, operation: &str, request: &Request) -> Result<RequestBuilder> {
        let (method, _) = self.find_operation(operation)?;
        let path = self.path(operation, request)?;
        let mut sent = self.http.request(method, format!("{}{path}", self.base_url)).query(&request.query);
        for (name, value) in &request.headers {
            sent = sent.header(name, value);
        }
        let body = match (&request.body, request.body_of_bytes) {
            (Some(body), _) => Some(body.to_string().into_bytes()),
            (None, Some(length)) => Some(vec![b' '; length]),
            (None, None) => None,
        };
        if let Some(body) = body {
            sent =
                sent.header("content-type", request.content_type.as_deref().unwrap_or("application/json")).body(body);
        }
        Ok(sent)
    }

    /// Makes a request whose body does not end.
    async fn send_unfinished(&self, operation: &str, request: &Request) -> Result<Response> {
        let body = futures::stream::once(async { Ok::<_, Infallible>("{") }).chain(futures::stream::pending());
        Ok(self.request(operation, request)?.body(Body::wrap_stream(body)).send().await?)
    }

    /// Makes the same request twice concurrently; returns the first response.
    async fn send_twice(&self, operation: &str, request: &Request) -> Result<Response> {
        let (one, other) = (self.send(operation, request), self.send(operation, request));
        tokio::select! { response = one => response, response = other => response }
    }

    fn find_operation(&self, operation: &str) -> Result<(Method, String)> {
        let found = paths::operations(&self.document).find(|candidate| candidate.id() == Some(operation));
        let found = found.with_context(|| format!("the document has no operation {operation}"))?;
        Ok((found.method.to_uppercase().parse()?, found.path.to_owned()))
    }
}

/// Whether `text` is a time as the contracts write all of them: in UTC, with six fractional digits.
fn is_time(text: &str) -> bool {
    text.len() == "2026-01-01T12:00:00.123456Z".len()
        && text.ends_with('Z')
        && DateTime::parse_from_rfc3339(text).is_ok()
}

/// Replaces times and request ids in `value` with constants.
fn normalize(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let normalize_field = |(name, value): (String, Value)| {
                let is_id = name == "request_id" && value.as_str().is_some_and(|id| id.len() == 36);
                let value = if is_id { "a request id".into() } else { normalize(value) };
                (name, value)
            };
            Value::Object(fields.into_iter().map(normalize_field).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(normalize).collect(),
        Value::String(text) if is_time(&text) => "a time".into(),
        other => other,
    }
}

/// The tables of a service, without those of the runtime.
const POSTGRES_TABLES: &str = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'
     AND tablename NOT IN ('_sqlx_migrations', 'idempotency_keys')";
// A virtual table is dropped with the tables that it consists of, which SQLite calls shadow tables.
const SQLITE_TABLES: &str = "SELECT name FROM pragma_table_list
     WHERE schema = 'main' AND type IN ('table', 'virtual') AND name NOT LIKE 'sqlite_%'
     AND name NOT IN ('_sqlx_migrations', 'idempotency_keys')";

/// Holds a database in a state until it is dropped.
#[derive(Debug)]
#[allow(dead_code, reason = "held, not read")]
pub enum Hold {
    /// The state needs no lock.
    Nothing,
    /// A lock on the file.
    Sqlite(SqliteConnection),
    /// A lock on the service's tables.
    Postgres(PgConnection),
}

/// Brings the database of a running service into `state`; does nothing for a state that is not the database's.
pub async fn bring_database_into(state: &State, url: &DatabaseUrl) -> Result<Hold> {
    match (state, url) {
        (State::DatabaseBroken, DatabaseUrl::Postgres(options)) => {
            let mut connection = options.connect().await?;
            let tables: Vec<String> = sqlx::query_scalar(POSTGRES_TABLES).fetch_all(&mut connection).await?;
            connection.execute(AssertSqlSafe(format!("DROP TABLE {}", tables.join(", ")))).await?;
        }
        (State::DatabaseBroken, DatabaseUrl::Sqlite(path)) => {
            let mut connection = open(path).await?;
            for table in sqlx::query_scalar::<_, String>(SQLITE_TABLES).fetch_all(&mut connection).await? {
                connection.execute(AssertSqlSafe(format!("DROP TABLE {table}"))).await?;
            }
        }
        (State::DatabaseAway, DatabaseUrl::Postgres(options)) => refuse_connections(options).await?,
        // Writers wait for the lock, and new connections find no file.
        (State::DatabaseAway, DatabaseUrl::Sqlite(path)) => {
            let mut lock = open(path).await?;
            lock.execute("BEGIN IMMEDIATE").await?;
            std::fs::remove_file(path)?;
            return Ok(Hold::Sqlite(lock));
        }
        // The first request waits for the lock while it holds its key.
        (State::KeyInUse, DatabaseUrl::Postgres(options)) => {
            let mut lock = options.connect().await?;
            let tables: Vec<String> = sqlx::query_scalar(POSTGRES_TABLES).fetch_all(&mut lock).await?;
            let sql = format!("BEGIN; LOCK TABLE {} IN EXCLUSIVE MODE", tables.join(", "));
            lock.execute(AssertSqlSafe(sql)).await?;
            return Ok(Hold::Postgres(lock));
        }
        (State::KeyInUse, DatabaseUrl::Sqlite(path)) => {
            let mut lock = open(path).await?;
            lock.execute("BEGIN IMMEDIATE").await?;
            return Ok(Hold::Sqlite(lock));
        }
        _ => {}
    }
    Ok(Hold::Nothing)
}

async fn open(path: &PathBuf) -> Result<SqliteConnection> {
    Ok(sqlx::sqlite::SqliteConnectOptions::new().filename(path).connect().await?)
}

async fn refuse_connections(options: &sqlx::postgres::PgConnectOptions) -> Result<()> {
    let name = options.get_database().context("the URL names no database")?;
    let mut connection: PgConnection = options.clone().database("postgres").connect().await?;
    connection.execute(AssertSqlSafe(format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"))).await?;
    // A session that was starting holds a lock until the statistics list it; this waits for it, and changes nothing.
    connection.execute(AssertSqlSafe(format!("ALTER DATABASE {name} SET TABLESPACE pg_default"))).await?;
    // Waits until they have ended: one that has not may still answer.
    let terminate = format!("SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity WHERE datname = '{name}'");
    connection.execute(AssertSqlSafe(terminate)).await?;
    Ok(connection.close().await?)
}
