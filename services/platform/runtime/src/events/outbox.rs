//! The outbox: events wait in the service's own database until they are published.
//!
//! An event is written by the transaction that makes it true, and by nothing else, so there is no state in which one of the
//! two is lost. [`super::relay`] publishes what is committed.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use chrono::{DateTime, SubsecRound, Utc};
use contract::event::{CloudEvent, Context, Event, data_schema, source};
use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{Encode, Executor, IntoArguments, Transaction, Type};
use tokio::sync::Notify;
use uuid::Uuid;

use super::table::EventSql;
use crate::database::DatabaseError;

/// The outbox of a service in this process. Clones share it.
#[derive(Clone, Debug)]
pub struct Outbox(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    source: String,
    data_schema: String,
    /// The relay of this process, which publishes what this process writes. Random.
    relay: i64,
    written: Notify,
}

/// An event to write, and a row of the outbox.
#[derive(Clone, Debug, Serialize)]
pub struct NewEvent {
    event_id: String,
    r#type: &'static str,
    envelope: String,
    relay: i64,
    created_at: String,
}

/// Wakes the relay when it is dropped: bind it to a name before the transaction is committed, and let it go after.
#[derive(Debug)]
#[must_use = "the relay is woken when this is dropped, which must be after the commit"]
pub struct Wake(Outbox);

impl Outbox {
    /// The outbox of `service`, whose document of events is `document`.
    pub(crate) fn of(service: &str, document: &str) -> Result<Self> {
        let document: Value = serde_json::from_str(document).context("the document of events is not JSON")?;
        let version = document["info"]["version"].as_str().context("the document of events has no version")?;
        let (source, data_schema) = (source(service), data_schema(service, version));
        Ok(Self(Arc::new(Shared { source, data_schema, relay: fastrand::i64(1..), written: Notify::new() })))
    }

    /// `event`, which happens at `time` where `traceparent` says.
    ///
    /// # Errors
    ///
    /// It cannot be written as JSON: a bug.
    pub fn event<E: Event>(&self, event: &E, time: DateTime<Utc>, traceparent: Option<&str>) -> sqlx::Result<NewEvent> {
        let Shared { source, data_schema, relay, .. } = &*self.0;
        let event_id = Uuid::now_v7().to_string();
        let context = Context { id: &event_id, source, data_schema, time: time.into(), traceparent };
        let envelope = serde_json::to_string(&CloudEvent::new(event, &context)).map_err(DatabaseError::decode_error)?;
        // As sqlx writes a time to SQLite, where times are compared as text.
        let created_at = time.trunc_subsecs(6).to_rfc3339();
        Ok(NewEvent { event_id, r#type: E::TYPE, envelope, relay: *relay, created_at })
    }

    /// Writes `events` in the transaction that makes them true. Keep what is returned until it is committed.
    pub async fn write<DB>(&self, transaction: &mut Transaction<'_, DB>, events: &[NewEvent]) -> sqlx::Result<Wake>
    where
        DB: EventSql,
        DB::Arguments: IntoArguments<DB>,
        for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
        for<'q> Json<&'q [NewEvent]>: Encode<'q, DB> + Type<DB>,
    {
        if !events.is_empty() {
            sqlx::query(DB::INSERT_EVENTS).bind(Json(events)).execute(&mut **transaction).await?;
        }
        Ok(self.wake())
    }

    /// For a statement of a store's own that writes events, with [`insert_events!`](crate::insert_events).
    pub fn wake(&self) -> Wake {
        Wake(self.clone())
    }

    pub(super) fn relay(&self) -> i64 {
        self.0.relay
    }

    /// Waits until something may have been committed.
    pub(super) async fn written(&self) {
        self.0.written.notified().await;
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        self.0.0.written.notify_one();
    }
}
