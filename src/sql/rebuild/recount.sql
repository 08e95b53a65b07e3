-- The plays of every log: where plays without a song are left out, only now it is known which those are.
UPDATE load_objects
SET taken = counted.plays,
    filtered = records - rejected - counted.plays
FROM (
    SELECT object_id, count(songplay_id) AS plays
    FROM load_objects
    LEFT JOIN songplays ON songplay_id >> 32 = object_id
    WHERE kind = 'logs'
    GROUP BY object_id
) AS counted
WHERE load_objects.object_id = counted.object_id
  AND taken <> counted.plays;
