-- The touched plays as they are now.
--
-- Reads merge_rules: whether the duration has to match, and whether plays without a song are left out.

-- What plays can find: of several songs that are the same to a play, the one of the smallest song_id. Where durations
-- don't count they are all the same.
CREATE TEMP TABLE found_songs AS
SELECT title, artist_name, length, song_id, artist_id
FROM (
    SELECT title, artist_name, song_id, artist_id,
           CASE WHEN match_duration THEN duration ELSE 0 END AS length,
           row_number() OVER (
               PARTITION BY title || chr(1),
                            artist_name || chr(1),
                            CASE WHEN match_duration THEN duration ELSE 0 END
               ORDER BY song_id || chr(1)
           ) AS nth
    FROM current_songs
    CROSS JOIN merge_rules
) AS songs
WHERE nth = 1;

-- Days and the milliseconds of the day are added apart: an interval is multiplied in floating point, which is exact
-- for each of the two, but not for all milliseconds at once.
CREATE TEMP TABLE fresh_songplays AS
SELECT touched_songplays.songplay_id,
       timestamp 'epoch'
           + (event.ts / 86400000) * interval '1 day'
           + (event.ts % 86400000) * interval '0.001 second' AS start_time,
       event.user_id, event.level, found.song_id, found.artist_id, event.session_id, event.location, event.user_agent
FROM touched_songplays
JOIN staging_events AS event
  ON event.object_id = touched_songplays.object_id
 AND event.record_no = touched_songplays.record_no
CROSS JOIN merge_rules
LEFT JOIN found_songs AS found
       ON found.title || chr(1) = event.song || chr(1)
      AND found.artist_name || chr(1) = event.artist || chr(1)
      AND found.length = CASE WHEN match_duration THEN event.length ELSE 0 END
WHERE event.page || chr(1) = 'NextSong' || chr(1)
  AND (found.song_id IS NOT NULL OR NOT matched_only);
