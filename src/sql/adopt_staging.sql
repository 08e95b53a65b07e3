-- Lets rows be added to the staging tables of an unfinished load as fast as to new ones.
DROP INDEX IF EXISTS
    staging_events_place, staging_songs_place, staging_events_user, staging_events_song, staging_songs_title,
    staging_songs_song, staging_songs_artist;
