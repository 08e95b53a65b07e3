-- Those of the tables $2 of the schema $1 whose rows no subscriber could tell, and whether a publication sends changes of
-- them: such a table takes no UPDATE or DELETE.
SELECT relname::TEXT,
       EXISTS (
           SELECT
           FROM pg_publication_tables
           JOIN pg_publication USING (pubname)
           WHERE schemaname = $1
             AND tablename = relname
             AND (pubupdate OR pubdelete)
       )
FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE nspname = $1
  AND relname = ANY ($2)
  AND relkind = 'r'
  AND relreplident <> 'f'
  AND NOT EXISTS (
      SELECT
      FROM pg_index
      WHERE indrelid = pg_class.oid
        AND CASE relreplident WHEN 'd' THEN indisprimary WHEN 'i' THEN indisreplident END
  );
