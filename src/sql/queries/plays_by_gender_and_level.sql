-- Plays by gender and level
-- Plays by the user's gender and the level that the user had at the time, with plays per user.
SELECT u.gender,
       p.level,
       count(*) AS plays,
       count(DISTINCT p.user_id) AS users,
       round(1.0 * count(*) / count(DISTINCT p.user_id), 1) AS plays_per_user
FROM songplays p
JOIN users u ON u.user_id = p.user_id
GROUP BY u.gender, p.level
ORDER BY u.gender, p.level;
