-- What Redshift has in its own schemas and PostgreSQL has not. The columns are those that AWS documents; many are CHAR,
-- so their values come padded.

CREATE SCHEMA redshift_stand_in;
GRANT USAGE ON SCHEMA redshift_stand_in TO PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA redshift_stand_in GRANT SELECT ON TABLES TO PUBLIC;
-- What AWS's "Default database user permissions" give to all.
GRANT CREATE, USAGE ON SCHEMA public TO PUBLIC;

CREATE TABLE redshift_stand_in.stl_load_errors (
    userid int NOT NULL DEFAULT 100,
    slice int NOT NULL DEFAULT 0,
    tbl int,
    starttime timestamp NOT NULL DEFAULT (clock_timestamp() AT TIME ZONE 'UTC'),
    session int,
    query int,
    filename char(256),
    line_number bigint,
    colname char(127),
    type char(10),
    col_length char(10),
    position int,
    raw_line char(1024),
    raw_field_value char(1024),
    err_code int,
    err_reason char(100),
    is_partial int NOT NULL DEFAULT 0,
    start_offset bigint NOT NULL DEFAULT 0,
    copy_job_id bigint
);

CREATE VIEW redshift_stand_in.sys_load_error_detail AS
SELECT
    userid AS user_id,
    query::bigint AS query_id,
    0::bigint AS transaction_id,
    session AS session_id,
    current_database()::char(64) AS database_name,
    tbl AS table_id,
    starttime AS start_time,
    filename AS file_name,
    line_number,
    colname AS column_name,
    type AS column_type,
    col_length AS column_length,
    position,
    err_code AS error_code,
    err_reason::char(512) AS error_message,
    copy_job_id
FROM redshift_stand_in.stl_load_errors;

CREATE TABLE redshift_stand_in.stv_slices (node int, slice int, localslice int, type char(1));

CREATE VIEW redshift_stand_in.svv_transactions AS
SELECT
    a.usename::text AS txn_owner,
    a.datname::text AS txn_db,
    a.backend_xid::text::bigint AS xid,
    a.pid,
    a.xact_start AT TIME ZONE 'UTC' AS txn_start,
    l.mode AS lock_mode,
    l.locktype AS lockable_object_type,
    l.relation::int AS relation,
    l.granted
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE a.datname = current_database() AND a.xact_start IS NOT NULL;

CREATE VIEW redshift_stand_in.svv_table_info AS
SELECT
    current_database()::text AS database,
    n.nspname::text AS schema,
    c.oid::int AS table_id,
    c.relname::text AS "table",
    split_part(obj_description(c.oid, 'pg_class'), ';', 1) AS diststyle,
    nullif(split_part(split_part(obj_description(c.oid, 'pg_class'), ';', 2), ',', 1), '') AS sortkey1,
    c.reltuples::numeric AS tbl_rows
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND obj_description(c.oid, 'pg_class') IS NOT NULL;

-- Redshift's AVG of whole numbers is a whole number.
CREATE FUNCTION redshift_stand_in.avg_step(numeric[], bigint) RETURNS numeric[] IMMUTABLE LANGUAGE sql
AS 'SELECT CASE WHEN $2 IS NULL THEN $1 ELSE ARRAY[$1[1] + $2, $1[2] + 1] END';
CREATE FUNCTION redshift_stand_in.avg_step(numeric[], int) RETURNS numeric[] IMMUTABLE LANGUAGE sql
AS 'SELECT redshift_stand_in.avg_step($1, $2::bigint)';
CREATE FUNCTION redshift_stand_in.avg_step(numeric[], smallint) RETURNS numeric[] IMMUTABLE LANGUAGE sql
AS 'SELECT redshift_stand_in.avg_step($1, $2::bigint)';
CREATE FUNCTION redshift_stand_in.avg_step(numeric[], numeric) RETURNS numeric[] IMMUTABLE LANGUAGE sql
AS 'SELECT CASE WHEN $2 IS NULL THEN $1 ELSE ARRAY[$1[1] + $2, $1[2] + 1] END';
CREATE FUNCTION redshift_stand_in.avg_step(float8[], float8) RETURNS float8[] IMMUTABLE LANGUAGE sql
AS 'SELECT CASE WHEN $2 IS NULL THEN $1 ELSE ARRAY[$1[1] + $2, $1[2] + 1] END';
CREATE FUNCTION redshift_stand_in.avg_whole(numeric[]) RETURNS bigint IMMUTABLE LANGUAGE sql
AS 'SELECT trunc($1[1] / nullif($1[2], 0))::bigint';
CREATE FUNCTION redshift_stand_in.avg_exact(numeric[]) RETURNS numeric IMMUTABLE LANGUAGE sql
AS 'SELECT $1[1] / nullif($1[2], 0)';
CREATE FUNCTION redshift_stand_in.avg_float(float8[]) RETURNS float8 IMMUTABLE LANGUAGE sql
AS 'SELECT $1[1] / nullif($1[2], 0)';
CREATE AGGREGATE redshift_stand_in.avg(smallint)
    (sfunc = redshift_stand_in.avg_step, stype = numeric[], finalfunc = redshift_stand_in.avg_whole, initcond = '{0,0}');
