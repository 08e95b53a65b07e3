-- Top artists
-- The ten artists whose songs were played most, with how many users and different songs.
-- Plays that match no song of the catalog (artist_id is NULL) count for none.
SELECT a.name AS artist,
       count(*) AS plays,
       count(DISTINCT p.user_id) AS listeners,
       count(DISTINCT p.song_id) AS songs
FROM songplays p
JOIN artists a ON a.artist_id = p.artist_id
GROUP BY a.artist_id, a.name
ORDER BY plays DESC, a.name, a.artist_id
LIMIT 10;
