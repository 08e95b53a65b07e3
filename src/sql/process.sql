-- The server's process of this session. The embedded PostgreSQL may know none.
SELECT pg_backend_pid(), (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid());
