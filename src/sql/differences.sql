-- How the tables $3 of the schema $1 differ from those of the same name in the schema $2, which are as they should be.
WITH columns AS (
    SELECT nspname, relname::TEXT, relkind IN ('r', 'p') AS is_table, attnum, attname,
           format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END AS type
    FROM pg_namespace
    JOIN pg_class ON relnamespace = pg_namespace.oid
    JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE nspname IN ($1, $2)
      AND relname = ANY ($3)
      AND attnum > 0
      AND NOT attisdropped
),
live AS (SELECT * FROM columns WHERE nspname = $1 AND is_table),
expected AS (SELECT * FROM columns WHERE nspname = $2 AND relname IN (SELECT relname FROM live))
SELECT DISTINCT relname, 0 AS attnum, relname || ' is no table' AS difference
FROM columns
WHERE nspname = $1
  AND NOT is_table
UNION ALL
SELECT relname, coalesce(expected.attnum, 9999),
       CASE
           WHEN live.type IS NULL THEN format('%s lacks %s %s', relname, attname, expected.type)
           WHEN expected.type IS NULL THEN format('%s has %s %s besides', relname, attname, live.type)
           ELSE format('%s.%s is %s instead of %s', relname, attname, live.type, expected.type)
       END
FROM live
FULL JOIN expected USING (relname, attname)
WHERE live.type IS DISTINCT FROM expected.type
ORDER BY 1, 2;
