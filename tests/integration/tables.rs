//! What the tests share: a load into a database of its own, and the tables as text.

use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use sparkload::{Config, Defaults, Report, Server, Source, Target};
use tokio_postgres::Client;

use crate::support::postgres::{self, Database};

pub const STAR: [&str; 7] =
    ["staging_events", "staging_songs", "songplays", "users", "songs", "artists", "time"];

/// The path of something in `fixtures/`.
pub fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)
}

pub fn target(url: &str) -> Target {
    Target::Postgres(Server::parse(url, &Defaults::default()).unwrap())
}

/// The settings of loading `directory` into `database`.
pub fn config(directory: &Path, database: &Database) -> Config {
    let source = Source::at(directory.to_str().unwrap()).unwrap();
    Config::new(source, target(&database.url()))
}

/// Loads `directory` into a new database, with settings changed by `change`.
pub async fn load(directory: &Path, change: impl FnOnce(&mut Config)) -> (Database, Report) {
    let database = postgres::server().database();
    let mut config = config(directory, &database);
    change(&mut config);
    let report = sparkload::load(&config).await.unwrap();
    (database, report)
}

/// What `query` gives, as CSV with a header, NULL as `\N`.
pub async fn csv(database: &Database, query: &str) -> String {
    csv_of(&database.connect().await, query).await
}

async fn csv_of(client: &Client, query: &str) -> String {
    let copy = format!("COPY ({query}) TO STDOUT (FORMAT csv, HEADER, NULL '\\N')");
    let bytes: Vec<_> = client.copy_out(&copy).await.unwrap().try_collect().await.unwrap();
    String::from_utf8(bytes.concat()).unwrap()
}

/// A table as text, in the order of the expected ones.
pub async fn table(database: &Database, name: &str) -> String {
    table_of(&database.connect().await, name).await
}

async fn table_of(client: &Client, name: &str) -> String {
    let order = match name {
        "staging_events" | "staging_songs" => "object_id, record_no",
        "songplays" => "songplay_id",
        "users" => "user_id",
        "songs" => "song_id COLLATE \"C\"",
        "artists" => "artist_id COLLATE \"C\"",
        "time" => "start_time",
        _ => panic!("no such table: {name}"),
    };
    csv_of(client, &format!("SELECT * FROM {name} ORDER BY {order}")).await
}

/// All seven tables as text.
pub async fn tables(database: &Database) -> Vec<(&'static str, String)> {
    let mut tables = Vec::new();
    for name in STAR {
        tables.push((name, table(database, name).await));
    }
    tables
}

/// All seven tables as text, with the names of objects below `base` in place of their ids, which depend on the loads
/// before.
pub async fn contents(database: &Database, base: &Path) -> Vec<(&'static str, String)> {
    let base = base.to_str().unwrap().trim_end_matches('/');
    let place = format!(
        "(SELECT replace(object, '{base}/', '') FROM load_objects AS place
          WHERE place.object_id = row.object_id AND replaced_by IS NULL)"
    );
    let client = database.connect().await;
    let mut tables = Vec::new();
    for name in STAR {
        let text = match name {
            "staging_events" | "staging_songs" => {
                let query = format!(
                    "SELECT to_jsonb(row) - 'object_id' AS record, {place} AS place FROM {name} AS row
                     ORDER BY {place} COLLATE \"C\", record_no"
                );
                csv_of(&client, &query).await
            }
            "songplays" => {
                let query = format!(
                    "SELECT to_jsonb(row) - 'songplay_id' - 'object_id' AS play, {place} AS place, record_no
                     FROM (SELECT *, songplay_id >> 32 AS object_id, songplay_id & 4294967295 AS record_no
                           FROM songplays) AS row
                     ORDER BY {place} COLLATE \"C\", record_no"
                );
                csv_of(&client, &query).await
            }
            _ => table_of(&client, name).await,
        };
        tables.push((name, text));
    }
    tables
}
