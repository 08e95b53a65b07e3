-- The loads that were published, the last one first.
SELECT json_build_object(
    'run', run,
    'mode', mode,
    'started_at', to_char(started_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'finished_at', to_char(finished_at, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'seconds', extract(epoch FROM finished_at - started_at),
    'settings', settings::JSON,
    'listed', listed,
    'loaded', loaded,
    'unchanged', unchanged,
    'skipped', skipped,
    'gone', gone,
    'bytes', bytes,
    'records', records,
    'taken', taken,
    'filtered', filtered,
    'rejected', rejected,
    'rows', json_build_object(
        'songplays', songplays,
        'users', users,
        'songs', songs,
        'artists', artists,
        'time', "time",
        'staging_events', staging_events,
        'staging_songs', staging_songs
    )
)
FROM load_runs
ORDER BY run DESC;
