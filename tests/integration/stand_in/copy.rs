//! COPY: manifests, credentials, conversions and errors.

use std::io::Write;
use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::{Client, NoTls};

use super::{ROLE, connect, refusal, rows, start};
use crate::support::redshift::{Fault, Redshift};
use crate::support::s3::{ACCESS_KEY, S3, SECRET_KEY};

/// A table with a column of each kind that the loader has.
const TABLE: &str = "CREATE TABLE x (a INT, b VARCHAR(5), c TIMESTAMP, d DOUBLE PRECISION)";

async fn with_table() -> (Redshift, S3, Client) {
    let (redshift, s3) = start();
    let client = connect(&redshift).await;
    rows(&client, TABLE).await;
    (redshift, s3, client)
}

/// A COPY of the object `part`, with these options.
fn copy(options: &str) -> String {
    format!("COPY x FROM 's3://stage/part' IAM_ROLE '{ROLE}' CSV {options}")
}

/// The table as text, a NULL told from an empty string.
async fn contents(client: &Client) -> Vec<String> {
    let sql = "SELECT nvl(a::VARCHAR, 'NULL'), nvl(b, 'NULL'), nvl(c::VARCHAR, 'NULL'), nvl(d::VARCHAR, 'NULL') \
               FROM x ORDER BY 1, 2";
    rows(client, sql).await
}

#[tokio::test]
async fn rows_arrive_as_they_were_written() {
    let (_redshift, s3, client) = with_table().await;
    let part = "1,one,2018-11-21 21:56:47.796,218.93179\n\
                2,\"a\"\"b\",2018-11-21 21:56:47,-1e3\r\n\
                3,\"x,\ny\",2018-11-21,.5\n\
                4,,,\n\
                5,\"\",\"\",\"\"\n\
                @,@,@,@\n\
                6,\"@\",@,@\n\
                7,a\\tb,@,@";
    s3.put("stage", "part", part);
    rows(&client, &copy("NULL AS '@' TIMEFORMAT 'auto'")).await;
    let expected = [
        "1|one|2018-11-21 21:56:47.796|218.93179",
        "2|a\"b|2018-11-21 21:56:47|-1000",
        "3|x,\ny|2018-11-21 00:00:00|0.5",
        "4||NULL|NULL",
        "5||NULL|NULL",
        "6|@|NULL|NULL",
        "7|a\\tb|NULL|NULL",
        "NULL|NULL|NULL|NULL",
    ];
    assert_eq!(contents(&client).await, expected);
    assert_eq!(rows(&client, "SELECT pg_last_copy_count()").await, ["8"]);
}

#[tokio::test]
async fn options_say_how_fields_are_read() {
    let (_redshift, s3, client) = with_table().await;
    for (part, options, expected) in [
        ("1,,,\n", "EMPTYASNULL", "1|NULL|NULL|NULL"),
        ("1,  ,,  \n", "BLANKSASNULL", "1|NULL|NULL|NULL"),
        ("1,\\N,\\N,\\N\n", "", "1|NULL|NULL|NULL"),
        ("1,,1542837407796,\n", "TIMEFORMAT 'epochmillisecs'", "1||2018-11-21 21:56:47.796|NULL"),
        (
            "1,,-62167219200001,\n",
            "TIMEFORMAT 'epochmillisecs'",
            "1||0002-12-31 23:59:59.999 BC|NULL",
        ),
        ("1,ééé,,\n", "TRUNCATECOLUMNS", "1|éé|NULL|NULL"),
        ("a,b,c,d\n1,x,,\n", "IGNOREHEADER 1", "1|x|NULL|NULL"),
        ("1|x||\n", "DELIMITER AS '|'", "1|x|NULL|NULL"),
        ("1,'a,b',,\n", "QUOTE AS ''''", "1|a,b|NULL|NULL"),
        ("oops,x,,\n1,y,,\n", "MAXERROR 1", "1|y|NULL|NULL"),
    ] {
        s3.put("stage", "part", part);
        rows(&client, "DELETE FROM x").await;
        rows(&client, &copy(options)).await;
        assert_eq!(contents(&client).await, [expected], "{options}");
    }
    s3.put("stage", "part", &b"1,a\xFFb,,\n"[..]);
    rows(&client, "DELETE FROM x").await;
    rows(&client, &copy("ACCEPTINVCHARS AS '^'")).await;
    assert_eq!(contents(&client).await, ["1|a^b|NULL|NULL"]);
    // Columns that are named.
    s3.put("stage", "part", "x,1\n");
    rows(&client, "DELETE FROM x").await;
    let copy = format!("COPY x (b, a) FROM 's3://stage/part' IAM_ROLE '{ROLE}' FORMAT AS CSV");
    rows(&client, &copy).await;
    assert_eq!(contents(&client).await, ["1|x|NULL|NULL"]);
}

