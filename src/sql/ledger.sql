-- The objects whose rows are in the tables.
SELECT object_id, kind, object, bytes, etag, records, taken, filtered, rejected, staged
FROM load_objects
WHERE replaced_by IS NULL;
