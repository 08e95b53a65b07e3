-- What an incremental load may change: the keys of all that the old records of its objects say, and of all that the
-- new ones say. A key too many costs a little time; one too few would leave an old row behind.
--
-- Reads the tables in search_path as they were before the load, and what the load brings: delta_objects,
-- delta_songs and delta_events, with the columns of load_objects, staging_songs and staging_events.

CREATE TEMP TABLE touched_songs ON COMMIT DROP AS
SELECT song_id FROM staging_songs JOIN delta_objects USING (object_id)
UNION
SELECT song_id FROM delta_songs;
ANALYZE touched_songs;

CREATE TEMP TABLE touched_artists ON COMMIT DROP AS
SELECT artist_id FROM staging_songs JOIN delta_objects USING (object_id)
UNION
SELECT artist_id FROM delta_songs;
ANALYZE touched_artists;

CREATE TEMP TABLE touched_users ON COMMIT DROP AS
SELECT user_id FROM staging_events JOIN delta_objects USING (object_id) WHERE user_id IS NOT NULL
UNION
SELECT user_id FROM delta_events WHERE user_id IS NOT NULL;
ANALYZE touched_users;

-- What a play may have to be matched with anew, because a song of that name has come, gone or changed.
CREATE TEMP TABLE touched_titles ON COMMIT DROP AS
SELECT title, artist_name FROM staging_songs JOIN touched_songs USING (song_id)
UNION
SELECT title, artist_name FROM delta_songs;
ANALYZE touched_titles;

CREATE TEMP TABLE touched_songplays ON COMMIT DROP AS
SELECT songplay_id
FROM delta_objects
JOIN songplays ON songplay_id >= object_id << 32 AND songplay_id < (object_id + 1) << 32
UNION
SELECT object_id << 32 | record_no FROM delta_events WHERE page = 'NextSong'
UNION
SELECT object_id << 32 | record_no
FROM touched_titles
JOIN staging_events
  ON left(song, 100) = left(title, 100) COLLATE "C"
 AND song = title
 AND artist = artist_name
WHERE page = 'NextSong';
ANALYZE touched_songplays;

CREATE TEMP TABLE touched_time ON COMMIT DROP AS
SELECT DISTINCT start_time FROM songplays JOIN touched_songplays USING (songplay_id);
