CREATE TABLE products (
    -- Ids are never given out twice: orders keep the id of a product that was deleted.
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- postgres
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- sqlite
    sku TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    description TEXT,
    -- Compared by bytes, as in SQLite, whatever the collation of the database.
    category TEXT COLLATE "C" NOT NULL, -- postgres
    category TEXT NOT NULL, -- sqlite
    -- In the smallest unit of the currency.
    price_amount BIGINT NOT NULL CHECK (price_amount >= 0),
    price_currency TEXT NOT NULL,
    version BIGINT NOT NULL CHECK (version > 0),
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

CREATE INDEX products_by_category ON products (category, id);

-- Apart from the product, because it changes with every order: a short row is written faster, and editing a product does
-- not wait for its buyers.
CREATE TABLE stock (
    product_id BIGINT NOT NULL PRIMARY KEY, -- postgres
    product_id INTEGER NOT NULL PRIMARY KEY, -- sqlite
    on_hand BIGINT NOT NULL,
    -- Part of what is on hand: set aside for orders.
    reserved BIGINT NOT NULL,
    -- The last guard against selling what is not there.
    CHECK (reserved >= 0 AND reserved <= on_hand)
) WITH (fillfactor = 50); -- postgres
); -- sqlite

-- For search, apart from the product, because nothing else reads it.
CREATE TABLE product_words ( -- postgres
    product_id BIGINT NOT NULL PRIMARY KEY, -- postgres
    words TSVECTOR NOT NULL -- postgres
); -- postgres
-- Each search would also read a list of pending changes, from the first to the last.
CREATE INDEX product_words_by_words ON product_words USING gin (words) WITH (fastupdate = off); -- postgres
-- Its `rowid` is the product's id. The words come without case and accents, separated by spaces; a category is one token.
CREATE VIRTUAL TABLE product_words USING fts5 ( -- sqlite
    name, words, category, content = '', contentless_delete = 1, detail = column, -- sqlite
    tokenize = "ascii tokenchars '-'", prefix = '1 2 3' -- sqlite
); -- sqlite

-- Counted whenever a product is written: a list of categories does not read all products.
CREATE TABLE categories (
    category TEXT COLLATE "C" NOT NULL PRIMARY KEY, -- postgres
    category TEXT NOT NULL PRIMARY KEY, -- sqlite
    products BIGINT NOT NULL CHECK (products >= 0)
);
