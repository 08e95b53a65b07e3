-- The touched artists as they are now: each as the record tells that knows most of where they are; of several, the one
-- of the smallest song_id, then the last one.
CREATE TEMP TABLE fresh_artists ON COMMIT DROP AS
SELECT DISTINCT ON (artist_id)
       artist_id,
       artist_name AS name,
       artist_location AS location,
       artist_latitude AS latitude,
       artist_longitude AS longitude
FROM touched_artists
JOIN staging_songs USING (artist_id)
JOIN load_objects USING (object_id)
WHERE replaced_by IS NULL
ORDER BY artist_id,
         num_nonnulls(nullif(artist_location, ''), artist_latitude, artist_longitude) DESC,
         song_id COLLATE "C",
         object COLLATE "C" DESC,
         record_no DESC;
ANALYZE fresh_artists;
