//! Statements: what is accepted, what is refused, and with which error.

use sqlparser::dialect::RedshiftSqlDialect;
use sqlparser::parser::Parser;

use super::{connect, refusal, rows, start, with_tables};

/// What is accepted, and the rows that it gives.
const KNOWN: &[(&str, &str)] = &[
    ("SELECT 1", "1"),
    ("SHOW search_path", "s"),
    ("SET statement_timeout TO 5000", ""),
    ("SET search_path TO \"s\"", ""),
    ("SET application_name TO 'sparkload'", ""),
    ("SET datestyle TO ISO", ""),
    ("SET timezone TO 'UTC'", ""),
    ("SET query_group TO 'sparkload'", ""),
    ("SET enable_result_cache_for_session TO off", ""),
    ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE", ""),
    ("SELECT count(*) FROM stv_slices", "4"),
    ("SELECT current_schema()", "s"),
    ("SELECT has_schema_privilege('s', 'CREATE')", "t"),
    ("SELECT pg_last_copy_count(), pg_last_copy_id()", "0|-1"),
    ("SELECT len(current_namespace), db_collation()", "36|case_sensitive"),
    // Queries.
    ("SELECT a, b FROM t ORDER BY a DESC NULLS LAST LIMIT 1", "2|two"),
    ("WITH x AS (SELECT a FROM t) SELECT count(*), sum(a), min(a), max(a) FROM x", "2|3|1|2"),
    ("SELECT a FROM t EXCEPT SELECT 2", "1"),
    ("SELECT a FROM t INTERSECT SELECT 2", "2"),
    ("SELECT 'x' UNION ALL SELECT b FROM t WHERE a = 1", "x / one"),
    ("SELECT t.a FROM t LEFT JOIN u ON t.a = u.a WHERE u.a IS NULL ORDER BY 1", "1 / 2"),
    ("SELECT a FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.a = t.a) AND a IN (1, 3)", "1"),
    (
        "SELECT a, ROW_NUMBER() OVER (PARTITION BY b ORDER BY a DESC NULLS LAST) FROM t ORDER BY 1",
        "1|1 / 2|1",
    ),
    ("SELECT sum(a) OVER (ORDER BY a ROWS UNBOUNDED PRECEDING) FROM t", "1 / 3"),
    ("SELECT b, count(*) FROM t GROUP BY b HAVING count(*) > 0 ORDER BY b", "one|1 / two|1"),
    ("SELECT listagg(b, ',') WITHIN GROUP (ORDER BY a) FROM t", "one,two"),
    ("SELECT avg(a), avg(d) FROM t", "1|1.5"),
    ("EXPLAIN INSERT INTO u SELECT a, b FROM t WHERE 1 = 2", "*"),
    // Expressions.
    ("SELECT e >> 32, e << 1, e & 1, e | 1 FROM t WHERE a = 1", "1|8589934592|0|4294967297"),
    ("SELECT a::BIGINT << 32 FROM t WHERE a = 1", "4294967296"),
    ("SELECT timestamp 'epoch' + 1541030400 * interval '1 second'", "2018-11-01 00:00:00"),
    (
        "SELECT dateadd(second, 90, c), dateadd('day', -1, c) FROM t WHERE a = 1",
        "2018-11-01 00:01:30|2018-10-31 00:00:00",
    ),
    ("SELECT dateadd(ms, 796, timestamp '2018-11-21 21:56:47')", "2018-11-21 21:56:47.796"),
    ("SELECT datediff(day, '2018-11-01 23:00:00', '2018-11-02 01:00:00')", "1"),
    (
        "SELECT extract(week FROM c), extract(epoch FROM c), date_part(dow, c) FROM t WHERE a = 1",
        "44|1541030400|4",
    ),
    (
        "SELECT date_trunc('hour', c), to_char(c, 'YYYY') FROM t WHERE a = 1",
        "2018-11-01 00:00:00|2018",
    ),
    ("SELECT nvl(c, getdate()) IS NOT NULL, sysdate > c FROM t WHERE a = 1", "t|t"),
    (
        "SELECT len(b), octet_length('é'), lower('A'), left(b, 1), right(b, 1) FROM t WHERE a = 1",
        "3|2|a|o|e",
    ),
    (
        "SELECT decode(a, 1, 'x', 'y'), CASE WHEN a > 1 THEN 'more' ELSE 'less' END FROM t",
        "x|less / y|more",
    ),
    (
        "SELECT concat('a', NULL) IS NULL, 'a' || 'b', md5('a')",
        "t|ab|0cc175b9c0f1b6a831c399e269772661",
    ),
    ("SELECT round(d, 0), floor(d), greatest(a, 5), nullif(a, 1) FROM t WHERE a = 1", "2|1|5|"),
    (
        "SELECT CAST('12' AS INTEGER) + 1, '1.5'::NUMERIC(5, 2), TRIM('  x '), position('n' IN 'one')",
        "13|1.50|x|2",
    ),
    ("SELECT chr(65), chr(127) IS NULL, chr(128) IS NULL, chr(233) IS NULL", "A|f|t|t"),
    ("SELECT 'a\\\\b', 'it''s', len('a\\tb'), 'it\\'s'", "a\\b|it's|3|it's"),
    // Trailing blanks.
    ("SELECT 'a ' = 'a', 'a ' > 'a', 'a ' || chr(1) = 'a' || chr(1), len('a ')", "t|f|f|2"),
    ("SELECT a FROM t WHERE b IN ('one ') OR b || ' ' = 'two' OR b BETWEEN 'x' AND 'y'", "1 / 2"),
    ("SELECT count(*) FROM t JOIN (SELECT 'one  ' AS b) AS other ON other.b = t.b", "1"),
    (
        "SELECT count(*) FROM (SELECT b FROM t UNION SELECT b || ' ' FROM t UNION SELECT 'one') AS all_of_them",
        "2",
    ),
    (
        "SELECT rank() OVER (ORDER BY b || CASE a WHEN 1 THEN '' ELSE ' ' END) FROM (SELECT a, 'x' AS b FROM t) AS x",
        "1 / 1",
    ),
    // Writing.
    ("INSERT INTO u VALUES (1, 'one'), (2, 'zwei'), (1, 'one')", ""),
    ("INSERT INTO u (a) SELECT a + 7 FROM t WHERE b = 'two'", ""),
    ("UPDATE u SET b = t.b FROM t WHERE t.a = u.a", ""),
    ("SELECT a, b FROM u ORDER BY a", "1|one / 1|one / 2|two / 9|"),
    ("DELETE FROM s.u USING s.t WHERE t.a = u.a AND t.b = 'one'", ""),
    ("SELECT \"old\".a FROM t AS \"old\" WHERE \"old\".a = 1", "1"),
    ("SELECT count(*) FROM u", "2"),
    ("DELETE FROM u", ""),
    ("TRUNCATE u", ""),
    ("ANALYZE t", ""),
    ("VACUUM t", ""),
    ("LOCK u", ""),
    ("LOCK TABLE u, t", ""),
    // Defining.
    ("CREATE SCHEMA IF NOT EXISTS \"other\"", ""),
    ("CREATE TABLE IF NOT EXISTS other.v (a INT PRIMARY KEY, b TEXT)", ""),
    ("CREATE TABLE IF NOT EXISTS other.v (a INT PRIMARY KEY, b TEXT)", ""),
    ("CREATE VIEW other.w AS SELECT a FROM t", ""),
    ("SELECT a FROM other.w ORDER BY a", "1 / 2"),
    ("DROP VIEW other.w", ""),
    ("CREATE TEMP TABLE delta_t (LIKE t)", ""),
    ("INSERT INTO delta_t SELECT * FROM t", ""),
    (
        "CREATE TEMP TABLE ranked AS SELECT a, ROW_NUMBER() OVER (PARTITION BY b ORDER BY a DESC NULLS LAST) AS n FROM t",
        "",
    ),
    ("CREATE TEMP TABLE everywhere DISTSTYLE ALL AS SELECT a, b FROM t", ""),
    ("CREATE TABLE made DISTKEY(a) COMPOUND SORTKEY(a, b) AS SELECT a, b FROM t", ""),
    ("SELECT count(*) FROM delta_t, ranked, everywhere, made", "16"),
    ("ALTER TABLE made RENAME TO remade", ""),
    ("ALTER TABLE remade ADD COLUMN z VARCHAR(3)", ""),
    ("ALTER TABLE remade DROP COLUMN z", ""),
    ("ALTER TABLE remade OWNER TO sparkload", ""),
    ("GRANT SELECT ON TABLE remade TO PUBLIC", ""),
    ("REVOKE SELECT ON TABLE remade FROM PUBLIC", ""),
    ("DROP TABLE IF EXISTS remade, delta_t", ""),
    ("CREATE TABLE \"a\"\"b\" (\"c\"\"d\" VARCHAR(3)); DROP TABLE \"a\"\"b\"", ""),
    ("DROP SCHEMA other CASCADE", ""),
    // Transactions.
    ("BEGIN; INSERT INTO u VALUES (1, 'x'); ROLLBACK", ""),
    ("START TRANSACTION; COMMIT; BEGIN TRANSACTION; END; BEGIN; ABORT", ""),
    ("SELECT count(*) FROM u", "0"),
    // The catalogs.
    (
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 's' AND c.relname = 't'",
        "t",
    ),
    (
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 's' ORDER BY 1",
        "t / u",
    ),
    (
        "SELECT \"table\", diststyle FROM svv_table_info WHERE schema = 's' ORDER BY 1",
        "t|EVEN / u|AUTO(ALL)",
    ),
    ("SELECT count(*) > 0 FROM svv_transactions WHERE pid = pg_backend_pid()", "t"),
    ("SELECT query, filename, err_reason FROM stl_load_errors", ""),
    ("SELECT query_id, file_name, error_message FROM sys_load_error_detail", ""),
];

