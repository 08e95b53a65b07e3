-- By what logical replication tells the rows of tables that have no primary key. Without it they would take no UPDATE or
-- DELETE while a publication covers them, and a subscriber could not find the rows.
ALTER TABLE staging_events REPLICA IDENTITY USING INDEX staging_events_place;
ALTER TABLE staging_songs REPLICA IDENTITY USING INDEX staging_songs_place;
ALTER TABLE load_errors REPLICA IDENTITY FULL;
