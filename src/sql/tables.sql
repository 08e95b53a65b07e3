-- The tables, without their keys: those are built when the rows are in, which is faster.

-- The star.

CREATE TABLE songplays (
    songplay_id BIGINT NOT NULL, -- object_id * 2^32 + record number: leads back to load_objects
    start_time TIMESTAMP NOT NULL, -- UTC
    user_id INT NOT NULL,
    level TEXT,
    song_id VARCHAR(256), -- NULL where no song of the catalog matches
    artist_id VARCHAR(256),
    session_id INT,
    location TEXT,
    user_agent TEXT
);

CREATE TABLE users (
    user_id INT NOT NULL,
    first_name TEXT,
    last_name TEXT,
    gender TEXT,
    level TEXT
);

CREATE TABLE songs (
    song_id VARCHAR(256) NOT NULL,
    title TEXT NOT NULL,
    artist_id VARCHAR(256) NOT NULL,
    year INT, -- 0 where it is not known
    duration DOUBLE PRECISION NOT NULL -- seconds
);

CREATE TABLE artists (
    artist_id VARCHAR(256) NOT NULL,
    name TEXT NOT NULL,
    location TEXT,
    latitude DOUBLE PRECISION,
    longitude DOUBLE PRECISION
);

CREATE TABLE time (
    start_time TIMESTAMP NOT NULL, -- UTC
    hour INT NOT NULL,
    day INT NOT NULL,
    week INT NOT NULL, -- ISO 8601
    month INT NOT NULL,
    year INT NOT NULL,
    weekday INT NOT NULL -- 0 is Sunday
);

-- The records as they came.

CREATE TABLE staging_events (
    artist TEXT,
    auth TEXT,
    first_name TEXT,
    gender TEXT,
    item_in_session INT,
    last_name TEXT,
    length DOUBLE PRECISION,
    level TEXT,
    location TEXT,
    method TEXT,
    page TEXT,
    registration BIGINT,
    session_id INT,
    song TEXT,
    status INT,
    ts BIGINT, -- milliseconds since 1970-01-01 UTC
    user_agent TEXT,
    user_id INT,
    object_id BIGINT NOT NULL,
    record_no BIGINT NOT NULL,
    rescued JSONB -- the members that feed no other column, with --rescue
);

CREATE TABLE staging_songs (
    num_songs INT,
    artist_id VARCHAR(256),
    artist_latitude DOUBLE PRECISION,
    artist_longitude DOUBLE PRECISION,
    artist_location TEXT,
    artist_name TEXT,
    song_id VARCHAR(256),
    title TEXT,
    duration DOUBLE PRECISION,
    year INT,
    object_id BIGINT NOT NULL,
    record_no BIGINT NOT NULL,
    rescued JSONB -- the members that feed no other column, with --rescue
);

-- The books.

CREATE TABLE load_runs (
    run BIGINT NOT NULL,
    token TEXT NOT NULL, -- tells the run from one that was given the same number but was never published
    mode TEXT NOT NULL, -- full or incremental
    started_at TIMESTAMP NOT NULL, -- UTC
    finished_at TIMESTAMP NOT NULL,
    settings TEXT NOT NULL, -- those that decide what the rows are
    -- Objects: listed = loaded + unchanged + skipped.
    listed BIGINT NOT NULL,
    loaded BIGINT NOT NULL,
    unchanged BIGINT NOT NULL,
    skipped BIGINT NOT NULL,
    gone BIGINT NOT NULL, -- loaded by an earlier run, and not listed any more
    bytes BIGINT NOT NULL, -- of the loaded objects, as they are stored
    -- Records of the loaded objects: records = taken + filtered + rejected.
    records BIGINT NOT NULL,
    taken BIGINT NOT NULL,
    filtered BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    -- The rows that each table has held since: counted, but for tables that an incremental load finds large: there
    -- those of the run before and what this one has changed.
    songplays BIGINT NOT NULL,
    users BIGINT NOT NULL,
    songs BIGINT NOT NULL,
    artists BIGINT NOT NULL,
    "time" BIGINT NOT NULL,
    staging_events BIGINT NOT NULL,
    staging_songs BIGINT NOT NULL,
    unknown_members TEXT -- the most frequent ones of the records that were read, as JSON
);

CREATE TABLE load_objects (
    object_id BIGINT NOT NULL,
    run BIGINT NOT NULL, -- that has loaded this version of the object
    kind TEXT NOT NULL, -- songs or logs
    object TEXT NOT NULL,
    bytes BIGINT NOT NULL,
    etag TEXT NOT NULL,
    records BIGINT NOT NULL, -- = taken + filtered + rejected
    taken BIGINT NOT NULL, -- song records, or plays
    filtered BIGINT NOT NULL,
    rejected BIGINT NOT NULL,
    staged BIGINT NOT NULL, -- rows of staging_songs or staging_events
    loaded_at TIMESTAMP NOT NULL, -- UTC
    replaced_by BIGINT -- the run that has loaded a newer version or dropped it; NULL while its rows are there
);

CREATE TABLE load_errors (
    run BIGINT NOT NULL,
    object_id BIGINT NOT NULL,
    object TEXT NOT NULL,
    etag TEXT NOT NULL,
    record_no BIGINT NOT NULL, -- counted from 1
    line BIGINT NOT NULL, -- counted from 1
    byte_offset BIGINT NOT NULL, -- in the decompressed object
    column_name TEXT, -- NULL where the whole record is at fault
    column_type TEXT,
    raw_value TEXT,
    raw_record TEXT NOT NULL, -- its first 1,024 bytes
    reason TEXT NOT NULL
);
