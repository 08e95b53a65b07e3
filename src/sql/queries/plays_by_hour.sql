-- Plays by hour
-- Plays and users by hour of the day in UTC, over all days. Hours without plays are left out.
SELECT t.hour,
       count(*) AS plays,
       count(DISTINCT p.user_id) AS users
FROM songplays p
JOIN time t ON t.start_time = p.start_time
GROUP BY t.hour
ORDER BY t.hour;
