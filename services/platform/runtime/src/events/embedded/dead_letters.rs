//! The dead letters of a queue: messages that are not delivered any more.

use chrono::{DateTime, SecondsFormat, Utc};

use super::store::{DURABLE, QUICK, Store, failure};
use crate::events::message::{DeadLetter, TransportError};
use crate::with_batch_connection;

/// A row of a dead letter: event, type, reason, time, envelope.
type Row = (String, String, String, String, String);

impl Store {
    /// Makes `message` a dead letter.
    pub(super) async fn bury(&self, message: i64, reason: &str) -> Result<(), TransportError> {
        let now = Utc::now().to_rfc3339_opts(SecondsFormat::Micros, true);
        let buried = with_batch_connection!(self.database.writer(), |connection| async {
            sqlx::query(QUICK).execute(&mut *connection).await?;
            let bury = "UPDATE messages SET dead_reason = $2, dead_since = $3 WHERE id = $1";
            sqlx::query(bury).bind(message).bind(reason).bind(&now).execute(&mut *connection).await.map(|_| ())
        });
        buried.map_err(failure)
    }

    /// Up to `limit` dead letters of `queue`, the oldest first.
    pub(super) async fn dead_letters(&self, queue: &str, limit: usize) -> Result<Vec<DeadLetter>, TransportError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows: Result<Vec<Row>, _> = with_batch_connection!(self.database.reader(), |connection| async {
            let list = "SELECT event_id, type, dead_reason, dead_since, envelope FROM messages
                            WHERE queue = $1 AND dead_since IS NOT NULL ORDER BY dead_since, id LIMIT $2";
            sqlx::query_as(list).bind(queue).bind(limit).fetch_all(&mut *connection).await
        });
        let letter = |(event_id, event_type, reason, dead_since, envelope): Row| DeadLetter {
            event_id,
            event_type,
            reason,
            dead_since: dead_since.parse::<DateTime<Utc>>().unwrap_or_default(),
            envelope: envelope.into_bytes(),
        };
        Ok(rows.map_err(failure)?.into_iter().map(letter).collect())
    }

    /// Lets the dead letters of `queue` with this event, or all of them, wait again as if they were new. Returns them with
    /// their events.
    pub(super) async fn replay(
        &self,
        queue: &str,
        event_id: Option<&str>,
    ) -> Result<Vec<(i64, String)>, TransportError> {
        let replayed = with_batch_connection!(self.database.writer(), |connection| async {
            sqlx::query(DURABLE).execute(&mut *connection).await?;
            let replay = "UPDATE messages SET deliveries = 0, dead_reason = NULL, dead_since = NULL
                          WHERE queue = $1 AND event_id = COALESCE($2, event_id) AND dead_since IS NOT NULL
                          RETURNING id, event_id";
            sqlx::query_as(replay).bind(queue).bind(event_id).fetch_all(&mut *connection).await
        });
        replayed.map_err(failure)
    }

    /// Removes the dead letters of `queue` with this event, or all of them. Returns their events.
    pub(super) async fn drop_dead_letters(
        &self,
        queue: &str,
        event_id: Option<&str>,
    ) -> Result<Vec<String>, TransportError> {
        let dropped = with_batch_connection!(self.database.writer(), |connection| async {
            sqlx::query(DURABLE).execute(&mut *connection).await?;
            let drop = "DELETE FROM messages
                        WHERE queue = $1 AND event_id = COALESCE($2, event_id) AND dead_since IS NOT NULL
                        RETURNING event_id";
            sqlx::query_scalar(drop).bind(queue).bind(event_id).fetch_all(&mut *connection).await
        });
        dropped.map_err(failure)
    }
}
