-- The touched moments that are those of plays now: of fresh plays, or of plays that were not touched.

INSERT INTO touched_time
SELECT DISTINCT start_time FROM fresh_songplays
EXCEPT
SELECT start_time FROM touched_time;
ANALYZE touched_time;

CREATE TEMP TABLE fresh_time ON COMMIT DROP AS
SELECT start_time,
       extract(hour FROM start_time)::INT AS hour,
       extract(day FROM start_time)::INT AS day,
       extract(week FROM start_time)::INT AS week,
       extract(month FROM start_time)::INT AS month,
       extract(year FROM start_time)::INT AS year,
       extract(dow FROM start_time)::INT AS weekday
FROM (
    SELECT start_time FROM fresh_songplays
    UNION
    SELECT touched_time.start_time
    FROM touched_time
    JOIN songplays ON songplays.start_time = touched_time.start_time
    WHERE NOT EXISTS (
        SELECT
        FROM touched_songplays AS touched
        WHERE touched.songplay_id = songplays.songplay_id
          AND touched.object_id = songplays.songplay_id >> 32
    )
) AS moments;
ANALYZE fresh_time;
