-- Plays by weekday
-- Plays and users by day of the week in UTC, Monday first.
SELECT CASE t.weekday
           WHEN 0 THEN 'Sunday'
           WHEN 1 THEN 'Monday'
           WHEN 2 THEN 'Tuesday'
           WHEN 3 THEN 'Wednesday'
           WHEN 4 THEN 'Thursday'
           WHEN 5 THEN 'Friday'
           WHEN 6 THEN 'Saturday'
       END AS weekday,
       count(*) AS plays,
       count(DISTINCT p.user_id) AS users
FROM songplays p
JOIN time t ON t.start_time = p.start_time
GROUP BY t.weekday
ORDER BY (t.weekday + 6) % 7;
