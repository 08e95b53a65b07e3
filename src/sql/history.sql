-- The loads that were published, the last one first.
SELECT run,
       mode,
       to_char(started_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS started_at,
       to_char(finished_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS finished_at,
       -- In two parts: the seconds of an epoch are whole for Redshift.
       extract(epoch FROM date_trunc('second', finished_at)) - extract(epoch FROM date_trunc('second', started_at))
           + (CAST(to_char(finished_at, 'MS') AS INT) - CAST(to_char(started_at, 'MS') AS INT)) / 1000.0 AS seconds,
       settings,
       listed,
       loaded,
       unchanged,
       skipped,
       gone,
       bytes,
       records,
       taken,
       filtered,
       rejected,
       songplays,
       users,
       songs,
       artists,
       "time",
       staging_events,
       staging_songs,
       unknown_members
FROM load_runs
ORDER BY run DESC;
