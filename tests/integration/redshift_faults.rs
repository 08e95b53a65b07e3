//! A bad line, sessions that are ended, a cluster that restarts, interruptions: Redshift's tables are those of before or
//! those of after.

use std::time::Duration;

use sparkload::{Config, Retry};
use tokio::time::sleep;
use tokio_postgres::Client;

use crate::cli::signal;
use crate::place::Place;
use crate::sequences::quiet;
use crate::support::postgres::{Postgres, Stop};
use crate::support::proxy::{At, Cut, How, Proxy};
use crate::support::redshift::Fault;
use crate::versions::{QUICK, Versions, told};
use crate::warehouse::Warehouse;

/// Some versions, and tables that hold the first of them.
struct Scene {
    versions: Versions,
    warehouse: Warehouse,
    /// Looks at the tables as PostgreSQL has them.
    client: Client,
    version: usize,
}

impl Scene {
    async fn new(events: u32, warehouse: Warehouse) -> Self {
        let versions = Versions::new(5, events).await;
        let client = warehouse.database().connect().await;
        let scene = Self { versions, warehouse, client, version: 0 };
        sparkload::load(&scene.config(&scene.warehouse.redshift.url())).await.unwrap();
        scene
    }

    /// The settings of loading the version that is there over `url`.
    fn config(&self, url: &str) -> Config {
        let stage = Some(self.warehouse.stage());
        Config { stage, ..self.versions.config(self.version, url) }
    }

    fn turn(&mut self) {
        self.version = 1 - self.version;
    }

    /// Sees to it that the tables are those of the version, and that nothing is staged.
    async fn hold(&self, case: &str) {
        self.versions.hold(self.version, &self.client, case).await;
        self.warehouse.hold_empty();
    }
}

/// Cuts each of the load's connections at places of what it says and hears.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_may_be_cut_anywhere() {
    let mut scene = Scene::new(40, Warehouse::start()).await;
    let proxy = Proxy::to_redshift(&scene.warehouse.redshift).await;
    let mut cuts = 0;
    // The first holds the lock and publishes, the second looks at the tables.
    for (connection, steps) in [(0, 10), (1, 2)] {
        proxy.cut(&[]);
        scene.turn();
        sparkload::load(&scene.config(&proxy.url())).await.unwrap();
        let (sent, received) = proxy.traffic()[connection];
        for step in 0..steps {
            for at in [At::Sent(sent * step / steps), At::Received(received * step / steps)] {
                let how = [How::Fin, How::Reset][step % 2];
                let case = format!("connection {connection}, {at:?}, {how:?}");
                scene.turn();
                proxy.cut(&[Cut { connection: Some(connection), at, how }]);
                match sparkload::load(&scene.config(&proxy.url())).await {
                    Ok(_) => {}
                    // A load that has reached no server yet takes a broken line for a wrong address.
                    Err(error) if told(&error).starts_with("can't connect") && connection == 0 => {
                        sparkload::load(&scene.config(&proxy.url())).await.unwrap();
                    }
                    Err(error) => panic!("{case}: {}", told(&error)),
                }
                cuts += proxy.made();
                scene.hold(&case).await;
            }
        }
    }
    assert!(cuts >= 20, "{cuts} cuts were made");
}

