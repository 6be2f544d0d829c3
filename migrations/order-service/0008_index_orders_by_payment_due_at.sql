CREATE INDEX IF NOT EXISTS orders_by_payment_due_at ON orders (payment_due_at) WHERE payment_due_at IS NOT NULL;
