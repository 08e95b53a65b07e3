//! Every way into a PostgreSQL server, and every way to be kept out.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use sparkload::{Defaults, Error, Server};
use tokio_postgres::Client;

use crate::support::postgres::{self, PASSWORD, Postgres, USER};

pub async fn connect(conninfo: &str) -> Result<Client, Error> {
    Server::parse(conninfo, &Defaults::default())?.connect().await
}

pub async fn text(client: &Client, sql: &str) -> String {
    client.query_one(sql, &[]).await.unwrap().get(0)
}

pub fn variables(pairs: &[(&str, &str)]) -> Defaults {
    let variables: BTreeMap<_, _> =
        pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Defaults { variables, ..Defaults::default() }
}

/// The error and all its causes on one line, as a user reads them.
pub fn told(error: &Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line += &format!(": {error}");
        cause = error.source();
    }
    line
}

#[tokio::test]
async fn a_url_keywords_and_variables_lead_to_the_same_place() {
    let database = postgres::server().database();
    let (name, port) = (database.name(), database.server().port().to_string());
    let quoted = PASSWORD.replace('\\', r"\\").replace('\'', r"\'");
    let all = [
        ("PGHOST", "127.0.0.1"),
        ("PGPORT", &port),
        ("PGUSER", USER),
        ("PGPASSWORD", PASSWORD),
        ("PGDATABASE", name),
    ];
    for (conninfo, defaults) in [
        (database.url(), Defaults::default()),
        (database.url_at("localhost"), Defaults::default()),
        (database.socket_keywords(), Defaults::default()),
        (
            format!(
                "host=localhost hostaddr=127.0.0.1 port={port} user={USER} dbname={name} password='{quoted}'"
            ),
            Defaults::default(),
        ),
        (String::new(), variables(&all)),
        ("postgres://".to_owned(), variables(&all)),
    ] {
        let client = Server::parse(&conninfo, &defaults).unwrap().connect().await.unwrap();
        assert_eq!(text(&client, "SELECT current_database()::text").await, name, "{conninfo}");
        assert_eq!(text(&client, "SHOW application_name").await, "sparkload");
    }
}

#[tokio::test]
async fn the_next_host_is_tried_when_one_does_not_answer() {
    let database = postgres::server().database();
    let (name, port) = (database.name(), database.server().port());
    let down = free_port();
    let socket = database.server().socket_folder().display();
    let conninfo = format!("host=127.0.0.1,{socket} port={down},{port} user={USER} dbname={name}");
    connect(&conninfo).await.unwrap();
    let url = database
        .url()
        .replace(&format!("@127.0.0.1:{port}"), &format!("@127.0.0.1:{down},127.0.0.1:{port}"));
    connect(&url).await.unwrap();
}

#[tokio::test]
async fn a_password_comes_from_the_password_file_if_that_is_private() {
    let database = postgres::server().database();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".pgpass");
    let escaped = PASSWORD.replace('\\', r"\\").replace(':', r"\:");
    fs::write(&file, format!("# ours\n127.0.0.1:*:{}:{USER}:{escaped}\n", database.name()))
        .unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();

    let (name, port) = (database.name(), database.server().port());
    let conninfo = format!("host=127.0.0.1 port={port} user={USER} dbname={name}");
    let at_home = Defaults { home: Some(home.path().to_owned()), ..Defaults::default() };
    let named = format!("{conninfo} passfile={}", file.display());
    for (conninfo, defaults) in [(&conninfo, &at_home), (&named, &Defaults::default())] {
        Server::parse(conninfo, defaults).unwrap().connect().await.unwrap();
    }

    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let error = Server::parse(&conninfo, &at_home).unwrap().connect().await.unwrap_err();
    assert!(error.help().unwrap().contains("password file"), "{error:?}");
}

