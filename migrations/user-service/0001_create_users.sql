CREATE TABLE users (
    -- Ids are never given out twice: orders keep the id of a user who was deleted.
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- postgres
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- sqlite
    email TEXT NOT NULL,
    -- The e-mail address in lower case. Made by the service, not here: the two databases differ in what lower
    -- case is.
    email_key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
