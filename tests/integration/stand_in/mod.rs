//! The stand-in for Redshift keeps its own promises: what Redshift has it does, and what Redshift has not it refuses.

mod copy;
mod faults;
mod sessions;
mod statements;
mod tables;

use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

use crate::support::postgres;
use crate::support::redshift::Redshift;
use crate::support::s3::S3;

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
