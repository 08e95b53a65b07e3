ANALYZE songplays;
ANALYZE staging_events;
ANALYZE staging_songs;
ANALYZE songs;
ANALYZE artists;
ANALYZE users;
ANALYZE time;
ANALYZE load_objects;
