//! Objects in archives, which have to be restored before they can be read.

use sparkload::{Config, Error, Report};

use crate::sources::bucket;
use crate::support::postgres::{self, Database};
use crate::support::s3::{Operation, S3};
use crate::tables::{fixture, tables, target};

const LOG: &str = "log_data/2018/11/2018-11-01-events.json";

/// The keys of the logs.
fn logs(server: &S3) -> Vec<String> {
    server.objects("music").into_keys().filter(|key| key.starts_with("log_data/")).collect()
}

fn server() -> S3 {
    let server = S3::start();
    server.put_directory("music", "", &fixture("sparkify"));
    server
}

async fn load(
    server: &S3,
    database: &Database,
    change: impl FnOnce(&mut Config),
) -> Result<Report, Error> {
    let mut config = Config::new(bucket(server, "s3://music"), target(&database.url()));
    change(&mut config);
    sparkload::load(&config).await
}

fn text(error: &Error) -> String {
    format!("{error}\nhelp: {}", error.help().unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn archived_objects_are_refused_together_before_anything_is_read_or_left_out() {
    let (server, database) = (server(), postgres::server().database());
    let keys = logs(&server);
    server.archive("music", &keys[0], "GLACIER");
    server.archive("music", &keys[1], "DEEP_ARCHIVE");
    server.archive("music", &keys[2], "GLACIER");
    server.restore("music", &keys[2]);
    let gets = server.requests(Operation::GetObject);
    let refused = load(&server, &database, |_| {}).await.unwrap_err();
    assert!(
        text(&refused)
            .starts_with("2 objects that are to be read are archived: s3://music/log_data/")
    );
    assert!(text(&refused).ends_with(
        "help: restore them first (aws s3api restore-object), or leave them out with --skip-archived"
    ));
    assert_eq!(server.requests(Operation::GetObject), gets, "nothing is read");

    let skip = |config: &mut Config| config.source.skip_archived = true;
    let report = load(&server, &database, skip).await.unwrap();
    assert_eq!(report.objects.skipped.archived, 2);
    assert_eq!(report.objects.listed, report.objects.loaded + report.objects.skipped.total());

    // Once they are restored they are new.
    for key in &keys[..2] {
        server.restore("music", key);
    }
    server.forget_restores();
    let report = load(&server, &database, |_| {}).await.unwrap();
    assert_eq!((report.objects.loaded, report.objects.skipped.archived), (2, 0));
    let whole = postgres::server().database();
    load(&server, &whole, |_| {}).await.unwrap();
    let count = "SELECT count(*) FROM songplays";
    assert_eq!(database.query(count), whole.query(count));
}

#[tokio::test(flavor = "multi_thread")]
async fn loaded_objects_that_are_archived_since_never_matter() {
    let (server, database) = (server(), postgres::server().database());
    load(&server, &database, |_| {}).await.unwrap();
    let before = tables(&database).await;
    for key in logs(&server) {
        server.archive("music", &key, "GLACIER");
    }
    let heads = server.requests(Operation::HeadObject);
    let report = load(&server, &database, |_| {}).await.unwrap();
    assert_eq!((report.objects.loaded, report.objects.skipped.archived), (0, 0));
    assert_eq!(
        server.requests(Operation::HeadObject),
        heads,
        "nothing is asked of what is not read"
    );
    assert!(tables(&database).await == before);

    // A load of everything would drop their rows.
    let full: [fn(&mut Config); 3] = [
        |config| config.full_refresh = true,
        |config| config.staging = false,
        |config| config.matched_only = true,
    ];
    for full in full {
        let refused = load(&server, &database, full).await.unwrap_err();
        assert!(
            text(&refused).contains(" objects that are to be read are archived: "),
            "{refused}"
        );
        let refused = load(&server, &database, |config| {
            full(config);
            config.source.skip_archived = true;
        });
        let refused = refused.await.unwrap_err();
        let what = "a full load would drop the rows of ";
        assert!(text(&refused).starts_with(what), "{refused}");
        assert!(tables(&database).await == before);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_that_no_listing_shows_are_refused_as_well() {
    let (server, database) = (server(), postgres::server().database());
    let keys = logs(&server);
    for key in &keys[..2] {
        server.archive("music", key, "INTELLIGENT_TIERING");
    }
    let refused = load(&server, &database, |_| {}).await.unwrap_err();
    assert!(
        text(&refused).starts_with("2 objects that are to be read are archived: "),
        "{refused}"
    );
    assert!(text(&refused).ends_with(" or leave them out with --skip-archived"), "{refused}");

    let skip = |config: &mut Config| config.source.skip_archived = true;
    let report = load(&server, &database, skip).await.unwrap();
    assert_eq!(report.objects.skipped.archived, 2);
    assert_eq!(report.objects.listed, report.objects.loaded + report.objects.skipped.total());

    // What can be read at once is no archive.
    server.put("music", LOG, "{}");
    let instant = server.objects("music").into_keys().next().unwrap();
    server.archive("music", &instant, "GLACIER_IR");
    server.restore("music", &instant);
    load(&server, &database, skip).await.unwrap();
}
