//! Tables: types, byte limits, keys that nothing enforces, and the attributes of Redshift.

use super::{connect, refusal, rows, start};

#[tokio::test]
async fn columns_have_the_types_and_limits_of_redshift() {
    let (redshift, _s3) = start();
    let client = connect(&redshift).await;
    rows(
        &client,
        "CREATE SCHEMA s; SET search_path TO s;
         CREATE TABLE x (a SMALLINT, b INT4, c BIGINT NOT NULL, d REAL, e FLOAT8, f NUMERIC(10, 2), g BOOL,
             h CHAR(3), i VARCHAR(7), j VARCHAR, k TEXT, l VARCHAR(MAX), m DATE, n TIMESTAMP, o TIMESTAMPTZ,
             p INT PRIMARY KEY, q CHARACTER VARYING(9) DEFAULT 'x', r NUMERIC)",
    )
    .await;
    let columns = rows(
        &client,
        "SELECT column_name, data_type, character_maximum_length, is_nullable FROM information_schema.columns \
         WHERE table_schema = 's' AND table_name = 'x' ORDER BY ordinal_position",
    )
    .await;
    let expected = [
        "a|smallint||YES",
        "b|integer||YES",
        "c|bigint||NO",
        "d|real||YES",
        "e|double precision||YES",
        "f|numeric||YES",
        "g|boolean||YES",
        "h|character|3|YES",
        "i|character varying|7|YES",
        "j|character varying|256|YES",
        "k|character varying|256|YES",
        "l|character varying|65535|YES",
        "m|date||YES",
        "n|timestamp without time zone||YES",
        "o|timestamp with time zone||YES",
        "p|integer||NO",
        "q|character varying|9|YES",
        "r|numeric||YES",
    ];
    assert_eq!(columns, expected);
    // A copy of a table, and one that a query makes, have them too.
    rows(&client, "CREATE TABLE y (LIKE x); CREATE TABLE z AS SELECT i, k, upper(i) AS w FROM x")
        .await;
    let cases = [
        ("y", "i", "7"),
        ("y", "k", "256"),
        ("z", "i", "7"),
        ("z", "k", "256"),
        ("z", "w", "65535"),
    ];
    for (table, column, bytes) in cases {
        let sql = format!(
            "SELECT character_maximum_length FROM information_schema.columns \
             WHERE table_schema = 's' AND table_name = '{table}' AND column_name = '{column}'"
        );
        assert_eq!(rows(&client, &sql).await, [bytes], "{table}.{column}");
    }
    let told = refusal(&client, "INSERT INTO z (i) VALUES ('éééé')").await;
    assert_eq!(told, "22001 value too long for type character varying(7)");
}

#[tokio::test]
async fn a_length_counts_bytes_and_nothing_is_cut() {
    let (redshift, _s3) = start();
    let client = connect(&redshift).await;
    rows(&client, "CREATE TABLE x (a VARCHAR(4), b CHAR(2)); INSERT INTO x VALUES ('éé', 'ab')")
        .await;
    for (values, length) in [("'ééé', ''", "4"), ("'abcde', ''", "4"), ("'', 'abc'", "2")] {
        let told = refusal(&client, &format!("INSERT INTO x VALUES ({values})")).await;
        assert!(told.starts_with("22001 value too long for type character"), "{told}");
        assert!(told.contains(&format!("({length})")), "{told}");
    }
    rows(&client, "CREATE TEMP TABLE y (LIKE x)").await;
    let told = refusal(&client, "INSERT INTO y SELECT 'ééé', 'x'").await;
    assert_eq!(told, "22001 value too long for type character varying(4)");
    rows(&client, "ALTER TABLE x ADD COLUMN c VARCHAR(3)").await;
    let told = refusal(&client, "UPDATE x SET c = 'éé'").await;
    assert_eq!(told, "22001 value too long for type character varying(3)");
    let told = refusal(&client, "CREATE TABLE z (a VARCHAR(65536))").await;
    assert!(told.contains("maximum column length is 65535"), "{told}");
}

#[tokio::test]
async fn keys_are_told_and_not_enforced() {
    let (redshift, _s3) = start();
    let client = connect(&redshift).await;
    rows(
        &client,
        "CREATE TABLE x (a INT PRIMARY KEY, b VARCHAR(5) UNIQUE, c INT NOT NULL);
         CREATE TABLE y (a INT REFERENCES x (a), b INT, UNIQUE (b), FOREIGN KEY (b) REFERENCES x (c));
         INSERT INTO x VALUES (1, 'one', 1), (1, 'one', 1);
         INSERT INTO y VALUES (7, 7), (7, 7)",
    )
    .await;
    assert_eq!(rows(&client, "SELECT count(*) FROM x, y").await, ["4"]);
    for sql in ["INSERT INTO x (b, c) VALUES ('two', 2)", "INSERT INTO x (a) VALUES (2)"] {
        let told = refusal(&client, sql).await;
        assert!(told.starts_with("XX000 Cannot insert a NULL value into column"), "{told}");
    }
    let told = refusal(&client, "CREATE TABLE z (a INT REFERENCES nothing)").await;
    assert!(told.starts_with("42P01"), "{told}");
}

