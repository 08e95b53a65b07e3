ALTER TABLE songplays ADD PRIMARY KEY (songplay_id);
ALTER TABLE time ADD PRIMARY KEY (start_time);
ALTER TABLE songs ADD PRIMARY KEY (song_id);
ALTER TABLE artists ADD PRIMARY KEY (artist_id);
ALTER TABLE users ADD PRIMARY KEY (user_id);
ALTER TABLE load_runs ADD PRIMARY KEY (run);
ALTER TABLE load_objects ADD PRIMARY KEY (object_id, run);
CREATE UNIQUE INDEX IF NOT EXISTS staging_events_place ON staging_events (object_id, record_no);
CREATE UNIQUE INDEX IF NOT EXISTS staging_songs_place ON staging_songs (object_id, record_no);
