//! The stand-in for Redshift keeps its own promises: what Redshift has it does, and what Redshift has not it refuses.

use std::time::Duration;

use sqlparser::dialect::RedshiftSqlDialect;
use sqlparser::parser::Parser;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::support::postgres;
use crate::support::redshift::{Fault, Redshift};
use crate::support::s3::{ACCESS_KEY, S3, SECRET_KEY};

const ROLE: &str = "arn:aws:iam::123456789012:role/loader";

fn start() -> (Redshift, S3) {
    let s3 = S3::start_private();
    let redshift = Redshift::start(postgres::server().database(), &s3);
    redshift.role(ROLE);
    (redshift, s3)
}

async fn connect(redshift: &Redshift) -> Client {
    let url = redshift.url();
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a connection");
    tokio::spawn(connection);
    client
}

/// The rows of all statements, values between bars, NULL as nothing.
async fn rows(client: &Client, sql: &str) -> Vec<String> {
    match client.simple_query(sql).await {
        Ok(messages) => lines(messages),
        Err(error) => panic!("{sql}: {}", told(&error)),
    }
}

fn lines(messages: Vec<SimpleQueryMessage>) -> Vec<String> {
    let mut lines = Vec::new();
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            let values: Vec<_> =
                (0..row.len()).map(|at| row.get(at).unwrap_or_default().trim_end()).collect();
            lines.push(values.join("|"));
        }
    }
    lines
}

fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} {}", error.code().code(), error.message()),
        None => error.to_string(),
    }
}

/// The error of a message that must fail.
async fn refusal(client: &Client, sql: &str) -> String {
    match client.simple_query(sql).await {
        Ok(_) => panic!("accepted: {sql}"),
        Err(error) => told(&error),
    }
}

/// Tables to say something about.
const TABLES: &str = "
    CREATE SCHEMA IF NOT EXISTS s;
    SET search_path TO s;
    CREATE TABLE t (a INT, b VARCHAR(10), c TIMESTAMP, d DOUBLE PRECISION, e BIGINT) DISTSTYLE EVEN;
    CREATE TABLE u (a INT, b VARCHAR(10));
    INSERT INTO t VALUES (1, 'one', '2018-11-01 00:00:00', 1.5, 4294967296), (2, 'two', NULL, NULL, 3)";

async fn with_tables() -> (Redshift, S3, Client) {
    let (redshift, s3) = start();
    let client = connect(&redshift).await;
    rows(&client, TABLES).await;
    (redshift, s3, client)
}

/// What is accepted, and the rows that it gives.
const KNOWN: &[(&str, &str)] = &[
    ("SELECT 1", "1"),
    ("SHOW search_path", "s"),
    ("SET statement_timeout TO 5000", ""),
    ("SET search_path TO \"s\"", ""),
    ("SET query_group TO 'sparkload'", ""),
    ("SET enable_result_cache_for_session TO off", ""),
    ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE", ""),
    ("SELECT count(*) FROM stv_slices", "4"),
    ("SELECT current_schema()", "s"),
    ("SELECT has_schema_privilege('s', 'CREATE')", "t"),
    ("SELECT pg_last_copy_count(), pg_last_copy_id()", "0|-1"),
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
    ("SELECT 'a\\\\b', 'it''s', len('a\\tb'), 'it\\'s'", "a\\b|it's|3|it's"),
    // Writing.
    ("INSERT INTO u VALUES (1, 'one'), (2, 'zwei'), (1, 'one')", ""),
    ("INSERT INTO u (a) SELECT a + 7 FROM t WHERE b = 'two'", ""),
    ("UPDATE u SET b = t.b FROM t WHERE t.a = u.a", ""),
    ("SELECT a, b FROM u ORDER BY a", "1|one / 1|one / 2|two / 9|"),
    ("DELETE FROM u USING t WHERE t.a = u.a AND t.b = 'one'", ""),
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
    ("CREATE TEMP TABLE delta (LIKE t)", ""),
    ("INSERT INTO delta SELECT * FROM t", ""),
    (
        "CREATE TEMP TABLE ranked AS SELECT a, ROW_NUMBER() OVER (PARTITION BY b ORDER BY a DESC NULLS LAST) AS n FROM t",
        "",
    ),
    ("CREATE TEMP TABLE everywhere DISTSTYLE ALL AS SELECT a, b FROM t", ""),
    ("CREATE TABLE made DISTKEY(a) COMPOUND SORTKEY(a, b) AS SELECT a, b FROM t", ""),
    ("SELECT count(*) FROM delta, ranked, everywhere, made", "16"),
    ("ALTER TABLE made RENAME TO remade", ""),
    ("ALTER TABLE remade ADD COLUMN z VARCHAR(3)", ""),
    ("ALTER TABLE remade DROP COLUMN z", ""),
    ("ALTER TABLE remade OWNER TO sparkload", ""),
    ("GRANT SELECT ON TABLE remade TO PUBLIC", ""),
    ("REVOKE SELECT ON TABLE remade FROM PUBLIC", ""),
    ("DROP TABLE IF EXISTS remade, delta", ""),
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
