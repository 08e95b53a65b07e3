-- Session length
-- How long a session is and how many songs it holds: average, median and longest.
-- A session runs from the start of its first play to the start of its last, so that one of a single play has
-- no length.
WITH sessions AS (
    SELECT user_id,
           session_id,
           count(*) AS items,
           (EXTRACT(epoch FROM max(start_time)) - EXTRACT(epoch FROM min(start_time))) / CAST(60 AS DOUBLE PRECISION) AS minutes
    FROM songplays
    GROUP BY user_id, session_id
)
SELECT count(*) AS sessions,
       round(CAST(avg(minutes) AS numeric(30, 6)), 1) AS average_minutes,
       round(CAST(percentile_cont(0.5) WITHIN GROUP (ORDER BY minutes) AS numeric(30, 6)), 1) AS median_minutes,
       round(CAST(max(minutes) AS numeric(30, 6)), 1) AS longest_minutes,
       round(avg(1.0 * items), 1) AS average_items,
       max(items) AS most_items
FROM sessions;
