//! What goes wrong on demand, and that it goes wrong as it would with Redshift.

use std::time::{Duration, Instant};

use tokio_postgres::NoTls;

use super::{connect, refusal, rows, start, with_tables};
use crate::support::redshift::Fault;

#[tokio::test]
async fn a_conflict_at_commit_undoes_the_transaction() {
    let (redshift, _s3, client) = with_tables().await;
    redshift.fail_next(Fault::ConflictAtCommit { times: 2 });
    for _ in 0..2 {
        rows(&client, "BEGIN; INSERT INTO u VALUES (1, 'x')").await;
        let error = client.simple_query("COMMIT").await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!((error.code().code(), error.message()), ("XX000", "1023"));
        assert!(error.detail().unwrap().starts_with("Serializable isolation violation on table"));
    }
    assert!(rows(&client, "SELECT * FROM u").await.is_empty());
    rows(&client, "BEGIN; INSERT INTO u VALUES (1, 'x'); COMMIT").await;
    assert_eq!(rows(&client, "SELECT count(*) FROM u").await, ["1"]);
    assert_eq!(redshift.pending_faults(), 0);
}

#[tokio::test]
async fn a_conflict_at_a_statement_leaves_a_failed_transaction() {
    let (redshift, _s3, client) = with_tables().await;
    redshift.fail_next(Fault::ConflictAt("DELETE FROM t".to_owned()));
    rows(&client, "BEGIN; INSERT INTO u VALUES (1, 'x')").await;
    assert_eq!(refusal(&client, "DELETE FROM t").await, "XX000 1023");
    assert!(refusal(&client, "SELECT 1").await.starts_with("25P02"));
    rows(&client, "ROLLBACK").await;
    assert_eq!(rows(&client, "SELECT count(*) FROM t").await, ["2"]);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_has_happened() {
    let (redshift, _s3, client) = with_tables().await;
    redshift.fail_next(Fault::CommitAnswerLost);
    rows(&client, "BEGIN; INSERT INTO u VALUES (1, 'x')").await;
    assert!(client.simple_query("COMMIT").await.unwrap_err().as_db_error().is_none());
    let client = connect(&redshift).await;
    assert_eq!(rows(&client, "SELECT count(*) FROM s.u").await, ["1"]);
}

#[tokio::test]
async fn a_connection_that_closes_before_a_statement_undoes_its_transaction() {
    let (redshift, _s3, client) = with_tables().await;
    redshift.fail_next(Fault::ClosedBefore("UPDATE".to_owned()));
    rows(&client, "BEGIN; INSERT INTO u VALUES (1, 'x')").await;
    assert!(client.simple_query("UPDATE u SET a = 2").await.unwrap_err().as_db_error().is_none());
    let client = connect(&redshift).await;
    assert!(rows(&client, "LOCK s.u; SELECT * FROM s.u").await.is_empty());
}

#[tokio::test]
async fn a_statement_waits_and_can_run_out_of_time() {
    let (redshift, _s3, client) = with_tables().await;
    redshift.fail_next(Fault::Wait("FROM t".to_owned(), Duration::from_millis(150)));
    let start = Instant::now();
    rows(&client, "SELECT 1 FROM t").await;
    assert!(start.elapsed() >= Duration::from_millis(150));
    redshift.fail_next(Fault::Wait("FROM t".to_owned(), Duration::from_secs(60)));
    rows(&client, "SET statement_timeout TO 100").await;
    assert!(refusal(&client, "SELECT 1 FROM t").await.starts_with("57014"));
}

#[tokio::test]
async fn a_login_can_demand_what_only_redshift_s_drivers_know() {
    let (redshift, _s3) = start();
    redshift.fail_next(Fault::DigestDemanded);
    let error = match tokio_postgres::connect(&redshift.url(), NoTls).await {
        Ok(_) => panic!("it logs in"),
        Err(error) => error,
    };
    assert!(error.as_db_error().is_none(), "{error}");
    connect(&redshift).await;
}

#[tokio::test]
async fn real_conflicts_are_told_alike() {
    let (redshift, _s3, client) = with_tables().await;
    let other = connect(&redshift).await;
    rows(&client, "BEGIN; SELECT count(*) FROM t").await;
    rows(&other, "UPDATE s.t SET a = 5 WHERE a = 1").await;
    assert_eq!(refusal(&client, "UPDATE t SET a = 6 WHERE a = 1").await, "XX000 1023");
}
