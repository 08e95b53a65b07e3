-- Makes the tables of an unfinished load those of one that goes on with it: the star is made again from all staged rows,
-- and keys are built when they are complete.

TRUNCATE songplays, users, songs, artists, time, load_runs;

DELETE FROM load_errors WHERE NOT EXISTS (SELECT FROM kept_objects WHERE object_id = load_errors.object_id);
DELETE FROM load_objects WHERE NOT EXISTS (SELECT FROM kept_objects WHERE object_id = load_objects.object_id);

ALTER TABLE songplays DROP CONSTRAINT IF EXISTS songplays_pkey;
ALTER TABLE time DROP CONSTRAINT IF EXISTS time_pkey;
ALTER TABLE songs DROP CONSTRAINT IF EXISTS songs_pkey;
ALTER TABLE artists DROP CONSTRAINT IF EXISTS artists_pkey;
ALTER TABLE users DROP CONSTRAINT IF EXISTS users_pkey;
ALTER TABLE load_runs DROP CONSTRAINT IF EXISTS load_runs_pkey;
ALTER TABLE load_objects DROP CONSTRAINT IF EXISTS load_objects_pkey;

DROP INDEX IF EXISTS songplays_start_time, load_objects_current;
