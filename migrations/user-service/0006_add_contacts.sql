-- How the user wants to be notified.
ALTER TABLE users ADD COLUMN phone TEXT;
ALTER TABLE users ADD COLUMN language TEXT NOT NULL DEFAULT 'en';
-- Separated by commas.
ALTER TABLE users ADD COLUMN channels TEXT NOT NULL DEFAULT 'email';
