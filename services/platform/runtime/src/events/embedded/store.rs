//! The SQL of the queues.
//!
//! What is published is on the disk before it is confirmed. Nothing else waits for the disk: after a loss of power,
//! what was taken or removed is delivered again. (`kill -9` loses no commit of either kind.)

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use anyhow::Result;
use sqlx::types::Json;

use super::schema::{MIGRATIONS, OWN};
use crate::database::{Batches, Database, DatabaseError, DatabaseUrl, fail_all};
use crate::events::message::{Outgoing, Published, TransportError};
use crate::with_batch_connection;

/// For statements whose effect must survive a loss of power.
pub(super) const DURABLE: &str = "PRAGMA synchronous = FULL";
/// For the others. The setting stays with the connection, so that every statement has to choose.
pub(super) const QUICK: &str = "PRAGMA synchronous = NORMAL";

/// The messages of all queues. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) database: Database,
    publications: Batches<Vec<Outgoing>, Publication>,
}

/// What became of published events, in their order, and which queues have new messages.
pub(super) type Publication = (Vec<Published>, BTreeSet<String>);

/// A message to deliver.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) id: i64,
    /// How often it has been taken, this time included.
    pub(super) deliveries: i64,
    pub(super) envelope: String,
}

impl Store {
    pub(super) async fn open(path: &Path) -> Result<Self> {
        let database = Database::open(&DatabaseUrl::Sqlite(path.to_owned()), 1, &MIGRATIONS).await?;
        Ok(Self { publications: Batches::new(&database, publish), database })
    }

    pub(super) async fn publish(&self, events: Vec<Outgoing>) -> Result<Publication, TransportError> {
        self.publications.run(events).await.map_err(failure)
    }

    /// Lets events of `types` go to `queue` from now on.
    pub(super) async fn bind(&self, queue: &str, types: &[String]) -> Result<(), TransportError> {
        let types = Json(types);
        let bound = with_batch_connection!(self.database.writer(), |connection| async {
            sqlx::query(DURABLE).execute(&mut *connection).await?;
            let bind = "INSERT INTO bindings (type, queue) SELECT value, $2 FROM json_each($1) WHERE true
                        ON CONFLICT DO NOTHING";
            sqlx::query(bind).bind(types).bind(queue).execute(&mut *connection).await.map(|_| ())
        });
        bound.map_err(failure)
    }

    /// Takes up to `limit` waiting messages of `queue` after the message `after`, in their order.
    pub(super) async fn take_after(&self, queue: &str, after: i64, limit: usize) -> Result<Vec<Taken>, TransportError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = with_batch_connection!(self.database.writer(), |connection| async {
            sqlx::query(QUICK).execute(&mut *connection).await?;
            let take = "UPDATE messages SET deliveries = deliveries + 1 WHERE id IN (
                            SELECT id FROM messages WHERE queue = $1 AND dead_since IS NULL AND id > $2
                            ORDER BY id LIMIT $3
                        ) RETURNING id, deliveries, envelope";
            sqlx::query_as(take).bind(queue).bind(after).bind(limit).fetch_all(&mut *connection).await
        });
        rows.map(in_order).map_err(failure)
    }

    /// Takes those of `messages` that still wait, in their order.
    pub(super) async fn take(&self, messages: &[i64]) -> Result<Vec<Taken>, TransportError> {
        let messages = Json(messages);
        let rows = with_batch_connection!(self.database.writer(), |connection| async {
            sqlx::query(QUICK).execute(&mut *connection).await?;
            let take = "UPDATE messages SET deliveries = deliveries + 1
                        WHERE id IN (SELECT value FROM json_each($1)) AND dead_since IS NULL
                        RETURNING id, deliveries, envelope";
            sqlx::query_as(take).bind(messages).fetch_all(&mut *connection).await
        });
        rows.map(in_order).map_err(failure)
    }

    /// Removes `messages`, which are handled.
    pub(super) async fn remove(&self, messages: &[i64]) -> Result<(), TransportError> {
        let messages = Json(messages);
        let removed = with_batch_connection!(self.database.writer(), |connection| async {
            sqlx::query(QUICK).execute(&mut *connection).await?;
            let remove = "DELETE FROM messages WHERE id IN (SELECT value FROM json_each($1))";
            sqlx::query(remove).bind(messages).execute(&mut *connection).await.map(|_| ())
        });
        removed.map_err(failure)
    }

    /// Removes `queue` with its messages.
    pub(super) async fn remove_queue(&self, queue: &str) -> Result<(), TransportError> {
        self.remove_queues("queue = $1", queue).await
    }

    /// Removes what queues of an ended process's own have left behind.
    pub(super) async fn remove_own_queues(&self) -> Result<(), TransportError> {
        self.remove_queues("substr(queue, 1, length($1)) = $1", OWN).await
    }

    async fn remove_queues(&self, condition: &'static str, value: &str) -> Result<(), TransportError> {
        let removed = with_batch_connection!(self.database.writer(), |connection| async {
            sqlx::query(QUICK).execute(&mut *connection).await?;
            // The bindings first: nothing new comes while the messages are removed.
            for table in ["DELETE FROM bindings WHERE ", "DELETE FROM messages WHERE "] {
                let mut remove = crate::database::BatchConnection::query_for(&connection, table);
                remove.push(condition).build().bind(value).execute(&mut *connection).await?;
            }
            Ok(())
        });
        removed.map_err(failure)
    }

    pub(super) async fn close(&self) {
        self.database.close().await;
    }
}

