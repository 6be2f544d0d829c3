-- A product is deleted together with the stored answer to its creation.
CREATE INDEX IF NOT EXISTS idempotency_keys_by_location ON idempotency_keys (location);