#[tokio::test]
async fn what_redshift_knows_is_done() {
    let (redshift, _s3, client) = with_tables().await;
    for (sql, expected) in KNOWN {
        let rows = rows(&client, sql).await.join(" / ");
        if *expected != "*" {
            assert_eq!(rows, *expected, "{sql}");
        }
    }
    assert!(rows(&client, "SELECT version()").await[0].ends_with("Redshift 1.0.115179"));
    let came = redshift.statements();
    assert!(came.iter().any(|it| it == "LOCK TABLE u, t"), "{came:?}");
}

/// What is accepted although sqlparser's Redshift dialect does not parse it.
const UNPARSED: &[&str] = &["COMPOUND SORTKEY", "OWNER TO"];

#[test]
fn what_is_accepted_parses_in_the_dialect_of_redshift() {
    let parses = |sql: &str| Parser::parse_sql(&RedshiftSqlDialect {}, sql).is_ok();
    for (sql, _) in KNOWN {
        let is_known = UNPARSED.iter().any(|part| sql.contains(part));
        assert_eq!(parses(sql), !is_known, "{sql}");
    }
}

/// What is refused, and how the error begins.
const REFUSED: &[(&str, &str)] = &[
    // What loads into PostgreSQL rely on.
    ("COPY t FROM STDIN", "42601 syntax error at or near \"STDIN\""),
    ("COPY t TO STDOUT", "42601 syntax error at or near \"TO\""),
    ("COPY (SELECT 1) TO STDOUT", "42601"),
    (
        "INSERT INTO u VALUES (1, 'x') ON CONFLICT DO NOTHING",
        "42601 syntax error at or near \"ON\"",
    ),
    ("INSERT INTO u VALUES (1, 'x') RETURNING a", "42601 syntax error at or near \"RETURNING\""),
    ("UPDATE u SET a = 1 RETURNING a", "42601"),
    ("DELETE FROM u RETURNING a", "42601"),
    ("DELETE FROM u AS x USING t WHERE x.a = t.a", "42601"),
    (
        "DELETE FROM u USING t WHERE u.a > t.a",
        "0A000 Target table must be part of an equijoin predicate",
    ),
    ("DELETE FROM u USING t WHERE u.a = t.a OR u.b = t.b", "0A000"),
    ("UPDATE u SET b = x.b FROM (SELECT max(b) AS b FROM t) x", "0A000"),
    ("UPDATE u SET b = t.b FROM t WHERE t.a = 1", "0A000"),
    ("CREATE INDEX i ON t (a)", "0A000 CREATE INDEX is not supported"),
    ("CREATE UNIQUE INDEX i ON t (a)", "0A000"),
    ("SELECT pg_advisory_lock(1)", "42883 function pg_advisory_lock() does not exist"),
    ("SELECT pg_try_advisory_xact_lock(1)", "42883"),
    ("SELECT to_regclass('t')", "42883"),
    ("SELECT to_regnamespace('s')", "42883"),
    ("SELECT json_build_object('a', 1)", "42883"),
    ("SELECT num_nonnulls(a) FROM t", "42883"),
    ("SELECT format('%I', 'x')", "42883"),
    ("SELECT string_agg(b, ',') FROM t", "42883"),
    ("SELECT array_agg(a) FROM t", "42883"),
    ("SELECT unnest(a) FROM t", "42601"),
    ("SELECT pg_sleep(1)", "42883"),
    ("SELECT pg_catalog.count(a) FROM t", "42883"),
    ("CREATE TEMP VIEW x AS SELECT 1", "42601"),
    ("CREATE MATERIALIZED VIEW x AS SELECT 1", "42601"),
    ("CREATE TEMP TABLE x (a INT) ON COMMIT DROP", "42601 syntax error at or near \"ON\""),
    ("CREATE UNLOGGED TABLE x (a INT)", "0A000"),
    ("CREATE TABLE x (a SERIAL)", "0A000 Column type \"serial\" is not supported."),
    ("CREATE TABLE x (a BIGINT GENERATED ALWAYS AS IDENTITY)", "0A000"),
    ("CREATE TABLE x (a INT[])", "0A000"),
    ("CREATE TABLE x (a JSONB)", "0A000"),
    ("CREATE TABLE x (a UUID)", "0A000"),
    ("CREATE TABLE x (a INT CHECK (a > 0))", "0A000"),
    ("CREATE TABLE x (a VARCHAR(10) COLLATE \"C\")", "0A000"),
    ("CREATE TABLE IF NOT EXISTS x AS SELECT 1 AS a", "42601"),
    ("ALTER TABLE t SET SCHEMA other", "42601"),
    ("ALTER TABLE t ADD COLUMN x INT, ADD COLUMN y INT", "42601"),
    ("ALTER TABLE IF EXISTS t RENAME TO x", "42601"),
    ("ALTER TABLE t APPEND FROM u", "25001"),
    ("ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0)", "0A000"),
    ("COMMENT ON SCHEMA s IS 'x'", "42601"),
    ("LOCK TABLE t IN SHARE MODE", "42601 syntax error at or near \"IN\""),
    ("LOCK t NOWAIT", "42601"),
    ("SAVEPOINT x", "0A000 SAVEPOINT x is not supported"),
    ("MERGE INTO u USING t ON u.a = t.a WHEN MATCHED THEN DELETE", "0A000"),
    ("DO $$ BEGIN END $$", "42601"),
    ("CREATE FUNCTION f() RETURNS INT LANGUAGE sql AS 'SELECT 1'", "42601"),
    ("CREATE RULE r AS ON INSERT TO u DO NOTHING", "0A000"),
    ("CREATE TRIGGER r AFTER INSERT ON u EXECUTE FUNCTION f()", "4"),
    ("CREATE SEQUENCE q", "0A000"),
    ("UNLOAD ('SELECT 1') TO 's3://stage/x' IAM_ROLE 'arn'", "0A000"),
    ("NOTIFY x", "42601"),
    ("PREPARE p AS SELECT 1", "0A000"),
    ("DECLARE c CURSOR FOR SELECT 1", "0A000"),
    // Settings.
    (
        "SET extra_float_digits = 3",
        "42704 unrecognized configuration parameter \"extra_float_digits\"",
    ),
    ("SET standard_conforming_strings = on", "42704"),
    ("SET lock_timeout = 1", "42704"),
    ("SET synchronous_commit = off", "42704"),
    ("SHOW server_version_num", "42704"),
    // Queries.
    ("SELECT DISTINCT ON (a) a FROM t", "0A000"),
    ("SELECT FROM t", "42601"),
    ("SELECT x.a FROM t, LATERAL (SELECT t.a) x", "42601"),
    ("SELECT count(*) FILTER (WHERE a > 1) FROM t", "42601"),
    ("SELECT * FROM (VALUES (1), (2)) AS x (a)", "42601"),
    ("VALUES (1)", "42601"),
    ("SELECT * FROM generate_series(1, 3)", "0A000"),
    ("SELECT generate_series(1, 3)", "42883"),
    ("SELECT a FROM t FOR UPDATE", "0A000"),
    ("SELECT a FROM t FETCH FIRST 1 ROW ONLY", "42601"),
    ("SELECT a FROM t TABLESAMPLE SYSTEM (10)", "42601"),
    ("SELECT sum(a) OVER w FROM t WINDOW w AS (PARTITION BY b)", "42601"),
    ("WITH x AS MATERIALIZED (SELECT 1) SELECT * FROM x", "42601"),
    ("WITH x AS (DELETE FROM u) SELECT 1", "42601"),
    (
        "SELECT sum(a) OVER (ORDER BY a) FROM t",
        "42601 Aggregate window functions with an ORDER BY clause require",
    ),
    ("SELECT rank() OVER (ORDER BY a ROWS UNBOUNDED PRECEDING) FROM t", "42601"),
    ("SELECT a FROM ONLY t", "42601 syntax error at or near \"ONLY\""),
    ("DELETE FROM ONLY t", "42601"),
    ("UPDATE ONLY t SET a = 1", "42601"),
    ("SELECT * FROM (SELECT 1)", "42601 subquery in FROM must have an alias"),
    // Words that Redshift reserves.
    ("SELECT old.a FROM t old", "42601 syntax error at or near \"old\""),
    ("SELECT a FROM t AS new", "42601"),
    ("WITH delta AS (SELECT 1 AS a) SELECT a FROM delta", "42601"),
    ("SELECT tag FROM t", "42601"),
    ("CREATE TABLE snapshot (a INT)", "42601"),
    ("CREATE TABLE x (percent INT)", "42601"),
    ("INSERT INTO u (system) VALUES (1)", "42601"),
    ("UPDATE u SET raw = 1", "42601"),
    // Expressions.
    ("SELECT a IS DISTINCT FROM 1 FROM t", "42601"),
    ("SELECT ARRAY[1, 2]", "42601"),
    ("SELECT a FROM t WHERE a = ANY (ARRAY[1])", "0A000"),
    ("SELECT b COLLATE \"C\" FROM t", "42601"),
    ("SELECT (1, 2) = (1, 2)", "0A000"),
    ("SELECT '{}'::jsonb", "0A000"),
    ("SELECT 't'::regclass", "0A000"),
    ("SELECT b -> 'x' FROM t", "42"),
    ("SELECT E'x'", "42601"),
    ("SELECT count(b ORDER BY b) FROM t", "42601"),
    // The catalogs.
    ("SELECT * FROM pg_enum", "42P01 relation \"pg_enum\" does not exist"),
    ("SELECT typarray FROM pg_type", "42703 column \"typarray\" does not exist"),
    ("SELECT t.typarray FROM pg_type t", "42703"),
    ("SELECT * FROM pg_constraint", "42P01"),
    ("SELECT * FROM information_schema.triggers", "42P01"),
    ("SELECT * FROM redshift_stand_in.stv_slices", "42P01"),
    ("SELECT * FROM stl_nothing", "42P01"),
    ("DELETE FROM stl_load_errors", "42501"),
    ("DROP TABLE pg_class", "42501"),
    // The leader's own do not go with tables.
    (
        "CREATE TEMP TABLE x AS SELECT table_name FROM information_schema.tables",
        "0A000 Specified types or functions",
    ),
    ("INSERT INTO u (b) SELECT table_name FROM information_schema.tables", "0A000"),
    ("SELECT t.a FROM t JOIN pg_class c ON c.relname = t.b", "0A000"),
    ("SELECT version(), a FROM t", "0A000"),
    // Several at once.
    ("TRUNCATE t, u", "42601"),
    ("TRUNCATE t CASCADE", "42601"),
    ("TRUNCATE ONLY t", "42601"),
    ("BEGIN; VACUUM t", "25001 VACUUM cannot run inside a transaction block"),
    ("VACUUM t; VACUUM u", "25001"),
    ("SELECT 1 garbage nonsense", "42601"),
    ("SELECT nothing FROM t", "42703"),
    ("SELECT 1/0", "22012"),
    ("INSERT INTO nowhere VALUES (1)", "42P01"),
];

