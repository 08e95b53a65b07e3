-- The star, by DuckDB: from the JSON of :source into the attached PostgreSQL.

CREATE TEMP TABLE song_records AS
SELECT
    *,
    (coalesce(artist_location, '') <> '')::INT
    + (artist_latitude IS NOT NULL)::INT
    + (artist_longitude IS NOT NULL)::INT AS known
FROM read_json(
    ':source/song_data/**/*.json',
    format = 'newline_delimited',
    filename = true,
    columns = {
        artist_id: 'VARCHAR', artist_latitude: 'DOUBLE', artist_longitude: 'DOUBLE', artist_location: 'VARCHAR',
        artist_name: 'VARCHAR', song_id: 'VARCHAR', title: 'VARCHAR', duration: 'DOUBLE', year: 'INT'
    }
);

CREATE TEMP TABLE catalog AS
SELECT DISTINCT ON (song_id) *
FROM song_records
ORDER BY song_id, filename DESC;

CREATE TEMP TABLE events AS
SELECT *, try_cast("userId" AS INT) AS user_id
FROM read_json(
    ':source/log_data/**/*.json',
    format = 'newline_delimited',
    filename = true,
    columns = {
        artist: 'VARCHAR', "firstName": 'VARCHAR', gender: 'VARCHAR', "itemInSession": 'INT', "lastName": 'VARCHAR',
        length: 'DOUBLE', level: 'VARCHAR', location: 'VARCHAR', page: 'VARCHAR', "sessionId": 'INT',
        song: 'VARCHAR', ts: 'BIGINT', "userAgent": 'VARCHAR', "userId": 'VARCHAR'
    }
);

CREATE TEMP TABLE plays AS
SELECT row_number() OVER () AS songplay_id, make_timestamp(ts * 1000) AS start_time, events.*
FROM events
WHERE page = 'NextSong' AND user_id IS NOT NULL;

INSERT INTO target.:schema.songplays
SELECT
    songplay_id, start_time, user_id, level, match.song_id, match.artist_id, "sessionId", location, "userAgent"
FROM plays
LEFT JOIN (
    SELECT DISTINCT ON (title, artist_name, duration) *
    FROM catalog
    ORDER BY title, artist_name, duration, song_id
) AS match
ON song = match.title AND artist = match.artist_name AND length = match.duration;

INSERT INTO target.:schema.users
SELECT DISTINCT ON (user_id) user_id, "firstName", "lastName", gender, level
FROM events
WHERE user_id IS NOT NULL
ORDER BY user_id, ts DESC, "sessionId" DESC, "itemInSession" DESC, filename DESC;

INSERT INTO target.:schema.songs
SELECT song_id, title, artist_id, year, duration
FROM catalog;

INSERT INTO target.:schema.artists
SELECT DISTINCT ON (artist_id) artist_id, artist_name, artist_location, artist_latitude, artist_longitude
FROM song_records
ORDER BY artist_id, known DESC, song_id, filename DESC;

INSERT INTO target.:schema.time
SELECT
    start_time,
    hour(start_time), day(start_time), weekofyear(start_time), month(start_time), year(start_time),
    dayofweek(start_time)
FROM (SELECT DISTINCT start_time FROM plays)
ORDER BY start_time;
