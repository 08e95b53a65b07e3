-- Ends the processes $1 that began at the moments $2 and work for the load whose private schema is $3, and returns those
-- that are still there. A process id alone may be another's by now; and a process may serve another client of a pooler,
-- which has given up the lock that each session of a load holds.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
JOIN unnest($1::INT[], $2::TIMESTAMPTZ[]) AS old (pid, backend_start) USING (pid, backend_start)
WHERE pid <> pg_backend_pid()
  AND usename = session_user
  AND pid IN (
      SELECT lock.pid
      FROM pg_locks AS lock
      WHERE lock.locktype = 'advisory'
        AND lock.objsubid = 2
        AND lock.classid = (hashtext('sparkload loading')::BIGINT & 4294967295)::OID
        AND lock.objid = (hashtext($3)::BIGINT & 4294967295)::OID
        AND lock.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  );
