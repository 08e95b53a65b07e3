-- The schemas that bear the mark $1 of unfinished loads, with their owners. Whoever may make schemas can mark one, so
-- the mark alone says nothing: only those of the role that asks are looked into.
SELECT nspname::TEXT,
       pg_get_userbyid(nspowner)::TEXT,
       pg_get_userbyid(nspowner) = current_user
FROM pg_namespace
WHERE obj_description(oid, 'pg_namespace') = $1
ORDER BY nspname;
