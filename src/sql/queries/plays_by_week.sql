-- Plays by week
-- Plays, users and sessions by ISO week in UTC, named by its Monday and its number in the year.
SELECT CAST(date_trunc('week', t.start_time) AS date) AS monday,
       t.week,
       count(*) AS plays,
       count(DISTINCT p.user_id) AS users,
       count(DISTINCT p.session_id) AS sessions
FROM songplays p
JOIN time t ON t.start_time = p.start_time
GROUP BY CAST(date_trunc('week', t.start_time) AS date), t.week
ORDER BY monday;
