//! What an incremental load costs follows what has changed, not what is there.

use serde_json::json;
use sparkload::{Config, Existing, Mode, Source};

use crate::directory::{Directory, play, song};
use crate::sequences::quiet;
use crate::support::postgres::{self, Database};
use crate::tables::target;

/// The tables whose size is that of the source.
const LARGE: [&str; 6] =
    ["staging_events", "staging_songs", "songplays", "time", "songs", "artists"];

pub fn config(source: &Directory, database: &Database) -> Config {
    let source = Source::at(source.path().to_str().unwrap()).unwrap();
    Config::new(source, target(&database.socket_keywords()))
}

/// Some songs, and twenty plays of each by fifty users, in ten objects of either kind.
pub fn fill(source: &mut Directory, songs: i64) {
    for object in 0..10 {
        let numbers = || (object * songs / 10)..((object + 1) * songs / 10);
        let records = numbers().map(|number| {
            song(&format!("SO{number}"), &format!("AR{}", number / 2), &format!("title {number}"))
        });
        source.put(&format!("song_data/{object}.json"), &records.collect::<Vec<_>>());
        let plays = numbers().flat_map(|number| (0..20).map(move |turn| (number, turn)));
        let plays = plays.map(|(number, turn)| {
            let title = (number + turn * 7919) % songs;
            play((number * 20 + turn) % 50, number * 20 + turn, &format!("title {title}"))
        });
        source.put(&format!("log_data/{object}.json"), &plays.collect::<Vec<_>>());
    }
    source.put("log_data/today.json", &[play(3, 3, "title 3"), play(51, 3, "none")]);
    source.put("song_data/new.json", &[song("SOX", "AR1", "title X")]);
    for hour in 0..24 {
        source.put(&format!("log_data/today/{hour}.json"), &[play(7, hour, "title 7")]);
    }
}

/// The rows of each table that were read so far, to the last of them.
pub async fn rows_read(database: &Database) -> Vec<(String, i64)> {
    quiet(database).await;
    let client = database.connect().await;
    let query = "SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0)
                 FROM pg_stat_user_tables WHERE schemaname = 'public' ORDER BY 1";
    let rows = client.query(query, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// How many rows of each large table the loads of some changes read, of a source with so many songs.
async fn cost(
    songs: i64,
    prepare: impl AsyncFnOnce(&Database, &mut Directory),
) -> Vec<(String, i64)> {
    let database = postgres::server().database();
    let mut source = Directory::new();
    prepare(&database, &mut source).await;
    fill(&mut source, songs);
    let config = config(&source, &database);
    sparkload::load(&config).await.unwrap();
    // What a load costs must not hang on when the server last looked at the tables.
    for table in LARGE {
        database.query(&format!("ALTER TABLE {table} SET (autovacuum_enabled = off)"));
    }
    let before = rows_read(&database).await;
    source.append("log_data/today.json", &[play(4, 4, "title 4"), play(52, 5, "title X")]);
    sparkload::load(&config).await.unwrap();
    source.put("song_data/new.json", &[song("SOX", "AR1", "title 9"), song("SOY", "AR2", "new")]);
    sparkload::load(&config).await.unwrap();
    source.put(
        "log_data/tomorrow.json",
        &[play(5, 9, "title 5"), json!({"page": "Home", "userId": 6})],
    );
    let report = sparkload::load(&config).await.unwrap();
    assert_eq!((report.mode, report.objects.loaded), (Mode::Incremental, 1));
    for hour in 0..24 {
        source.append(&format!("log_data/today/{hour}.json"), &[play(8, hour, "title 8")]);
    }
    let report = sparkload::load(&config).await.unwrap();
    assert_eq!((report.mode, report.objects.loaded), (Mode::Incremental, 24));
    let after = rows_read(&database).await;
    let mut cost = Vec::new();
    for ((table, before), (_, after)) in before.into_iter().zip(after) {
        if LARGE.contains(&&*table) {
            cost.push((after - before - LOADS * counted(&database, &table).await, table));
        }
    }
    cost.into_iter().map(|(rows, table)| (table, rows)).collect()
}

/// How many loads of changes are measured.
const LOADS: i64 = 4;

/// How many rows a load counts at its end: those of a table that is small, whatever there is of others.
async fn counted(database: &Database, table: &str) -> i64 {
    let query = format!(
        "SELECT CASE WHEN pg_relation_size('{table}') <= 8388608 THEN (SELECT count(*) FROM {table}) ELSE 0 END"
    );
    database.connect().await.query_one(&query, &[]).await.unwrap().get(0)
}

fn compare(few: &[(String, i64)], many: &[(String, i64)]) {
    for ((table, few), (_, many)) in few.iter().zip(many) {
        assert!(
            *many <= 2 * few + 100,
            "{table}: {few} rows were read where there are few, {many} where many"
        );
    }
}

const FEW: i64 = 500;
pub const MANY: i64 = 5000;

#[tokio::test(flavor = "multi_thread")]
async fn the_cost_of_a_changed_object_does_not_grow_with_the_bucket() {
    let nothing = async |_: &Database, _: &mut Directory| {};
    let few = cost(FEW, nothing).await;
    let many = cost(MANY, nothing).await;
    compare(&few, &many);

    // Tables that were made beforehand were never looked at by the server.
    let create = async |database: &Database, _: &mut Directory| {
        let target = target(&database.socket_keywords());
        sparkload::create(&target, "public", Existing::Keep).await.unwrap();
    };
    let many = cost(MANY, create).await;
    compare(&few, &many);

    // Nor were tables that have grown since.
    let grow = async |database: &Database, source: &mut Directory| {
        fill(source, 10);
        sparkload::load(&config(source, database)).await.unwrap();
    };
    let many = cost(MANY, grow).await;
    compare(&few, &many);
}
