//! The tables `outbox` and `inbox`, which every service has.

use chrono::TimeDelta;

use crate::database::Migration;
use crate::purge::Memory;

/// The step that creates the tables: version 5 of every service's schema.
pub(crate) const MIGRATION: Migration = Migration::new(
    "0005_create_outbox_and_inbox",
    include_str!("../../../../../migrations/every-service/0005_create_outbox_and_inbox.sql"),
);

/// How long the ids of handled events are remembered: longer than an event waits anywhere.
pub(crate) const INBOX: Memory = Memory { table: "inbox", retention: TimeDelta::days(14) };

/// The statement that writes events into the outbox: those of a list of [`NewEvent`](super::NewEvent)s in JSON, which
/// `$events` refers to in SQL. A store may make it part of a statement of its own.
#[macro_export]
macro_rules! insert_events {
    (postgres, $events:literal) => {
        concat!(
            "INSERT INTO outbox (event_id, type, envelope, relay, created_at)
             SELECT event_id, type, envelope, relay, created_at FROM jsonb_to_recordset(",
            $events,
            ") AS new (event_id text, type text, envelope text, relay bigint, created_at timestamptz)"
        )
    };
    (sqlite, $events:literal) => {
        concat!(
            "INSERT INTO outbox (event_id, type, envelope, relay, created_at)
             SELECT value ->> 'event_id', value ->> 'type', value ->> 'envelope', value ->> 'relay',
                    value ->> 'created_at'
             FROM json_each(",
            $events,
            ")"
        )
    };
}

/// A database that has the tables.
pub trait EventSql: sqlx::Database {
    /// Writes the events in `$1`.
    #[doc(hidden)]
    const INSERT_EVENTS: &'static str;
    /// Records the ids in `$1` at the time `$2`, and returns those that are new.
    #[doc(hidden)]
    const RECORD_HANDLED: &'static str;
}

impl EventSql for sqlx::Postgres {
    const INSERT_EVENTS: &'static str = insert_events!(postgres, "$1");
    const RECORD_HANDLED: &'static str = "INSERT INTO inbox (event_id, kept_at)
         SELECT event_id, $2 FROM jsonb_array_elements_text($1) AS new (event_id)
         ON CONFLICT (event_id) DO NOTHING RETURNING event_id";
}

impl EventSql for sqlx::Sqlite {
    const INSERT_EVENTS: &'static str = insert_events!(sqlite, "$1");
    const RECORD_HANDLED: &'static str = "INSERT INTO inbox (event_id, kept_at)
         SELECT value, $2 FROM json_each($1) WHERE true
         ON CONFLICT (event_id) DO NOTHING RETURNING event_id";
}
