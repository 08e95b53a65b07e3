//! Poolers: a load goes through one that keeps a session for each client, and is refused by any other at once.

use std::time::{Duration, Instant};

use sparkload::{Error, Existing};
use tokio_postgres::{Client, NoTls};

use crate::cli::printed;
use crate::support::pooler::Pooler;
use crate::support::postgres::{self, Database};
use crate::tables::target;
use crate::versions::{Versions, told};

/// What loads could leave in the sessions of `database`: processes since when, and how many locks on what.
async fn sessions(client: &Client) -> Vec<String> {
    let query = "SELECT format('%s since %s', pid, backend_start) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()
                 UNION ALL
                 SELECT format('%s has a lock', pid) FROM pg_locks
                 WHERE locktype = 'advisory'
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
                 ORDER BY 1";
    client.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Another client of the pooler's, which speaks as plainly as any pooler needs.
async fn neighbour(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn plain(client: &Client, sql: &str) -> String {
    let answer = client.simple_query(sql).await.unwrap();
    let rows = answer.iter().filter_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    rows.collect::<Vec<_>>().join(" ")
}

/// Sees to it that `error` came in two seconds and says what to do.
fn refused(error: &Error, since: Instant, case: &str) {
    let text = told(error);
    assert!(text.contains("is a pooler in transaction or statement mode"), "{case}: {text}");
    let help = error.help().unwrap();
    for cure in ["the server itself", "5432 instead of 6543", "pool_mode = session", "Odyssey"] {
        assert!(help.contains(cure), "{case}: {help}");
    }
    assert!(since.elapsed() < Duration::from_secs(2), "{case}: {:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_transactions_or_statements_is_refused_and_left_as_it_was() {
    let versions = Versions::new(5, 40).await;
    for (mode, size, turns) in
        [("transaction", 1, 0), ("transaction", 3, 0), ("transaction", 3, 1), ("statement", 2, 0)]
    {
        let case = format!("pool_mode = {mode}, {size} sessions, by turns {turns}");
        let database = postgres::server().database();
        let client = database.connect().await;
        let settings = format!(
            "pool_mode = {mode}\ndefault_pool_size = {size}\nserver_round_robin = {turns}\n\
             server_reset_query =\nmin_pool_size = {size}"
        );
        let Some(pooler) = Pooler::pgbouncer(&database, &settings) else { return };
        let url = pooler.url();
        let neighbours = futures::future::join_all((0..size).map(|_| neighbour(&url))).await;
        // As many sessions as the pool has, all of them idle in the end.
        let sleep = neighbours.iter().map(|it| plain(it, "SELECT pg_sleep(0.05)"));
        futures::future::join_all(sleep).await;
        let before = sessions(&client).await;
        assert_eq!(before.len(), size, "{case}");

        let since = Instant::now();
        let error = sparkload::load(&versions.config(0, &url)).await.unwrap_err();
        refused(&error, since, &case);
        let since = Instant::now();
        let error = sparkload::create(&target(&url), "public", Existing::Keep).await.unwrap_err();
        refused(&error, since, &case);

        for neighbour in &neighbours {
            assert_eq!(plain(neighbour, "SHOW search_path").await, "\"$user\", public", "{case}");
            let prepared = "SELECT count(*) FROM pg_prepared_statements";
            assert_eq!(plain(neighbour, prepared).await, "0", "{case}");
        }
        assert_eq!(
            plain(&client, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await,
            "0"
        );
        // Not one was ended, and there is no lock.
        assert_eq!(sessions(&client).await, before, "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_of_sessions_is_loaded_through_and_left_clean() {
    let versions = Versions::new(5, 400).await;
    for reset in ["", "server_reset_query ="] {
        let database = postgres::server().database();
        let client = database.connect().await;
        let settings = format!("pool_mode = session\n{reset}");
        let Some(pooler) = Pooler::pgbouncer(&database, &settings) else { return };
        let url = pooler.url();
        for version in [0, 1, 0] {
            sparkload::load(&versions.config(version, &url)).await.unwrap();
            versions.hold(version, &client, reset).await;
        }
        assert!(sparkload::check(&target(&url), "public").await.unwrap().len() > 7);

        let left = sessions(&client).await;
        assert!(
            left.len() >= 2 && !left.iter().any(|it| it.ends_with("lock")),
            "{reset}: {left:?}"
        );
        for _ in 0..left.len() {
            let next = neighbour(&url).await;
            let clean =
                "SELECT current_setting('search_path'), count(*) FROM pg_prepared_statements";
            assert_eq!(plain(&next, clean).await, "\"$user\", public", "{reset}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pool_of_sessions_does_not_have_is_done_without() {
    let versions = Versions::new(5, 4000).await;
    for size in [1, 2] {
        let database = postgres::server().database();
        let client = database.connect().await;
        let settings = format!("pool_mode = session\ndefault_pool_size = {size}");
        let Some(pooler) = Pooler::pgbouncer(&database, &settings) else { return };
        let url = pooler.url();
        for version in [0, 1] {
            let since = Instant::now();
            let mut config = versions.config(version, &url);
            config.connections = Some(4);
            config.block_bytes = 20_000;
            sparkload::load(&config).await.unwrap();
            assert!(since.elapsed() < Duration::from_secs(30), "{size}: {:?}", since.elapsed());
            versions.hold(version, &client, &format!("{size} sessions")).await;
        }
    }
}

/// The program, loading through `url` over four connections; what it says.
fn says(versions: &Versions, url: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let place = versions.place(0);
    let args = ["load", "--source", place.to_str().unwrap(), "--target", url];
    let args = [&args[..], &["--connections", "4", "--full-refresh"]].concat();
    printed(&mut crate::cli::sparkload(directory.path(), &args), 0).err
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_on_connections_cost_a_note_and_no_load() {
    let versions = Versions::new(5, 40_000).await;
    let database = postgres::server().database();
    let client = database.connect().await;
    let role = limited(&database, 2).await;
    let keywords = database.socket_keywords().replace("user=sparkload", &format!("user={role}"));
    let said = says(&versions, &keywords);
    let note = "the load goes on with fewer connections";
    assert!(said.contains(note) && said.contains("too many connections for role"), "{said}");
    assert_eq!(said.matches(note).count(), 1, "{said}");
    versions.hold(0, &client, "CONNECTION LIMIT 2").await;
    client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();

    let database = postgres::server().database();
    let settings = "pool_mode = session\ndefault_pool_size = 1";
    let Some(pooler) = Pooler::pgbouncer(&database, settings) else { return };
    let said = says(&versions, &pooler.url());
    assert!(said.contains(note) && said.contains("no answer in 3 seconds"), "{said}");
    versions.hold(0, &database.connect().await, "one session").await;
}

/// A role that may have so many connections and load.
async fn limited(database: &Database, connections: u32) -> String {
    let role = format!("limited_to_{connections}_{}", database.name());
    database.query(&format!(
        "CREATE ROLE {role} LOGIN CONNECTION LIMIT {connections}; \
         GRANT ALL ON DATABASE {} TO {role}; GRANT ALL ON SCHEMA public TO {role}",
        database.name()
    ));
    role
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_pooler_refuses_has_its_cure() {
    let database = postgres::server().database();
    let Some(pooler) = Pooler::pgbouncer(&database, "pool_mode = session") else { return };
    let url = pooler.url();
    let since = Instant::now();
    for (url, cause, cure) in [
        (
            format!("{url}?options=-c%20geqo%3Doff"),
            "unsupported startup parameter",
            "ignore_startup_parameters",
        ),
        (format!("{url}_other"), "no such database", "[databases]"),
    ] {
        let error = sparkload::check(&target(&url), "public").await.unwrap_err();
        assert!(told(&error).contains(cause), "{}", told(&error));
        assert!(error.help().unwrap().contains(cure), "{error:?}");
    }
    assert!(
        since.elapsed() < Duration::from_secs(2),
        "they were tried again: {:?}",
        since.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pgpool_is_refused_by_a_load_and_no_hindrance_to_readers() {
    let versions = Versions::new(5, 40).await;
    let database = postgres::server().database();
    let Some(pooler) = Pooler::pgpool(&database, 3) else { return };
    let url = pooler.url();
    let since = Instant::now();
    let error = sparkload::load(&versions.config(0, &url)).await.unwrap_err();
    assert!(told(&error).contains("pgpool-II "), "{}", told(&error));
    assert!(error.help().unwrap().contains("the server behind it"), "{error:?}");
    assert!(since.elapsed() < Duration::from_secs(2), "{:?}", since.elapsed());

    sparkload::load(&versions.config(0, &database.socket_keywords())).await.unwrap();
    assert!(sparkload::check(&target(&url), "public").await.unwrap().len() > 7);
}
