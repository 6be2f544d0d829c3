//! A look into the database of a service: which events it has written, which wait, and which it has handled.

use std::collections::{BTreeSet, HashSet};

use anyhow::{Context, Result};
use serde_json::Value;
use service_testing::Kind;
use sqlx::{Connection, PgConnection, SqliteConnection};

/// Keeps a copy of every event that is written into the outbox, from which the relay removes it.
const KEEP_ON_SQLITE: &str = "
    CREATE TABLE journal (event_id TEXT NOT NULL PRIMARY KEY, type TEXT NOT NULL, envelope TEXT NOT NULL);
    CREATE TRIGGER keep AFTER INSERT ON outbox
    BEGIN INSERT INTO journal VALUES (NEW.event_id, NEW.type, NEW.envelope); END;";
const KEEP_ON_POSTGRES: &str = "
    CREATE TABLE journal (event_id TEXT NOT NULL PRIMARY KEY, type TEXT NOT NULL, envelope TEXT NOT NULL);
    CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN INSERT INTO journal VALUES (NEW.event_id, NEW.type, NEW.envelope); RETURN NULL; END';
    CREATE TRIGGER keep AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION keep();";

/// An event that was written.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) envelope: String,
}

impl Written {
    /// What it says.
    pub(crate) fn data(&self) -> Value {
        serde_json::from_str::<Value>(&self.envelope).map(|mut event| event["data"].take()).unwrap_or_default()
    }
}

/// The database of a service.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    kind: Kind,
    url: String,
}

/// An open connection to it.
#[derive(Debug)]
pub(crate) enum Look {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

/// Three columns of text.
type Row = (String, String, String);

impl Journal {
    pub(crate) fn new(kind: Kind, url: impl Into<String>) -> Self {
        Self { kind, url: url.into() }
    }

    /// Begins to keep every event.
    pub(crate) async fn begin(&self) -> Result<()> {
        let mut look = self.look().await?;
        look.run(KEEP_ON_SQLITE, KEEP_ON_POSTGRES).await?;
        Ok(look.end().await?)
    }

    /// Every event that was written since.
    pub(crate) async fn written(&self) -> Result<Vec<Written>> {
        let rows = self.rows("SELECT event_id, type, envelope FROM journal ORDER BY event_id").await?;
        Ok(rows.into_iter().map(|(id, kind, envelope)| Written { id, kind, envelope }).collect())
    }

    /// How many events wait to be published.
    pub(crate) async fn waiting(&self) -> Result<usize> {
        self.count("SELECT CAST(COUNT(*) AS TEXT), '', '' FROM outbox").await
    }

    /// The ids of these.
    pub(crate) async fn waiting_ids(&self) -> Result<HashSet<String>> {
        let rows = self.rows("SELECT event_id, '', '' FROM outbox").await?;
        Ok(rows.into_iter().map(|(id, ..)| id).collect())
    }

    /// How many events were written that another service handles.
    pub(crate) async fn consumed(&self) -> Result<usize> {
        self.count("SELECT CAST(COUNT(*) AS TEXT), '', '' FROM journal WHERE type <> 'order.completed'").await
    }

    /// How many orders wait to be paid, or to be cancelled.
    pub(crate) async fn unpaid(&self) -> Result<usize> {
        self.count("SELECT CAST(COUNT(*) AS TEXT), '', '' FROM orders WHERE status = 'created'").await
    }

    /// The orders that were confirmed since the events are kept, whatever became of them later.
    pub(crate) async fn confirmed(&self) -> Result<BTreeSet<i64>> {
        let written = self.written().await?;
        let confirmed = written.iter().filter(|event| event.kind == "order.confirmed");
        Ok(confirmed.filter_map(|event| event.data()["order_id"].as_i64()).collect())
    }

    /// How much the payment provider is still to be asked for.
    pub(crate) async fn provider_tasks(&self) -> Result<usize> {
        self.count("SELECT CAST(COUNT(*) AS TEXT), '', '' FROM provider_tasks").await
    }

