-- Ends the processes $1 that began at the moments $2, and returns those that are still there. A process id alone may
-- be another's by now.
SELECT pg_terminate_backend(pid)
FROM pg_stat_activity
JOIN unnest($1::INT[], $2::TIMESTAMPTZ[]) AS old (pid, backend_start) USING (pid, backend_start)
WHERE pid <> pg_backend_pid()
  AND usename = session_user;
