-- Sessions by level
-- Sessions of free and of paid users: how many, and their average length in minutes and in songs.
-- A session in which the user changed level counts under both, with the part that was played on each.
WITH sessions AS (
    SELECT level,
           user_id,
           session_id,
           count(*) AS items,
           (EXTRACT(epoch FROM max(start_time)) - EXTRACT(epoch FROM min(start_time))) / CAST(60 AS DOUBLE PRECISION) AS minutes
    FROM songplays
    GROUP BY level, user_id, session_id
)
SELECT level,
       count(*) AS sessions,
       round(CAST(avg(minutes) AS numeric(30, 6)), 1) AS average_minutes,
       round(avg(1.0 * items), 1) AS average_items
FROM sessions
GROUP BY level
ORDER BY level;
