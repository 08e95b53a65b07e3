-- All songs of the staged records: each as the last of its records tells, by object and place in it.
INSERT INTO songs (song_id, title, artist_id, year, duration)
SELECT DISTINCT ON (song_id COLLATE "C") song_id, title, artist_id, year, duration
FROM staging_songs
JOIN load_objects USING (object_id)
ORDER BY song_id COLLATE "C", object COLLATE "C" DESC, record_no DESC;
