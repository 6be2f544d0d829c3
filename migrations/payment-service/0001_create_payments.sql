-- What is known of orders. Every transaction about the payments of an order locks its row first.
CREATE TABLE orders (
    order_id BIGINT NOT NULL PRIMARY KEY, -- postgres
    order_id INTEGER NOT NULL PRIMARY KEY, -- sqlite
    -- Nothing is to be paid for it any more, even if it was not heard of before.
    cancelled BOOLEAN NOT NULL
);

CREATE TABLE payments (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- postgres
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- sqlite
    order_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    -- In the smallest unit of the currency.
    amount BIGINT NOT NULL,
    currency TEXT NOT NULL,
    -- What refunds are to give back, and the part of it that is given back.
    refunding BIGINT NOT NULL,
    refunded BIGINT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'completed', 'failed', 'refunded')),
    failure_reason TEXT,
    payment_method TEXT,
    -- The charge at the provider: drawn before the provider is asked, so that asking again charges nothing twice.
    charge_id TEXT NOT NULL,
    -- What the provider calls it, if it gives it a name of its own.
    provider_reference TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    -- The last guard against giving back what was not paid.
    CHECK (refunded >= 0 AND refunded <= refunding AND refunding <= amount)
);

-- An order is paid once.
CREATE UNIQUE INDEX payments_live ON payments (order_id) WHERE status IN ('pending', 'completed');
-- A list is read from the newest to the oldest.
CREATE INDEX payments_by_order ON payments (order_id, id);
CREATE INDEX payments_by_user ON payments (user_id, id);
CREATE INDEX payments_by_status ON payments (status, id);

CREATE TABLE refunds (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- postgres
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- sqlite
    payment_id BIGINT NOT NULL,
    amount BIGINT NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'completed', 'failed')),
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

-- What the provider is asked for until the outcome is known: written with what it is for, removed with its outcome.
CREATE TABLE provider_tasks (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- postgres
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- sqlite
    -- A charge whose order is cancelled meanwhile becomes a `cancel`.
    kind TEXT NOT NULL CHECK (kind IN ('charge', 'cancel', 'refund')),
    order_id BIGINT NOT NULL,
    payment_id BIGINT NOT NULL,
    refund_id BIGINT,
    -- The id of the refund at the provider, drawn as that of a charge.
    refund_key TEXT,
    amount BIGINT NOT NULL,
    currency TEXT NOT NULL,
    -- Where in a trace it began.
    traceparent TEXT,
    attempts BIGINT NOT NULL,
    -- While the provider is being asked: when that counts as broken off.
    next_attempt_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
-- Rows come and go, as in the outbox.
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000); -- postgres
); -- sqlite

CREATE INDEX provider_tasks_due ON provider_tasks (next_attempt_at);
CREATE INDEX provider_tasks_by_order ON provider_tasks (order_id);