/// The server goes on with a transaction whose client is gone, and would keep its lock.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_server_does_not_know_to_be_lost_is_ended() {
    let mut scene = Scene::new(40, Warehouse::start()).await;
    let proxy = Proxy::to_redshift(&scene.warehouse.redshift).await;
    proxy.cut(&[]);
    scene.turn();
    sparkload::load(&scene.config(&proxy.url())).await.unwrap();
    let (sent, _) = proxy.traffic()[0];
    scene.turn();
    let half = Cut { connection: Some(0), at: At::Sent(sent / 2), how: How::HalfOpen };
    proxy.cut(&[half]);
    sparkload::load(&scene.config(&proxy.url())).await.unwrap();
    scene.hold("half open").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_are_ended_at_random_moments_begin_again() {
    let mut scene = Scene::new(4000, Warehouse::start()).await;
    let mut random = fastrand::Rng::with_seed(20181115);
    let mut ended = 0;
    for round in 1..=6 {
        scene.turn();
        let mut config = scene.config(&scene.warehouse.redshift.url());
        config.retry.attempts = 100;
        config.block_bytes = 20_000;
        let load = tokio::spawn(async move { sparkload::load(&config).await });
        // On a machine that is slower than the ends come it would never be done.
        let enough = ended + 10;
        while !load.is_finished() && ended < enough {
            sleep(Duration::from_millis(random.u64(0..60))).await;
            let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                       WHERE application_name = 'sparkload' AND datname = current_database()";
            ended += scene.client.query_one(end, &[]).await.unwrap().get::<_, i64>(0);
        }
        let loaded = load.await.unwrap();
        loaded.unwrap_or_else(|error| panic!("round {round}: {}", told(&error)));
        scene.hold(&format!("round {round}")).await;
    }
    assert!(ended > 6, "{ended} sessions were ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_may_restart_during_a_load() {
    let server = Postgres::start();
    let mut scene = Scene::new(40, Warehouse::over(&server)).await;
    for (how, during) in [
        (Stop::Fast, "COPY delta_events"),
        (Stop::Immediate, "INSERT INTO load_runs"),
        (Stop::Immediate, "LOCK TABLE"),
    ] {
        scene.turn();
        let mut config = scene.config(&scene.warehouse.redshift.url());
        config.full_refresh = false;
        config.retry = Retry { attempts: 1000, max_delay: Duration::from_millis(50), ..QUICK };
        let redshift = &scene.warehouse.redshift;
        redshift.fail_next(Fault::Wait(during.to_owned(), Duration::from_secs(30)));
        let (loaded, ()) = tokio::join!(sparkload::load(&config), async {
            while redshift.pending_faults() > 0 {
                sleep(Duration::from_millis(5)).await;
            }
            server.stop(how);
            server.restart();
        });
        loaded.unwrap_or_else(|error| panic!("{how:?}, {during}: {}", told(&error)));
        scene.client = scene.warehouse.database().connect().await;
        scene.hold(&format!("{how:?}, {during}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_program_leaves_nothing_behind() {
    let scene = Scene::new(400, Warehouse::start()).await;
    let place = Place::Staged(scene.warehouse);
    let redshift = &place.warehouse().unwrap().redshift;
    // What looks at the tables holds no lock, and may go on; what publishes is ended.
    for (number, (during, seconds)) in [
        ("SELECT count(*) FROM stv_slices", 2),
        ("COPY songs", 600),
        ("DELETE FROM songplays", 600),
        ("COMMIT", 600),
    ]
    .into_iter()
    .enumerate()
    {
        redshift.fail_next(Fault::Wait(during.to_owned(), Duration::from_secs(seconds)));
        let mut program = place.program(&scene.versions.place(1 - scene.version));
        let child = program.args(["--full-refresh", "--quiet"]).spawn().unwrap();
        while redshift.pending_faults() > 0 {
            sleep(Duration::from_millis(5)).await;
        }
        signal(&child, ["-INT", "-TERM"][number % 2]);
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{during}: {said}");
        let nothing = "nothing was published, and nothing is left behind";
        assert!(said.contains(nothing), "{during}: {said}");
        quiet(place.database()).await;
        scene.versions.hold(scene.version, &scene.client, during).await;
        place.hold_empty();
    }
}

/// Rows that wait in a session go with it.
#[tokio::test(flavor = "multi_thread")]
async fn loads_by_statements_get_over_what_passes() {
    let versions = Versions::new(5, 40).await;
    let place = Place::inserted();
    let client = place.database().connect().await;
    let redshift = &place.warehouse().unwrap().redshift;
    let config = |version| versions.config(version, &redshift.url());
    sparkload::load(&config(0)).await.unwrap();
    let closed = |text: &str| Fault::ClosedBefore(text.to_owned());
    let mut version = 0;
    for fault in [
        Fault::ConflictAtCommit { times: 3 },
        Fault::CommitAnswerLost,
        closed("COMMIT"),
        closed("CREATE TEMP TABLE waiting_songs"),
    ] {
        version = 1 - version;
        let case = format!("{fault:?}");
        redshift.fail_next(fault);
        let loaded = sparkload::load(&config(version)).await;
        loaded.unwrap_or_else(|error| panic!("{case}: {}", told(&error)));
        assert_eq!(redshift.pending_faults(), 0, "{case}");
        versions.hold(version, &client, &case).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_by_statements_starts_over_when_its_session_breaks_while_it_writes() {
    let versions = Versions::new(5, 40).await;
    let place = Place::inserted();
    let client = place.database().connect().await;
    let redshift = &place.warehouse().unwrap().redshift;
    redshift.fail_next(Fault::ClosedBefore("INSERT INTO waiting_staging_events".to_owned()));
    sparkload::load(&versions.config(0, &redshift.url())).await.unwrap();
    versions.hold(0, &client, "a broken session").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_the_user_s_own_ends_a_load() {
    let scene = Scene::new(40, Warehouse::start()).await;
    let url = format!("{}&options=-c%20statement_timeout%3D1000", scene.warehouse.redshift.url());
    let fault = Fault::Wait("COPY".to_owned(), Duration::from_secs(3));
    scene.warehouse.redshift.fail_next(fault);
    let config = Config { full_refresh: true, ..scene.config(&url) };
    let error = sparkload::load(&config).await.unwrap_err();
    assert!(told(&error).contains("(SQLSTATE 57014)"), "{}", told(&error));
    assert!(error.help().unwrap().contains("statement_timeout"), "{error:?}");
    scene.hold("a limit").await;
}
