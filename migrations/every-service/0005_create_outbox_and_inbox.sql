-- Events that are stored and not published yet: written by the transaction that makes them true, removed once the broker
-- has confirmed them.
CREATE TABLE outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- postgres
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- sqlite
    event_id TEXT NOT NULL,
    type TEXT NOT NULL,
    -- The CloudEvent as it is sent, byte for byte.
    envelope TEXT NOT NULL,
    -- Which process publishes it.
    relay BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
-- Rows come and go: without this, what they leave behind would be removed only after a fifth of the largest backlog.
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000); -- postgres
); -- sqlite

-- The events that are handled already, written in the transaction of their effect: an event that comes again has none.
CREATE TABLE inbox (
    event_id TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- postgres
    event_id TEXT NOT NULL PRIMARY KEY, -- sqlite
    kept_at TIMESTAMPTZ NOT NULL
); -- postgres
) WITHOUT ROWID; -- sqlite

CREATE INDEX inbox_by_age ON inbox (kept_at);
