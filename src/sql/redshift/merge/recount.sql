-- The plays of every object of which a play was touched: where plays without a song are left out, a song that comes
-- or goes takes plays of other objects with it.
CREATE TEMP TABLE counted_plays AS
SELECT touched.object_id, count(songplays.songplay_id) AS plays
FROM (SELECT DISTINCT object_id FROM touched_songplays) AS touched
LEFT JOIN songplays ON songplays.songplay_id >> 32 = touched.object_id
GROUP BY touched.object_id;

UPDATE load_objects
SET taken = counted_plays.plays,
    filtered = records - rejected - counted_plays.plays
FROM counted_plays
WHERE load_objects.object_id = counted_plays.object_id
  AND replaced_by IS NULL;
