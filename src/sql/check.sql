-- The quality of the tables in search_path: one row a check, with its value and a verdict.
--
-- Hard rules count the rows that break them: ok at 0, else broken. They hold for every load, but a server that
-- doesn't enforce keys (Amazon Redshift) or a hand that edits tables can break them.
-- The rest tells what the data is like: a count or a percentage, note where someone should know.
-- Mojibake is text that was encoded twice: of two characters the second is one from U+0080, which editors do not show,
-- to U+00BF (¿). They stand in the pattern themselves: Amazon Redshift's chr() knows none above 127, and no escape names
-- them in every dialect.
-- Keys are counted as expressions: Redshift takes a declared key for unique, and counts no DISTINCT of it.
-- Each table is read once, and its counts are then laid out as rows.
WITH
plays AS (
    SELECT count(*) AS n,
           count(*) - count(DISTINCT songplay_id + 0) AS repeated_keys,
           count(*) - count(start_time) AS without_time,
           count(*) - count(user_id) AS without_user,
           count(*) - count(song_id) AS without_song,
           count(*) - count(level) AS without_level,
           count(*) - count(location) AS without_location,
           sum(CASE WHEN (song_id IS NULL) <> (artist_id IS NULL) THEN 1 ELSE 0 END) AS half_matched
    FROM songplays
),
user_rows AS (
    SELECT count(*) AS n,
           count(*) - count(DISTINCT user_id + 0) AS repeated_keys,
           count(*) - count(level) AS without_level
    FROM users
),
song_rows AS (
    SELECT count(*) AS n,
           count(*) - count(DISTINCT song_id || '') AS repeated_keys,
           sum(CASE WHEN title IS NULL OR artist_id IS NULL OR duration IS NULL THEN 1 ELSE 0 END) AS incomplete,
           sum(CASE WHEN year = 0 THEN 1 ELSE 0 END) AS year_0,
           sum(CASE WHEN title ~ '[ÃÂ][-¿]|â€' THEN 1 ELSE 0 END) AS mojibake
    FROM songs
),
artist_rows AS (
    SELECT count(*) AS n,
           count(*) - count(DISTINCT artist_id || '') AS repeated_keys,
           count(*) - count(name) AS without_name,
           sum(CASE WHEN location IS NULL OR length(location) = 0 THEN 1 ELSE 0 END) AS without_location,
           count(*) - count(latitude) AS without_latitude,
           count(*) - count(longitude) AS without_longitude,
           sum(CASE WHEN name ~ '[ÃÂ][-¿]|â€'
                      OR location ~ '[ÃÂ][-¿]|â€'
               THEN 1 ELSE 0 END) AS mojibake
    FROM artists
),
time_rows AS (
    SELECT count(*) AS n,
           count(*) - count(DISTINCT start_time + INTERVAL '0 seconds') AS repeated_keys,
           sum(CASE WHEN hour IS NULL OR day IS NULL OR week IS NULL OR month IS NULL OR year IS NULL
                      OR weekday IS NULL
               THEN 1 ELSE 0 END) AS incomplete
    FROM time
),
-- Rows of one table that point to no row of another.
orphans AS (
    SELECT sum(CASE WHEN p.user_id IS NOT NULL AND u.user_id IS NULL THEN p.n ELSE 0 END) AS of_users,
           sum(CASE WHEN p.song_id IS NOT NULL AND s.song_id IS NULL THEN p.n ELSE 0 END) AS of_songs,
           sum(CASE WHEN p.artist_id IS NOT NULL AND a.artist_id IS NULL THEN p.n ELSE 0 END) AS of_artists,
           sum(CASE WHEN s.artist_id <> p.artist_id THEN p.n ELSE 0 END) AS other_artist
    FROM (SELECT user_id, song_id, artist_id, count(*) AS n
          FROM songplays
          GROUP BY user_id, song_id, artist_id) p
    LEFT JOIN (SELECT DISTINCT user_id + 0 AS user_id FROM users) u ON u.user_id = p.user_id
    LEFT JOIN (SELECT song_id || '' AS song_id, min(artist_id) AS artist_id FROM songs GROUP BY 1) s
           ON s.song_id = p.song_id
    LEFT JOIN (SELECT DISTINCT artist_id || '' AS artist_id FROM artists) a ON a.artist_id = p.artist_id
),
times AS (
    SELECT sum(CASE WHEN t.start_time IS NULL AND p.start_time IS NOT NULL THEN p.n ELSE 0 END) AS of_times,
           sum(CASE WHEN p.start_time IS NULL AND t.start_time IS NOT NULL THEN 1 ELSE 0 END) AS unused
    FROM (SELECT start_time, count(*) AS n FROM songplays GROUP BY start_time) p
    FULL JOIN (SELECT DISTINCT start_time + INTERVAL '0 seconds' AS start_time FROM time) t ON t.start_time = p.start_time
),
song_artists AS (
    SELECT count(*) AS orphans
    FROM songs s
    LEFT JOIN (SELECT DISTINCT artist_id || '' AS artist_id FROM artists) a ON a.artist_id = s.artist_id
    WHERE s.artist_id IS NOT NULL AND a.artist_id IS NULL
),
checks (place, table_name, check_name, rule, value) AS (
    SELECT 100, 'staging_events', 'rows', 'filled', (SELECT count(*) FROM staging_events)
    UNION ALL SELECT 110, 'staging_songs', 'rows', 'filled', (SELECT count(*) FROM staging_songs)

    UNION ALL SELECT 200, 'songplays', 'rows', 'filled', n FROM plays
    UNION ALL SELECT 201, 'songplays', 'repeated or missing songplay_id', 'none', repeated_keys FROM plays
    UNION ALL SELECT 202, 'songplays', 'missing start_time', 'none', without_time FROM plays
    UNION ALL SELECT 203, 'songplays', 'missing user_id', 'none', without_user FROM plays
    UNION ALL SELECT 204, 'songplays', 'user_id not in users', 'none', of_users FROM orphans
    UNION ALL SELECT 205, 'songplays', 'start_time not in time', 'none', of_times FROM times
    UNION ALL SELECT 206, 'songplays', 'song_id not in songs', 'none', of_songs FROM orphans
    UNION ALL SELECT 207, 'songplays', 'artist_id not in artists', 'none', of_artists FROM orphans
    UNION ALL SELECT 208, 'songplays', 'artist_id differs from the song''s', 'none', other_artist FROM orphans
    UNION ALL SELECT 209, 'songplays', 'song_id without artist_id or the reverse', 'none', half_matched FROM plays
    UNION ALL SELECT 210, 'songplays', 'plays without a match', 'told', without_song FROM plays
    UNION ALL SELECT 211, 'songplays', 'NULL song_id, percent', 'told', 100.0 * without_song / nullif(n, 0) FROM plays
    UNION ALL SELECT 212, 'songplays', 'NULL level, percent', 'told', 100.0 * without_level / nullif(n, 0) FROM plays
    UNION ALL SELECT 213, 'songplays', 'NULL location, percent', 'told', 100.0 * without_location / nullif(n, 0) FROM plays

    UNION ALL SELECT 300, 'users', 'rows', 'filled', n FROM user_rows
    UNION ALL SELECT 301, 'users', 'repeated or missing user_id', 'none', repeated_keys FROM user_rows
    UNION ALL SELECT 302, 'users', 'NULL level, percent', 'told', 100.0 * without_level / nullif(n, 0) FROM user_rows

    UNION ALL SELECT 400, 'songs', 'rows', 'filled', n FROM song_rows
    UNION ALL SELECT 401, 'songs', 'repeated or missing song_id', 'none', repeated_keys FROM song_rows
    UNION ALL SELECT 402, 'songs', 'missing title, artist_id or duration', 'none', incomplete FROM song_rows
    UNION ALL SELECT 403, 'songs', 'artist_id not in artists', 'none', orphans FROM song_artists
    UNION ALL SELECT 404, 'songs', 'year 0', 'told', year_0 FROM song_rows
    UNION ALL SELECT 405, 'songs', 'mojibake', 'told', mojibake FROM song_rows

    UNION ALL SELECT 500, 'artists', 'rows', 'filled', n FROM artist_rows
    UNION ALL SELECT 501, 'artists', 'repeated or missing artist_id', 'none', repeated_keys FROM artist_rows
    UNION ALL SELECT 502, 'artists', 'missing name', 'none', without_name FROM artist_rows
    UNION ALL SELECT 503, 'artists', 'no location, percent', 'told', 100.0 * without_location / nullif(n, 0) FROM artist_rows
    UNION ALL SELECT 504, 'artists', 'NULL latitude, percent', 'told', 100.0 * without_latitude / nullif(n, 0) FROM artist_rows
    UNION ALL SELECT 505, 'artists', 'NULL longitude, percent', 'told', 100.0 * without_longitude / nullif(n, 0) FROM artist_rows
    UNION ALL SELECT 506, 'artists', 'mojibake', 'told', mojibake FROM artist_rows

    UNION ALL SELECT 600, 'time', 'rows', 'filled', n FROM time_rows
    UNION ALL SELECT 601, 'time', 'repeated or missing start_time', 'none', repeated_keys FROM time_rows
    UNION ALL SELECT 602, 'time', 'missing parts', 'none', incomplete FROM time_rows
    UNION ALL SELECT 603, 'time', 'rows that no play holds', 'none', unused FROM times
)
SELECT table_name AS "table",
       check_name AS "check",
       CASE WHEN check_name LIKE '%percent' THEN round(coalesce(value, 0), 2)
            ELSE round(coalesce(value, 0)) END AS value,
       CASE rule
           WHEN 'none' THEN CASE WHEN coalesce(value, 0) = 0 THEN 'ok' ELSE 'broken' END
           WHEN 'told' THEN CASE WHEN coalesce(value, 0) = 0 THEN 'ok' ELSE 'note' END
           WHEN 'filled' THEN CASE WHEN value = 0 THEN 'note' ELSE 'ok' END
       END AS verdict
FROM checks
ORDER BY place;