#[tokio::test]
async fn what_redshift_has_not_is_refused() {
    let (_redshift, _s3, client) = with_tables().await;
    let mut wrong = Vec::new();
    for (sql, expected) in REFUSED {
        match client.simple_query(sql).await {
            Ok(_) => wrong.push(format!("accepted: {sql}")),
            Err(error) => {
                let told = super::told(&error);
                if !told.starts_with(expected) {
                    wrong.push(format!("{sql}: {told}"));
                }
            }
        }
        // Some fail within a block.
        rows(&client, "ROLLBACK").await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(rows(&client, "SELECT count(*) FROM t").await, ["2"]);
}

#[tokio::test]
async fn a_statement_has_sixteen_megabytes_at_most() {
    let (redshift, _s3) = start();
    let client = connect(&redshift).await;
    let long = |length: usize| format!("SELECT '{}'", "x".repeat(length - "SELECT ''".len()));
    let most = 16_777_216;
    assert_eq!(rows(&client, &long(most)).await[0].len(), most - "SELECT ''".len());
    assert_eq!(
        refusal(&client, &long(most + 1)).await,
        "42601 Statement is too large. Statement Size: 16777217 bytes. Maximum Allowed: 16777216 bytes"
    );
}

#[tokio::test]
async fn serverless_hides_the_tables_of_a_cluster() {
    let (redshift, _s3) = start();
    redshift.serverless();
    let client = connect(&redshift).await;
    for table in ["stl_load_errors", "stv_slices", "pg_catalog.stl_load_errors"] {
        let told = refusal(&client, &format!("SELECT * FROM {table}")).await;
        assert!(told.starts_with("42501 permission denied for relation"), "{told}");
    }
    assert!(rows(&client, "SELECT * FROM sys_load_error_detail").await.is_empty());
}
