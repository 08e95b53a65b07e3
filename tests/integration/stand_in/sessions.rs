//! Sessions: logging in, transactions, locks, and the extended protocol.

use std::time::Duration;

use tokio_postgres::NoTls;
use tokio_postgres::types::Type;

use super::{connect, refusal, rows, start, told, with_tables};
use crate::support::postgres::PASSWORD_IN_URL;

/// The error of a login.
async fn turned_away(url: &str) -> String {
    match tokio_postgres::connect(url, NoTls).await {
        Ok(_) => panic!("let in: {url}"),
        Err(error) => told(&error),
    }
}

#[tokio::test]
async fn who_has_not_the_password_is_turned_away() {
    let (redshift, _s3) = start();
    let url = redshift.url();
    let wrong = url.replace(PASSWORD_IN_URL, "wrong");
    let expected = "28000 password authentication failed for user \"sparkload\"";
    assert_eq!(turned_away(&wrong).await, expected);
    let other = url.replace("//sparkload", "//somebody");
    assert!(turned_away(&other).await.starts_with("28000"));
    let nowhere = url.replace(&format!("/{}?", redshift.database().name()), "/nowhere?");
    assert_eq!(turned_away(&nowhere).await, "3D000 database \"nowhere\" does not exist");
    let option = format!("{url}&options=-c%20lock_timeout%3D1");
    assert!(turned_away(&option).await.starts_with("42704"));
    let option = format!("{url}&options=-c%20statement_timeout%3D5000");
    let (client, connection) = tokio_postgres::connect(&option, NoTls).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(rows(&client, "SHOW statement_timeout").await, ["5s"]);
}

