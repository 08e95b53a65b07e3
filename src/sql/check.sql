-- The quality of the tables in search_path: one row a check, with its value and a verdict.
--
-- Hard rules count the rows that break them: ok at 0, else broken. They hold for every load, but a server that
-- doesn't enforce keys (Amazon Redshift) or a hand that edits tables can break them.
-- The rest tells what the data is like: a count or a percentage, note where someone should know.
-- Mojibake is text that was encoded twice: of two characters the second is one from U+0080, which editors do not show,
-- to U+00BF (¿). They stand in the pattern themselves: Amazon Redshift's chr() knows none above 127, and no escape names
-- them in every dialect.
-- Keys are counted as expressions: Redshift takes a declared key for unique, and counts no DISTINCT of it.
-- The counts of a table are laid out as rows, so that it isn't read for each of them.
--
-- Where a load has entered its books, the tables are held against them: the rows of each object against load_objects,
-- those of each table against load_runs, and the star against what is staged. A row with an object belongs to the check
-- above it.
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
event_rows AS (
    SELECT count(*) AS n FROM staging_events
),
song_records AS (
    SELECT count(*) AS n FROM staging_songs
),
error_rows AS (
    SELECT count(*) AS n FROM load_errors
),
last_run AS (
    SELECT load_runs.*
    FROM load_runs
    JOIN (SELECT max(run) AS run FROM load_runs) AS last ON last.run = load_runs.run
),
-- The rows of each object by its books, and those that are there. Without a run there are no books.
booked AS (
    SELECT 101 AS place, object_id, staged AS n FROM load_objects WHERE replaced_by IS NULL AND kind = 'logs'
    UNION ALL SELECT 111, object_id, staged FROM load_objects WHERE replaced_by IS NULL AND kind = 'songs'
    UNION ALL SELECT 214, object_id, taken FROM load_objects WHERE replaced_by IS NULL AND kind = 'logs'
    UNION ALL SELECT 701, object_id, rejected FROM load_objects WHERE replaced_by IS NULL
),
found AS (
    SELECT 101 AS place, object_id, count(*) AS n FROM staging_events GROUP BY object_id
    UNION ALL SELECT 111, object_id, count(*) FROM staging_songs GROUP BY object_id
    UNION ALL SELECT 214, songplay_id >> 32, count(*) FROM songplays GROUP BY songplay_id >> 32
    UNION ALL SELECT 701, object_id, count(*) FROM load_errors GROUP BY object_id
),
object_differences AS (
    SELECT coalesce(booked.place, found.place) AS place,
           coalesce(booked.object_id, found.object_id) AS object_id,
           coalesce(booked.n, 0) AS booked,
           coalesce(found.n, 0) AS found
    FROM booked
    FULL JOIN found ON found.place = booked.place AND found.object_id = booked.object_id
    CROSS JOIN last_run
    WHERE coalesce(booked.n, 0) <> coalesce(found.n, 0)
),
object_sums AS (
    SELECT place, sum(abs(found - booked)) AS n FROM object_differences GROUP BY place
),
-- What is staged and not in the star, and the reverse. Without staged records the star can't be held against them.
unknown_users AS (
    SELECT (SELECT count(*)
            FROM (SELECT DISTINCT user_id FROM staging_events WHERE user_id IS NOT NULL) e
            LEFT JOIN users u ON u.user_id = e.user_id
            WHERE u.user_id IS NULL) AS missing,
           (SELECT count(*)
            FROM users u
            LEFT JOIN (SELECT DISTINCT user_id FROM staging_events) e ON e.user_id = u.user_id
            WHERE e.user_id IS NULL) AS surplus
),
unknown_songs AS (
    SELECT (SELECT count(*)
            FROM (SELECT DISTINCT song_id FROM staging_songs WHERE song_id IS NOT NULL) r
            LEFT JOIN songs s ON s.song_id = r.song_id
            WHERE s.song_id IS NULL) AS missing,
           (SELECT count(*)
            FROM songs s
            LEFT JOIN (SELECT DISTINCT song_id FROM staging_songs) r ON r.song_id = s.song_id
            WHERE r.song_id IS NULL) AS surplus
),
unknown_artists AS (
    SELECT (SELECT count(*)
            FROM (SELECT DISTINCT artist_id FROM staging_songs WHERE artist_id IS NOT NULL) r
            LEFT JOIN artists a ON a.artist_id = r.artist_id
            WHERE a.artist_id IS NULL) AS missing,
           (SELECT count(*)
            FROM artists a
            LEFT JOIN (SELECT DISTINCT artist_id FROM staging_songs) r ON r.artist_id = a.artist_id
            WHERE r.artist_id IS NULL) AS surplus
),
checks (place, table_name, check_name, rule, value) AS (
    SELECT 100, 'staging_events', 'rows', 'filled', n FROM event_rows
    UNION ALL SELECT 101, 'staging_events', 'rows more or less than in load_objects', 'none', (SELECT n FROM object_sums WHERE place = 101)
    UNION ALL SELECT 102, 'staging_events', 'rows more or less than in load_runs', 'none', (SELECT abs(n - staging_events) FROM event_rows CROSS JOIN last_run)
    UNION ALL SELECT 110, 'staging_songs', 'rows', 'filled', n FROM song_records
    UNION ALL SELECT 111, 'staging_songs', 'rows more or less than in load_objects', 'none', (SELECT n FROM object_sums WHERE place = 111)
    UNION ALL SELECT 112, 'staging_songs', 'rows more or less than in load_runs', 'none', (SELECT abs(n - staging_songs) FROM song_records CROSS JOIN last_run)

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
    UNION ALL SELECT 214, 'songplays', 'rows more or less than in load_objects', 'none', (SELECT n FROM object_sums WHERE place = 214)
    UNION ALL SELECT 215, 'songplays', 'rows more or less than in load_runs', 'none', (SELECT abs(n - songplays) FROM plays CROSS JOIN last_run)

    UNION ALL SELECT 300, 'users', 'rows', 'filled', n FROM user_rows
    UNION ALL SELECT 301, 'users', 'repeated or missing user_id', 'none', repeated_keys FROM user_rows
    UNION ALL SELECT 302, 'users', 'NULL level, percent', 'told', 100.0 * without_level / nullif(n, 0) FROM user_rows
    UNION ALL SELECT 320, 'users', 'staged user_id without a row', 'none', (SELECT missing FROM unknown_users CROSS JOIN last_run)
    UNION ALL SELECT 321, 'users', 'rows without a staged record', 'none', (SELECT surplus FROM unknown_users CROSS JOIN last_run CROSS JOIN event_rows WHERE event_rows.n > 0)
    UNION ALL SELECT 322, 'users', 'rows more or less than in load_runs', 'none', (SELECT abs(n - users) FROM user_rows CROSS JOIN last_run)

    UNION ALL SELECT 400, 'songs', 'rows', 'filled', n FROM song_rows
    UNION ALL SELECT 401, 'songs', 'repeated or missing song_id', 'none', repeated_keys FROM song_rows
    UNION ALL SELECT 402, 'songs', 'missing title, artist_id or duration', 'none', incomplete FROM song_rows
    UNION ALL SELECT 403, 'songs', 'artist_id not in artists', 'none', orphans FROM song_artists
    UNION ALL SELECT 404, 'songs', 'year 0', 'told', year_0 FROM song_rows
    UNION ALL SELECT 405, 'songs', 'mojibake', 'told', mojibake FROM song_rows
    UNION ALL SELECT 420, 'songs', 'staged song_id without a row', 'none', (SELECT missing FROM unknown_songs CROSS JOIN last_run)
    UNION ALL SELECT 421, 'songs', 'rows without a staged record', 'none', (SELECT surplus FROM unknown_songs CROSS JOIN last_run CROSS JOIN song_records WHERE song_records.n > 0)
    UNION ALL SELECT 422, 'songs', 'rows more or less than in load_runs', 'none', (SELECT abs(n - songs) FROM song_rows CROSS JOIN last_run)

    UNION ALL SELECT 500, 'artists', 'rows', 'filled', n FROM artist_rows
    UNION ALL SELECT 501, 'artists', 'repeated or missing artist_id', 'none', repeated_keys FROM artist_rows
    UNION ALL SELECT 502, 'artists', 'missing name', 'none', without_name FROM artist_rows
    UNION ALL SELECT 503, 'artists', 'no location, percent', 'told', 100.0 * without_location / nullif(n, 0) FROM artist_rows
    UNION ALL SELECT 504, 'artists', 'NULL latitude, percent', 'told', 100.0 * without_latitude / nullif(n, 0) FROM artist_rows
    UNION ALL SELECT 505, 'artists', 'NULL longitude, percent', 'told', 100.0 * without_longitude / nullif(n, 0) FROM artist_rows
    UNION ALL SELECT 506, 'artists', 'mojibake', 'told', mojibake FROM artist_rows
    UNION ALL SELECT 520, 'artists', 'staged artist_id without a row', 'none', (SELECT missing FROM unknown_artists CROSS JOIN last_run)
    UNION ALL SELECT 521, 'artists', 'rows without a staged record', 'none', (SELECT surplus FROM unknown_artists CROSS JOIN last_run CROSS JOIN song_records WHERE song_records.n > 0)
    UNION ALL SELECT 522, 'artists', 'rows more or less than in load_runs', 'none', (SELECT abs(n - artists) FROM artist_rows CROSS JOIN last_run)

    UNION ALL SELECT 600, 'time', 'rows', 'filled', n FROM time_rows
    UNION ALL SELECT 601, 'time', 'repeated or missing start_time', 'none', repeated_keys FROM time_rows
    UNION ALL SELECT 602, 'time', 'missing parts', 'none', incomplete FROM time_rows
    UNION ALL SELECT 603, 'time', 'rows that no play holds', 'none', unused FROM times
    UNION ALL SELECT 622, 'time', 'rows more or less than in load_runs', 'none', (SELECT abs(n - "time") FROM time_rows CROSS JOIN last_run)

    UNION ALL SELECT 700, 'load_errors', 'rejects', 'told', n FROM error_rows
    UNION ALL SELECT 701, 'load_errors', 'rows more or less than in load_objects', 'none', (SELECT n FROM object_sums WHERE place = 701)
),
-- The objects that differ most.
named AS (
    SELECT place,
           row_number() OVER (PARTITION BY place ORDER BY abs(found - booked) DESC, differing.object_id) AS nth,
           coalesce(object, 'object_id ' || CAST(differing.object_id AS VARCHAR(20)) || ', which load_objects has not')
               AS object,
           booked,
           found
    FROM object_differences AS differing
    LEFT JOIN (SELECT object_id, object FROM load_objects WHERE replaced_by IS NULL) AS objects
           ON objects.object_id = differing.object_id
),
lines (place, nth, table_name, check_name, rule, value, object, booked, found) AS (
    SELECT place, 0, table_name, check_name, rule, value,
           CAST(NULL AS VARCHAR(2000)), CAST(NULL AS BIGINT), CAST(NULL AS BIGINT)
    FROM checks
    UNION ALL
    SELECT named.place, nth, table_name, check_name, rule, abs(found - booked), object, booked, found
    FROM named
    JOIN checks ON checks.place = named.place
    WHERE nth <= 10
)
SELECT table_name AS "table",
       check_name AS "check",
       CASE WHEN check_name LIKE '%percent' THEN round(coalesce(value, 0), 2)
            ELSE round(coalesce(value, 0)) END AS value,
       CASE rule
           WHEN 'none' THEN CASE WHEN coalesce(value, 0) = 0 THEN 'ok' ELSE 'broken' END
           WHEN 'told' THEN CASE WHEN coalesce(value, 0) = 0 THEN 'ok' ELSE 'note' END
           WHEN 'filled' THEN CASE WHEN value = 0 THEN 'note' ELSE 'ok' END
       END AS verdict,
       object,
       booked,
       found
FROM lines
ORDER BY place, nth;
