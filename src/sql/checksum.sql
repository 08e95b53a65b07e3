-- The result of a load: a row for each table of the star, and one for the star, with a checksum that depends on the
-- rows and not on their order. It is the same wherever the text of a value is the same.
SET datestyle = 'ISO';
SET extra_float_digits = 1;

WITH
sums AS (
    SELECT 'artists' AS name, count(*) AS n, sum(hashtextextended(it::text, 0)) AS hashes FROM artists AS it
    UNION ALL
    SELECT 'songplays', count(*), sum(hashtextextended(it::text, 0)) FROM songplays AS it
    UNION ALL
    SELECT 'songs', count(*), sum(hashtextextended(it::text, 0)) FROM songs AS it
    UNION ALL
    SELECT 'time', count(*), sum(hashtextextended(it::text, 0)) FROM "time" AS it
    UNION ALL
    SELECT 'users', count(*), sum(hashtextextended(it::text, 0)) FROM users AS it
),
texts AS (
    SELECT name, n, concat_ws(' ', name, n, hashes) AS content FROM sums
)
SELECT name, n, to_hex(hashtextextended(content, 0)) AS checksum FROM texts
UNION ALL
SELECT 'star', sum(n), to_hex(hashtextextended(string_agg(content, ', ' ORDER BY content), 0)) FROM texts;
