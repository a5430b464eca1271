-- Schema 2: one row per run of a stream instead of one per record.

-- The positions of up to 64 consecutive versions of a stream, from `first` on, as a JSON array.
CREATE TABLE record_runs (
    stream INTEGER NOT NULL,
    first INTEGER NOT NULL,
    positions TEXT NOT NULL,
    PRIMARY KEY (stream, first)
) WITHOUT ROWID;
