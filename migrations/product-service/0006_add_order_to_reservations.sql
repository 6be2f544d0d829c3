-- The order that a reservation is kept for. NULL until an event of the order has named it.
ALTER TABLE reservations ADD COLUMN order_id BIGINT;
