CREATE TABLE reservations (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- postgres
    id TEXT NOT NULL PRIMARY KEY, -- sqlite
    status TEXT NOT NULL CHECK (status IN ('held', 'expired', 'bound', 'committed', 'released')),
    -- The products with quantities, names and prices as they were reserved, in JSON. They never change.
    items TEXT NOT NULL,
    -- When a held reservation expires, and when one that holds nothing any more is removed. NULL: never.
    due_at TIMESTAMPTZ,
    created_at TIMESTAMPTZ NOT NULL
);

CREATE INDEX reservations_by_due_at ON reservations (due_at);
