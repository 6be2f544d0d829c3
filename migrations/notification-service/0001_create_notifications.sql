-- One row for each event and channel, written with the event's record in the inbox.
CREATE TABLE notifications (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- postgres
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- sqlite
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    channel TEXT NOT NULL CHECK (channel IN ('email', 'sms')),
    user_id BIGINT NOT NULL,
    order_id BIGINT,
    -- The event's data, in JSON, which the text is made of; empty once there is nothing left to send.
    data TEXT NOT NULL,
    -- Where in a trace the event happened.
    traceparent TEXT,
    status TEXT NOT NULL CHECK (status IN ('queued', 'sent', 'failed', 'suppressed')),
    reason TEXT,
    attempts BIGINT NOT NULL,
    -- When it may be tried next. While it is being tried: when that counts as broken off.
    next_attempt_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    UNIQUE (event_id, channel)
);

-- A list is read from the newest to the oldest.
CREATE INDEX notifications_by_user ON notifications (user_id, id);
CREATE INDEX notifications_by_order ON notifications (order_id, id);
CREATE INDEX notifications_by_status ON notifications (status, id);
-- What is to be sent next, and what has waited longest.
CREATE INDEX notifications_due ON notifications (channel, next_attempt_at) WHERE status = 'queued';
CREATE INDEX notifications_waiting ON notifications (channel, created_at) WHERE status = 'queued';
