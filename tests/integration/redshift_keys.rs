//! Redshift enforces no key: rows that stand twice are found, and do no harm.

use std::error::Error as _;

use sparkload::{Config, Verdict};

use crate::directory::{Directory, play, song};
use crate::tables::{contents, target};
use crate::warehouse::Warehouse;

fn source() -> Directory {
    let mut source = Directory::new();
    source.put("song_data/1.json", &[song("SO1", "AR1", "Ode"), song("SO2", "AR2", "Hymn")]);
    source.put("log_data/1.json", &[play(1, 1, "Ode"), play(2, 2, "Hymn")]);
    source
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_stand_twice_are_found_and_go_with_what_touches_them() {
    let mut source = source();
    let warehouse = Warehouse::start();
    let (database, config) = (warehouse.database(), warehouse.config(source.path()));
    sparkload::load(&config).await.unwrap();
    let before = contents(database, source.path()).await;
    let twice = "INSERT INTO songs SELECT * FROM songs; INSERT INTO users SELECT * FROM users";
    database.query(twice);
    let checks = sparkload::check(&target(&warehouse.redshift.url()), "public").await.unwrap();
    let broken: Vec<_> =
        checks.iter().filter(|it| it.verdict == Verdict::Broken).map(|it| &*it.table).collect();
    assert!(broken.contains(&"songs") && broken.contains(&"users"), "{broken:?}");
    // What its objects touch an incremental load makes anew, a full one all.
    source.put("song_data/1.json", &[song("SO1", "AR1", "Ode"), song("SO2", "AR2", "Hymn")]);
    sparkload::load(&config).await.unwrap();
    let users = database.query("SELECT count(*) FROM users");
    assert_eq!(users, [[Some("4".to_owned())]], "no object told of users");
    database.query("INSERT INTO songs SELECT * FROM songs");
    sparkload::load(&Config { full_refresh: true, ..config }).await.unwrap();
    similar_asserts::assert_eq!(contents(database, source.path()).await, before);
}

/// Something else that writes to the tables is played by a trigger in the database behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_with_a_row_too_many_fails_the_load() {
    let mut source = source();
    let warehouse = Warehouse::start();
    let (database, config) = (warehouse.database(), warehouse.config(source.path()));
    sparkload::load(&config).await.unwrap();
    database.query(
        "CREATE FUNCTION one_more() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO users (user_id) VALUES (99); RETURN NULL; END $$;
         CREATE TRIGGER one_more AFTER INSERT ON users FOR EACH STATEMENT
             WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION one_more()",
    );
    let before = contents(database, source.path()).await;
    source.put("log_data/1.json", &[play(1, 1, "Ode"), play(2, 2, "Ode")]);
    for full_refresh in [false, true] {
        let config = Config { full_refresh, ..config.clone() };
        let error = sparkload::load(&config).await.unwrap_err();
        assert_eq!(error.to_string(), "users would hold 3 rows where it should hold 2");
        assert!(error.source().unwrap().to_string().contains("something else writes to it"));
        similar_asserts::assert_eq!(contents(database, source.path()).await, before);
        warehouse.hold_empty();
    }
}
