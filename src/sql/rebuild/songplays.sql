-- All plays of the staged events, and their moments.
--
-- $1: whether the duration has to match. $2: whether plays without a song are left out.

-- Songs as the last of their records tells; of several that are the same to a play, the one of the smallest song_id.
-- Where durations don't count they are all the same.
--
-- Days and the milliseconds of the day are added apart: an interval is multiplied in floating point, which is exact
-- for each of the two, but not for all milliseconds at once.
INSERT INTO songplays
    (songplay_id, start_time, user_id, level, song_id, artist_id, session_id, location, user_agent)
WITH songs_now AS (
    SELECT DISTINCT ON (song_id COLLATE "C")
           song_id, artist_id, title, artist_name, CASE WHEN $1 THEN duration ELSE 0 END AS length
    FROM staging_songs
    JOIN load_objects USING (object_id)
    ORDER BY song_id COLLATE "C", object COLLATE "C" DESC, record_no DESC
),
found AS (
    SELECT DISTINCT ON (title COLLATE "C", artist_name COLLATE "C", length)
           song_id, artist_id, title, artist_name, length
    FROM songs_now
    ORDER BY title COLLATE "C", artist_name COLLATE "C", length, song_id COLLATE "C"
)
SELECT object_id << 32 | record_no,
       timestamp 'epoch'
           + ts / 86400000 * interval '1 day'
           + ts % 86400000 * interval '1 millisecond',
       user_id, level, found.song_id, found.artist_id, session_id, location, user_agent
FROM staging_events AS event
LEFT JOIN found
       ON found.title = event.song COLLATE "C"
      AND found.artist_name = event.artist COLLATE "C"
      AND found.length = CASE WHEN $1 THEN event.length ELSE 0 END
WHERE page = 'NextSong'
  AND (found.song_id IS NOT NULL OR NOT $2);

-- Without this the planner takes plays for few, and a table of their moments that fits into memory for one that does not.
ANALYZE songplays;

INSERT INTO "time" (start_time, hour, day, week, month, year, weekday)
SELECT start_time,
       extract(hour FROM start_time)::INT,
       extract(day FROM start_time)::INT,
       extract(week FROM start_time)::INT,
       extract(month FROM start_time)::INT,
       extract(year FROM start_time)::INT,
       extract(dow FROM start_time)::INT
FROM (SELECT DISTINCT start_time FROM songplays ORDER BY start_time) AS moments;