/// Publishes what several callers publish, all of it or nothing.
async fn publish(database: Database, callers: Vec<Vec<Outgoing>>) -> Vec<Result<Publication, DatabaseError>> {
    match insert(&database, &callers).await {
        Ok(stored) => callers.iter().map(|events| Ok(publication(events, &stored))).collect(),
        Err(error) => fail_all(callers.len(), &error),
    }
}

/// Stores each event once for each queue that has bound its type. Returns the stored messages: event and queue.
async fn insert(database: &Database, callers: &[Vec<Outgoing>]) -> Result<Vec<(String, String)>, DatabaseError> {
    let events: Vec<_> =
        callers.iter().flatten().map(|event| [&event.event_id, &event.event_type, &event.envelope]).collect();
    let events = Json(events);
    with_batch_connection!(database.writer(), |connection| async {
        sqlx::query(DURABLE).execute(&mut *connection).await?;
        // The cross join keeps SQLite from any other order than that of the events.
        let insert = "INSERT INTO messages (queue, event_id, type, envelope)
                      SELECT queue, event.value ->> 0, event.value ->> 1, event.value ->> 2
                      FROM json_each($1) AS event CROSS JOIN bindings ON bindings.type = event.value ->> 1
                      ORDER BY event.key
                      RETURNING event_id, queue";
        sqlx::query_as(insert).bind(&events).fetch_all(&mut *connection).await
    })
}

fn publication(events: &[Outgoing], stored: &[(String, String)]) -> Publication {
    let routed: HashSet<&str> = stored.iter().map(|(event, _)| event.as_str()).collect();
    let outcome = |event: &Outgoing| {
        if event.mandatory && !routed.contains(event.event_id.as_str()) {
            Published::Unroutable
        } else {
            Published::Stored
        }
    };
    (events.iter().map(outcome).collect(), stored.iter().map(|(_, queue)| queue.clone()).collect())
}

/// SQLite returns the rows of an update in any order.
fn in_order(rows: Vec<(i64, i64, String)>) -> Vec<Taken> {
    let mut taken: Vec<_> =
        rows.into_iter().map(|(id, deliveries, envelope)| Taken { id, deliveries, envelope }).collect();
    taken.sort_unstable_by_key(|message| message.id);
    taken
}

pub(super) fn failure(error: DatabaseError) -> TransportError {
    TransportError(format!("the file of events: {error}"))
}
