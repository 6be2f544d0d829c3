-- NULL in all of them: placed without prices.
ALTER TABLE orders ADD COLUMN total_amount BIGINT;
ALTER TABLE orders ADD COLUMN currency TEXT;
ALTER TABLE orders ADD COLUMN reservation_id TEXT;
ALTER TABLE orders ADD COLUMN payment_method TEXT;
ALTER TABLE orders ADD COLUMN cancellation_reason TEXT;

-- An order of one item without a price has none here: its row in `orders` says it all.
CREATE TABLE order_items (
    order_id BIGINT NOT NULL,
    line SMALLINT NOT NULL,
    product_id BIGINT NOT NULL,
    name TEXT,
    quantity BIGINT NOT NULL CHECK (quantity > 0),
    -- In the smallest unit of the order's currency.
    unit_amount BIGINT,
    PRIMARY KEY (order_id, line)
); -- postgres
) WITHOUT ROWID; -- sqlite

-- What product-service must still be told of the reservations of orders: written with the order, removed once it is done.
CREATE TABLE reservation_tasks (
    order_id BIGINT NOT NULL PRIMARY KEY, -- postgres
    order_id INTEGER NOT NULL PRIMARY KEY, -- sqlite
    reservation_id TEXT NOT NULL,
    wanted TEXT NOT NULL CHECK (wanted IN ('bound', 'committed', 'released')),
    attempts BIGINT NOT NULL,
    next_at TIMESTAMPTZ NOT NULL
);

CREATE INDEX reservation_tasks_by_time ON reservation_tasks (next_at);
