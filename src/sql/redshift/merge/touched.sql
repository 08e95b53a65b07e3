-- What an incremental load may change: the keys of all that the old records of its objects say, and of all that the
-- new ones say. A key too many costs a little time; one too few would leave an old row behind.
--
-- Reads the tables in search_path as they were before the load, and what the load brings: delta_objects,
-- delta_songs and delta_events, with the columns of load_objects, staging_songs and staging_events.
--
-- Redshift compares text without its trailing blanks. With chr(1) behind it all of it counts, and the order of bytes
-- stays; touched texts are kept with it.

CREATE TEMP TABLE touched_songs AS
SELECT staging_songs.song_id || chr(1) AS song_id
FROM staging_songs
JOIN delta_objects ON delta_objects.object_id = staging_songs.object_id
UNION
SELECT song_id || chr(1) FROM delta_songs;

CREATE TEMP TABLE touched_artists AS
SELECT staging_songs.artist_id || chr(1) AS artist_id
FROM staging_songs
JOIN delta_objects ON delta_objects.object_id = staging_songs.object_id
UNION
SELECT artist_id || chr(1) FROM delta_songs;

CREATE TEMP TABLE touched_users AS
SELECT staging_events.user_id
FROM staging_events
JOIN delta_objects ON delta_objects.object_id = staging_events.object_id
WHERE staging_events.user_id IS NOT NULL
UNION
SELECT user_id FROM delta_events WHERE user_id IS NOT NULL;

-- What a play may have to be matched with anew, because a song of that name has come, gone or changed.
CREATE TEMP TABLE touched_titles AS
SELECT title || chr(1) AS title, artist_name || chr(1) AS artist_name
FROM staging_songs
JOIN touched_songs ON touched_songs.song_id = staging_songs.song_id || chr(1)
UNION
SELECT title || chr(1), artist_name || chr(1) FROM delta_songs;

CREATE TEMP TABLE touched_songplays AS
SELECT (object_id << 32) + record_no AS songplay_id, object_id, record_no
FROM (
    SELECT songplays.songplay_id >> 32 AS object_id, songplays.songplay_id & 4294967295 AS record_no
    FROM songplays
    JOIN delta_objects ON delta_objects.object_id = songplays.songplay_id >> 32
    UNION
    SELECT object_id, record_no FROM delta_events WHERE page || chr(1) = 'NextSong' || chr(1)
    UNION
    SELECT staging_events.object_id, staging_events.record_no
    FROM touched_titles
    JOIN staging_events
      ON staging_events.song || chr(1) = touched_titles.title
     AND staging_events.artist || chr(1) = touched_titles.artist_name
    WHERE staging_events.page || chr(1) = 'NextSong' || chr(1)
) AS plays;

CREATE TEMP TABLE touched_time AS
SELECT DISTINCT songplays.start_time
FROM songplays
JOIN touched_songplays ON touched_songplays.songplay_id = songplays.songplay_id;
