-- The server's process of this session, and when the server was started. The embedded PostgreSQL may know no process.
SELECT pg_backend_pid(),
       (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()),
       pg_postmaster_start_time();