#[tokio::test]
async fn a_user_may_do_what_all_may_and_what_is_granted() {
    let (redshift, _s3, client) = with_tables().await;
    let name = format!("analyst_{}", redshift.database().name());
    let url = redshift.user(&name);
    assert!(turned_away(&url.replace(&name, "nobody")).await.starts_with("28000"));
    let (user, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    assert_eq!(connection.parameter("is_superuser"), Some("off"));
    tokio::spawn(connection);
    rows(&user, "CREATE TABLE mine (a INT); CREATE TEMP TABLE passing (a INT)").await;
    assert_eq!(rows(&user, "SELECT count(*) FROM stv_slices").await, ["4"]);
    let told = refusal(&user, "SELECT * FROM s.t").await;
    assert_eq!(told, "42501 permission denied for schema s");
    rows(&client, &format!("GRANT USAGE ON SCHEMA s TO {name}; GRANT SELECT ON s.t TO {name}"))
        .await;
    assert_eq!(rows(&user, "SELECT count(*) FROM s.t").await, ["2"]);
    for sql in ["SELECT * FROM s.u", "INSERT INTO s.u VALUES (1, 'x')", "BEGIN; LOCK s.u"] {
        assert_eq!(refusal(&user, sql).await, "42501 permission denied for relation u", "{sql}");
    }
}

#[tokio::test]
async fn the_program_s_own_way_in_is_open() {
    let (redshift, _s3) = start();
    let server =
        sparkload::Server::parse(&redshift.url(), &sparkload::Defaults::default()).unwrap();
    let client = server.connect().await.unwrap();
    assert_eq!(rows(&client, "SELECT count(*) FROM stv_slices").await, ["4"]);
}

#[tokio::test]
async fn the_server_says_that_it_is_8_0_2() {
    let (redshift, _s3) = start();
    let (_client, connection) = tokio_postgres::connect(&redshift.url(), NoTls).await.unwrap();
    assert_eq!(connection.parameter("server_version"), Some("8.0.2"));
    assert_eq!(connection.parameter("standard_conforming_strings"), None);
}

#[tokio::test]
async fn the_extended_protocol_tells_types_and_takes_parameters() {
    let (_redshift, _s3, client) = with_tables().await;
    let sql = "SELECT a, e, d, c, b, d::numeric(5, 2), a = 1 FROM t WHERE a = $1";
    let statement = client.prepare(sql).await.unwrap();
    let types: Vec<_> = statement.columns().iter().map(|it| it.type_().clone()).collect();
    let expected = [
        Type::INT4,
        Type::INT8,
        Type::FLOAT8,
        Type::TIMESTAMP,
        Type::VARCHAR,
        Type::NUMERIC,
        Type::BOOL,
    ];
    assert_eq!(types, expected);
    let row = client.query_one(&statement, &[&1_i32]).await.unwrap();
    assert_eq!((row.get(0), row.get(1), row.get(2)), (1_i32, 4_294_967_296_i64, 1.5));
    assert_eq!(row.get::<_, Option<&str>>(4), Some("one"));
    assert!(client.query_opt(&statement, &[&7_i32]).await.unwrap().is_none());

    let changed = client.execute("INSERT INTO u VALUES ($1, $2)", &[&1_i32, &"x"]).await;
    assert_eq!(changed.unwrap(), 1);
    client.execute("BEGIN", &[]).await.unwrap();
    client.execute("DELETE FROM u", &[]).await.unwrap();
    client.execute("ROLLBACK", &[]).await.unwrap();
    let count: i64 = client.query_one("SELECT count(*) FROM u", &[]).await.unwrap().get(0);
    assert_eq!(count, 1);
    let wrong =
        ["SELECT typarray FROM pg_type", "SELECT 1; SELECT 2", "DECLARE c CURSOR FOR SELECT 1"];
    for sql in wrong {
        let error = client.prepare(sql).await.expect_err(sql);
        assert!(error.as_db_error().is_some(), "{error}");
    }
    // The connection is good for more after each.
    assert_eq!(client.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
}

#[tokio::test]
async fn a_statement_has_32767_parameters_at_most() {
    let (_redshift, _s3, client) = with_tables().await;
    let sql = |count: usize| {
        let list: Vec<_> = (1..=count).map(|at| format!("${at}::int")).collect();
        format!("SELECT a FROM t WHERE a IN ({})", list.join(","))
    };
    assert!(client.prepare(&sql(32_767)).await.is_ok());
    let error = client.prepare(&sql(32_768)).await.expect_err("too many");
    assert!(told(&error).starts_with("54000"), "{}", told(&error));
}

#[tokio::test]
async fn the_statements_of_a_message_are_one_transaction() {
    let (redshift, _s3, client) = with_tables().await;
    refusal(&client, "INSERT INTO u VALUES (1, 'x'); SELECT nothing").await;
    assert!(rows(&client, "SELECT * FROM u").await.is_empty());
    rows(&client, "INSERT INTO u VALUES (1, 'x'); COMMIT; INSERT INTO u VALUES (2, 'y')").await;
    rows(&client, "BEGIN").await;
    rows(&client, "CREATE TABLE v (a INT); INSERT INTO u VALUES (3, 'z')").await;
    // Another sees nothing of it.
    let other = connect(&redshift).await;
    assert_eq!(rows(&other, "SELECT count(*) FROM s.u").await, ["2"]);
    assert!(refusal(&client, "SELECT 1/0").await.starts_with("22012"));
    assert!(refusal(&client, "SELECT 1").await.starts_with("25P02"));
    // COMMIT ends it, and commits nothing.
    rows(&client, "COMMIT").await;
    assert_eq!(rows(&client, "SELECT count(*) FROM u").await, ["2"]);
    assert!(refusal(&client, "SELECT * FROM v").await.starts_with("42P01"));
    // What the stand-in itself refuses ends a transaction as well.
    rows(&client, "BEGIN; DELETE FROM u").await;
    refusal(&client, "SELECT pg_advisory_lock(1)").await;
    assert!(refusal(&client, "SELECT 1").await.starts_with("25P02"));
    rows(&client, "ROLLBACK").await;
    assert_eq!(rows(&client, "SELECT count(*) FROM u").await, ["2"]);
}

#[tokio::test]
async fn truncate_commits_what_came_before() {
    let (redshift, _s3, client) = with_tables().await;
    rows(&client, "BEGIN; INSERT INTO u VALUES (1, 'x'); TRUNCATE t; ROLLBACK").await;
    let other = connect(&redshift).await;
    assert_eq!(rows(&other, "SELECT count(*) FROM s.u").await, ["1"]);
    assert_eq!(rows(&other, "SELECT count(*) FROM s.t").await, ["0"]);
}

#[tokio::test]
async fn a_transaction_sees_what_was_there_when_it_began() {
    let (redshift, _s3, client) = with_tables().await;
    let other = connect(&redshift).await;
    rows(&client, "BEGIN; SELECT count(*) FROM u").await;
    rows(&other, "INSERT INTO s.u VALUES (1, 'x')").await;
    assert_eq!(rows(&client, "SELECT count(*) FROM u").await, ["0"]);
    rows(&client, "COMMIT").await;
    // A lock comes before what is seen.
    rows(&client, "BEGIN; LOCK u").await;
    let waiting = tokio::spawn(async move {
        rows(&other, "BEGIN; LOCK s.u; SELECT count(*) FROM s.u; COMMIT").await
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    rows(&client, "INSERT INTO u VALUES (2, 'y'); COMMIT").await;
    assert_eq!(waiting.await.unwrap(), ["2"]);
}

#[tokio::test]
async fn one_transaction_at_a_time_writes_a_table() {
    let (redshift, _s3, client) = with_tables().await;
    let other = connect(&redshift).await;
    rows(&client, "BEGIN; INSERT INTO u VALUES (1, 'x')").await;
    assert_eq!(rows(&other, "SELECT count(*) FROM s.u").await, ["0"]);
    rows(&other, "SET statement_timeout TO 100").await;
    for sql in ["INSERT INTO s.u VALUES (2, 'y')", "DELETE FROM s.u", "UPDATE s.u SET a = 3"] {
        assert!(refusal(&other, sql).await.starts_with("57014"), "{sql}");
    }
    rows(&client, "COMMIT").await;
    rows(&other, "INSERT INTO s.u VALUES (2, 'y')").await;
    assert_eq!(rows(&client, "SELECT count(*) FROM u").await, ["2"]);
}

#[tokio::test]
async fn whoever_waits_for_a_lock_runs_out_of_time_or_is_cancelled() {
    let (redshift, _s3, client) = with_tables().await;
    rows(&client, "BEGIN; LOCK TABLE u").await;
    let other = connect(&redshift).await;
    rows(&other, "SET statement_timeout TO 100; BEGIN").await;
    assert!(refusal(&other, "LOCK TABLE s.u").await.starts_with("57014"));
    rows(&other, "ROLLBACK; SET statement_timeout TO 0").await;
    let cancel = other.cancel_token();
    let waiting = tokio::spawn(async move { refusal(&other, "SELECT * FROM s.u").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    cancel.cancel_query(NoTls).await.unwrap();
    assert!(waiting.await.unwrap().starts_with("57014"));
}

#[tokio::test]
async fn a_session_can_be_ended_by_another() {
    let (redshift, _s3, client) = with_tables().await;
    let other = connect(&redshift).await;
    rows(&other, "BEGIN; DELETE FROM s.t").await;
    let process = rows(&other, "SELECT pg_backend_pid()").await[0].clone();
    assert_eq!(rows(&client, &format!("SELECT pg_terminate_backend({process})")).await, ["t"]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(other.simple_query("SELECT 1").await.is_err());
    assert_eq!(rows(&client, "SELECT count(*) FROM t").await, ["2"]);
}

#[tokio::test]
async fn counts_can_be_left_out() {
    let (redshift, _s3, client) = with_tables().await;
    assert_eq!(client.execute("UPDATE t SET a = 1", &[]).await.unwrap(), 2);
    redshift.without_counts();
    assert_eq!(client.execute("UPDATE t SET a = 2", &[]).await.unwrap(), 0);
    assert_eq!(client.execute("INSERT INTO u VALUES (1, 'x')", &[]).await.unwrap(), 0);
}
