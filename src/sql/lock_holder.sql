-- Who holds the lock $1 ('sparkload' or 'sparkload loading') of the schema $2.
SELECT format('%s, process %s%s%s%s',
              coalesce(nullif(activity.application_name, ''), 'a client'),
              activity.pid,
              ', logged in as ' || activity.usename,
              ' from ' || host(activity.client_addr),
              ' since ' || date_trunc('second', activity.backend_start))
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