#[tokio::test]
async fn each_sslmode_demands_what_libpq_says() {
    let server = Postgres::start_tls();
    let database = server.database();
    let (ca, other) = (server.ca_file(), server.other_ca_file());
    // The server's user may be another than ours: the files are ours to read as root only.
    let (ca, other) = (ca.display(), other.display());

    for (host, settings, expected) in [
        ("localhost", "".to_owned(), Ok(())),
        ("localhost", "sslmode=prefer".into(), Ok(())),
        ("localhost", "sslmode=allow".into(), Ok(())),
        ("localhost", "sslmode=require".into(), Ok(())),
        ("localhost", format!("sslmode=require&sslrootcert={ca}"), Ok(())),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={ca}"), Ok(())),
        ("localhost", format!("sslmode=verify-full&sslrootcert={ca}"), Ok(())),
        ("localhost", "sslmode=disable".into(), Err("pg_hba.conf")),
        ("localhost", format!("sslmode=require&sslrootcert={other}"), Err("sslrootcert=FILE")),
        ("localhost", format!("sslmode=verify-ca&sslrootcert={other}"), Err("sslrootcert=FILE")),
        ("localhost", "sslmode=verify-full".into(), Err("sslrootcert=FILE")),
        ("localhost", "sslrootcert=system".into(), Err("sslrootcert=FILE")),
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={ca}"), Err("sslmode=verify-ca")),
    ] {
        let url = format!("{}?{settings}", database.url_at(host));
        match (connect(&url).await, expected) {
            (Ok(client), Ok(())) => {
                let ssl = "SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
                assert_eq!(text(&client, ssl).await, "true", "{host} {settings}");
            }
            (Err(error), Err(help)) => {
                assert!(error.help().unwrap().contains(help), "{host} {settings}: {error:?}");
            }
            (Ok(_), Err(_)) => panic!("{host} {settings}: was let in"),
            (Err(error), Ok(())) => panic!("{host} {settings}: {}", told(&error)),
        }
    }

    // A Unix socket has no TLS, whatever is demanded.
    connect(&format!("{} sslmode=verify-full sslrootcert={ca}", database.socket_keywords()))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_server_without_tls_is_good_enough_only_where_tls_is_optional() {
    let database = postgres::server().database();
    for mode in ["disable", "allow", "prefer"] {
        connect(&format!("{}?sslmode={mode}", database.url())).await.unwrap();
    }
    let error = connect(&format!("{}?sslmode=require", database.url())).await.unwrap_err();
    assert!(told(&error).ends_with("server does not support TLS"), "{}", told(&error));
    assert!(error.help().unwrap().contains("sslmode=prefer"));
}

#[tokio::test]
async fn a_refusal_says_where_why_and_what_to_do_but_no_secret() {
    let database = postgres::server().database();
    let (name, port, down) = (database.name(), database.server().port(), free_port());
    let at = |user: &str, rest: &str| format!("postgres://{user}@127.0.0.1:{rest}");
    for (conninfo, message, help) in [
        (
            at(USER, &format!("{down}/{name}")),
            format!(
                "can't connect to postgres://{USER}@127.0.0.1:{down}/{name}: \
                     error connecting to server: Connection refused (os error 111)"
            ),
            "check that PostgreSQL runs there",
        ),
        (
            at(&format!("{USER}:hunter2"), &format!("{port}/{name}")),
            format!(
                "can't connect to postgres://{USER}@127.0.0.1:{port}/{name}: \
                     FATAL: password authentication failed for user \"{USER}\""
            ),
            "check the password",
        ),
        (
            at(USER, &format!("{port}/{name}")),
            format!(
                "can't connect to postgres://{USER}@127.0.0.1:{port}/{name}: \
                     invalid configuration: password missing"
            ),
            "PGPASSWORD",
        ),
        (
            database.url().replace(name, "nowhere"),
            format!(
                "can't connect to postgres://{USER}@127.0.0.1:{port}/nowhere: \
                     FATAL: database \"nowhere\" does not exist"
            ),
            "createdb nowhere",
        ),
        (
            format!("{} user=nobody", database.socket_keywords()),
            format!(
                "can't connect to postgres://nobody@/{name}?host={}&port={port}: \
                     FATAL: role \"nobody\" does not exist",
                database.server().socket_folder().display()
            ),
            "create the role nobody",
        ),
        (
            format!("host=/nowhere user={USER}"),
            format!(
                "can't connect to postgres://{USER}@/{USER}?host=/nowhere&port=5432: \
                     error connecting to server: No such file or directory (os error 2)"
            ),
            "check that PostgreSQL runs there",
        ),
    ] {
        let error = connect(&conninfo).await.unwrap_err();
        assert_eq!(told(&error), message);
        assert!(error.help().unwrap().contains(help), "{error:?}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    let error = connect("postgres://u@no-such-host.invalid/d").await.unwrap_err();
    assert_eq!(error.help(), Some("check the host's name"), "{error:?}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let error =
        connect(&format!("postgres://u@127.0.0.1:{port}/?connect_timeout=1")).await.unwrap_err();
    assert!(told(&error).ends_with("no answer in 1 seconds"), "{}", told(&error));
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
