-- The songs as they are now: each as the last of its records tells, by object and place in it.
CREATE TEMP TABLE current_songs AS
SELECT song.song_id, song.title, song.artist_id, song.artist_name, song.year, song.duration
FROM (
    SELECT song.object_id, song.record_no,
           row_number() OVER (
               PARTITION BY song.song_id || chr(1)
               ORDER BY places.place DESC, song.record_no DESC
           ) AS nth
    FROM staging_songs AS song
    JOIN places ON places.object_id = song.object_id
) AS records
JOIN staging_songs AS song ON song.object_id = records.object_id AND song.record_no = records.record_no
WHERE records.nth = 1;

CREATE TEMP TABLE fresh_songs AS
SELECT current_songs.song_id, title, artist_id, year, duration
FROM current_songs
JOIN touched_songs ON touched_songs.song_id = current_songs.song_id || chr(1);
