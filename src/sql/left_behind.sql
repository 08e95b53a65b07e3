-- The schemas that killed loads have left behind: those that bear the mark $1.
SELECT nspname FROM pg_namespace WHERE obj_description(oid, 'pg_namespace') = $1;
