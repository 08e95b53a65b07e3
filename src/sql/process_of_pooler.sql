-- Names the server's process. To take a lock and give it back leaves nothing behind, but makes RDS Proxy keep the session
-- for its client.
SELECT pg_backend_pid(),
       pg_try_advisory_lock_shared(hashtext('sparkload pooler'), pg_backend_pid())
       AND pg_advisory_unlock_shared(hashtext('sparkload pooler'), pg_backend_pid());
