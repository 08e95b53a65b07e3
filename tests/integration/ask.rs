//! Asking a small star made by hand: the analytics queries, any SQL, and the quality report.

use sparkload::{Kind, Target, Verdict, check, named_queries, query};

use crate::support::postgres;
use crate::tables;

/// Three users, two songs of one artist, five plays in two weeks of which two match.
const STAR: &str = "
    INSERT INTO artists VALUES ('A1', 'Björk', 'Reykjavík', NULL, NULL);
    INSERT INTO songs VALUES ('S1', 'Jóga', 'A1', 1997, 305.1), ('S2', 'CafÃ\u{a9}', 'A1', 0, 200);
    INSERT INTO users VALUES
        (1, 'Ann', 'A', 'F', 'paid'), (2, 'Bob', 'B', 'M', 'free'), (3, 'Eve', 'E', 'F', 'free');
    INSERT INTO songplays VALUES
        (1, '2018-11-04 23:00:00', 1, 'free', 'S1', 'A1', 7, 'Oslo', 'x'),
        (2, '2018-11-04 23:10:00', 1, 'paid', NULL, NULL, 7, 'Oslo', 'x'),
        (3, '2018-11-05 01:00:00', 2, 'free', 'S1', 'A1', 8, 'Rome', 'x'),
        (4, '2018-11-05 01:00:00', 3, 'free', NULL, NULL, 9, NULL, 'x'),
        (5, '2018-11-05 01:30:00', 3, 'free', NULL, NULL, 9, NULL, 'x');
    INSERT INTO time
    SELECT DISTINCT start_time, EXTRACT(hour FROM start_time)::int, EXTRACT(day FROM start_time)::int,
           EXTRACT(week FROM start_time)::int, EXTRACT(month FROM start_time)::int,
           EXTRACT(year FROM start_time)::int, EXTRACT(dow FROM start_time)::int
    FROM songplays;
    INSERT INTO staging_events (object_id, record_no) VALUES (1, 1);
    INSERT INTO staging_songs (object_id, record_no) VALUES (1, 1);";

const TABLES: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/sql/tables.sql"));

/// Makes the star, without keys so that a test can break it, in a schema whose name needs quotes.
const SCHEMA: &str = "My \"star\"";

async fn make(target: &Target) {
    let schema = "CREATE SCHEMA \"My \"\"star\"\"\"; SET search_path TO \"My \"\"star\"\"\";";
    query(target, "public", &format!("{schema} {TABLES} {STAR}")).await.unwrap();
}

async fn csv(target: &Target, name: &str) -> String {
    let named = named_queries().iter().find(|query| query.name == name).unwrap();
    query(target, SCHEMA, named.sql).await.unwrap().to_csv()
}

