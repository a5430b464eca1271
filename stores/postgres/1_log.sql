-- Migration 1: the log. {schema} stands for the schema that belongs to this log alone.

-- What the numbers of transactions are counted from; see first_position.
CREATE TABLE {schema}.epoch (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    shift bigint NOT NULL
);

INSERT INTO {schema}.epoch (shift) VALUES (0);

-- Each stream and its head. Its row is the lock of whoever appends to the stream.
CREATE TABLE {schema}.streams (
    stream bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    version bigint NOT NULL DEFAULT 0,
    position bigint NOT NULL DEFAULT 0,
    time bigint NOT NULL DEFAULT 0,
    hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex')
) WITH (fillfactor = 50);

-- The log itself. Data and metadata are bytes: jsonb would reorder their keys and refuse \u0000,
-- and what is hashed must come back as it was.
CREATE TABLE {schema}.records (
    position bigint PRIMARY KEY,
    stream bigint NOT NULL,
    version bigint NOT NULL,
    event_id bytea NOT NULL,
    type text COLLATE "C" NOT NULL,
    schema integer NOT NULL,
    time bigint NOT NULL,
    hash bytea NOT NULL,
    metadata bytea NOT NULL,
    data bytea NOT NULL,
    UNIQUE (stream, version),
    UNIQUE (stream, event_id)
);

CREATE TABLE {schema}.entries (
    key text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL
) WITH (fillfactor = 80);

CREATE TABLE {schema}.blobs (
    key text COLLATE "C" PRIMARY KEY,
    revision bigint NOT NULL,
    data bytea NOT NULL
);

-- The position of the first record that a transaction may write: its number, times a million.
--
-- Positions thus are pairs of transaction and place, in one number. A record's transaction is over
-- for every reader once the number lies below all that are still running; so below `horizon` the
-- log never changes any more, and who reads up to there skips nothing. A sequence cannot tell: its
-- numbers become visible in another order than they are drawn.
--
-- A dump that is restored meets another count of transactions; the shift keeps positions ascending.
CREATE FUNCTION {schema}.first_position(transaction xid8) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT (transaction::text::bigint + shift) << 20 FROM {schema}.epoch $$;

CREATE FUNCTION {schema}.horizon() RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT {schema}.first_position(pg_snapshot_xmin(pg_current_snapshot())) $$;

-- Store records, if each stream stands where the caller assumes; return the position before the
-- first of them, or null if one does not, or if one of the event ids is stored already. Then
-- nothing was stored, and the caller looks again.
--
-- names, versions, hashes: the streams, each once, in ascending order, the version at which each is
-- assumed to be, and the hash there or null; ends: the place in the records' arrays of the last one
-- of each stream. The records' arrays: places is the stream of each as a place in names.
CREATE FUNCTION {schema}.append(
    names text[], versions bigint[], hashes bytea[], ends integer[],
    places integer[], record_versions bigint[], event_ids bytea[], types text[],
    schemas integer[], times bigint[], record_hashes bytea[], metadata bytea[], data bytea[],
    keys text[], key_values bytea[], removed_keys text[]
) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    known bigint[];
    found_versions bigint[];
    found_hashes bytea[];
    newest bigint;
    added integer;
    base bigint;
