//! Silence: a line that gives nothing is taken for broken, a server that works or waits is not, and both are told.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sparkload::{Config, Silence};
use tokio::time::sleep;
use tracing::subscriber::DefaultGuard;

use crate::support::postgres::{self, Postgres};
use crate::support::proxy::{At, Cut, How, Proxy};
use crate::versions::{Versions, told};

/// Times that a test can wait for.
const SHORT: Silence =
    Silence { told_after: Duration::from_millis(200), broken_after: Duration::from_millis(800) };

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn begin() -> (Log, DefaultGuard) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    async fn says(&self, text: &str) {
        while !self.text().contains(text) {
            sleep(Duration::from_millis(5)).await;
        }
    }
}

const BROKEN: &str = "is taken for broken";

fn config(versions: &Versions, version: usize, url: &str) -> Config {
    let mut config = versions.config(version, url);
    config.silence = SHORT;
    config
}

#[tokio::test]
async fn a_line_that_stays_open_and_gives_nothing_is_made_again() {
    let versions = Versions::new(5, 40).await;
    let database = postgres::server().database();
    let client = database.connect().await;
    let proxy = Proxy::to(&database).await;
    let (log, _guard) = Log::begin();
    sparkload::load(&versions.config(0, &proxy.url())).await.unwrap();
    let mut traffic = [(0, 0); 2];
    for version in [1, 0] {
        proxy.cut(&[]);
        let mut config = config(&versions, version, &proxy.url());
        config.connections = Some(1);
        sparkload::load(&config).await.unwrap();
        // A server that answers, and that no pooler stands before, is asked over no other connection.
        assert_eq!(proxy.traffic().len(), 1);
        traffic[version] = proxy.traffic()[0];
    }
    let mut version = 0;
    let mut cut = 0;
    for at in [
        |(sent, _)| At::Sent(sent / 4),
        |(_, received)| At::Received(received / 3),
        |_| At::Commit(1),
        |(sent, _)| At::Sent(sent * 7 / 8),
        |_| At::Commit(2),
        |(_, received)| At::Received(received / 2),
    ] {
        version = 1 - version;
        let at = at(traffic[version]);
        let mut config = config(&versions, version, &proxy.url());
        config.connections = Some(1);
        proxy.cut(&[Cut { connection: Some(0), at, how: How::Silent }]);
        if let Err(error) = sparkload::load(&config).await {
            panic!("{at:?}: {}\n{}", told(&error), log.text());
        }
        cut += proxy.made();
        versions.hold(version, &client, &format!("{at:?}")).await;
    }
    assert!(cut >= 5, "{cut} lines fell silent");
    let said = log.text();
    assert!(said.contains(" has not answered for 0 s: ") && said.contains(BROKEN), "{said}");
}

#[tokio::test]
async fn a_server_that_gives_nothing_on_any_line_is_given_up() {
    let versions = Versions::new(5, 40).await;
    let database = postgres::server().database();
    let client = database.connect().await;
    let proxy = Proxy::to(&database).await;
    let url = format!("{}?connect_timeout=1", proxy.url());
    sparkload::load(&versions.config(0, &url)).await.unwrap();
    let first = Cut { connection: Some(0), at: At::Commit(1), how: How::Silent };
    let other = |number| Cut { connection: Some(number), at: At::Sent(0), how: How::Silent };
    proxy.cut(&[first].into_iter().chain((1..100).map(other)).collect::<Vec<_>>());
    let mut config = config(&versions, 1, &url);
    config.connections = Some(1);
    config.retry.attempts = 2;
    let since = Instant::now();
    let error = told(&sparkload::load(&config).await.unwrap_err());
    assert!(error.contains("no answer in 1 seconds"), "{error}");
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
    versions.hold_still(0, &client, "a server that gives nothing").await;
}

#[tokio::test]
async fn a_server_that_works_or_waits_for_a_lock_is_waited_for_and_that_is_told() {
    let versions = Versions::new(5, 40).await;
    let database = postgres::server().database();
    let client = database.connect().await;
    sparkload::load(&versions.config(0, &database.url())).await.unwrap();
    client
        .batch_execute(
            "CREATE SEQUENCE once;
             CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql
                 AS $$ BEGIN IF nextval('public.once') = 1 THEN PERFORM pg_sleep(2); END IF; END $$;
             CREATE EVENT TRIGGER slow ON ddl_command_start WHEN TAG IN ('ALTER TABLE')
                 EXECUTE FUNCTION slow()",
        )
        .await
        .unwrap();
    let (log, _guard) = Log::begin();
    sparkload::load(&config(&versions, 1, &database.url())).await.unwrap();
    let said = log.text();
    assert!(said.contains(" has not answered for 0 s: it works on a statement"), "{said}");
    assert!(!said.contains(BROKEN), "{said}");

    let blocker = database.connect().await;
    blocker.batch_execute("SET application_name = 'a blocker'; BEGIN; LOCK users").await.unwrap();
    let config = config(&versions, 0, &database.url());
    let (load, ()) = tokio::join!(sparkload::load(&config), async {
        log.says("it waits for a lock, which is held by a blocker, process ").await;
        sleep(SHORT.broken_after).await;
        blocker.batch_execute("COMMIT").await.unwrap();
    });
    load.unwrap();
    assert!(!log.text().contains(BROKEN), "{}", log.text());
    client.batch_execute("DROP EVENT TRIGGER slow").await.unwrap();
    versions.hold(0, &client, "a lock that went").await;
}

#[tokio::test]
async fn waiting_for_a_synchronous_standby_is_told() {
    let versions = Versions::new(5, 40).await;
    let server = Postgres::start();
    let database = server.database();
    let standby = |name: &str| {
        let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'");
        database.query(&set);
        database.query("SELECT pg_reload_conf()");
    };
    database.query(&format!("ALTER DATABASE {} SET synchronous_commit = on", database.name()));
    standby("nobody");
    let (log, _guard) = Log::begin();
    let config = config(&versions, 0, &database.url());
    let (load, ()) = tokio::join!(sparkload::load(&config), async {
        log.says("it waits for a synchronous standby").await;
        standby("");
    });
    load.unwrap();
    assert!(!log.text().contains(BROKEN), "{}", log.text());
}
