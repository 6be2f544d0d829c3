//! The tables of the queues.

use uuid::Uuid;

use crate::database::{Migration, Migrations};

/// The schema. The indexes are partial, as every statement asks either for waiting messages or for dead letters.
pub(super) const MIGRATIONS: Migrations = Migrations {
    service_name: "events",
    steps: &[Migration {
        version: 1,
        name: "create queues",
        sql: "
CREATE TABLE bindings (
    type TEXT NOT NULL,
    queue TEXT NOT NULL,
    PRIMARY KEY (type, queue)
) WITHOUT ROWID;
CREATE TABLE messages (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    event_id TEXT NOT NULL,
    type TEXT NOT NULL,
    envelope TEXT NOT NULL,
    deliveries INTEGER NOT NULL DEFAULT 0,
    dead_reason TEXT,
    dead_since TEXT
);
CREATE INDEX messages_waiting ON messages (queue, id) WHERE dead_since IS NULL;
CREATE INDEX messages_dead ON messages (queue, event_id) WHERE dead_since IS NOT NULL;
",
    }],
};

/// What the names of subscriptions' own queues start with: they end with the process.
pub(super) const OWN: &str = "own:";

/// Whether the queue of this name is a subscription's own.
pub(super) fn is_own(queue: &str) -> bool {
    queue.starts_with(OWN)
}

/// A name for a queue of a subscription's own.
pub(super) fn own_queue() -> String {
    format!("{OWN}{}", Uuid::new_v4())
}
