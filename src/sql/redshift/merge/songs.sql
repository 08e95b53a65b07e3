-- The songs as they are now: each as the last of its records tells, by object and place in it.
CREATE TEMP TABLE current_songs AS
SELECT song_id, title, artist_id, artist_name, year, duration
FROM (
    SELECT song.song_id, song.title, song.artist_id, song.artist_name, song.year, song.duration,
           row_number() OVER (
               PARTITION BY song.song_id || chr(1)
               ORDER BY place.object || chr(1) DESC, song.record_no DESC
           ) AS nth
    FROM staging_songs AS song
    JOIN load_objects AS place ON place.object_id = song.object_id AND place.replaced_by IS NULL
) AS records
WHERE nth = 1;

CREATE TEMP TABLE fresh_songs AS
SELECT current_songs.song_id, title, artist_id, year, duration
FROM current_songs
JOIN touched_songs ON touched_songs.song_id = current_songs.song_id || chr(1);
