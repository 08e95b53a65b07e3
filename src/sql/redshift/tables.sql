-- The tables as Amazon Redshift has them; those that are there stay as they are.
--
-- Lengths are bytes. Keys are not enforced: they tell the planner what the loader sees to.
--
-- Where rows lie. A query joins plays with its dimensions: these are small next to the plays, so every node has all of
-- them (DISTSTYLE ALL) and no join moves a row. But `time` grows with the plays, almost a row for each: both are
-- distributed by start_time, and joined where they lie. Staged events are found by their object, so they are spread
-- evenly and sorted by it, which keeps an incremental load's blocks together.
--
-- How rows are sorted. Questions are asked about spans of time: sorted by start_time, plays outside of the span are
-- skipped block by block.
--
-- How columns are compressed. AZ64 for numbers and times, ZSTD for text and floating point; BYTEDICT where a column
-- has few values. What is sorted by first is not compressed (RAW): a block that is to be skipped is not opened.

-- The star.

CREATE TABLE IF NOT EXISTS songplays (
    songplay_id BIGINT NOT NULL ENCODE AZ64, -- object_id * 2^32 + record number: leads back to load_objects
    start_time TIMESTAMP NOT NULL ENCODE RAW, -- UTC
    user_id INT NOT NULL ENCODE AZ64,
    level VARCHAR(64) ENCODE BYTEDICT,
    song_id VARCHAR(256) ENCODE ZSTD, -- NULL where no song of the catalog matches
    artist_id VARCHAR(256) ENCODE ZSTD,
    session_id INT ENCODE AZ64,
    location VARCHAR(1024) ENCODE ZSTD,
    user_agent VARCHAR(1024) ENCODE ZSTD,
    PRIMARY KEY (songplay_id)
)
DISTSTYLE KEY DISTKEY (start_time) SORTKEY (start_time);

CREATE TABLE IF NOT EXISTS users (
    user_id INT NOT NULL ENCODE RAW,
    first_name VARCHAR(1024) ENCODE ZSTD,
    last_name VARCHAR(1024) ENCODE ZSTD,
    gender VARCHAR(64) ENCODE BYTEDICT,
    level VARCHAR(64) ENCODE BYTEDICT,
    PRIMARY KEY (user_id)
)
DISTSTYLE ALL SORTKEY (user_id);

CREATE TABLE IF NOT EXISTS songs (
    song_id VARCHAR(256) NOT NULL ENCODE RAW,
    title VARCHAR(1024) NOT NULL ENCODE ZSTD,
    artist_id VARCHAR(256) NOT NULL ENCODE ZSTD,
    year INT ENCODE AZ64, -- 0 where it is not known
    duration DOUBLE PRECISION NOT NULL ENCODE ZSTD, -- seconds
    PRIMARY KEY (song_id)
)
DISTSTYLE ALL SORTKEY (song_id);

CREATE TABLE IF NOT EXISTS artists (
    artist_id VARCHAR(256) NOT NULL ENCODE RAW,
    name VARCHAR(1024) NOT NULL ENCODE ZSTD,
    location VARCHAR(1024) ENCODE ZSTD,
    latitude DOUBLE PRECISION ENCODE ZSTD,
    longitude DOUBLE PRECISION ENCODE ZSTD,
    PRIMARY KEY (artist_id)
)
DISTSTYLE ALL SORTKEY (artist_id);

CREATE TABLE IF NOT EXISTS "time" (
    start_time TIMESTAMP NOT NULL ENCODE RAW, -- UTC
    hour INT NOT NULL ENCODE AZ64,
    day INT NOT NULL ENCODE AZ64,
    week INT NOT NULL ENCODE AZ64, -- ISO 8601
    month INT NOT NULL ENCODE AZ64,
    year INT NOT NULL ENCODE AZ64,
    weekday INT NOT NULL ENCODE AZ64, -- 0 is Sunday
    PRIMARY KEY (start_time)
)
DISTSTYLE KEY DISTKEY (start_time) SORTKEY (start_time);

-- The records as they came.

CREATE TABLE IF NOT EXISTS staging_events (
    artist VARCHAR(1024) ENCODE ZSTD,
    auth VARCHAR(64) ENCODE BYTEDICT,
    first_name VARCHAR(1024) ENCODE ZSTD,
    gender VARCHAR(64) ENCODE BYTEDICT,
    item_in_session INT ENCODE AZ64,
    last_name VARCHAR(1024) ENCODE ZSTD,
    length DOUBLE PRECISION ENCODE ZSTD,
    level VARCHAR(64) ENCODE BYTEDICT,
    location VARCHAR(1024) ENCODE ZSTD,
    method VARCHAR(64) ENCODE BYTEDICT,
    page VARCHAR(64) ENCODE BYTEDICT,
    registration BIGINT ENCODE AZ64,
    session_id INT ENCODE AZ64,
    song VARCHAR(1024) ENCODE ZSTD,
    status INT ENCODE AZ64,
    ts BIGINT ENCODE AZ64, -- milliseconds since 1970-01-01 UTC
    user_agent VARCHAR(1024) ENCODE ZSTD,
    user_id INT ENCODE AZ64,
    object_id BIGINT NOT NULL ENCODE RAW,
    record_no BIGINT NOT NULL ENCODE AZ64,
    rescued SUPER ENCODE ZSTD -- the members that feed no other column, with --rescue
)
DISTSTYLE EVEN SORTKEY (object_id, record_no);

