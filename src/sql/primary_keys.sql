-- The tables of the schema $1, each with the columns of its primary key, or NULL where it has none.
SELECT relname::TEXT,
       (SELECT array_agg(attname::TEXT ORDER BY array_position(indkey, attnum))
        FROM pg_index
        JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
        WHERE indrelid = pg_class.oid
          AND indisprimary)
FROM pg_class
JOIN pg_namespace ON relnamespace = pg_namespace.oid
WHERE nspname = $1
  AND relkind IN ('r', 'p');