CREATE AGGREGATE redshift_stand_in.avg(int)
    (sfunc = redshift_stand_in.avg_step, stype = numeric[], finalfunc = redshift_stand_in.avg_whole, initcond = '{0,0}');
CREATE AGGREGATE redshift_stand_in.avg(bigint)
    (sfunc = redshift_stand_in.avg_step, stype = numeric[], finalfunc = redshift_stand_in.avg_whole, initcond = '{0,0}');
CREATE AGGREGATE redshift_stand_in.avg(numeric)
    (sfunc = redshift_stand_in.avg_step, stype = numeric[], finalfunc = redshift_stand_in.avg_exact, initcond = '{0,0}');
CREATE AGGREGATE redshift_stand_in.avg(float8)
    (sfunc = redshift_stand_in.avg_step, stype = float8[], finalfunc = redshift_stand_in.avg_float, initcond = '{0,0}');

-- Redshift rounds a DOUBLE PRECISION to any number of places.
-- Redshift's knows ASCII alone.
CREATE FUNCTION redshift_stand_in.chr(int) RETURNS text IMMUTABLE LANGUAGE sql
    AS 'SELECT CASE WHEN $1 < 128 THEN pg_catalog.chr($1) END';
CREATE FUNCTION redshift_stand_in.round(numeric) RETURNS numeric IMMUTABLE LANGUAGE sql AS 'SELECT round($1)';
CREATE FUNCTION redshift_stand_in.round(numeric, int) RETURNS numeric IMMUTABLE LANGUAGE sql AS 'SELECT round($1, $2)';
CREATE FUNCTION redshift_stand_in.round(float8) RETURNS float8 IMMUTABLE LANGUAGE sql
AS 'SELECT round($1::numeric)::float8';
CREATE FUNCTION redshift_stand_in.round(float8, int) RETURNS float8 IMMUTABLE LANGUAGE sql
AS 'SELECT round($1::numeric, $2)::float8';

-- What is compared of a value: of text, all but the trailing blanks.
CREATE FUNCTION redshift_stand_in.compared(text) RETURNS text IMMUTABLE LANGUAGE sql AS 'SELECT rtrim($1, '' '')';
CREATE FUNCTION redshift_stand_in.compared("char") RETURNS "char" IMMUTABLE LANGUAGE sql AS 'SELECT $1';
CREATE FUNCTION redshift_stand_in.compared(anyelement) RETURNS anyelement IMMUTABLE LANGUAGE sql AS 'SELECT $1';

-- SUPER is JSONB here.
CREATE FUNCTION redshift_stand_in.json_parse(text) RETURNS jsonb IMMUTABLE STRICT LANGUAGE sql AS 'SELECT $1::jsonb';
CREATE VIEW redshift_stand_in.columns AS
SELECT table_schema, table_name, column_name, ordinal_position, is_nullable,
       CASE data_type WHEN 'jsonb' THEN 'super' ELSE data_type END AS data_type,
       character_maximum_length
FROM information_schema.columns;
