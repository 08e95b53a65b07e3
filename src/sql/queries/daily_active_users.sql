-- Daily active users
-- Users, sessions and plays by day in UTC. Days without plays are left out.
SELECT CAST(start_time AS date) AS day,
       count(DISTINCT user_id) AS users,
       count(DISTINCT session_id) AS sessions,
       count(*) AS plays
FROM songplays
GROUP BY CAST(start_time AS date)
ORDER BY day;
