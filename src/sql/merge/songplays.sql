-- The touched plays as they are now.
--
-- Reads merge_rules: whether the duration has to match, and whether plays without a song are left out.

-- The plays as they are staged. They are laid down first: what the planner knows of staging_events is from before the load,
-- so it would take the plays of new objects for none, and look through all songs for each of them.
CREATE TEMP TABLE touched_plays ON COMMIT DROP AS
SELECT songplay_id, ts, user_id, level, song, artist, session_id, location, user_agent,
       -- Where durations don't count they are all the same.
       CASE WHEN match_duration THEN length ELSE 0 END AS length
FROM merge_rules
CROSS JOIN touched_songplays
JOIN staging_events USING (object_id, record_no)
WHERE page = 'NextSong';
ANALYZE touched_plays;

-- What the plays look for.
CREATE TEMP TABLE wanted_songs ON COMMIT DROP AS
SELECT DISTINCT song, artist, length FROM touched_plays;
ANALYZE wanted_songs;

-- What they find: songs as the last of their records tells; of several, the one of the smallest song_id.
CREATE TEMP TABLE found_songs ON COMMIT DROP AS
SELECT DISTINCT ON (song, artist, length) song, artist, length, record.song_id, record.artist_id
FROM merge_rules
CROSS JOIN wanted_songs
JOIN staging_songs AS record
  ON left(record.title, 100) = left(song, 100) COLLATE "C"
 AND record.title = song
 AND record.artist_name = artist
 AND (record.duration = length OR NOT match_duration)
JOIN load_objects AS place ON place.object_id = record.object_id AND place.replaced_by IS NULL
WHERE NOT EXISTS (
    SELECT
    FROM staging_songs AS later_record
    JOIN load_objects AS later_place
      ON later_place.object_id = later_record.object_id AND later_place.replaced_by IS NULL
    WHERE later_record.song_id = record.song_id
      AND (later_place.object COLLATE "C", later_record.record_no)
        > (place.object COLLATE "C", record.record_no)
)
ORDER BY song, artist, length, record.song_id COLLATE "C";
ANALYZE found_songs;

-- Days and the milliseconds of the day are added apart: an interval is multiplied in floating point, which is exact
-- for each of the two, but not for all milliseconds at once.
CREATE TEMP TABLE fresh_songplays ON COMMIT DROP AS
SELECT songplay_id,
       timestamp 'epoch'
           + ts / 86400000 * interval '1 day'
           + ts % 86400000 * interval '1 millisecond' AS start_time,
       user_id, level, found.song_id, found.artist_id, session_id, location, user_agent
FROM merge_rules
CROSS JOIN touched_plays AS play
LEFT JOIN found_songs AS found
       ON found.song = play.song
      AND found.artist = play.artist
      AND found.length = play.length
WHERE found.song_id IS NOT NULL
   OR NOT matched_only;
ANALYZE fresh_songplays;
