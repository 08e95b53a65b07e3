-- The objects that an unfinished load has read to the end and whose rows are all there. An object is entered in
-- load_objects when its last record was read; its rows may come before or after that, or not at all.
SELECT object_id, kind, object, bytes, etag, records, taken, filtered, rejected, staged
FROM load_objects
LEFT JOIN (
    SELECT object_id, count(*) AS rows FROM staging_events GROUP BY object_id
    UNION ALL
    SELECT object_id, count(*) FROM staging_songs GROUP BY object_id
) AS found_rows USING (object_id)
LEFT JOIN (
    SELECT object_id, count(*) AS rejects FROM load_errors GROUP BY object_id
) AS found_rejects USING (object_id)
WHERE staged = coalesce(rows, 0)
  AND rejected = coalesce(rejects, 0);
