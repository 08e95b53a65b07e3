//! Tables that differ from the expected ones are refused with every difference named, and nothing is altered.

use std::error::Error as _;

use sparkload::Existing;

use crate::place::Place;
use crate::tables::{config, contents, fixture, load, target};

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_differ_are_refused_with_every_difference() {
    let (database, _) = load(&fixture("sparkify"), |_| {}).await;
    database.query(
        "ALTER TABLE users ALTER user_id TYPE BIGINT, DROP gender, ADD \"Shoe size\" INT;
         ALTER TABLE songs ALTER title DROP NOT NULL, DROP CONSTRAINT songs_pkey;
         ALTER TABLE artists ALTER artist_id TYPE VARCHAR(255);
         DROP TABLE time;
         CREATE VIEW time AS SELECT DISTINCT start_time FROM songplays",
    );
    let shape = "SELECT string_agg(format('%s.%s %s', attrelid::regclass, attname, atttypid), ' '
                                   ORDER BY attrelid::regclass::TEXT, attnum)
                 FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
                 WHERE relnamespace = 'public'::regnamespace AND attnum > 0";
    let before = database.query(shape);
    let error = sparkload::load(&config(&fixture("sparkify"), &database)).await.unwrap_err();
    let told = format!("{error}\n{}\n{}", error.source().unwrap(), error.help().unwrap());
    insta::assert_snapshot!(told, @r"
    tables in the schema public are not those of sparkload
    artists.artist_id is character varying(255) NOT NULL instead of character varying(256) NOT NULL
    songs.title is text instead of text NOT NULL
    time is no table
    users.user_id is bigint NOT NULL instead of integer NOT NULL
    users lacks gender text
    users has Shoe size integer besides
    songs has not the primary key (song_id)
    change the tables back, name another schema, or make them anew by `sparkload create --drop`
    ");
    // `create` refuses them as well, and makes none that is missing.
    let target = target(&database.url());
    let error = sparkload::create(&target, "public", Existing::Keep).await.unwrap_err();
    assert!(told.starts_with(&error.to_string()), "{error}");
    assert_eq!(database.query(shape), before);
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE '%loading%'";
    assert_eq!(database.query(left), [[Some("0".to_owned())]]);
}

crate::place::at_every_place! {
    what_else_is_in_the_schema_does_not_matter,
}

/// What a user adds to the schema is left alone, and so are types and names that only look alike.
async fn what_else_is_in_the_schema_does_not_matter(place: Place) {
    let database = place.database();
    database.query(
        "CREATE TABLE delta_events (x INT); CREATE TABLE touched_songs (x INT);
         CREATE VIEW fresh_users AS SELECT 1 AS x; CREATE TABLE merge_rules (x INT);
         CREATE TABLE kept_objects (x INT); CREATE TABLE steps (x INT); CREATE TABLE unfinished (x INT);
         CREATE TABLE waiting_songs (x INT); CREATE TABLE counted_plays (x INT); CREATE TABLE found_songs (x INT)",
    );
    let mut config = place.config(&fixture("sparkify"));
    for _ in 0..2 {
        sparkload::load(&config).await.unwrap();
    }
    database.query("UPDATE load_objects SET etag = 'another'");
    let report = sparkload::load(&config).await.unwrap();
    assert_eq!(report.objects.loaded, 39);
    let (clean, _) = load(&fixture("sparkify"), |_| {}).await;
    let base = fixture("sparkify");
    similar_asserts::assert_eq!(contents(database, &base).await, contents(&clean, &base).await);
    // Where only matched plays are kept, those of each object are counted anew.
    config.matched_only = true;
    for _ in 0..2 {
        sparkload::load(&config).await.unwrap();
        database.query("UPDATE load_objects SET etag = 'another'");
    }
}
