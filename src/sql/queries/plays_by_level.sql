-- Plays by level
-- Plays by the level (free or paid) that the user had at the time, with each level's share in percent.
SELECT level,
       count(*) AS plays,
       count(DISTINCT user_id) AS users,
       round(100.0 * count(*) / sum(count(*)) OVER (), 1) AS percent
FROM songplays
GROUP BY level
ORDER BY plays DESC, level;
