CREATE TABLE widgets (
    -- Ids are never reused.
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- postgres
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- sqlite
    name TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