CREATE TABLE IF NOT EXISTS staging_songs (
    num_songs INT ENCODE AZ64,
    artist_id VARCHAR(256) ENCODE ZSTD,
    artist_latitude DOUBLE PRECISION ENCODE ZSTD,
    artist_longitude DOUBLE PRECISION ENCODE ZSTD,
    artist_location VARCHAR(1024) ENCODE ZSTD,
    artist_name VARCHAR(1024) ENCODE ZSTD,
    song_id VARCHAR(256) ENCODE ZSTD,
    title VARCHAR(1024) ENCODE ZSTD,
    duration DOUBLE PRECISION ENCODE ZSTD,
    year INT ENCODE AZ64,
    object_id BIGINT NOT NULL ENCODE RAW,
    record_no BIGINT NOT NULL ENCODE AZ64,
    rescued SUPER ENCODE ZSTD -- the members that feed no other column, with --rescue
)
DISTSTYLE EVEN SORTKEY (object_id, record_no);

-- The books.

CREATE TABLE IF NOT EXISTS load_runs (
    run BIGINT NOT NULL,
    token VARCHAR(64) NOT NULL, -- tells the run from one that was given the same number but was never published
    mode VARCHAR(64) NOT NULL, -- full or incremental
    started_at TIMESTAMP NOT NULL, -- UTC
    finished_at TIMESTAMP NOT NULL,
    settings VARCHAR(65535) NOT NULL, -- those that decide what the rows are
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
    -- The rows that each table has held since.
    songplays BIGINT NOT NULL,
    users BIGINT NOT NULL,
    songs BIGINT NOT NULL,
    artists BIGINT NOT NULL,
    "time" BIGINT NOT NULL,
    staging_events BIGINT NOT NULL,
    staging_songs BIGINT NOT NULL,
    unknown_members VARCHAR(65535), -- the most frequent ones of the records that were read, as JSON
    PRIMARY KEY (run)
)
DISTSTYLE ALL SORTKEY (run);

CREATE TABLE IF NOT EXISTS load_objects (
    object_id BIGINT NOT NULL ENCODE RAW,
    run BIGINT NOT NULL ENCODE AZ64, -- that has loaded this version of the object
    kind VARCHAR(64) NOT NULL ENCODE BYTEDICT, -- songs or logs
    object VARCHAR(65535) NOT NULL ENCODE ZSTD,
    bytes BIGINT NOT NULL ENCODE AZ64,
    etag VARCHAR(1024) NOT NULL ENCODE ZSTD,
    records BIGINT NOT NULL ENCODE AZ64, -- = taken + filtered + rejected
    taken BIGINT NOT NULL ENCODE AZ64, -- song records, or plays
    filtered BIGINT NOT NULL ENCODE AZ64,
    rejected BIGINT NOT NULL ENCODE AZ64,
    staged BIGINT NOT NULL ENCODE AZ64, -- rows of staging_songs or staging_events
    loaded_at TIMESTAMP NOT NULL ENCODE AZ64, -- UTC
    replaced_by BIGINT ENCODE AZ64, -- the run that has loaded a newer version or dropped it; NULL while its rows are there
    PRIMARY KEY (object_id, run)
)
DISTSTYLE ALL SORTKEY (object_id);

CREATE TABLE IF NOT EXISTS load_errors (
    run BIGINT NOT NULL ENCODE AZ64,
    object_id BIGINT NOT NULL ENCODE RAW,
    object VARCHAR(65535) NOT NULL ENCODE ZSTD,
    etag VARCHAR(1024) NOT NULL ENCODE ZSTD,
    record_no BIGINT NOT NULL ENCODE AZ64, -- counted from 1
    line BIGINT NOT NULL ENCODE AZ64, -- counted from 1
    byte_offset BIGINT NOT NULL ENCODE AZ64, -- in the decompressed object
    column_name VARCHAR(64) ENCODE ZSTD, -- NULL where the whole record is at fault
    column_type VARCHAR(64) ENCODE ZSTD,
    raw_value VARCHAR(65535) ENCODE ZSTD, -- its first 1,024 bytes
    raw_record VARCHAR(65535) NOT NULL ENCODE ZSTD, -- its first 1,024 bytes
    reason VARCHAR(65535) NOT NULL ENCODE ZSTD
)
DISTSTYLE EVEN SORTKEY (object_id);
