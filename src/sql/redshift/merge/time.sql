-- The touched moments that are those of plays now: of fresh plays, or of plays that were not touched.
INSERT INTO touched_time
SELECT DISTINCT start_time FROM fresh_songplays
EXCEPT
SELECT start_time FROM touched_time;

CREATE TEMP TABLE fresh_time AS
SELECT start_time,
       CAST(extract(hour FROM start_time) AS INT) AS hour,
       CAST(extract(day FROM start_time) AS INT) AS day,
       CAST(extract(week FROM start_time) AS INT) AS week,
       CAST(extract(month FROM start_time) AS INT) AS month,
       CAST(extract(year FROM start_time) AS INT) AS year,
       CAST(extract(dow FROM start_time) AS INT) AS weekday
FROM (
    SELECT start_time FROM fresh_songplays
    UNION
    SELECT songplays.start_time
    FROM touched_time
    JOIN songplays ON songplays.start_time = touched_time.start_time
    LEFT JOIN touched_songplays ON touched_songplays.songplay_id = songplays.songplay_id
    WHERE touched_songplays.songplay_id IS NULL
) AS moments;
