-- The star schema, computed a second time: the oracle that a load's five star tables are compared with.
--
-- Reads staging_events, staging_songs and load_objects from the search_path and creates temporary views
-- oracle_songplays, oracle_users, oracle_songs, oracle_artists and oracle_time, with the columns and
-- types of the tables that they check. Plain PostgreSQL, 12 or later; runs in psql as it is:
--
--     psql -f tests/oracle.sql -c 'TABLE oracle_songplays EXCEPT TABLE songplays'
--
-- Written for clarity, not for speed. Every comparison and order of text is by bytes (COLLATE "C"),
-- whatever the database's collation.


-- The records with the names of their objects: "the last" goes by those. Ids depend on the loads before.
CREATE OR REPLACE TEMP VIEW oracle_place AS
SELECT object_id, object
FROM load_objects
WHERE replaced_by IS NULL;

CREATE OR REPLACE TEMP VIEW oracle_song_records AS
SELECT * FROM staging_songs LEFT JOIN oracle_place USING (object_id);

CREATE OR REPLACE TEMP VIEW oracle_events AS
SELECT * FROM staging_events LEFT JOIN oracle_place USING (object_id);


-- One row per song_id: its last record in (object, record) order.
CREATE OR REPLACE TEMP VIEW oracle_catalog AS
SELECT DISTINCT ON (song_id COLLATE "C") *
FROM oracle_song_records
ORDER BY song_id COLLATE "C", object COLLATE "C" DESC, record_no DESC;


CREATE OR REPLACE TEMP VIEW oracle_songs AS
SELECT song_id, title, artist_id, year, duration
FROM oracle_catalog;


-- All song records have a say, also those that their song_id's last record replaced. Of an artist's records
-- the one with most places filled in; then the smallest song_id; then the last in (object, record) order.
CREATE OR REPLACE TEMP VIEW oracle_artists AS
SELECT DISTINCT ON (artist_id COLLATE "C")
       artist_id,
       artist_name      AS name,
       artist_location  AS location,
       artist_latitude  AS latitude,
       artist_longitude AS longitude
FROM oracle_song_records
ORDER BY artist_id COLLATE "C",
         num_nonnulls(nullif(artist_location COLLATE "C", ''), artist_latitude, artist_longitude) DESC,
         song_id COLLATE "C",
         object COLLATE "C" DESC,
         record_no DESC;


-- The attributes of a user are those of the latest event, whatever its page; a missing value is the lowest.
CREATE OR REPLACE TEMP VIEW oracle_users AS
SELECT DISTINCT ON (user_id) user_id, first_name, last_name, gender, level
FROM oracle_events
WHERE user_id IS NOT NULL
ORDER BY user_id,
         ts DESC NULLS LAST,
         session_id DESC NULLS LAST,
         item_in_session DESC NULLS LAST,
         object COLLATE "C" DESC,
         record_no DESC;


-- The plays before they are matched. Days and the milliseconds of the day are added apart: an interval is
-- multiplied in floating point, which is exact for each of the two, but not for all milliseconds at once.
CREATE OR REPLACE TEMP VIEW oracle_plays AS
SELECT object_id * 4294967296 + record_no AS songplay_id,
       timestamp 'epoch'
           + ts / 86400000 * interval '1 day'
           + ts % 86400000 * interval '1 millisecond' AS start_time,
       user_id, level, session_id, location, user_agent,
       song, artist, length
FROM oracle_events
WHERE page COLLATE "C" = 'NextSong';


-- Title, artist and duration must be equal; of several such songs the smallest song_id.
CREATE OR REPLACE TEMP VIEW oracle_songplays AS
WITH match AS (
    SELECT DISTINCT ON (title COLLATE "C", artist_name COLLATE "C", duration)
           title, artist_name, duration, song_id, artist_id
    FROM oracle_catalog
    ORDER BY title COLLATE "C", artist_name COLLATE "C", duration, song_id COLLATE "C"
)
SELECT play.songplay_id, play.start_time, play.user_id, play.level,
       match.song_id, match.artist_id,
       play.session_id, play.location, play.user_agent
FROM oracle_plays AS play
LEFT JOIN match
       ON match.title COLLATE "C" = play.song
      AND match.artist_name COLLATE "C" = play.artist
      AND match.duration = play.length;


-- For --match title-artist: the same without the duration.
CREATE OR REPLACE TEMP VIEW oracle_songplays_title_artist AS
WITH match AS (
    SELECT DISTINCT ON (title COLLATE "C", artist_name COLLATE "C")
           title, artist_name, song_id, artist_id
    FROM oracle_catalog
    ORDER BY title COLLATE "C", artist_name COLLATE "C", song_id COLLATE "C"
)
SELECT play.songplay_id, play.start_time, play.user_id, play.level,
       match.song_id, match.artist_id,
       play.session_id, play.location, play.user_agent
FROM oracle_plays AS play
LEFT JOIN match
       ON match.title COLLATE "C" = play.song
      AND match.artist_name COLLATE "C" = play.artist;

-- For --matched-only: either of the two, WHERE song_id IS NOT NULL; oracle_time then shrinks with it.


CREATE OR REPLACE TEMP VIEW oracle_time AS
SELECT DISTINCT
       start_time,
       extract(hour  FROM start_time)::int AS hour,
       extract(day   FROM start_time)::int AS day,
       extract(week  FROM start_time)::int AS week,
       extract(month FROM start_time)::int AS month,
       extract(year  FROM start_time)::int AS year,
       extract(dow   FROM start_time)::int AS weekday
FROM oracle_songplays;
