-- All artists of the staged records: each as the record tells that knows most of where they are; of several, the one
-- of the smallest song_id, then the last one.
INSERT INTO artists (artist_id, name, location, latitude, longitude)
SELECT DISTINCT ON (artist_id COLLATE "C")
       artist_id, artist_name, artist_location, artist_latitude, artist_longitude
FROM staging_songs
JOIN load_objects USING (object_id)
ORDER BY artist_id COLLATE "C",
         num_nonnulls(nullif(artist_location, ''), artist_latitude, artist_longitude) DESC,
         song_id COLLATE "C",
         object COLLATE "C" DESC,
         record_no DESC;
