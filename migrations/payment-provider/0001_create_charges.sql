CREATE TABLE charges (
    -- The order of a list.
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- postgres
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- sqlite
    charge_id TEXT COLLATE "C" NOT NULL UNIQUE, -- postgres
    charge_id TEXT NOT NULL UNIQUE, -- sqlite
    status TEXT NOT NULL CHECK (status IN ('succeeded', 'declined', 'cancelled')),
    -- NULL until it is requested, if it was cancelled before: reference, amount and currency.
    reference TEXT COLLATE "C", -- postgres
    reference TEXT, -- sqlite
    payment_method TEXT,
    -- In the smallest unit of the currency, as is what was refunded.
    amount BIGINT CHECK (amount >= 0),
    currency TEXT,
    refunded BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    CHECK (amount IS NOT NULL OR status = 'cancelled'),
    CHECK ((amount IS NULL) = (currency IS NULL) AND (amount IS NULL) = (reference IS NULL)),
    -- The last guard against refunding more than was charged.
    CHECK (refunded >= 0 AND refunded <= COALESCE(amount, 0))
);

-- A list is read from the newest to the oldest.
CREATE INDEX charges_by_reference ON charges (reference, id);

CREATE TABLE refunds (
    refund_id TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- postgres
    refund_id TEXT NOT NULL PRIMARY KEY, -- sqlite
    charge_id TEXT COLLATE "C" NOT NULL, -- postgres
    charge_id TEXT NOT NULL, -- sqlite
    amount BIGINT NOT NULL CHECK (amount > 0),
    currency TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

-- The charges whose first request failed, because their payment method says so.
CREATE TABLE failed_charges (
    charge_id TEXT COLLATE "C" NOT NULL PRIMARY KEY -- postgres
    charge_id TEXT NOT NULL PRIMARY KEY -- sqlite
);
