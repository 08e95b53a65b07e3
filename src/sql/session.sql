-- Makes a session one of the load whose private schema is $1: it works there, and shows that the load lives for as
-- long as it is connected. A load that clears the schema away holds the same lock alone. A schema of that name which
-- belongs to another role is not the load's. Row-level security is to fail it where it would hide rows, from which the
-- tables would be made as if they were all.
SELECT set_config('search_path', quote_ident($1), false),
       pg_try_advisory_lock_shared(hashtext('sparkload loading'), hashtext($1)),
       EXISTS (SELECT FROM pg_namespace WHERE nspname = $1 AND pg_get_userbyid(nspowner) = current_user),
       set_config('row_security', 'off', false);