#[tokio::test]
async fn the_named_queries_give_the_expected_answers() {
    let database = postgres::server().database();
    let target = tables::target(&database.url());
    make(&target).await;
    let mut answers = String::new();
    for query in named_queries() {
        answers += &format!("{}\n{}\n", query.title, csv(&target, &query.name).await);
    }
    insta::assert_snapshot!(answers, @r#"
    Top songs
    title,artist,plays,listeners
    Jóga,Björk,2,2

    Top artists
    artist,plays,listeners,songs
    Björk,2,2,1

    Top users
    user_id,first_name,last_name,level,plays,sessions
    1,Ann,A,paid,2,1
    3,Eve,E,free,2,1
    2,Bob,B,free,1,1

    Top locations
    location,plays,users
    Oslo,2,1
    Rome,1,1

    Plays by hour
    hour,plays,users
    1,3,2
    23,2,1

    Plays by weekday
    weekday,plays,users
    Monday,3,2
    Sunday,2,1

    Plays by week
    monday,week,plays,users,sessions
    2018-10-29,44,2,1,1
    2018-11-05,45,3,2,2

    Plays by level
    level,plays,users,percent
    free,4,3,80.0
    paid,1,1,20.0

    Plays by gender and level
    gender,level,plays,users,plays_per_user
    F,free,3,2,1.5
    F,paid,1,1,1.0
    M,free,1,1,1.0

    Daily active users
    day,users,sessions,plays
    2018-11-04,1,1,2
    2018-11-05,2,2,3

    Session length
    sessions,average_minutes,median_minutes,longest_minutes,average_items,most_items
    3,13.3,10.0,30.0,1.7,2

    Sessions by level
    level,sessions,average_minutes,average_items
    free,3,10.0,1.3
    paid,1,0.0,1.0

    Level changes
    user_id,first_name,last_name,present_level,free_plays,paid_plays
    1,Ann,A,paid,1,1
    "#);
}

#[tokio::test]
async fn the_embedded_database_gives_the_same_answers() {
    let directory = tempfile::tempdir().unwrap();
    let embedded = Target::Embedded(directory.path().join("sparkload.db"));
    let database = postgres::server().database();
    let server = tables::target(&database.url());
    make(&embedded).await;
    make(&server).await;
    for query in named_queries() {
        assert_eq!(csv(&embedded, &query.name).await, csv(&server, &query.name).await);
    }
    assert_eq!(check(&embedded, SCHEMA).await.unwrap(), check(&server, SCHEMA).await.unwrap());
}

#[tokio::test]
async fn any_sql_may_be_asked() {
    let database = postgres::server().database();
    let target = tables::target(&database.url());
    let types = "SELECT 1::smallint AS i, 2.50::numeric AS n, 'NaN'::float8 AS f, true AS b, \
                 '{\"a\": 1}'::jsonb AS j, 'x'::text AS t, NULL::date AS d, ARRAY[1, 2] AS a";
    let rows = query(&target, "public", types).await.unwrap();
    assert_eq!(
        rows.to_json(),
        "[\n  {\"i\":1,\"n\":2.50,\"f\":\"NaN\",\"b\":true,\"j\":{\"a\": 1},\"t\":\"x\",\"d\":null,\"a\":\"{1,2}\"}\n]\n"
    );
    assert_eq!(rows.affected, 1);

    let several =
        "CREATE TABLE t (i int); INSERT INTO t VALUES (1), (2); SELECT i FROM t; DELETE FROM t";
    let rows = query(&target, "public", several).await.unwrap();
    assert_eq!((rows.rows.len(), rows.affected, rows.columns[0].kind), (2, 2, Kind::Number));

    let rows = query(&target, "public", "INSERT INTO t VALUES (7)").await.unwrap();
    assert_eq!((rows.columns.len(), rows.rows.len(), rows.affected), (0, 0, 1));
    let rows = query(&target, "public", "SELECT i FROM t WHERE false").await.unwrap();
    assert_eq!((rows.columns[0].kind, rows.rows.len()), (Kind::Number, 0));
    assert_eq!(query(&target, "public", "").await.unwrap().to_csv(), "");
    assert_eq!(database.query("SELECT count(*) FROM t"), [[Some("1".to_owned())]]);
}

#[tokio::test]
async fn refused_sql_says_what_to_do() {
    let database = postgres::server().database();
    let target = tables::target(&database.url());
    for (sql, help) in [
        ("SELEC 1", "look at character 1 of the SQL"),
        (
            "SELECT * FROM songplays",
            "fill schema nowhere with `sparkload load`, or make empty tables with `sparkload create`",
        ),
        (
            "SELECT * FROM songs_by_year JOIN nowhere.songplays USING (song_id)",
            "correct the table's name, or put its schema before it if that is neither nowhere nor public",
        ),
        (
            "SELECT * FROM nowhere.songplays",
            "fill schema nowhere with `sparkload load`, or make empty tables with `sparkload create`",
        ),
    ] {
        let error = query(&target, "nowhere", sql).await.unwrap_err();
        assert_eq!(error.help(), Some(help), "{error:?}");
    }
    let error = check(&target, "nowhere").await.unwrap_err();
    assert!(error.help().unwrap().contains("sparkload create"), "{error:?}");
}

#[tokio::test]
async fn the_report_tells_good_tables_from_broken_ones() {
    let database = postgres::server().database();
    let target = tables::target(&database.url());
    make(&target).await;
    let report = check(&target, SCHEMA).await.unwrap();
    let lines = report
        .iter()
        .map(|it| format!("{} | {} | {} | {}", it.table, it.check, it.value, it.verdict));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"), @r#"
    staging_events | rows | 1 | ok
    staging_events | rows more or less than in load_objects | 0 | ok
    staging_events | rows more or less than in load_runs | 0 | ok
    staging_songs | rows | 1 | ok
    staging_songs | rows more or less than in load_objects | 0 | ok
    staging_songs | rows more or less than in load_runs | 0 | ok
    songplays | rows | 5 | ok
    songplays | repeated or missing songplay_id | 0 | ok
    songplays | missing start_time | 0 | ok
    songplays | missing user_id | 0 | ok
    songplays | user_id not in users | 0 | ok
    songplays | start_time not in time | 0 | ok
    songplays | song_id not in songs | 0 | ok
    songplays | artist_id not in artists | 0 | ok
    songplays | artist_id differs from the song's | 0 | ok
    songplays | song_id without artist_id or the reverse | 0 | ok
    songplays | plays without a match | 3 | note
    songplays | NULL song_id, percent | 60.0 | note
    songplays | NULL level, percent | 0.0 | ok
    songplays | NULL location, percent | 40.0 | note
    songplays | rows more or less than in load_objects | 0 | ok
    songplays | rows more or less than in load_runs | 0 | ok
    users | rows | 3 | ok
    users | repeated or missing user_id | 0 | ok
    users | NULL level, percent | 0.0 | ok
    users | staged user_id without a row | 0 | ok
    users | rows without a staged record | 0 | ok
    users | rows more or less than in load_runs | 0 | ok
    songs | rows | 2 | ok
    songs | repeated or missing song_id | 0 | ok
    songs | missing title, artist_id or duration | 0 | ok
    songs | artist_id not in artists | 0 | ok
    songs | year 0 | 1 | note
    songs | mojibake | 1 | note
    songs | staged song_id without a row | 0 | ok
    songs | rows without a staged record | 0 | ok
    songs | rows more or less than in load_runs | 0 | ok
    artists | rows | 1 | ok
    artists | repeated or missing artist_id | 0 | ok
    artists | missing name | 0 | ok
    artists | no location, percent | 0.0 | ok
    artists | NULL latitude, percent | 100.0 | note
    artists | NULL longitude, percent | 100.0 | note
    artists | mojibake | 0 | ok
    artists | staged artist_id without a row | 0 | ok
    artists | rows without a staged record | 0 | ok
    artists | rows more or less than in load_runs | 0 | ok
    time | rows | 4 | ok
    time | repeated or missing start_time | 0 | ok
    time | missing parts | 0 | ok
    time | rows that no play holds | 0 | ok
    time | rows more or less than in load_runs | 0 | ok
    load_errors | rejects | 0 | ok
    load_errors | rows more or less than in load_objects | 0 | ok
    "#);

    for (change, broken) in [
        ("INSERT INTO users SELECT * FROM users WHERE user_id = 1", "repeated or missing user_id"),
        (
            "INSERT INTO songs SELECT * FROM songs WHERE song_id = 'S1'",
            "repeated or missing song_id",
        ),
        ("INSERT INTO artists SELECT * FROM artists", "repeated or missing artist_id"),
        (
            "INSERT INTO songplays SELECT * FROM songplays WHERE songplay_id = 1",
            "repeated or missing songplay_id",
        ),
        ("DELETE FROM users WHERE user_id = 2", "user_id not in users"),
        ("DELETE FROM songs WHERE song_id = 'S1'", "song_id not in songs"),
        ("DELETE FROM artists", "artist_id not in artists"),
        ("DELETE FROM time WHERE hour = 23", "start_time not in time"),
        ("INSERT INTO time VALUES ('2000-01-01', 0, 1, 1, 1, 2000, 6)", "rows that no play holds"),
        ("INSERT INTO time SELECT * FROM time", "repeated or missing start_time"),
        (
            "INSERT INTO artists VALUES ('A2', 'x'); UPDATE songplays SET artist_id = 'A2' WHERE songplay_id = 1",
            "artist_id differs from the song's",
        ),
        (
            "UPDATE songplays SET artist_id = NULL WHERE songplay_id = 1",
            "song_id without artist_id or the reverse",
        ),
        (
            "ALTER TABLE songplays ALTER user_id DROP NOT NULL; UPDATE songplays SET user_id = NULL",
            "missing user_id",
        ),
        (
            "ALTER TABLE artists ALTER name DROP NOT NULL; UPDATE artists SET name = NULL",
            "missing name",
        ),
        (
            "ALTER TABLE songs ALTER title DROP NOT NULL; UPDATE songs SET title = NULL",
            "missing title, artist_id or duration",
        ),
        ("ALTER TABLE time ALTER week DROP NOT NULL; UPDATE time SET week = NULL", "missing parts"),
    ] {
        let database = postgres::server().database();
        let target = tables::target(&database.url());
        make(&target).await;
        query(&target, SCHEMA, change).await.unwrap();
        let report = check(&target, SCHEMA).await.unwrap();
        let found: Vec<_> = report.iter().filter(|it| it.verdict == Verdict::Broken).collect();
        assert!(found.iter().any(|it| it.check == broken), "{change}: {found:?}");
        assert!(found.len() <= 2, "{change}: {found:?}");
    }
}

#[tokio::test]
async fn empty_tables_are_a_note_not_an_error() {
    let database = postgres::server().database();
    let target = tables::target(&database.url());
    query(&target, "public", TABLES).await.unwrap();
    let report = check(&target, "public").await.unwrap();
    for line in report {
        let expected = if line.check == "rows" { Verdict::Note } else { Verdict::Ok };
        assert_eq!(
            (line.verdict, line.value.to_string().as_str()),
            (expected, if line.check.ends_with("percent") { "0.0" } else { "0" }),
            "{}",
            line.check
        );
    }
}
