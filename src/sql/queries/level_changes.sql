-- Level changes
-- The users who played both as free and as paid users, with the plays on each level and the present one.
SELECT u.user_id,
       u.first_name,
       u.last_name,
       u.level AS present_level,
       sum(CASE WHEN p.level = 'free' THEN 1 ELSE 0 END) AS free_plays,
       sum(CASE WHEN p.level = 'paid' THEN 1 ELSE 0 END) AS paid_plays
FROM songplays p
JOIN users u ON u.user_id = p.user_id
GROUP BY u.user_id, u.first_name, u.last_name, u.level
HAVING count(DISTINCT p.level) > 1
ORDER BY count(*) DESC, u.user_id;
