-- What the process $1, which began at $2 in the server that was started at $3 (NULL where that is not known), does; nothing
-- but same_server where it is gone. Who holds the lock that it waits for is named.
SELECT pg_postmaster_start_time() = coalesce($3::TIMESTAMPTZ, pg_postmaster_start_time()) AS same_server,
       process.backend_start,
       process.state,
       process.wait_event_type,
       process.wait_event,
       (SELECT string_agg(format('%s, process %s%s',
                                 coalesce(nullif(holder.application_name, ''), 'a client'),
                                 holder.pid,
                                 ', logged in as ' || holder.usename),
                          ' and ')
        FROM pg_stat_activity AS holder
        WHERE process.wait_event_type = 'Lock'
          AND holder.pid = ANY (pg_blocking_pids(process.pid))) AS holder
FROM (SELECT) AS one
LEFT JOIN pg_stat_activity AS process ON process.pid = $1 AND process.backend_start = coalesce($2, process.backend_start);
