//! Who may load Redshift, and what is said to who may not.

use std::error::Error as _;

use sparkload::{Config, Existing, Mode};

use crate::directory::{Directory, play, song};
use crate::tables::{contents, target};
use crate::warehouse::Warehouse;

/// What is needed of every table.
const RIGHTS: &str = "SELECT, INSERT, UPDATE, DELETE";

/// A source, tables that hold it, and a role that may load them until something is taken from it.
struct Scene {
    source: Directory,
    warehouse: Warehouse,
    role: String,
    config: Config,
}

impl Scene {
    async fn new() -> Self {
        let mut source = Directory::new();
        source.put("song_data/1.json", &[song("SO1", "AR1", "Ode")]);
        source.put("log_data/1.json", &[play(1, 1, "Ode")]);
        let warehouse = Warehouse::start();
        let owners = target(&warehouse.redshift.url());
        sparkload::create(&owners, "plays", Existing::Keep).await.unwrap();
        let name = warehouse.database().name();
        warehouse.database().query(&format!("ALTER DATABASE {name} SET search_path = plays"));
        let role = format!("loader_{name}");
        let target = target(&warehouse.redshift.user(&role));
        let schema = "plays".to_owned();
        let config = Config { schema, target, ..warehouse.config(source.path()) };
        let scene = Self { source, warehouse, role, config };
        scene.give();
        sparkload::load(&scene.config).await.unwrap();
        scene
    }

    /// Gives the role what it needs.
    fn give(&self) {
        let Self { role, warehouse, .. } = self;
        warehouse.database().query(&format!(
            "GRANT USAGE ON SCHEMA plays TO {role};
             GRANT {RIGHTS} ON ALL TABLES IN SCHEMA plays TO {role};
             GRANT TEMPORARY ON DATABASE {} TO PUBLIC",
            warehouse.database().name()
        ));
    }

    /// Takes something of it away, and sees to it that a load says `expected`.
    async fn take(&self, rights: &str, full_refresh: bool, expected: &str) {
        let Self { source, warehouse, role, config } = self;
        let before = contents(warehouse.database(), source.path()).await;
        warehouse.database().query(&format!("REVOKE {rights} FROM {role}, PUBLIC"));
        let error = sparkload::load(&Config { full_refresh, ..config.clone() }).await.unwrap_err();
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        let told = format!("{error}: {cause}");
        assert_eq!(told, format!("{expected} (SQLSTATE 42501)"), "without {rights}");
        assert!(error.help().unwrap().starts_with("the role needs "), "{error:?}");
        warehouse.hold_empty();
        similar_asserts::assert_eq!(contents(warehouse.database(), source.path()).await, before);
        self.give();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_missing_is_named_and_nothing_is_published() {
    let mut scene = Scene::new().await;
    let denied =
        |what: &str, of: &str| format!("{what}: ERROR: permission denied for relation {of}");
    let lock = denied("can't lock the schema plays", "load_lock");
    let runs = denied("can't enter the run in load_runs", "load_runs");
    let full = [
        ("UPDATE, DELETE ON load_lock", lock.clone()),
        ("SELECT ON songs", denied("can't count the rows of songs", "songs")),
        ("INSERT ON songs", denied("can't copy the staged rows of songs", "songs")),
        ("DELETE ON users", denied("can't replace the rows of users", "users")),
        (
            "UPDATE ON load_objects",
            denied("can't enter what was replaced in load_objects", "load_objects"),
        ),
        ("INSERT ON load_runs", runs.clone()),
    ];
    let temporary = format!("TEMPORARY ON DATABASE {}", scene.warehouse.database().name());
    let incremental = [
        ("UPDATE, DELETE ON load_lock", lock),
        ("SELECT ON songs", denied("can't publish songs", "songs")),
        ("INSERT ON users", denied("can't publish users", "users")),
        ("DELETE ON staging_songs", denied("can't publish staging_songs", "staging_songs")),
        ("UPDATE ON load_objects", denied("can't publish load_objects", "load_objects")),
        ("INSERT ON load_runs", runs),
        (
            &temporary,
            format!(
                "can't find out what the load changes: ERROR: permission denied to create temporary tables in \
                 database \"{}\"",
                scene.warehouse.database().name()
            ),
        ),
    ];
    for (rights, expected) in full {
        scene.take(rights, true, &expected).await;
    }
    scene.source.put("song_data/1.json", &[song("SO1", "AR2", "Ode")]);
    for (rights, expected) in incremental {
        scene.take(rights, false, &expected).await;
    }
    let report = sparkload::load(&scene.config).await.unwrap();
    assert_eq!((report.mode, report.objects.loaded), (Mode::Incremental, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_may_not_be_used_is_named() {
    let scene = Scene::new().await;
    let revoke = format!("REVOKE USAGE ON SCHEMA plays FROM {}", scene.role);
    scene.warehouse.database().query(&revoke);
    let error = sparkload::load(&scene.config).await.unwrap_err();
    assert_eq!(error.to_string(), "can't use the schema plays");
    assert_eq!(error.help(), Some("grant the user USAGE ON SCHEMA \"plays\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_may_not_even_be_seen_is_named() {
    let scene = Scene::new().await;
    let rights = format!("{RIGHTS} ON load_objects");
    let expected = "can't read the ledger of the schema plays: ERROR: permission denied for relation load_objects";
    scene.take(&rights, false, expected).await;
}
