-- Top songs
-- The ten songs of the catalog that were played most, with how many users played them.
-- Plays that match no song of the catalog (song_id is NULL) count for none.
SELECT s.title,
       a.name AS artist,
       count(*) AS plays,
       count(DISTINCT p.user_id) AS listeners
FROM songplays p
JOIN songs s ON s.song_id = p.song_id
LEFT JOIN artists a ON a.artist_id = s.artist_id
GROUP BY s.song_id, s.title, a.name
ORDER BY plays DESC, s.title, s.song_id
LIMIT 10;
