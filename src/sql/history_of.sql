-- The versions of objects that the run $1 has loaded.
SELECT object_id, kind, object, bytes, etag, records, taken, filtered, rejected, staged, replaced_by
FROM load_objects
WHERE run = $1
ORDER BY kind, object;
