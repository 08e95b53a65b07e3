//! A bad line, a server that goes down, limits and interruptions: a load gets over them, or leaves the old state.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use sparkload::{Config, Phase, Retry, Source, Table, Target};
use tempfile::TempDir;
use tokio::time::sleep;
use tokio_postgres::Client;

use crate::cli::signal;
use crate::support::clean::clean;
use crate::support::postgres::{self, Database, Postgres, Stop};
use crate::support::proxy::{At, Cut, How, Proxy};
use crate::versions::{QUICK, Versions, left_behind, told, write};

/// Cuts each of the load's first connections at many places of what it says and hears.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_may_be_cut_anywhere() {
    let versions = Versions::new(5, 40).await;
    let database = postgres::server().database();
    let client = database.connect().await;
    let proxy = Proxy::to(&database).await;
    let mut version = 0;
    sparkload::load(&versions.config(0, &proxy.url())).await.unwrap();
    let mut cuts = 0;
    for (connections, connection) in [(1, 0), (2, 1), (2, 0)] {
        // How much there is to cut: a load that changes everything, as those to come.
        version = 1 - version;
        proxy.cut(&[]);
        let mut config = versions.config(version, &proxy.url());
        config.connections = Some(connections);
        sparkload::load(&config).await.unwrap();
        let (sent, received) = proxy.traffic()[connection];
        for step in 0..40 {
            for at in [At::Sent(sent * step / 40), At::Received(received * step / 40)] {
                let how = [How::Fin, How::Reset, How::HalfOpen][step % 3];
                let case = format!("connection {connection} of {connections}, {at:?}, {how:?}");
                version = 1 - version;
                let mut config = versions.config(version, &proxy.url());
                config.connections = Some(connections);
                proxy.cut(&[Cut { connection: Some(connection), at, how }]);
                match sparkload::load(&config).await {
                    Ok(_) => {}
                    // A load that has reached no server yet takes a broken line for a wrong address.
                    Err(error) if told(&error).starts_with("can't connect") && connection == 0 => {
                        versions.hold(1 - version, &client, &case).await;
                        sparkload::load(&config).await.unwrap();
                    }
                    Err(error) => panic!("{case}: {}", told(&error)),
                }
                cuts += proxy.made();
                versions.hold(version, &client, &case).await;
            }
        }
    }
    assert!(cuts >= 140, "{cuts} cuts were made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_not_done_twice() {
    let versions = Versions::new(5, 40).await;
    let database = postgres::server().database();
    let client = database.connect().await;
    let proxy = Proxy::to(&database).await;
    let mut config = versions.config(0, &proxy.url());
    config.connections = Some(1);
    sparkload::load(&config).await.unwrap();
    let mut commits = [0, 0];
    for version in [1, 0] {
        let mut config = versions.config(version, &proxy.url());
        config.connections = Some(1);
        let before = proxy.commits();
        sparkload::load(&config).await.unwrap();
        commits[version] = proxy.commits() - before;
    }
    assert!(
        commits[1] > 7 && commits[0] > 2,
        "each key is a transaction, and there are rows and the publishing: {commits:?}"
    );
    let mut version = 0;
    for how in [How::Fin, How::HalfOpen] {
        for commit in 1..=commits[1] {
            version = 1 - version;
            let commit = commit.min(commits[version]);
            let mut config = versions.config(version, &proxy.url());
            config.connections = Some(1);
            proxy.cut(&[Cut { connection: None, at: At::Commit(commit), how }]);
            sparkload::load(&config).await.unwrap();
            assert_eq!(proxy.made(), 1, "commit {commit}");
            versions.hold(version, &client, &format!("commit {commit}, {how:?}")).await;
        }
    }
    // All of them, in the tables' first load too.
    let fresh = postgres::server().database();
    let proxy = Proxy::to(&fresh).await;
    let cut = |commit| Cut { connection: None, at: At::Commit(commit), how: How::Reset };
    proxy.cut(&(1..=commits[1]).map(|commit| cut(2 * commit - 1)).collect::<Vec<_>>());
    sparkload::load(&versions.config(1, &proxy.url())).await.unwrap();
    assert!(proxy.made() > 3, "{}", proxy.made());
    versions.hold(1, &fresh.connect().await, "every commit").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_connection_was_sending_that_is_not_to_be_had_again_goes_over_the_first() {
    let versions = Versions::new(5, 4000).await;
    let database = postgres::server().database();
    let client = database.connect().await;
    let proxy = Proxy::to(&database).await;
    let (mut version, mut made) = (0, 0);
    sparkload::load(&versions.config(version, &proxy.url())).await.unwrap();
    for how in [How::Reset, How::HalfOpen] {
        for at in [At::Sent(20_000), At::Sent(90_000), At::Commit(2), At::Commit(3)] {
            version = 1 - version;
            let mut config = versions.config(version, &proxy.url());
            config.connections = Some(2);
            config.block_bytes = 20_000;
            let first = Cut { connection: Some(1), at, how };
            let others = (2..50).map(|number| Cut {
                connection: Some(number),
                at: At::Sent(0),
                how: How::Fin,
            });
            proxy.cut(&[first].into_iter().chain(others).collect::<Vec<_>>());
            if let Err(error) = sparkload::load(&config).await {
                panic!("{at:?}, {how:?}: {}", told(&error));
            }
            made += proxy.made();
            versions.hold(version, &client, &format!("{at:?}, {how:?}")).await;
        }
    }
    assert!(made > 8, "{made} cuts were made: each first one, and those of the tries after it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_breaks_again_and_again_is_given_up_in_the_end() {
    let versions = Versions::new(5, 4000).await;
    let database = postgres::server().database();
    let client = database.connect().await;
    let proxy = Proxy::to(&database).await;
    let config = |version| {
        let mut config = versions.config(version, &proxy.url());
        config.block_bytes = 100_000;
        config
    };
    sparkload::load(&config(0)).await.unwrap();
    let cut = Cut { connection: None, at: At::Sent(60_000), how: How::Reset };
    proxy.cut(&[cut; 6]);
    sparkload::load(&config(1)).await.unwrap();
    assert!(proxy.made() >= 3, "{}", proxy.made());
    versions.hold(1, &client, "six cuts").await;

    proxy.cut(&[cut; 100]);
    let error = sparkload::load(&config(0)).await.unwrap_err();
    let text = told(&error);
    assert!(
        text.starts_with("can't copy rows into ") && text.contains("(8 attempts in "),
        "{text}"
    );
    assert!(error.help().unwrap().contains("reachable"), "{error:?}");
    versions.hold_still(1, &client, "cut for ever").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_ended_at_random_moments_begin_again() {
    let versions = Versions::new(20, 4000).await;
    let database = postgres::server().database();
    let client = database.connect().await;
    sparkload::load(&versions.config(0, &database.url())).await.unwrap();
    let mut random = fastrand::Rng::with_seed(20181115);
    let mut ended = 0;
    for round in 1..=8 {
        let version = round % 2;
        let mut config = versions.config(version, &database.url());
        config.retry.attempts = 100;
        config.block_bytes = 20_000;
        let load = tokio::spawn(async move { sparkload::load(&config).await });
        // On a machine that is slower than the ends come it would never be done.
        let enough = ended + 30;
        while !load.is_finished() && ended < enough {
            sleep(Duration::from_millis(random.u64(0..60))).await;
            let end = "SELECT count(pg_terminate_backend(pid)) FROM (
                           SELECT pid FROM pg_stat_activity
                           WHERE application_name = 'sparkload' AND datname = current_database()
                           ORDER BY pid OFFSET $1 LIMIT 1) AS one";
            let row = client.query_one(end, &[&random.i64(0..4)]).await.unwrap();
            ended += row.get::<_, i64>(0);
        }
        match load.await.unwrap() {
            // Its goodbye may have been cut off as well.
            Ok(_) => versions.hold_still(version, &client, &format!("round {round}")).await,
            Err(error) => panic!("round {round}: {}", told(&error)),
        }
    }
    assert!(ended > 8, "{ended} sessions were ended");
    sparkload::load(&versions.config(1, &database.url())).await.unwrap();
    versions.hold(1, &client, "a last load").await;
}

/// Waits until the load has written rows.
async fn rows_are_in(config: &Config) {
    while config.progress.rows(Table::StagingEvents) == 0 {
        sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_be_stopped_and_started_during_a_load() {
    let versions = Versions::new(20, 5000).await;
    let server = Postgres::start();
    let database = server.database();
    database.query(&format!("ALTER DATABASE {} SET synchronous_commit = on", database.name()));
    sparkload::load(&versions.config(0, &database.url())).await.unwrap();
    for (version, how) in [(1, Stop::Fast), (0, Stop::Immediate)] {
        let mut config = versions.config(version, &database.url());
        config.retry = Retry { attempts: 1000, max_delay: Duration::from_millis(50), ..QUICK };
        config.block_bytes = 10_000;
        let (load, stop) = tokio::join!(sparkload::load(&config), async {
            rows_are_in(&config).await;
            server.stop(how);
            sleep(Duration::from_millis(100)).await;
            server.restart();
        });
        let () = stop;
        load.unwrap_or_else(|error| panic!("{how:?}: {}", told(&error)));
        versions.hold(version, &database.connect().await, &format!("{how:?}")).await;
    }

    // Without synchronous commits a crash loses what was committed: it must not be missed.
    let lose = "ALTER SYSTEM SET wal_writer_delay = '10s'; SELECT pg_reload_conf()";
    lose.split(';').for_each(|sql| drop(database.query(sql)));
    database.query(&format!("ALTER DATABASE {} SET synchronous_commit = off", database.name()));
    let mut config = versions.config(1, &database.url());
    config.retry = Retry { attempts: 1000, max_delay: Duration::from_millis(50), ..QUICK };
    config.block_bytes = 10_000;
    let (load, ()) = tokio::join!(sparkload::load(&config), async {
        rows_are_in(&config).await;
        server.stop(Stop::Immediate);
        server.restart();
    });
    let lost = match load {
        // The server had written them for another reason.
        Ok(_) => {
            versions.hold(1, &database.connect().await, "nothing lost").await;
            "nothing".to_owned()
        }
        Err(error) => told(&error),
    };
    let expected = ["nothing", "the server has lost ", "the schema public_loading_"];
    assert!(expected.iter().any(|expected| lost.starts_with(expected)), "{lost}");
    sparkload::load(&versions.config(0, &database.url())).await.unwrap();
    versions.hold(0, &database.connect().await, "after a loss").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_connection_is_patient_only_with_what_the_server_itself_says() {
    let versions = Versions::new(5, 40).await;
    let database = postgres::server().database();
    let down = database.url().replace(&format!(":{}/", database.server().port()), ":1/");
    let mut config = versions.config(0, &down);
    config.retry = Retry::default();
    let start = Instant::now();
    let error = told(&sparkload::load(&config).await.unwrap_err());
    assert!(error.contains("Connection refused") && !error.contains("attempts"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());

    // Too many connections, for a while.
    let role = format!("limited_{}", database.name());
    database.query(&format!(
        "CREATE ROLE {role} LOGIN CONNECTION LIMIT 1; GRANT ALL ON DATABASE {} TO {role}; \
         GRANT ALL ON SCHEMA public TO {role}",
        database.name()
    ));
    let keywords = database.socket_keywords().replace("user=sparkload", &format!("user={role}"));
    let (first, connection) =
        tokio_postgres::connect(&keywords, tokio_postgres::NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut config = versions.config(0, &keywords);
    config.connections = Some(1);
    config.retry = Retry { attempts: 100, max_delay: Duration::from_millis(50), ..QUICK };
    let (load, ()) = tokio::join!(sparkload::load(&config), async {
        sleep(Duration::from_millis(300)).await;
        drop(first);
        connection.await.unwrap().unwrap();
    });
    load.unwrap();
    let client = database.connect().await;
    versions.hold(0, &client, "too many connections").await;
    client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_the_server_end_a_load_with_one_clear_error() {
    let versions = Versions::new(5, 40).await;
    let database = postgres::server().database();
    let client = database.connect().await;
    sparkload::load(&versions.config(0, &database.url())).await.unwrap();
    let with = |options: &str| format!("{} options='-c {options}'", database.socket_keywords());
    let blocker = database.connect().await;
    blocker.batch_execute("BEGIN; LOCK TABLE users IN SHARE ROW EXCLUSIVE MODE").await.unwrap();

    let cases = [
        (
            "default_transaction_read_only=on",
            "takes no writes",
            "default_transaction_read_only is on",
            "turn it off",
        ),
        ("statement_timeout=100ms", "can't publish ", "(SQLSTATE 57014)", "statement_timeout"),
        ("lock_timeout=20ms", "can't publish ", "(SQLSTATE 55P03) (8 attempts in ", "lock_timeout"),
    ];
    for (option, what, cause, help) in cases {
        let error = sparkload::load(&versions.config(1, &with(option))).await.unwrap_err();
        let text = told(&error);
        assert!(text.contains(what) && text.contains(cause), "{option}: {text}");
        assert!(error.help().unwrap().contains(help), "{option}: {error:?}");
        versions.hold_still(0, &client, option).await;
    }

    client
        .batch_execute(&format!("DROP SCHEMA {} CASCADE", left_behind(&client).await))
        .await
        .unwrap();
    let role = format!("reader_{}", database.name());
    client
        .batch_execute(&format!(
            "CREATE ROLE {role} LOGIN; GRANT CREATE ON DATABASE {} TO {role}; \
             GRANT CREATE ON SCHEMA public TO {role}; \
             GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
            database.name()
        ))
        .await
        .unwrap();
    let url = database.socket_keywords().replace("user=sparkload", &format!("user={role}"));
    let error = sparkload::load(&versions.config(1, &url)).await.unwrap_err();
    let text = told(&error);
    assert!(text.starts_with("can't publish ") && text.contains("(SQLSTATE 42501)"), "{text}");
    assert!(error.help().unwrap().contains("the role needs CREATE"), "{error:?}");
    client.batch_execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.unwrap();

    // A lock that goes in time is waited for, with each wait as short as the limit says.
    let mut patient = versions.config(1, &with("lock_timeout=20ms"));
    patient.retry.attempts = 100;
    let (load, ()) = tokio::join!(sparkload::load(&patient), async {
        while patient.progress.phase() != Phase::Publishing {
            sleep(Duration::from_millis(1)).await;
        }
        sleep(Duration::from_millis(100)).await;
        blocker.batch_execute("COMMIT").await.unwrap();
    });
    load.unwrap();
    versions.hold(1, &client, "a lock that went").await;
}

/// A small disk, mounted where that is allowed.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// Mounts one that belongs to the server's user.
    fn mount(server: &Postgres) -> Option<SmallDisk> {
        let owner = fs::metadata(server.socket_folder()).unwrap();
        let options = format!("size=6m,uid={},gid={}", owner.uid(), owner.gid());
        let folder = tempfile::Builder::new().tempdir_in("/tmp").unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "sparkload-test"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        mount.is_ok_and(|status| status.success()).then_some(SmallDisk(folder))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_a_load_and_leaves_the_old_state() {
    let Some(disk) = SmallDisk::mount(postgres::server()) else {
        // Not by a macro: what those print is kept back when a test passes.
        let skipped =
            b"SKIPPED: a full disk can only be tested as root, who may mount a small one\n";
        std::io::stderr().write_all(skipped).unwrap();
        return;
    };
    let versions = Versions::new(5, 40).await;
    let large = tempfile::tempdir().unwrap();
    write(large.path(), 5, 40_000, 1);
    let database = postgres::server().database();
    let client = database.connect().await;
    sparkload::load(&versions.config(0, &database.url())).await.unwrap();
    let (space, place) = (format!("small_{}", database.name()), disk.0.path().display());
    client.batch_execute(&format!("CREATE TABLESPACE {space} LOCATION '{place}'")).await.unwrap();
    let url = format!("{} options='-c default_tablespace={space}'", database.socket_keywords());
    let mut config = versions.config(1, &url);
    config.source = Source::at(large.path().to_str().unwrap()).unwrap();
    let error = sparkload::load(&config).await.unwrap_err();
    let text = told(&error);
    assert!(text.contains("No space left on device (SQLSTATE 53100)"), "{text}");
    assert_eq!(error.help(), Some("make room on the server's disk and run the load again"));
    versions.hold_still(0, &client, "a full disk").await;
    client.batch_execute(&format!("DROP TABLESPACE {space}")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_loads_one_fails_at_once_or_waits() {
    let versions = Versions::new(5, 40).await;
    let database = postgres::server().database();
    let client = database.connect().await;
    sparkload::load(&versions.config(0, &database.url())).await.unwrap();
    let blocker = database.connect().await;
    blocker.batch_execute("BEGIN; LOCK TABLE users").await.unwrap();
    let first = versions.config(1, &database.url());
    let (one, two) = tokio::join!(sparkload::load(&first), async {
        while first.progress.phase() != Phase::Publishing {
            sleep(Duration::from_millis(1)).await;
        }
        let mut second = versions.config(0, &database.url());
        let error = sparkload::load(&second).await.unwrap_err();
        let text = told(&error);
        let expected = "another load works on the schema public: sparkload, process ";
        assert!(text.starts_with(expected), "{text}");
        assert!(error.help().is_some());

        second.wait = Some(Duration::from_millis(700));
        let start = Instant::now();
        let error = sparkload::load(&second).await.unwrap_err();
        assert!(told(&error).starts_with(expected), "{}", told(&error));
        assert!((700..1500).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());

        second.wait = Some(Duration::from_secs(60));
        let (two, ()) = tokio::join!(sparkload::load(&second), async {
            sleep(Duration::from_millis(100)).await;
            blocker.batch_execute("COMMIT").await.unwrap();
        });
        two
    });
    one.unwrap();
    two.unwrap();
    versions.hold(0, &client, "the second load").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_lives_is_not_cleared_away_though_its_lock_is_lost() {
    let versions = Versions::new(5, 40).await;
    let database = postgres::server().database();
    let client = database.connect().await;
    client
        .batch_execute(
            "CREATE SCHEMA public_loading_1; CREATE SCHEMA public_loading_2;
             COMMENT ON SCHEMA public_loading_1 IS 'sparkload: a load into public in progress';
             COMMENT ON SCHEMA public_loading_2 IS 'sparkload: a load into public in progress';
             SET application_name = 'a writer';
             SELECT pg_advisory_lock_shared(hashtext('sparkload loading'), hashtext('public_loading_2'))",
        )
        .await
        .unwrap();
    let mut config = versions.config(0, &database.url());
    let error = told(&sparkload::load(&config).await.unwrap_err());
    assert!(
        error.starts_with("another load works on the schema public: a writer, process "),
        "{error}"
    );
    assert_eq!(left_behind(&client).await, "public_loading_1 public_loading_2");
    config.wait = Some(Duration::from_secs(60));
    let (load, ()) = tokio::join!(sparkload::load(&config), async {
        sleep(Duration::from_millis(100)).await;
        client.batch_execute("SELECT pg_advisory_unlock_all()").await.unwrap();
    });
    load.unwrap();
    versions.hold(0, &client, "what no load holds is cleared away").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedded_database_in_use_is_waited_for_as_well() {
    let versions = Versions::new(5, 40).await;
    let directory = tempfile::tempdir().unwrap();
    let mut one = versions.config(0, "host=unused user=unused");
    one.target = Target::Embedded(directory.path().join("sparkload.db"));
    let mut two = one.clone();
    two.progress = Default::default();
    let load = |config: Config| tokio::spawn(async move { sparkload::load(&config).await });
    let first = load(one);
    while fs::read_dir(directory.path()).unwrap().next().is_none() {
        sleep(Duration::from_millis(1)).await;
    }
    sleep(Duration::from_millis(50)).await;
    let error = load(two.clone()).await.unwrap().unwrap_err();
    assert!(error.to_string().contains("sparkload.db is "), "{error}");
    two.wait = Some(Duration::from_secs(60));
    load(two).await.unwrap().unwrap();
    first.await.unwrap().unwrap();
}

/// The program, loading all of `source` into `database`.
fn program(source: &Path, database: &Database) -> Child {
    clean(&mut Command::new(env!("CARGO_BIN_EXE_sparkload")), source)
        .args(["load", "--full-refresh", "--quiet", "--source"])
        .arg(source)
        .args(["--target", &database.socket_keywords()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Stands for the exit code of a program that did not listen to signals yet.
const KILLED: i32 = -1;

/// What the program came to after a signal: its exit code and what it said.
fn ended(child: Child) -> (i32, String) {
    let start = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    (output.status.code().unwrap_or(KILLED), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_program_is_gone_in_two_seconds_and_leaves_nothing_behind() {
    let versions = Versions::new(20, 10_000).await;
    let database = postgres::server().database();
    let client = database.connect().await;
    sparkload::load(&versions.config(0, &database.url())).await.unwrap();
    let mut interrupted = 0;
    let mut version = 0;
    for (moment, milliseconds) in
        [0, 30, 60, 100, 150, 200, 300, 400, 550, 700].into_iter().enumerate()
    {
        let child = program(&versions.place(1 - version), &database);
        sleep(Duration::from_millis(20 + milliseconds)).await;
        signal(&child, ["-INT", "-TERM"][moment % 2]);
        let (code, said) = ended(child);
        match code {
            130 => {
                let expected = "interrupted; nothing was published, and nothing is left behind";
                assert!(said.contains(expected), "{milliseconds} ms: {said}");
                interrupted += 1;
            }
            0 => version = 1 - version,
            KILLED => {}
            other => panic!("{milliseconds} ms: it exits with {other}: {said}"),
        }
        versions.hold(version, &client, &format!("{milliseconds} ms")).await;
    }
    assert!(interrupted >= 3, "{interrupted} loads were interrupted");

    // While it builds a key, and while it waits for a reader's lock to publish.
    client
        .batch_execute(
            "CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql
                 AS $$ BEGIN IF pg_trigger_depth() = 0 THEN PERFORM pg_sleep(30); END IF; END $$;
             CREATE EVENT TRIGGER slow ON ddl_command_start WHEN TAG IN ('ALTER TABLE')
                 EXECUTE FUNCTION slow()",
        )
        .await
        .unwrap();
    let stuck = |event: &'static str| {
        let (client, versions) = (&client, &versions);
        let database = &database;
        async move {
            let child = program(&versions.place(1 - version), database);
            waits_for(client, event).await;
            signal(&child, "-INT");
            let (code, said) = ended(child);
            assert_eq!(code, 130, "{event}: {said}");
            assert!(said.contains("nothing is left behind"), "{event}: {said}");
            versions.hold(version, client, event).await;
        }
    };
    stuck("PgSleep").await;
    client.batch_execute("DROP EVENT TRIGGER slow").await.unwrap();
    let blocker = database.connect().await;
    blocker.batch_execute("BEGIN; LOCK TABLE songplays IN SHARE MODE").await.unwrap();
    stuck("relation").await;
    blocker.batch_execute("COMMIT").await.unwrap();
}

/// Waits until a load waits for `event` in the server.
async fn waits_for(client: &Client, event: &str) {
    let waits = "SELECT count(*) FROM pg_stat_activity
                 WHERE application_name = 'sparkload' AND datname = current_database()
                   AND wait_event = $1";
    while client.query_one(waits, &[&event]).await.unwrap().get::<_, i64>(0) == 0 {
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_no_more_does_not_hold_the_program_up() {
    let versions = Versions::new(5, 40).await;
    let server = Postgres::start();
    let database = server.database();
    let client = database.connect().await;
    sparkload::load(&versions.config(0, &database.url())).await.unwrap();
    let blocker = database.connect().await;
    blocker.batch_execute("BEGIN; LOCK TABLE users").await.unwrap();
    for signals in 1..=2 {
        let child = program(&versions.place(1), &database);
        waits_for(&client, "relation").await;
        server.pause(true);
        let start = Instant::now();
        signal(&child, "-INT");
        if signals == 2 {
            sleep(Duration::from_millis(100)).await;
            signal(&child, "-INT");
        }
        let (code, said) = ended(child);
        assert_eq!(code, 130, "{said}");
        assert!(said.contains("interrupted"), "{said}");
        assert_eq!(start.elapsed() < Duration::from_millis(900), signals == 2, "{signals} signals");
        server.pause(false);
        // What still waits in the server goes when its lock does.
        blocker.batch_execute("COMMIT; BEGIN").await.unwrap();
        let mut next = versions.config(0, &database.url());
        next.wait = Some(Duration::from_secs(20));
        sparkload::load(&next).await.unwrap();
        versions.hold(0, &client, "the next load clears away").await;
        blocker.batch_execute("LOCK TABLE users").await.unwrap();
    }
}
