-- The objects in the order of their names, as numbers. Windows sort by these and by keys, and texts are joined to what they
-- find: in a sort Redshift sets aside the declared length of each column for every row, and that of a name is 65,535.
CREATE TEMP TABLE places AS
SELECT object_id, row_number() OVER (ORDER BY name) AS place
FROM (
    -- No name is longer: a key of S3 has 1,024 bytes, and a path 4,096.
    SELECT object_id, CAST(object AS VARCHAR(5120)) || chr(1) AS name
    FROM load_objects
    WHERE replaced_by IS NULL
) AS objects;