    /// How many events were handled.
    pub(crate) async fn number_handled(&self) -> Result<usize> {
        self.count("SELECT CAST(COUNT(*) AS TEXT), '', '' FROM inbox").await
    }

    /// The ids of the events that were handled.
    pub(crate) async fn handled(&self) -> Result<HashSet<String>> {
        let rows = self.rows("SELECT event_id, '', '' FROM inbox").await?;
        Ok(rows.into_iter().map(|(id, ..)| id).collect())
    }

    /// What notification-service keeps of every message, as text.
    pub(crate) async fn notifications(&self) -> Result<Vec<String>> {
        let sql = "SELECT event_id || ' ' || event_type || ' ' || user_id, data, COALESCE(traceparent, '')
                   FROM notifications";
        Ok(self.rows(sql).await?.into_iter().map(|(id, data, trace)| format!("{id} {data} {trace}")).collect())
    }

    /// How many messages are being sent, or wait for another attempt.
    pub(crate) async fn begun(&self) -> Result<usize> {
        self.count("SELECT CAST(COUNT(*) AS TEXT), '', '' FROM notifications WHERE status = 'queued' AND attempts > 0")
            .await
    }

    /// Of reservations with the status `held`: id and items. Those of orders that were not placed expire later.
    pub(crate) async fn held(&self) -> Result<Vec<(String, Value)>> {
        let rows = self.rows("SELECT id, items, '' FROM reservations WHERE status = 'held'").await?;
        Ok(rows.into_iter().map(|(id, items, _)| (id, serde_json::from_str(&items).unwrap_or_default())).collect())
    }

    async fn count(&self, sql: &'static str) -> Result<usize> {
        let rows = self.rows(sql).await?;
        let (count, ..) = rows.first().context("a count has a row")?;
        Ok(count.parse()?)
    }

    async fn rows(&self, sql: &'static str) -> Result<Vec<Row>> {
        let mut look = self.look().await?;
        let rows = look.rows(sql).await?;
        look.end().await?;
        Ok(rows)
    }

    /// Opens the database.
    pub(crate) async fn look(&self) -> Result<Look> {
        Ok(match self.kind {
            Kind::Sqlite => Look::Sqlite(SqliteConnection::connect(&self.url).await?),
            Kind::Postgres => Look::Postgres(PgConnection::connect(&self.url).await?),
        })
    }
}

impl Look {
    /// The id of the reservation of an order.
    pub(crate) async fn reservation_of(&mut self, order_id: i64) -> Result<String> {
        let sql = "SELECT reservation_id FROM orders WHERE id = $1";
        let (id,) = match self {
            Self::Sqlite(connection) => {
                sqlx::query_as::<_, (String,)>(sql).bind(order_id).fetch_one(connection).await?
            }
            Self::Postgres(connection) => sqlx::query_as(sql).bind(order_id).fetch_one(connection).await?,
        };
        Ok(id)
    }

    async fn rows(&mut self, sql: &'static str) -> Result<Vec<Row>> {
        Ok(match self {
            Self::Sqlite(connection) => sqlx::query_as(sql).fetch_all(connection).await?,
            Self::Postgres(connection) => sqlx::query_as(sql).fetch_all(connection).await?,
        })
    }

    /// Runs the statements for its kind of database.
    pub(crate) async fn run(&mut self, sqlite: &'static str, postgres: &'static str) -> Result<()> {
        match self {
            Self::Sqlite(connection) => sqlx::raw_sql(sqlite).execute(connection).await.map(|_| ())?,
            Self::Postgres(connection) => sqlx::raw_sql(postgres).execute(connection).await.map(|_| ())?,
        }
        Ok(())
    }

    /// Closes it.
    pub(crate) async fn end(self) -> sqlx::Result<()> {
        match self {
            Self::Sqlite(connection) => connection.close().await,
            Self::Postgres(connection) => connection.close().await,
        }
    }
}
