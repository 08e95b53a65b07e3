-- Enters a run and its books; the rows that each table holds are its own.
INSERT INTO load_runs (
    run, token, mode, started_at, finished_at, settings,
    listed, loaded, unchanged, skipped, gone, bytes,
    records, taken, filtered, rejected,
    songplays, users, songs, artists, "time", staging_events, staging_songs, unknown_members
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24);