#[tokio::test]
async fn a_copy_that_is_not_allowed_leaves_its_connection_open() {
    let (redshift, s3, client) = with_table().await;
    s3.put("stage", "part", "1,one,,\n");
    let name = format!("reader_{}", redshift.database().name());
    let (user, connection) = tokio_postgres::connect(&redshift.user(&name), NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    rows(&client, &format!("GRANT SELECT, UPDATE ON x TO {name}")).await;
    assert_eq!(refusal(&user, &copy("")).await, "42501 permission denied for relation x");
    sleep(Duration::from_millis(100)).await;
    assert!(!connection.is_finished());
    assert_eq!(rows(&user, "SELECT count(*) FROM x").await, ["0"]);
}

#[tokio::test]
async fn parts_come_packed() {
    let (_redshift, s3, client) = with_table().await;
    let text = b"1,one,,\n";
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(text).unwrap();
    for (option, bytes) in [
        ("GZIP", gzip.finish().unwrap()),
        ("BZIP2", bzip2.finish().unwrap()),
        ("ZSTD", zstd::encode_all(&text[..], 1).unwrap()),
    ] {
        s3.put("stage", "part", bytes);
        rows(&client, "DELETE FROM x").await;
        rows(&client, &copy(option)).await;
        assert_eq!(contents(&client).await, ["1|one|NULL|NULL"], "{option}");
    }
    s3.put("stage", "part", &text[..]);
    assert!(refusal(&client, &copy("ZSTD")).await.starts_with("XX000"));
}

#[tokio::test]
async fn a_manifest_names_the_parts() {
    let (_redshift, s3, client) = with_table().await;
    s3.put("stage", "1", "1,one,,\n");
    s3.put("stage", "2", "2,two,,\n");
    let copy = copy("MANIFEST");
    let entry = |key: &str, mandatory: bool| {
        format!("{{\"url\": \"s3://stage/{key}\", \"mandatory\": {mandatory}}}")
    };
    let manifest = |entries: &[String]| format!("{{\"entries\": [{}]}}", entries.join(", "));
    let told = refusal(&client, &copy).await;
    assert!(
        told.starts_with("XX000 Problem reading manifest file - S3ServiceException:"),
        "{told}"
    );
    assert!(told.contains("Status 404,Error No"), "{told}");

    s3.put("stage", "part", manifest(&[entry("1", true), entry("2", true), entry("1", true)]));
    rows(&client, &copy).await;
    assert_eq!(rows(&client, "SELECT a FROM x ORDER BY a").await, ["1", "1", "2"]);

    s3.put("stage", "part", manifest(&[entry("1", true), entry("missing", false)]));
    rows(&client, &copy).await;
    s3.put("stage", "part", manifest(&[entry("1", true), entry("missing", true)]));
    let told = refusal(&client, &copy).await;
    let expected =
        "XX000 S3ServiceException:The specified key does not exist.,Status 404,Error NoSuchKey";
    assert!(told.starts_with(expected), "{told}");
    for wrong in ["{", "{\"entries\": []}", "{\"entries\": [{\"url\": \"http://x/y\"}]}"] {
        s3.put("stage", "part", wrong);
        assert!(refusal(&client, &copy).await.starts_with("XX000"), "{wrong}");
    }
    assert_eq!(rows(&client, "SELECT count(*) FROM x").await, ["4"]);
}

#[tokio::test]
async fn objects_are_read_in_the_name_that_is_given() {
    let (redshift, s3, client) = with_table().await;
    s3.put("stage", "part", "1,one,,\n");
    let copy = |access: &str| format!("COPY x FROM 's3://stage/part' {access} CSV");
    let keys = format!("ACCESS_KEY_ID '{ACCESS_KEY}' SECRET_ACCESS_KEY '{SECRET_KEY}'");
    for access in [
        format!("IAM_ROLE '{ROLE}'"),
        keys.clone(),
        format!("{keys} SESSION_TOKEN 'token'"),
        format!("CREDENTIALS 'aws_iam_role={ROLE}'"),
        format!(
            "CREDENTIALS 'aws_access_key_id={ACCESS_KEY};aws_secret_access_key={SECRET_KEY};token=t'"
        ),
    ] {
        rows(&client, &copy(&access)).await;
    }
    for (access, expected) in [
        ("IAM_ROLE 'arn:aws:iam::1:role/other'", "XX000 User arn:aws:redshift:"),
        ("IAM_ROLE DEFAULT", "XX000 The default IAM role is not set"),
        ("ACCESS_KEY_ID 'wrong' SECRET_ACCESS_KEY 'wrong'", "XX000 S3ServiceException:"),
        ("ACCESS_KEY_ID 'wrong'", "42601"),
        ("", "42601"),
        ("CREDENTIALS 'nothing'", "42601"),
    ] {
        let told = refusal(&client, &copy(access)).await;
        assert!(told.starts_with(expected), "{access}: {told}");
    }
    let told = refusal(&client, &copy("ACCESS_KEY_ID 'wrong' SECRET_ACCESS_KEY 'wrong'")).await;
    assert!(told.contains("Status 403,Error InvalidAccessKeyId"), "{told}");
    redshift.default_role("arn:aws:iam::1:role/default");
    rows(&client, &copy("IAM_ROLE default")).await;
    assert_eq!(rows(&client, "SELECT count(*) FROM x").await, ["6"]);
}

#[tokio::test]
async fn a_bucket_answers_in_its_own_region() {
    let (redshift, s3, client) = with_table().await;
    s3.put("stage", "part", "1,one,,\n");
    let told = refusal(&client, &copy("REGION 'eu-west-1'")).await;
    assert!(told.contains("Status 301,Error PermanentRedirect"), "{told}");
    redshift.bucket_region("stage", "eu-west-1");
    assert!(refusal(&client, &copy("")).await.contains("Status 301"));
    rows(&client, &copy("REGION AS 'eu-west-1'")).await;
    let nowhere = copy("").replace("stage", "none");
    let told = refusal(&client, &nowhere).await;
    assert!(
        told.contains("The specified bucket does not exist,Status 404,Error NoSuchBucket"),
        "{told}"
    );
}

/// A table, a line, and the error that it gives: code, column, reason.
type Case = (&'static str, &'static [u8], i32, &'static str, &'static str);

const TIMESTAMP: &str = "Invalid timestamp format or value [YYYY-MM-DD HH24:MI:SS]";

const WRONG: &[Case] = &[
    ("x", b"1,too long,,", 1204, "b", "String length exceeds DDL length"),
    ("x", b"9x,,,", 1207, "a", "Invalid digit, Value 'x', Pos 1, Type: Integer"),
    ("x", b"1.0,,,", 1207, "a", "Invalid digit, Value '.', Pos 1, Type: Integer"),
    ("x", b"2147483648,,,", 1222, "a", "Overflow, Type: Integer"),
    ("x", b"1,,2018-02-30 00:00:00,", 1206, "c", TIMESTAMP),
    ("x", b"1,,2018-02-20 24:00:00,", 1206, "c", TIMESTAMP),
    ("x", b"1,,2018-02-20 23:00:00.5,", 1206, "c", TIMESTAMP),
    ("x", b"1,,,NaN", 1208, "d", "Invalid character in float"),
    ("x", b"1,,,,", 1202, "", "Extra column(s) found"),
    ("x", b"1,,", 1203, "d", "Delimiter not found"),
    ("x", b"1,a\"b,,", 1216, "", "Invalid quote formatting for CSV"),
    (
        "x",
        b"1,a\xFF,,",
        1220,
        "b",
        "String contains invalid or unsupported UTF8 codepoints. Bad UTF8 hex sequence: ff (error 3)",
    ),
    ("y", b",,,,", 1213, "a", "Missing data for not-null field"),
    (
        "y",
        b"1,\xC3\xA9,,,",
        1220,
        "b",
        "Multibyte character not supported for CHAR (Hint: try using VARCHAR). Invalid char: c3 a9",
    ),
    ("y", b"1,,maybe,,", 1210, "c", "Unknown boolean format"),
    ("y", b"1,,,40000,", 1222, "d", "Overflow, Type: Short"),
    ("y", b"1,,,,1e2", 1209, "e", "Invalid character in decimal"),
];

#[tokio::test]
async fn what_cannot_be_loaded_is_told_and_kept() {
    let (redshift, s3, client) = with_table().await;
    rows(
        &client,
        "CREATE TABLE y (a INT NOT NULL, b CHAR(2), c BOOLEAN, d SMALLINT, e NUMERIC(5, 2))",
    )
    .await;
    for (table, line, code, column, reason) in WRONG {
        let good: &[u8] = if *table == "x" { b"1,,,\n" } else { b"1,,,,\n" };
        s3.put("stage", "part", [good, line].concat());
        rows(&client, "BEGIN").await;
        let copy = format!("COPY {table} FROM 's3://stage/part' IAM_ROLE '{ROLE}' CSV");
        let expected = format!(
            "XX000 Load into table '{table}' failed.  Check 'stl_load_errors' system table for details."
        );
        assert_eq!(refusal(&client, &copy).await, expected);
        rows(&client, "ROLLBACK").await;
        let sql = "SELECT err_code, trim(colname), trim(err_reason), line_number, trim(filename) \
                   FROM stl_load_errors WHERE query = pg_last_copy_id()";
        let expected = format!("{code}|{column}|{reason}|2|s3://stage/part");
        assert_eq!(rows(&client, sql).await, [expected], "{}", String::from_utf8_lossy(line));
        assert_eq!(rows(&client, "SELECT pg_last_copy_count()").await, ["0"]);
    }
    let sql =
        "SELECT trim(raw_line), trim(raw_field_value) FROM stl_load_errors WHERE err_code = 1204";
    assert_eq!(rows(&client, sql).await, ["1,too long,,|too long"]);
    assert_eq!(rows(&client, "SELECT count(*) FROM x").await, ["0"]);

    redshift.serverless();
    s3.put("stage", "part", "oops,,,");
    let told = refusal(&client, &copy("")).await;
    assert!(told.ends_with("Check 'sys_load_error_detail' system table for details."), "{told}");
    let sql = "SELECT error_code FROM sys_load_error_detail WHERE query_id = pg_last_copy_id()";
    assert_eq!(rows(&client, sql).await, ["1207"]);
}

#[tokio::test]
async fn a_record_has_four_megabytes_at_most() {
    let (_redshift, s3, client) = with_table().await;
    rows(&client, "CREATE TABLE z (a VARCHAR(MAX), b VARCHAR(MAX))").await;
    let copy = format!("COPY z FROM 's3://stage/part' IAM_ROLE '{ROLE}' CSV TRUNCATECOLUMNS");
    s3.put("stage", "part", format!("{},\n", "x".repeat((4 << 20) - 1)));
    rows(&client, &copy).await;
    assert_eq!(rows(&client, "SELECT octet_length(a) FROM z").await, ["65535"]);
    s3.put("stage", "part", format!("{},\n", "x".repeat(4 << 20)));
    assert!(refusal(&client, &copy).await.starts_with("XX000 Load into table 'z' failed."));
}

#[tokio::test]
async fn a_copy_belongs_to_its_transaction() {
    let (redshift, s3, client) = with_table().await;
    s3.put("stage", "part", "1,one,,\n2,two,,\n");
    rows(&client, &format!("BEGIN; {}; ROLLBACK", copy(""))).await;
    assert!(contents(&client).await.is_empty());
    assert_eq!(rows(&client, "SELECT pg_last_copy_id()").await, ["-1"]);
    redshift.fail_next(Fault::CopyFails { table: Some("other".to_owned()) });
    redshift.fail_next(Fault::CopyFails { table: Some("x".to_owned()) });
    rows(&client, "BEGIN; INSERT INTO x VALUES (0, '', NULL, NULL)").await;
    assert!(refusal(&client, &copy("")).await.contains("Status 503,Error SlowDown"));
    assert!(refusal(&client, "SELECT 1").await.starts_with("25P02"));
    rows(&client, "ROLLBACK").await;
    assert!(contents(&client).await.is_empty());
    rows(&client, &format!("BEGIN; {}; COMMIT", copy(""))).await;
    assert_eq!(contents(&client).await.len(), 2);
    assert_eq!(redshift.pending_faults(), 1);
    let id = rows(&client, "SELECT pg_last_copy_id()").await;
    assert_eq!(rows(&client, "SELECT pg_last_copy_count()").await, ["2"]);
    redshift.fail_next(Fault::CopyFails { table: None });
    refusal(&client, &copy("")).await;
    assert_eq!(rows(&client, "SELECT pg_last_copy_count()").await, ["0"]);
    assert_eq!(rows(&client, "SELECT pg_last_copy_id()").await, id);
}

#[tokio::test]
async fn options_that_do_not_go_together_are_refused() {
    let (_redshift, s3, client) = with_table().await;
    s3.put("stage", "part", "1,one,,\n");
    for options in [
        "FIXEDWIDTH",
        "REMOVEQUOTES",
        "ESCAPE",
        "JSON 'auto'",
        "GZIP ZSTD",
        "MANIFEST MANIFEST",
        "QUOTE ','",
        "DELIMITER 'ab'",
        "NOLOAD",
        "TIMEFORMAT 'epochsecs'",
        "READRATIO 50",
        "ENCODING UTF16",
        "MAXERROR 100001",
        "FILLRECORD",
        "ROUNDEC",
    ] {
        let told = refusal(&client, &copy(options)).await;
        assert!(told.starts_with("42601") || told.starts_with("0A000"), "{options}: {told}");
    }
    let role = format!("IAM_ROLE '{ROLE}'");
    for sql in [
        format!("COPY x FROM 's3://stage/part' {role}"),
        format!("COPY x FROM 's3://stage/part' {role} JSON 'auto'"),
        format!("COPY x FROM 's3://stage/part' {role} FORMAT AS PARQUET"),
        format!("COPY x FROM '/etc/passwd' {role} CSV"),
        format!("COPY nothing FROM 's3://stage/part' {role} CSV"),
        format!("COPY x (nothing) FROM 's3://stage/part' {role} CSV"),
    ] {
        let told = refusal(&client, &sql).await;
        assert!(told.starts_with('4') || told.starts_with("0A000"), "{sql}: {told}");
    }
    let options = "COMPUPDATE OFF STATUPDATE OFF ENCODING UTF8 DATEFORMAT 'auto' TIMEFORMAT AS 'auto' MAXERROR 0";
    rows(&client, &copy(options)).await;
}

/// How the loader may write a COPY: these parse in sqlparser's Redshift dialect, the others do not.
#[test]
fn the_dialect_knows_most_forms_of_copy() {
    let parses = |rest: &str| {
        let sql = format!("COPY \"s\".\"x\" (a, b) FROM 's3://stage/m' {rest}");
        let dialect = sqlparser::dialect::RedshiftSqlDialect {};
        sqlparser::parser::Parser::parse_sql(&dialect, &sql).is_ok()
    };
    for rest in [
        "IAM_ROLE 'arn' FORMAT AS CSV NULL AS '@' ZSTD MANIFEST REGION 'r' TIMEFORMAT 'auto' COMPUPDATE OFF STATUPDATE OFF",
        "IAM_ROLE DEFAULT CSV NULL AS '@' GZIP MANIFEST",
        "CREDENTIALS 'aws_access_key_id=a;aws_secret_access_key=b;token=c' CSV QUOTE AS '\"' DELIMITER ',' BZIP2",
        "MANIFEST REGION AS 'r' CSV IAM_ROLE 'arn' IGNOREHEADER 1 EMPTYASNULL BLANKSASNULL TRUNCATECOLUMNS",
        "IAM_ROLE 'arn' CSV ACCEPTINVCHARS '?' DATEFORMAT 'auto' COMPUPDATE PRESET",
    ] {
        assert!(parses(rest), "{rest}");
    }
    for rest in [
        "ACCESS_KEY_ID 'a' SECRET_ACCESS_KEY 'b' CSV",
        "IAM_ROLE 'arn' CSV MAXERROR 1",
        "IAM_ROLE 'arn' CSV ENCODING UTF8",
        "IAM_ROLE 'arn' CSV DELIMITER ',' QUOTE '\"'",
        "CREDENTIALS AS 'aws_iam_role=arn' CSV",
    ] {
        assert!(!parses(rest), "{rest}");
    }
}
