//! Order and concurrency never matter.

use std::path::Path;

use sparkload::{Config, Existing};

use crate::place::Place;
use crate::sources::bucket;
use crate::support::s3::S3;
use crate::tables::{fixture, load, tables};

crate::place::at_every_place! {
    no_setting_of_speed_changes_a_table,
    no_order_of_arrival_changes_a_table,
}

/// What a load makes of new tables.
async fn anew(place: &Place, config: Config) -> Vec<(&'static str, String)> {
    sparkload::create(&config.target, "public", Existing::Drop).await.unwrap();
    sparkload::load(&config).await.unwrap();
    tables(place.database()).await
}

async fn no_setting_of_speed_changes_a_table(place: Place) {
    let (database, _) = load(&fixture("sparkify"), |_| {}).await;
    let expected = tables(&database).await;
    type Change = fn(&mut Config);
    let settings: &[(&str, Change)] = &[
        ("one fetch", |config| config.fetches = 1),
        ("64 fetches", |config| config.fetches = 64),
        ("one connection", |config| config.connections = Some(1)),
        ("8 connections", |config| config.connections = Some(8)),
        ("one thread", |config| config.threads = Some(1)),
        ("8 threads", |config| config.threads = Some(8)),
        ("blocks of 1 byte", |config| config.block_bytes = 1),
        ("blocks of 7 bytes, 64 fetches, 8 threads", |config| {
            (config.block_bytes, config.fetches, config.threads) = (7, 64, Some(8));
        }),
        ("blocks of 1,000 bytes in 1 KiB of memory", |config| {
            (config.block_bytes, config.memory) = (1000, 1 << 10);
        }),
    ];
    for (name, change) in settings {
        let mut config = place.config(&fixture("sparkify"));
        change(&mut config);
        let found = anew(&place, config).await;
        similar_asserts::assert_eq!(found, expected, "{name}");
    }
}

async fn no_order_of_arrival_changes_a_table(place: Place) {
    let (database, _) = load(&fixture("sparkify"), |_| {}).await;
    let expected = tables(&database).await;
    let server = S3::start();
    server.put_directory("music", "", &fixture("sparkify"));
    for seed in 1..=6 {
        server.set_shuffle(seed);
        let source = bucket(&server, "s3://music");
        let mut config = place.config(Path::new("unused"));
        (config.source, config.fetches, config.block_bytes) = (source, 64, 1000);
        similar_asserts::assert_eq!(anew(&place, config).await, expected, "seed {seed}");
    }
}
