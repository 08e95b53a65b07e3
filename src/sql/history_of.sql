-- The versions of objects that the run $1 has loaded, in the order of their names.
SELECT json_build_object(
    'object_id', object_id,
    'kind', kind,
    'object', object,
    'bytes', bytes,
    'etag', etag,
    'records', records,
    'taken', taken,
    'filtered', filtered,
    'rejected', rejected,
    'staged', staged,
    'replaced_by', replaced_by
)
FROM load_objects
WHERE run = $1
ORDER BY kind, object COLLATE "C";