BEGIN
    LOOP
        -- Locked in the order of their names by everybody, so that nobody waits in a circle. Rows
        -- are read as they are once they are locked, however long that took.
        SELECT array_agg(stream ORDER BY name), array_agg(version ORDER BY name),
               array_agg(hash ORDER BY name), max(position)
        INTO known, found_versions, found_hashes, newest
        FROM (
            SELECT s.stream, s.name, s.version, s.hash, s.position FROM {schema}.streams AS s
            WHERE s.name = ANY (names) ORDER BY s.name FOR NO KEY UPDATE
        ) AS locked;
        EXIT WHEN cardinality(known) = cardinality(names);
        -- New streams come last. Who creates one waits for nobody who still has to lock others.
        INSERT INTO {schema}.streams (name)
        SELECT name FROM unnest(names) AS new (name)
        WHERE NOT EXISTS (SELECT FROM {schema}.streams AS s WHERE s.name = new.name)
        ORDER BY name COLLATE "C"
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS added = ROW_COUNT;
        IF coalesce(cardinality(known), 0) + added <> cardinality(names) THEN
            RETURN NULL;
        END IF;
    END LOOP;

    -- A transaction gets its number with its first lock. If it then waited for another lock, the
    -- stream may have got records from a transaction with a higher number, and would go back.
    base := {schema}.first_position(pg_current_xact_id());
    IF newest >= base
        OR found_versions <> versions
        OR EXISTS (
            SELECT FROM unnest(found_hashes, hashes) AS h (hash, assumed) WHERE h.hash <> assumed
        )
        OR EXISTS (
            SELECT FROM unnest(places, event_ids) AS new (place, event_id)
            JOIN {schema}.records AS r
            ON r.stream = known[new.place] AND r.event_id = new.event_id
        )
    THEN
        RETURN NULL;
    END IF;

    INSERT INTO {schema}.records
        (position, stream, version, event_id, type, schema, time, hash, metadata, data)
    SELECT base + ordinality, known[place], version, event_id, type, schema, time, hash, meta, body
    FROM unnest(
        places, record_versions, event_ids, types, schemas, times, record_hashes, metadata, data
    ) WITH ORDINALITY
    AS new (place, version, event_id, type, schema, time, hash, meta, body, ordinality);

    UPDATE {schema}.streams AS s
    SET version = record_versions[last], position = base + last, time = times[last],
        hash = record_hashes[last]
    FROM unnest(known, ends) AS moved (stream, last)
    WHERE s.stream = moved.stream;

    IF cardinality(keys) > 0 OR cardinality(removed_keys) > 0 THEN
        PERFORM {schema}.put_entries(keys, key_values, removed_keys);
    END IF;
    RETURN base;
END
$$;

CREATE FUNCTION {schema}.put_entries(keys text[], key_values bytea[], removed_keys text[])
RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO {schema}.entries AS e (key, value)
    SELECT key, value FROM unnest(keys, key_values) AS new (key, value) ORDER BY key COLLATE "C"
    ON CONFLICT (key) DO UPDATE SET value = excluded.value;
    DELETE FROM {schema}.entries WHERE key = ANY (removed_keys);
END
$$;

-- Store a value if its revision is the expected one (0: absent, null: any). Of the answer the first
-- says whether it was stored, the second its revision now.
CREATE FUNCTION {schema}.put_blob(
    name text, value bytea, expected bigint, OUT stored boolean, OUT revision bigint
)
LANGUAGE plpgsql
AS $$
BEGIN
    LOOP
        SELECT b.revision INTO revision FROM {schema}.blobs AS b WHERE b.key = name FOR UPDATE;
        stored := coalesce(expected, revision, 0) = coalesce(revision, 0);
        EXIT WHEN NOT stored;
        IF revision IS NOT NULL THEN
            revision := revision + 1;
            UPDATE {schema}.blobs AS b SET revision = put_blob.revision, data = value
            WHERE b.key = name;
            EXIT;
        END IF;
        revision := 1;
        INSERT INTO {schema}.blobs VALUES (name, revision, value) ON CONFLICT DO NOTHING;
        EXIT WHEN FOUND;
    END LOOP;
    revision := coalesce(revision, 0);
END
$$;

-- For people with psql or any other SQL tool.
CREATE VIEW {schema}.events AS
SELECT
    r.position,
    s.name AS session,
    r.version,
    r.type,
    to_timestamp(r.time / 1000000.0) AS time,
    convert_from(r.data, 'UTF8') AS data,
    convert_from(r.metadata, 'UTF8') AS metadata
FROM {schema}.records AS r JOIN {schema}.streams AS s USING (stream);
