-- Makes a session one of the load whose private schema is $1: it works there, and shows that the load lives for as
-- long as it is connected. A load that clears the schema away holds the same lock alone.
SELECT set_config('search_path', quote_ident($1), false),
       pg_try_advisory_lock_shared(hashtext('sparkload loading'), hashtext($1)),
       to_regnamespace(quote_ident($1)) IS NOT NULL;
