-- Makes the tables of an unfinished load those of one that goes on with it: of what it staged, the rows of the objects
-- in kept_objects stay; the star is made again from all staged rows, and keys are built when they are complete.

TRUNCATE songplays, users, songs, artists, time, load_runs;

DELETE FROM staging_events WHERE NOT EXISTS (SELECT FROM kept_objects WHERE object_id = staging_events.object_id);
DELETE FROM staging_songs WHERE NOT EXISTS (SELECT FROM kept_objects WHERE object_id = staging_songs.object_id);
DELETE FROM load_errors WHERE NOT EXISTS (SELECT FROM kept_objects WHERE object_id = load_errors.object_id);
DELETE FROM load_objects WHERE NOT EXISTS (SELECT FROM kept_objects WHERE object_id = load_objects.object_id);

ALTER TABLE songplays DROP CONSTRAINT IF EXISTS songplays_pkey;
ALTER TABLE time DROP CONSTRAINT IF EXISTS time_pkey;
ALTER TABLE songs DROP CONSTRAINT IF EXISTS songs_pkey;
ALTER TABLE artists DROP CONSTRAINT IF EXISTS artists_pkey;
ALTER TABLE users DROP CONSTRAINT IF EXISTS users_pkey;
ALTER TABLE load_runs DROP CONSTRAINT IF EXISTS load_runs_pkey;
ALTER TABLE load_objects DROP CONSTRAINT IF EXISTS load_objects_pkey;

DROP INDEX IF EXISTS
    staging_events_place, staging_songs_place, staging_events_user, staging_events_song, staging_songs_title,
    staging_songs_song, staging_songs_artist, songplays_start_time, load_objects_current;
