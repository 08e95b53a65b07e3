-- The touched songs as they are now: each as the last of its records tells, by object and place in it.
CREATE TEMP TABLE fresh_songs ON COMMIT DROP AS
SELECT DISTINCT ON (song_id) song_id, title, artist_id, year, duration
FROM touched_songs
JOIN staging_songs USING (song_id)
JOIN load_objects USING (object_id)
WHERE replaced_by IS NULL
ORDER BY song_id, object COLLATE "C" DESC, record_no DESC;
ANALYZE fresh_songs;
