-- The answers to requests that carried an Idempotency-Key: kept for a day, then removed.
CREATE TABLE idempotency_keys (
    idempotency_key TEXT NOT NULL PRIMARY KEY,
    -- The SHA-256 of what was asked for, in Base64.
    fingerprint TEXT NOT NULL,
    body TEXT NOT NULL,
    location TEXT NOT NULL,
    kept_at TIMESTAMPTZ NOT NULL
);

CREATE INDEX idempotency_keys_by_age ON idempotency_keys (kept_at);
