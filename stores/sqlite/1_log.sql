-- Schema 1. Statements are separated by empty lines.

CREATE TABLE streams (
    stream INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

-- The log itself. It has no index but its order: the tables of places below (of schema 2, the runs
-- instead of record_versions) hold what lies up to the position in `progress`, and every process
-- keeps the short rest in memory.
CREATE TABLE records (
    position INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL REFERENCES streams,
    version INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    type TEXT NOT NULL,
    schema INTEGER NOT NULL,
    time INTEGER NOT NULL,
    hash BLOB NOT NULL,
    metadata TEXT NOT NULL,
    data TEXT NOT NULL
);

CREATE TABLE record_versions (
    stream INTEGER NOT NULL,
    version INTEGER NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (stream, version)
) WITHOUT ROWID;

CREATE TABLE record_ids (
    event_id BLOB NOT NULL,
    stream INTEGER NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (event_id, stream)
) WITHOUT ROWID;

CREATE TABLE progress (
    name TEXT PRIMARY KEY,
    position INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO progress VALUES ('indexed', 0);

CREATE TABLE entries (
    key TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE blobs (
    key TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    data BLOB NOT NULL
);

-- For people with sqlite-utils, Datasette or plain SQL.
CREATE VIEW events AS
SELECT
    records.position,
    streams.name AS session,
    records.version,
    records.type,
    strftime('%Y-%m-%dT%H:%M:%fZ', records.time / 1000000.0, 'unixepoch') AS time,
    records.data,
    records.metadata
FROM records JOIN streams USING (stream);
