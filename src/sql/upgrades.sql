-- What brings tables of earlier versions up to date, in place and without the source. Each paragraph stands under the
-- differences that it ends, in the words of the error that names them, and is run where all of these are found.
--
-- Tables stand without a schema, and get that of the live ones before this is run; a table that was missing has been made there.
-- Views, grants and foreign keys are to stay: a column is added, renamed or widened, never dropped.

-- load_errors lacks object_id bigint NOT NULL
-- load_objects lacks kind text NOT NULL
-- load_objects lacks taken bigint NOT NULL
-- load_objects lacks filtered bigint NOT NULL
-- load_objects lacks rejected bigint NOT NULL
-- load_objects lacks staged bigint NOT NULL
-- load_objects lacks loaded_at timestamp without time zone NOT NULL
-- load_objects lacks replaced_by bigint
-- load_objects has rejects bigint NOT NULL besides
-- load_objects has not the primary key (object_id, run)
ALTER TABLE load_objects RENAME rejects TO rejected;
ALTER TABLE load_objects
    DROP CONSTRAINT load_objects_pkey,
    ADD kind TEXT,
    ADD taken BIGINT,
    ADD filtered BIGINT,
    ADD staged BIGINT,
    ADD loaded_at TIMESTAMP,
    ADD replaced_by BIGINT,
    ADD PRIMARY KEY (object_id, run);
UPDATE load_objects AS entry
SET run = (SELECT max(run) FROM load_objects),
    -- Logs were numbered first; an object between the last log and the first song that have rows has none itself.
    kind = CASE
        WHEN object_id <= (SELECT max(object_id) FROM staging_events) THEN 'logs'
        WHEN object_id >= (SELECT min(object_id) FROM staging_songs) THEN 'songs'
        WHEN object LIKE '%song\_data/%' THEN 'songs'
        ELSE 'logs'
    END,
    staged = (SELECT count(*) FROM staging_events WHERE staging_events.object_id = entry.object_id)
           + (SELECT count(*) FROM staging_songs WHERE staging_songs.object_id = entry.object_id),
    loaded_at = now() AT TIME ZONE 'UTC';
UPDATE load_objects
SET taken = CASE kind
        WHEN 'songs' THEN staged
        ELSE (SELECT count(*) FROM songplays
              WHERE songplay_id BETWEEN object_id << 32 AND object_id << 32 | 4294967295)
    END;
UPDATE load_objects SET filtered = records - rejected - taken;
ALTER TABLE load_objects
    ALTER kind SET NOT NULL,
    ALTER taken SET NOT NULL,
    ALTER filtered SET NOT NULL,
    ALTER staged SET NOT NULL,
    ALTER loaded_at SET NOT NULL;
ALTER TABLE load_errors ADD object_id BIGINT;
ALTER TABLE load_errors REPLICA IDENTITY FULL;
UPDATE load_errors AS reject
SET run = entry.run, object_id = entry.object_id
FROM load_objects AS entry
WHERE entry.object = reject.object;
ALTER TABLE load_errors ALTER object_id SET NOT NULL;
-- Settings that are not named have their defaults.
INSERT INTO load_runs (
    run, token, mode, started_at, finished_at, settings,
    listed, loaded, unchanged, skipped, gone, bytes, records, taken, filtered, rejected,
    songplays, users, songs, artists, "time", staging_events, staging_songs
)
SELECT run, 'an earlier version', 'full', min(loaded_at), min(loaded_at),
       jsonb_build_object(
           'matched_only',
           EXISTS (
               SELECT FROM staging_events
               WHERE page = 'NextSong'
                 AND NOT EXISTS (SELECT FROM songplays WHERE songplay_id = object_id << 32 | record_no)
           )
       )::TEXT,
       count(*), count(*), 0, 0, 0, sum(bytes), sum(records), sum(taken), sum(filtered), sum(rejected),
       (SELECT count(*) FROM songplays), (SELECT count(*) FROM users), (SELECT count(*) FROM songs),
       (SELECT count(*) FROM artists), (SELECT count(*) FROM time),
       (SELECT count(*) FROM staging_events), (SELECT count(*) FROM staging_songs)
FROM load_objects
GROUP BY run;

-- staging_events lacks rescued jsonb
ALTER TABLE staging_events ADD rescued JSONB;

-- staging_songs lacks rescued jsonb
ALTER TABLE staging_songs ADD rescued JSONB;

-- load_runs lacks unknown_members text
ALTER TABLE load_runs ADD unknown_members TEXT;
