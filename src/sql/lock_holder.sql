-- Who holds the lock $1 ('sparkload' or 'sparkload loading') of the schema $2.
SELECT format('%s, process %s%s%s%s%s',
              coalesce(nullif(activity.application_name, ''), 'a client'),
              activity.pid,
              ', logged in as ' || activity.usename,
              ' from ' || host(activity.client_addr),
              ' since ' || date_trunc('second', activity.backend_start),
              -- Everyone who may connect may lock.
              CASE WHEN EXISTS (
                       SELECT FROM pg_namespace
                       WHERE nspname = $2 AND NOT has_schema_privilege(activity.usesysid, oid, 'USAGE')
                   )
                   THEN '; it may not use the schema and so is no load: end it by pg_terminate_backend(' || activity.pid || ')'
              END)
FROM pg_locks AS lock
JOIN pg_stat_activity AS activity USING (pid)
WHERE lock.locktype = 'advisory'
  AND lock.granted
  AND lock.objsubid = 2
  AND lock.classid = (hashtext($1)::BIGINT & 4294967295)::OID
  AND lock.objid = (hashtext($2)::BIGINT & 4294967295)::OID
  AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY activity.backend_start, activity.pid
LIMIT 1;
