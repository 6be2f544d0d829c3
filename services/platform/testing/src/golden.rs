//! Replaying golden examples against a running service.

use std::convert::Infallible;
use std::future::Future;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use chrono::DateTime;
use contract::examples::{Example, Request, State};
use futures::StreamExt;
use reqwest::{Body, Client, Method, RequestBuilder, Response};
use serde_json::{Map, Value};
use service_runtime::database::DatabaseUrl;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, PgConnection, SqliteConnection};

use crate::{KINDS, Kind};

/// A service under test: what it promises, and where it answers.
#[derive(Debug)]
pub struct Replay {
    document: Value,
    base_url: String,
    http: Client,
}

impl Replay {
    /// Replays against the service at `base_url`, which serves `document`.
    pub fn new(document: &str, base_url: String) -> Result<Self> {
        Ok(Self { document: serde_json::from_str(document)?, base_url, http: Client::builder().no_proxy().build()? })
    }

    /// Does what `example` needs to have happened before.
    pub async fn prepare(&self, example: &Example) -> Result<()> {
        for step in &example.given {
            let answer = self.send(&step.operation, &step.request).await?;
            ensure!(answer.status().is_success(), "given {}: {}", step.operation, answer.text().await?);
        }
        Ok(())
    }

    /// Makes the request of `example` and compares the answer: its status, its headers, and all of its body but
    /// times and the request id, which only have to be of their kind.
    pub async fn compare(&self, example: &Example) -> Result<()> {
        let answer = match example.state {
            State::BodyStalls => self.begin(&example.operation, &example.request).await?,
            State::KeyInUse => self.send_twice(&example.operation, &example.request).await?,
            _ => self.send(&example.operation, &example.request).await?,
        };
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await?;
        ensure!(status == example.status, "status {status}, not {}: {text}", example.status);
        for (name, value) in &example.headers {
            let actual = headers.get(name).and_then(|value| value.to_str().ok());
            ensure!(actual == Some(value), "header {name}: {actual:?}, not {value:?}");
        }
        let actual = if text.is_empty() { None } else { Some(serde_json::from_str(&text)?) };
        let (actual, expected) = (actual.map(neutral), example.answer().map(neutral));
        ensure!(actual == expected, "{actual:#?}, not {expected:#?}");
        Ok(())
    }

    /// Makes one request.
    pub async fn send(&self, operation: &str, request: &Request) -> Result<Response> {
        Ok(self.request(operation, request)?.send().await?)
    }

    fn request(&self, operation: &str, request: &Request) -> Result<RequestBuilder> {
        let (method, mut path) = self.find(operation)?;
        for (name, value) in &request.path {
            path = path.replace(&format!("{{{name}}}"), value);
        }
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

    /// Begins a request whose body does not end.
    async fn begin(&self, operation: &str, request: &Request) -> Result<Response> {
        let body = futures::stream::once(async { Ok::<_, Infallible>("{") }).chain(futures::stream::pending());
        Ok(self.request(operation, request)?.body(Body::wrap_stream(body)).send().await?)
    }

    /// Makes the same request twice at once; gives the answer that comes first.
    async fn send_twice(&self, operation: &str, request: &Request) -> Result<Response> {
        let (one, other) = (self.send(operation, request), self.send(operation, request));
        tokio::select! { answer = one => answer, answer = other => answer }
    }

    fn find(&self, operation: &str) -> Result<(Method, String)> {
        let paths = self.document["paths"].as_object().into_iter().flatten();
        let mut operations = paths.flat_map(|(path, item)| {
            item.as_object().into_iter().flatten().map(move |(method, operation)| (method, path, operation))
        });
        let (method, path, _) = operations
            .find(|(_, _, candidate)| candidate["operationId"] == operation)
            .with_context(|| format!("the document has no operation {operation}"))?;
        Ok((method.to_uppercase().parse()?, path.clone()))
    }
}

/// Replays every example with `replay`, all at once, on each kind of database; panics with all that differ.
pub async fn replay_all<F>(examples: Vec<Example>, replay: impl Fn(Example, Kind) -> F)
where
    F: Future<Output = Result<()>>,
{
    let mut replays = Vec::new();
    for example in examples {
        for kind in KINDS.into_iter().filter(|kind| kind.is_tested()) {
            let code = example.error.as_ref().map_or("success", |error| error.code.as_str());
            let name = format!("{} {code} on {kind:?}", example.operation);
            let replayed = replay(example.clone(), kind);
            replays.push(async move { replayed.await.err().map(|error| format!("{name}: {error:#}\n")) });
        }
    }
    let differences: String = futures::future::join_all(replays).await.into_iter().flatten().collect();
    assert!(differences.is_empty(), "{differences}");
}

/// `value` with what differs each time replaced by what it is.
fn neutral(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let neutral_field = |(name, value): (String, Value)| {
                let is_id = name == "request_id" && value.as_str().is_some_and(|id| id.len() == 36);
                let value = if is_id { "a request id".into() } else { neutral(value) };
                (name, value)
            };
            Value::Object(fields.into_iter().map(neutral_field).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(neutral).collect(),
        Value::String(text) if text.ends_with('Z') && DateTime::parse_from_rfc3339(&text).is_ok() => "a time".into(),
        other => other,
    }
}

/// What keeps a database in a state; the state may end when it is dropped.
#[derive(Debug)]
#[allow(dead_code, reason = "held, not read")]
pub enum Hold {
    /// Nothing has to be held.
    Nothing,
    /// A lock on the file.
    Sqlite(SqliteConnection),
    /// A lock on a table.
    Postgres(PgConnection),
}

/// Brings the database at `url`, whose service runs, into `state`; `table` is one of its tables.
///
/// A state that is not the database's leaves it alone.
pub async fn bring_database_into(state: State, url: &DatabaseUrl, table: &str) -> Result<Hold> {
    match (state, url) {
        (State::DatabaseBroken, DatabaseUrl::Postgres(options)) => {
            options.connect().await?.execute(AssertSqlSafe(format!("DROP TABLE {table}"))).await?;
        }
        (State::DatabaseBroken, DatabaseUrl::Sqlite(path)) => {
            open(path).await?.execute(AssertSqlSafe(format!("DROP TABLE {table}"))).await?;
        }
        (State::DatabaseAway, DatabaseUrl::Postgres(options)) => close_to_everybody(options).await?,
        // For who writes, the file is locked; for who opens it to read, it is not there.
        (State::DatabaseAway, DatabaseUrl::Sqlite(path)) => {
            let mut lock = open(path).await?;
            lock.execute("BEGIN IMMEDIATE").await?;
            std::fs::remove_file(path)?;
            return Ok(Hold::Sqlite(lock));
        }
        // Whoever wants to write waits.
        (State::KeyInUse, DatabaseUrl::Postgres(options)) => {
            let mut lock = options.connect().await?;
            lock.execute(AssertSqlSafe(format!("BEGIN; LOCK TABLE {table} IN EXCLUSIVE MODE"))).await?;
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

async fn close_to_everybody(options: &sqlx::postgres::PgConnectOptions) -> Result<()> {
    let name = options.get_database().context("a database has a name")?;
    let mut connection: PgConnection = options.clone().database("postgres").connect().await?;
    connection.execute(AssertSqlSafe(format!("ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"))).await?;
    let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    connection.execute(AssertSqlSafe(end)).await?;
    Ok(connection.close().await?)
}