#[tokio::test]
async fn attributes_are_understood_in_any_order_and_checked() {
    let (redshift, _s3) = start();
    let client = connect(&redshift).await;
    for attributes in [
        "(a INT, b VARCHAR(5)) DISTSTYLE ALL",
        "(a INT, b VARCHAR(5)) DISTSTYLE EVEN SORTKEY(a, b)",
        "(a INT, b VARCHAR(5)) DISTSTYLE KEY DISTKEY(a) COMPOUND SORTKEY(b)",
        "(a INT, b VARCHAR(5)) SORTKEY(a) DISTKEY(a)",
        "(a INT, b VARCHAR(5)) DISTSTYLE AUTO SORTKEY AUTO",
        "(a INT, b VARCHAR(5)) BACKUP NO DISTSTYLE EVEN",
        "(a INT ENCODE az64 DISTKEY SORTKEY, b VARCHAR(5) NOT NULL ENCODE zstd)",
        "(a INT ENCODE raw, b VARCHAR(5) ENCODE lzo, PRIMARY KEY (a)) DISTKEY(a)",
        "(a NUMERIC(10, 2) ENCODE AZ64, b CHAR(5) ENCODE BYTEDICT)",
    ] {
        rows(&client, &format!("CREATE TABLE x {attributes}; DROP TABLE x")).await;
    }
    for (attributes, expected) in [
        ("(a INT) DISTKEY(b)", "42703"),
        ("(a INT) SORTKEY(a, b)", "42703"),
        ("(a INT) DISTSTYLE KEY", "42601"),
        ("(a INT) DISTSTYLE ALL DISTKEY(a)", "42601"),
        ("(a INT DISTKEY, b INT DISTKEY)", "42601"),
        ("(a INT) DISTSTYLE NONE", "42601"),
        ("(a INT ENCODE gzip)", "42704"),
        ("(a VARCHAR(5) ENCODE az64)", "0A000"),
        ("(a DOUBLE PRECISION ENCODE az64)", "0A000"),
        ("(a INT, PRIMARY KEY (b))", "42703"),
        ("(a INT) WITH (fillfactor = 70)", "42601"),
        ("(a INT) TABLESPACE x", "42601"),
        ("(LIKE nothing)", "42P01"),
    ] {
        let told = refusal(&client, &format!("CREATE TABLE x {attributes}")).await;
        assert!(told.starts_with(expected), "{attributes}: {told}");
    }
    rows(&client, "CREATE TABLE y (a INT, b INT) DISTKEY(b) SORTKEY(a, b)").await;
    let sql = "SELECT diststyle, sortkey1 FROM svv_table_info WHERE \"table\" = 'y'";
    assert_eq!(rows(&client, sql).await, ["KEY(b)|a"]);
}

/// What of CREATE TABLE sqlparser's Redshift dialect parses, for a loader that keeps to it.
#[test]
fn the_dialect_knows_some_forms_of_create_table() {
    let parses = |sql: &str| {
        let dialect = sqlparser::dialect::RedshiftSqlDialect {};
        sqlparser::parser::Parser::parse_sql(&dialect, sql).is_ok()
    };
    for sql in [
        "CREATE TABLE IF NOT EXISTS x (a INT NOT NULL PRIMARY KEY) DISTSTYLE KEY DISTKEY(a) SORTKEY(a)",
        "CREATE TABLE x (a INT, PRIMARY KEY (a)) BACKUP NO DISTSTYLE ALL",
        "CREATE TABLE x (a INT REFERENCES y (a)) SORTKEY(a)",
        "CREATE TEMP TABLE x DISTSTYLE ALL SORTKEY(a) AS SELECT 1 AS a",
        "CREATE TEMP TABLE x (LIKE y)",
        "CREATE TABLE x (LIKE y INCLUDING DEFAULTS)",
        "CREATE TABLE x (a VARCHAR(MAX), b TIMESTAMP)",
        "LOCK x",
        "LOCK TABLE x, y",
    ] {
        assert!(parses(sql), "{sql}");
    }
    for sql in [
        "CREATE TABLE x (a INT ENCODE az64)",
        "CREATE TABLE x (a INT DISTKEY)",
        "CREATE TABLE x (a INT SORTKEY)",
        "CREATE TABLE x (a INT) COMPOUND SORTKEY(a)",
        "CREATE TABLE x (a INT) SORTKEY(a) DISTKEY(a)",
        "CREATE TABLE x (a INT) SORTKEY AUTO",
        "ALTER TABLE x OWNER TO y",
        "ALTER TABLE x APPEND FROM y",
    ] {
        assert!(!parses(sql), "{sql}");
    }
}
