-- The columns of the primary key of each table in the schema $1.
SELECT relname::TEXT, array_agg(attname::TEXT ORDER BY array_position(indkey, attnum))
FROM pg_namespace
JOIN pg_class ON relnamespace = pg_namespace.oid
JOIN pg_index ON indrelid = pg_class.oid
JOIN pg_attribute ON attrelid = pg_class.oid AND attnum = ANY (indkey)
WHERE nspname = $1
  AND indisprimary
GROUP BY relname;
