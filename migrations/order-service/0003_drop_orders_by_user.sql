-- The orders of a user are those in each status, merged: an order then changes a page less, of which each is written twice.
-- PostgreSQL, which does not merge along the index that is left, keeps it.
DROP INDEX orders_by_user; -- sqlite
