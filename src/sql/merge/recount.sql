-- The plays of every object of which a play was touched: where plays without a song are left out, a song that comes
-- or goes takes plays of other objects with it.
UPDATE load_objects
SET taken = counted.plays,
    filtered = records - rejected - counted.plays
FROM (
    SELECT object_id,
           (SELECT count(*)
            FROM songplays
            WHERE songplay_id BETWEEN object_id << 32 AND object_id << 32 | 4294967295) AS plays
    FROM (SELECT DISTINCT object_id FROM touched_songplays) AS touched
) AS counted
WHERE load_objects.object_id = counted.object_id
  AND replaced_by IS NULL
  AND taken <> counted.plays;
