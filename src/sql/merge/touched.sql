-- What an incremental load may change: the keys of all that the old records of its objects say, and of all that the
-- new ones say. A key too many costs a little time; one too few would leave an old row behind.
--
-- Reads the tables in search_path as they were before the load, and what the load brings: delta_objects,
-- delta_songs and delta_events, with the columns of load_objects, staging_songs and staging_events.

-- The old records. They are looked up object by object (OFFSET 0 sees to that): the planner takes all objects to be of
-- one size, and would read a whole table for a few that are small.
CREATE TEMP TABLE touched_staging_songs ON COMMIT DROP AS
SELECT object_id, record_no, song_id, artist_id
FROM delta_objects
CROSS JOIN LATERAL (
    SELECT record_no, song_id, artist_id
    FROM staging_songs
    WHERE staging_songs.object_id = delta_objects.object_id
    OFFSET 0
) AS old;
ANALYZE touched_staging_songs;

CREATE TEMP TABLE touched_staging_events ON COMMIT DROP AS
SELECT object_id, record_no, user_id
FROM delta_objects
CROSS JOIN LATERAL (
    SELECT record_no, user_id
    FROM staging_events
    WHERE staging_events.object_id = delta_objects.object_id
    OFFSET 0
) AS old;
ANALYZE touched_staging_events;

CREATE TEMP TABLE touched_songs ON COMMIT DROP AS
SELECT song_id FROM touched_staging_songs
UNION
SELECT song_id FROM delta_songs;
ANALYZE touched_songs;

CREATE TEMP TABLE touched_artists ON COMMIT DROP AS
SELECT artist_id FROM touched_staging_songs
UNION
SELECT artist_id FROM delta_songs;
ANALYZE touched_artists;

CREATE TEMP TABLE touched_users ON COMMIT DROP AS
SELECT user_id FROM touched_staging_events WHERE user_id IS NOT NULL
UNION
SELECT user_id FROM delta_events WHERE user_id IS NOT NULL;
ANALYZE touched_users;

-- What a play may have to be matched with anew, because a song of that name has come, gone or changed.
CREATE TEMP TABLE touched_titles ON COMMIT DROP AS
SELECT title, artist_name FROM staging_songs JOIN touched_songs USING (song_id)
UNION
SELECT title, artist_name FROM delta_songs;
ANALYZE touched_titles;

-- The server hashes a songplay_id by its halves XORed, and these are small numbers: thousands of plays fall on one
-- hash. So plays are told apart by object and record wherever many of them are compared.
CREATE TEMP TABLE touched_songplays ON COMMIT DROP AS
SELECT object_id << 32 | record_no AS songplay_id, object_id, record_no
FROM (
    SELECT songplay_id >> 32 AS object_id, songplay_id & 4294967295 AS record_no
    FROM delta_objects
    CROSS JOIN LATERAL (
        SELECT songplay_id
        FROM songplays
        WHERE songplay_id BETWEEN object_id << 32 AND object_id << 32 | 4294967295
        OFFSET 0
    ) AS old
    UNION
    SELECT object_id, record_no FROM delta_events WHERE page = 'NextSong'
    UNION
    SELECT object_id, record_no
    FROM touched_titles
    JOIN staging_events
      ON left(song, 100) = left(title, 100) COLLATE "C"
     AND song = title
     AND artist = artist_name
    WHERE page = 'NextSong'
) AS plays;
ANALYZE touched_songplays;

CREATE TEMP TABLE touched_time ON COMMIT DROP AS
SELECT DISTINCT start_time
FROM touched_songplays AS touched
JOIN songplays ON songplays.songplay_id = touched.songplay_id
              AND songplays.songplay_id >> 32 = touched.object_id;
