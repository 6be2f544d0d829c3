-- Until when an order has to be paid; NULL once that is decided, in orders without prices, and in those placed before.
ALTER TABLE orders ADD COLUMN payment_due_at TIMESTAMPTZ;
-- Whether its total was paid: a payment that failed before that has no effect any more.
ALTER TABLE orders ADD COLUMN paid BOOLEAN NOT NULL DEFAULT FALSE;
