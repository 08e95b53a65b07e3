-- What an incremental load looks rows up by, so that its cost follows what has changed and not what is there.

-- The latest event of a user.
CREATE INDEX IF NOT EXISTS staging_events_user ON staging_events
    (user_id, ts DESC NULLS LAST, session_id DESC NULLS LAST, item_in_session DESC NULLS LAST);

-- The plays of a song, and the songs of a play. A title may be longer than an index entry, its beginning is not.
CREATE INDEX IF NOT EXISTS staging_events_song ON staging_events (left(song, 100) COLLATE "C")
    WHERE page = 'NextSong';
CREATE INDEX IF NOT EXISTS staging_songs_title ON staging_songs (left(title, 100) COLLATE "C");

-- All records of a song, and of an artist.
CREATE INDEX IF NOT EXISTS staging_songs_song ON staging_songs (song_id);
CREATE INDEX IF NOT EXISTS staging_songs_artist ON staging_songs (artist_id);

-- Whether a moment is still that of a play.
CREATE INDEX IF NOT EXISTS songplays_start_time ON songplays (start_time);

-- The versions of objects whose rows are there.
CREATE INDEX IF NOT EXISTS load_objects_current ON load_objects (object_id) WHERE replaced_by IS NULL;
