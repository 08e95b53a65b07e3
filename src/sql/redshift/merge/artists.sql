-- The touched artists as they are now: each as the record tells that knows most of where they are; of several, the one
-- of the smallest song_id, then the last one.
CREATE TEMP TABLE fresh_artists AS
SELECT song.artist_id,
       song.artist_name AS name,
       song.artist_location AS location,
       song.artist_latitude AS latitude,
       song.artist_longitude AS longitude
FROM (
    SELECT song.object_id, song.record_no,
           row_number() OVER (
               PARTITION BY song.artist_id || chr(1)
               ORDER BY CASE WHEN len(song.artist_location) > 0 THEN 1 ELSE 0 END
                        + CASE WHEN song.artist_latitude IS NOT NULL THEN 1 ELSE 0 END
                        + CASE WHEN song.artist_longitude IS NOT NULL THEN 1 ELSE 0 END DESC,
                        song.song_id || chr(1),
                        places.place DESC,
                        song.record_no DESC
           ) AS nth
    FROM touched_artists
    JOIN staging_songs AS song ON song.artist_id || chr(1) = touched_artists.artist_id
    JOIN places ON places.object_id = song.object_id
) AS records
JOIN staging_songs AS song ON song.object_id = records.object_id AND song.record_no = records.record_no
WHERE records.nth = 1;
