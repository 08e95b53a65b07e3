//! What goes wrong at S3 either changes no table, or fails the load and changes nothing.

use std::path::Path;
use std::time::Duration;

use sparkload::{Config, Error, Report, Result, Retry};
use tokio::sync::OnceCell;

use crate::sources::bucket;
use crate::support::postgres::{self, Database};
use crate::support::s3::{Fault, Operation, S3, When};
use crate::tables::{config, contents, fixture, tables, target};
use Operation::{GetObject, HeadObject, ListObjects};

/// The objects of the fixtures that are loaded.
const OBJECTS: u64 = 39;
/// Their sizes together.
const BYTES: u64 = 43_998;

/// A server that holds the fixtures.
fn server() -> S3 {
    let server = S3::start();
    server.put_directory("music", "", &fixture("sparkify"));
    server.set_page_size(5);
    server
}

/// Loads what `server` holds into `database`, with little patience and in small pieces.
async fn load_into(
    database: &Database,
    server: &S3,
    change: impl FnOnce(&mut Config),
) -> Result<Report> {
    let mut config = Config::new(bucket(server, "s3://music"), target(&database.url()));
    config.retry = Retry {
        attempts: 5,
        max_delay: Duration::from_millis(5),
        max_time: Duration::from_secs(30),
    };
    config.block_bytes = 1000;
    change(&mut config);
    sparkload::load(&config).await
}

type Tables = Vec<(&'static str, String)>;

/// The tables that the fixtures give when nothing goes wrong.
async fn clean() -> &'static Tables {
    static CLEAN: OnceCell<Tables> = OnceCell::const_new();
    CLEAN.get_or_init(async || load(&server(), |_| {}).await.0).await
}

/// Loads into a new database; the load must succeed.
async fn load(server: &S3, change: impl FnOnce(&mut Config)) -> (Tables, Report) {
    let database = postgres::server().database();
    let report = load_into(&database, server, change).await.unwrap();
    (tables(&database).await, report)
}

/// A database that holds other data already.
struct Standing {
    database: Database,
    before: Tables,
}

impl Standing {
    async fn new() -> Self {
        let database = postgres::server().database();
        let mut config = config(&fixture("dirty"), &database);
        config.max_errors = u64::MAX;
        sparkload::load(&config).await.unwrap();
        let before = tables(&database).await;
        Self { database, before }
    }

    /// Loads into it; the load must fail and leave all as it was.
    async fn fail(&self, server: &S3, change: impl FnOnce(&mut Config)) -> Error {
        let error = load_into(&self.database, server, change).await.unwrap_err();
        similar_asserts::assert_eq!(tables(&self.database).await, self.before, "{error}");
        error
    }
}

