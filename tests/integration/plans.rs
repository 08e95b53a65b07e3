//! How the server goes about what loads ask of it, where little memory and many plays show it.

use serde_json::Value;
use tokio_postgres::SimpleQueryMessage;

use crate::cost::config;
use crate::directory::{Directory, play, song};
use crate::support::postgres;

const MERGE: [&str; 6] = [
    include_str!("../../src/sql/merge/touched.sql"),
    include_str!("../../src/sql/merge/songs.sql"),
    include_str!("../../src/sql/merge/artists.sql"),
    include_str!("../../src/sql/merge/users.sql"),
    include_str!("../../src/sql/merge/songplays.sql"),
    include_str!("../../src/sql/merge/time.sql"),
];

/// All objects have changed, and nothing of them.
const DELTAS: &str = "
    CREATE TEMP VIEW delta_objects AS SELECT * FROM load_objects;
    CREATE TEMP VIEW delta_songs AS SELECT * FROM staging_songs;
    CREATE TEMP VIEW delta_events AS SELECT * FROM staging_events;
    CREATE TEMP TABLE merge_rules AS SELECT true AS match_duration, false AS matched_only;
    SET work_mem = '768kB';
    SET enable_sort = off;
    BEGIN";

/// Rows that share a hash can't be told apart by writing them out in batches: the server goes through all of them once
/// for each few that fit into its memory. Of 20,000 plays in 100 objects the ids have 256 hashes: 16,715 batches.
#[tokio::test(flavor = "multi_thread")]
async fn plays_that_share_a_hash_are_told_apart_by_something_else() {
    let database = postgres::server().database();
    let mut source = Directory::new();
    source.put("song_data/1.json", &[song("SO1", "AR1", "Ode")]);
    for object in 0..100 {
        let plays: Vec<_> =
            (0..200).map(|turn| play(turn % 7, object * 200 + turn, "Ode")).collect();
        source.put(&format!("log_data/{object}.json"), &plays);
    }
    sparkload::load(&config(&source, &database)).await.unwrap();

    let client = database.connect().await;
    client.batch_execute(DELTAS).await.unwrap();
    for statement in MERGE.into_iter().flat_map(|file| file.split_inclusive(";\n")) {
        let start = statement.lines().find(|line| !line.is_empty() && !line.starts_with("--"));
        if !start.is_some_and(|line| line.starts_with("CREATE") || line.starts_with("INSERT")) {
            client.batch_execute(statement).await.unwrap();
            continue;
        }
        let explain = format!("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}");
        let answer = client.simple_query(&explain).await.unwrap();
        let plan = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        let most = most_batches(&serde_json::from_str(plan.unwrap()).unwrap());
        assert!(most < 200, "{most} batches: {statement}");
    }
    let found: i64 =
        client.query_one("SELECT count(*) FROM fresh_songplays", &[]).await.unwrap().get(0);
    assert_eq!(found, 20_000);
}

/// The most batches that a node of a plan has gone through.
fn most_batches(plan: &Value) -> u64 {
    match plan {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| match name.as_str() {
                "HashAgg Batches" | "Hash Batches" => value.as_u64().unwrap(),
                _ => most_batches(value),
            })
            .max()
            .unwrap_or(0),
        Value::Array(nodes) => nodes.iter().map(most_batches).max().unwrap_or(0),
        _ => 0,
    }
}