/// The error as a user reads it.
fn text(error: &Error) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let help = error.help().unwrap_or_default();
    // Times differ from run to run.
    let (cause, tail) = cause.split_once(" attempts in ").unwrap_or((&cause, ""));
    let tail = tail.split_once(" s)").map(|(_, tail)| format!(" attempts){tail}"));
    format!("{error}\n{cause}{}\n{help}", tail.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_that_pass_change_no_table() {
    let server = server();
    let each_get = When::each(GetObject, "");
    let every_list = When::all(ListObjects, "");
    let third_page = When::all(ListObjects, "prefix=log_data").after(2);
    let rounds = [
        vec![
            (each_get.clone().times(1), Fault::Refuse(403, "RequestTimeTooSkewed"), OBJECTS),
            (each_get.clone().times(1), Fault::Refuse(500, "InternalError"), OBJECTS),
            (each_get.clone().times(1), Fault::Refuse(503, "ServiceUnavailable"), OBJECTS),
            (each_get.clone().times(1), Fault::Refuse(429, "TooManyRequests"), OBJECTS),
            (every_list.clone().times(3), Fault::Refuse(500, "InternalError"), 3),
        ],
        vec![
            (each_get.clone().times(1), Fault::Refuse(400, "RequestTimeout"), OBJECTS),
            (each_get.clone().times(1), Fault::Reset, OBJECTS),
            (each_get.clone().times(2), Fault::Cut(0), 2 * OBJECTS),
            (every_list.times(3), Fault::Reset, 3),
        ],
        vec![
            // Three objects are shorter, so that nothing is cut off.
            (each_get.times(2), Fault::Cut(100), 2 * OBJECTS - 3),
            (third_page.clone().times(1), Fault::Refuse(503, "SlowDown"), 1),
            (third_page.times(3), Fault::Cut(100), 3),
        ],
    ];
    for faults in rounds {
        server.clear_faults();
        let inject = |(when, fault, count)| (server.inject(when, fault), count);
        let injected: Vec<_> = faults.iter().cloned().map(inject).collect();
        let (found, report) = load(&server, |_| {}).await;
        similar_asserts::assert_eq!(&found, clean().await, "{faults:?}");
        assert_eq!(report.objects.loaded, OBJECTS);
        for (injected, count) in injected {
            assert_eq!(injected.count(), count, "{faults:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_goes_on_where_it_broke_as_long_as_bytes_come() {
    let server = S3::start();
    let events: String = (0..20_000)
        .map(|n| format!("{{\"page\":\"NextSong\",\"userId\":{},\"ts\":{n}}}\n", n % 100))
        .collect();
    server.put("music", "log_data/x.json", events.clone());
    server.put_directory("music", "song_data/", &fixture("sparkify/song_data"));
    let (expected, _) = load(&server, |_| {}).await;

    let gets = server.requests(GetObject);
    let cuts = server.inject(When::all(GetObject, "log_data"), Fault::Cut(50_000));
    let (found, report) = load(&server, |config| config.retry.attempts = 2).await;
    assert!(found == expected, "an object that was read in pieces has other records");
    assert_eq!(cuts.count(), events.len().div_ceil(50_000) as u64);
    let songs = report.objects.loaded - 1;
    assert_eq!(server.requests(GetObject) - gets, cuts.count() + songs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_too_busy_is_asked_more_slowly() {
    const SONGS: u64 = 200;
    let server = S3::start();
    for number in 0..SONGS {
        let song = format!(
            "{{\"song_id\":\"SO{number}\",\"title\":\"t\",\"artist_id\":\"AR\",\"artist_name\":\"n\",\
             \"duration\":1.5}}"
        );
        server.put("music", format!("song_data/{number}.json"), song);
    }
    server.put("music", "log_data/x.json", "{}");
    let (expected, _) = load(&server, |_| {}).await;
    let refused = server.inject(When::all(GetObject, "song_data"), Fault::SlowDown(10));
    let (found, _) = load(&server, |config| {
        config.fetches = 64;
        config.retry.attempts = 1000;
        config.retry.max_delay = Duration::from_millis(100);
    })
    .await;
    assert!(found == expected, "a busy server changes tables");
    // 130; it would be 1,050 if each request only waited for itself.
    assert!((10..2 * SONGS).contains(&refused.count()), "{} refused", refused.count());
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_do_not_match_their_checksum_are_read_again() {
    let server = server();
    let wrong = server.inject(When::each(GetObject, "").times(2), Fault::WrongChecksum);
    let whole = |config: &mut Config| config.block_bytes = 1 << 20;
    let (found, _) = load(&server, whole).await;
    similar_asserts::assert_eq!(&found, clean().await);
    assert_eq!(wrong.count(), 2 * OBJECTS, "the reader asks for a checksum");

    server.clear_faults();
    server.inject(When::all(GetObject, "A/A/A/TRAAAAA"), Fault::WrongChecksum);
    let error = Standing::new().await.fail(&server, whole).await;
    insta::assert_snapshot!(text(&error), @"
    s3://music/song_data/A/A/A/TRAAAAA00000000001.json changed while it was read
    body checksum mismatch. expected body checksum to be 00000000 but it was 0361e406 (5 attempts)
    run the load again when nothing writes to it, or leave it out with --exclude
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_breaks_off_loads_nothing() {
    let server = server();
    let page = When::all(ListObjects, "prefix=log_data").after(2);
    let broken = server.inject(page, Fault::Refuse(500, "InternalError"));
    let error = Standing::new().await.fail(&server, |_| {}).await;
    insta::assert_snapshot!(text(&error), @"
    can't list s3://music/log_data/
    InternalError: injected (5 attempts)
    the server is busy or unwell: run the load again later
    ");
    assert_eq!((broken.count(), server.requests(GetObject)), (5, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn patience_ends_with_an_error_that_names_the_object_and_the_cure() {
    let (server, standing) = (server(), Standing::new().await);
    let mut texts = String::new();
    for fault in [
        Fault::Refuse(500, "InternalError"),
        Fault::SlowDown(0),
        Fault::Reset,
        Fault::Cut(0),
        Fault::Refuse(404, "NoSuchBucket"),
        Fault::Refuse(403, "AccessDenied"),
        Fault::Refuse(403, "RequestTimeTooSkewed"),
    ] {
        server.clear_faults();
        let injected = server.inject(When::all(GetObject, "2016-02-29"), fault);
        let error = standing.fail(&server, |_| {}).await;
        texts += &format!("{} times: {}\n\n", injected.count(), text(&error));
    }
    insta::assert_snapshot!(texts, @"
    5 times: can't read s3://music/log_data/2016/02/2016-02-29-events.json
    InternalError: injected (5 attempts)
    the server is busy or unwell: run the load again later

    5 times: can't read s3://music/log_data/2016/02/2016-02-29-events.json
    SlowDown: injected (5 attempts)
    the server is busy or unwell: run the load again later

    5 times: can't read s3://music/log_data/2016/02/2016-02-29-events.json
    connection closed before message completed (5 attempts)
    check the network and --endpoint-url

    5 times: can't read s3://music/log_data/2016/02/2016-02-29-events.json
    end of file before message length reached (5 attempts)
    check the network and --endpoint-url

    1 times: can't read s3://music/log_data/2016/02/2016-02-29-events.json
    NoSuchBucket: injected
    check the bucket's name

    1 times: can't read s3://music/log_data/2016/02/2016-02-29-events.json
    AccessDenied: injected
    these credentials need s3:ListBucket and s3:GetObject here; for a public bucket pass --no-sign-request, for one whose readers pay --request-payer

    2 times: can't read s3://music/log_data/2016/02/2016-02-29-events.json
    RequestTimeTooSkewed: injected
    set the clock of this machine
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_that_expire_in_the_middle_fail_the_load_at_once() {
    let server = server();
    let expired =
        server.inject(When::all(GetObject, "").after(10), Fault::Refuse(400, "ExpiredToken"));
    let error = Standing::new().await.fail(&server, |config| config.fetches = 1).await;
    let text = text(&error);
    let (object, rest) = text.split_once('\n').unwrap();
    assert!(object.starts_with("can't read s3://music/"), "{object}");
    insta::assert_snapshot!(rest, @"
    ExpiredToken: injected
    check or renew the credentials
    ");
    assert!(expired.count() <= 2, "{} requests for songs and logs", expired.count());
}

/// The last of the songs: without it, all other objects keep their numbers.
const LAST_SONG: &str = "song_data/Z/last.json";

fn server_with(last_song: Option<&str>) -> S3 {
    let server = server();
    if let Some(text) = last_song {
        server.put("music", LAST_SONG, text.to_owned());
    }
    server
}

fn song(title: &str) -> String {
    format!(
        "{{\"song_id\":\"SOLAST\",\"title\":\"{title}\",\"artist_id\":\"AR\",\"artist_name\":\"n\",\
         \"duration\":1.5}}\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_deleted_after_it_was_listed_is_skipped() {
    let server = server_with(Some(&song("one")));
    let removed = server.inject(When::all(GetObject, "last").times(1), Fault::Remove);
    let (found, report) = load(&server, |_| {}).await;
    similar_asserts::assert_eq!(&found, clean().await);
    assert_eq!((removed.count(), report.objects.skipped.gone), (1, 1));
    assert_eq!(report.objects.listed, report.objects.loaded + report.objects.skipped.total());
    assert_eq!((report.objects.loaded, report.objects.bytes), (OBJECTS, BYTES));
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_are_listed_and_never_given_fail_the_load() {
    let server = server();
    for key in ["song_data/A/a#b.json", "song_data/A/c&d.json"] {
        server.put("music", key, song("odd"));
    }
    let standing = Standing::new().await;
    // As they stand in the path of a request.
    for part in ["a%23b", "c%26d"] {
        server.inject(When::all(GetObject, part), Fault::Refuse(404, "NoSuchKey"));
    }
    let both = text(&standing.fail(&server, |_| {}).await);
    server.clear_faults();
    server.inject(When::all(GetObject, "a%23b"), Fault::Refuse(404, "NoSuchKey"));
    let one = text(&standing.fail(&server, |_| {}).await);
    insta::assert_snapshot!([both, one].join("\n\n"), @r"
    2 objects are listed, and are not there: s3://music/song_data/A/a#b.json …
    the source answers that there is none of that name, and lists it all the same
    see whether the server takes such names, rename them, or leave them out with --exclude

    an object is listed, and is not there: s3://music/song_data/A/a#b.json
    the source answers that there is none of that name, and lists it all the same
    see whether the server takes such names, rename them, or leave them out with --exclude
    ");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_replaced_after_it_was_listed_is_read_as_it_is_now() {
    let (two, three) = (song("two"), song("three").repeat(3));
    let with_two = load(&server_with(Some(&two)), |_| {}).await.0;
    let with_three = load(&server_with(Some(&three)), |_| {}).await.0;
    for (fault, expected, bytes) in [
        (Fault::Replace(two.clone().into()), &with_two, two.len()),
        // In the middle of what is still one piece.
        (Fault::CutAndReplace(50, three.clone().into()), &with_three, three.len()),
        (Fault::CutAndReplace(50, "".into()), clean().await, 0),
    ] {
        let server = server_with(Some(&song("one")));
        let replaced = server.inject(When::all(GetObject, "last").times(1), fault.clone());
        let (found, report) = load(&server, |_| {}).await;
        similar_asserts::assert_eq!(&found, expected, "{fault:?}");
        assert_eq!((replaced.count(), report.objects.loaded), (1, OBJECTS + 1));
        assert_eq!(report.objects.bytes, BYTES + bytes as u64);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_becomes_an_empty_object_has_no_records() {
    let server = server_with(None);
    let archive = std::fs::read(fixture("sparkify/song_data/A/C/B/TRACBAB00000000016.json.gz"));
    server.put("music", "song_data/Z/last.json.gz", archive.unwrap());
    server.inject(When::all(GetObject, "last").times(1), Fault::Replace("".into()));
    let (found, report) = load(&server, |_| {}).await;
    similar_asserts::assert_eq!(&found, clean().await);
    assert_eq!(report.objects.loaded, OBJECTS + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changes_all_the_time_fails_the_load() {
    let server = server_with(Some(&song("one")));
    // Every version is gone by the time that it is asked for.
    let stale =
        server.inject(When::all(GetObject, "last"), Fault::Refuse(412, "PreconditionFailed"));
    let error = Standing::new().await.fail(&server, |_| {}).await;
    insta::assert_snapshot!(text(&error), @"
    s3://music/song_data/Z/last.json changed while it was read
    another version took its place (5 attempts)
    run the load again when nothing writes to it, or leave it out with --exclude
    ");
    assert_eq!((stale.count(), server.requests(HeadObject)), (5, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changes_after_some_of_it_was_sent_is_read_again_as_what_it_is_then() {
    let log = "2016-02-29";
    for fault in [
        Fault::CutAndReplace(3000, "{}".into()),
        Fault::CutAndReplace(3000, vec![b' '; 5018].into()),
        Fault::CutAndRemove(3000),
        Fault::WrongChecksum,
    ] {
        let server = server();
        let injected = server.inject(When::all(GetObject, log).times(1), fault.clone());
        let found = postgres::server().database();
        load_into(&found, &server, |_| {}).await.unwrap();
        assert_eq!(injected.count(), 1);
        let expected = postgres::server().database();
        load_into(&expected, &server, |_| {}).await.unwrap();
        let base = Path::new("s3://music");
        similar_asserts::assert_eq!(
            contents(&found, base).await,
            contents(&expected, base).await,
            "{fault:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_waited_for_and_then_named() {
    let error = Standing::new()
        .await
        .fail(&server(), |config| {
            config.source.s3.endpoint_url = Some("http://127.0.0.1:1".to_owned());
        })
        .await;
    // Songs and logs are listed at the same time.
    insta::assert_snapshot!(text(&error).replace("song_data", "log_data"), @"
    can't list s3://music/log_data/
    Connection refused (os error 111) (5 attempts)
    check the network and --endpoint-url
    ");
}
