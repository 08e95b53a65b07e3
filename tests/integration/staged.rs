//! The stage: who may read and write there, how the rows lie there, and what it takes.

use std::path::Path;

use sparkload::{Config, CopyAccess, ErrorKind, Table, Target};

use crate::cli::{self, Printed};
use crate::directory::{Directory, play, song};
use crate::redshift::{hasty, source, told};
use crate::support::postgres;
use crate::support::s3::{ACCESS_KEY, Fault, Operation, SECRET_KEY, When};
use crate::tables::load;
use crate::warehouse::{STAGE, Warehouse};
use crate::{books, tables};

/// The size of the parts of a staged file.
const PART: usize = 5 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn what_redshift_may_not_read_is_told_once_and_what_passes_is_tried_again() {
    let source = source();
    let warehouse = Warehouse::start();
    let mut config = hasty(warehouse.config(source.path()));
    config.full_refresh = true;
    let refuse = |status, code, times| {
        // The load itself reads nothing there.
        let when = When::all(Operation::GetObject, "/loads/").times(times);
        warehouse.s3.inject(when, Fault::Refuse(status, code))
    };
    for (status, code, help) in [
        (403, "AccessDenied", "need s3:GetObject on it, s3:ListBucket on its bucket"),
        (403, "InvalidAccessKeyId", "check or renew the keys"),
        (404, "NoSuchKey", "let nothing else remove files"),
    ] {
        let refused = refuse(status, code, 100);
        let error = sparkload::load(&config).await.unwrap_err();
        assert_eq!(refused.count(), 1, "{}", told(&error));
        assert!(error.to_string().starts_with("can't copy the staged rows of "), "{error}");
        assert!(error.help().unwrap().contains(help), "{code}: {:?}", error.help());
        warehouse.hold_empty();
        warehouse.s3.clear_faults();
    }
    let mut of_role = config.clone();
    of_role.stage.as_mut().unwrap().access =
        CopyAccess::Role("arn:aws:iam::1:role/unknown".to_owned());
    let error = sparkload::load(&of_role).await.unwrap_err();
    assert!(error.help().unwrap().starts_with("attach the role"), "{:?}", error.help());

    for (status, code) in [(503, "SlowDown"), (500, "InternalError")] {
        let refused = refuse(status, code, 2);
        let report = sparkload::load(&config).await.unwrap();
        assert_eq!((refused.count(), report.objects.listed), (2, 4), "{code}");
        warehouse.hold_empty();
        warehouse.s3.clear_faults();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_of_the_stage_is_told_with_the_stage_s_cure() {
    let source = source();
    let warehouse = Warehouse::start();
    let config = hasty(warehouse.config(source.path()));
    for (operation, status, code, help) in [
        (Operation::ListObjects, 403, "AccessDenied", "s3:DeleteObject"),
        (Operation::PutObject, 403, "AccessDenied", "s3:AbortMultipartUpload on the stage"),
        (Operation::ListObjects, 301, "PermanentRedirect", "--stage-region"),
        (Operation::ListObjects, 404, "NoSuchBucket", "make the bucket that --stage names"),
        (Operation::PutObject, 400, "KMS.NotFoundException", "--stage-kms-key"),
        (Operation::PutObject, 503, "SlowDown", "run the load again later"),
    ] {
        warehouse.s3.inject(When::all(operation, ""), Fault::Refuse(status, code));
        let error = sparkload::load(&config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Target, "{}", told(&error));
        let told = error.help().unwrap();
        assert!(told.contains(help) && !told.contains("--no-sign-request"), "{code}: {told}");
        warehouse.s3.clear_faults();
    }
    sparkload::load(&config).await.unwrap();
    warehouse.hold_empty();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_for_what_is_no_redshift_is_refused_before_anything_is_read() {
    let source = source();
    let warehouse = Warehouse::start();
    let database = postgres::server().database();
    let embedded = source.path().join("embedded.db");
    let config = |target| Config { target, ..warehouse.config(Path::new("/nowhere")) };
    let server = tables::target(&database.url());
    for (target, dry_run) in [
        (Target::Embedded(embedded.clone()), false),
        (Target::Embedded(embedded.clone()), true),
        (server.clone(), false),
    ] {
        let config = Config { dry_run, ..config(target) };
        let error = sparkload::load(&config).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let expected = format!("a stage is for Redshift, and {} is PostgreSQL", config.target);
        assert_eq!(error.to_string(), expected);
    }
    assert!(!embedded.exists());
    let error = sparkload::load(&config(tables::target(&warehouse.redshift.url()))).await;
    assert_eq!(error.unwrap_err().kind(), ErrorKind::Source, "there is something at /nowhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_removed_stays_and_stops_no_load() {
    let source = source();
    let warehouse = Warehouse::start();
    let mut config = warehouse.config(source.path());
    config.full_refresh = true;
    config.stage.as_mut().unwrap().keep = true;
    sparkload::load(&config).await.unwrap();
    let kept = warehouse.staged();
    let (place, _) = kept[0].rsplit_once("/_kept").unwrap();
    let (place, _) = place.rsplit_once('/').unwrap();
    for key in kept.iter() {
        warehouse.s3.remove(STAGE, key);
    }
    let dead = |name| format!("{place}/0123456789abcdef/users/{name}");
    warehouse.s3.put(STAGE, dead("0001.csv.zst"), "locked");
    warehouse.s3.put(STAGE, dead("0002.csv.zst"), "left");
    warehouse.s3.lock(STAGE, &dead("0001.csv.zst"));
    config.stage.as_mut().unwrap().keep = false;
    sparkload::load(&config).await.unwrap();
    assert_eq!(warehouse.staged(), [dead("0001.csv.zst")]);

    let refused = warehouse
        .s3
        .inject(When::all(Operation::Other, "?delete"), Fault::Refuse(403, "AccessDenied"));
    sparkload::load(&config).await.unwrap();
    assert_eq!(refused.count(), 2);
    assert!(warehouse.staged().len() > 1);
    books::balance(warehouse.database()).await;
}

#[test]
fn temporary_keys_are_sent_along_with_their_token() {
    const TOKEN: &str = "IQoJb3JpZ2luX2VjEXAMPLE/TOKEN==";
    let source = source();
    let warehouse = Warehouse::start();
    warehouse.s3.inject(When::all(Operation::Other, "?delete"), Fault::Refuse(403, "AccessDenied"));
    let (endpoint, url) = (warehouse.s3.endpoint(), warehouse.redshift.url());
    let args = ["load", "--source", ".", "--stage", "s3://stage/loads", "--target", &url];
    let mut command = cli::sparkload(source.path(), &args);
    command.env("AWS_ENDPOINT_URL", endpoint).env("AWS_REGION", "us-east-1");
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    command.env("AWS_SESSION_TOKEN", TOKEN);
    let Printed { out, err } = cli::printed(&mut command, 0);
    assert!(!(out + &err).contains(TOKEN), "{err}");
    assert!(err.contains("can't remove s3://stage/loads/"), "{err}");
    let statements = warehouse.redshift.statements();
    let copies: Vec<_> = statements.iter().filter(|it| it.starts_with("COPY ")).collect();
    assert!(!copies.is_empty());
    assert!(copies.iter().all(|copy| copy.contains(&format!(";token={TOKEN}'"))), "{copies:?}");
}

/// Plays of which compression takes a quarter: 12 MB of staged events, and 6 MB of plays.
fn bulky() -> Directory {
    let mut source = Directory::new();
    let mut random = fastrand::Rng::with_seed(7);
    let mut text = || -> String { (0..1000).map(|_| random.alphanumeric()).collect() };
    let plays = (0..4000).map(|number| {
        let mut play = play(number, number, &text());
        for column in ["artist", "location", "userAgent"] {
            play[column] = text().into();
        }
        play
    });
    source.put("log_data/1.json", &plays.collect::<Vec<_>>());
    source.put("song_data/1.json", &[song("SO1", "AR1", "Ode")]);
    source
}

/// The sizes of the staged files of a table.
fn sizes(warehouse: &Warehouse, table: Table) -> Vec<usize> {
    let staged = warehouse.s3.objects(STAGE);
    let of_table = staged.iter().filter(|(key, _)| key.contains(&format!("/{table}/")));
    of_table.map(|(_, bytes)| bytes.len()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_several_parts_is_whole_though_parts_fail() {
    let source = bulky();
    let warehouse = Warehouse::start();
    warehouse.redshift.set_slices(1);
    let mut config = hasty(warehouse.config(source.path()));
    config.stage.as_mut().unwrap().keep = true;
    let faults = [
        ("partNumber=1", 2, Fault::Refuse(500, "InternalError")),
        ("partNumber=2", 2, Fault::Refuse(503, "SlowDown")),
        ("partNumber=3", 1, Fault::Reset),
    ];
    let faults = faults.map(|(part, times, fault)| {
        warehouse.s3.inject(When::each(Operation::PutObject, part).times(times), fault)
    });
    sparkload::load(&config).await.unwrap();
    let [events, plays] =
        [Table::StagingEvents, Table::Songplays].map(|table| sizes(&warehouse, table));
    let parts = |sizes: &[usize]| sizes.iter().map(|size| size.div_ceil(PART)).collect::<Vec<_>>();
    assert_eq!((parts(&events), parts(&plays)), (vec![3], vec![2]), "{events:?} {plays:?}");
    // Of both files the first two parts, of one the third.
    assert_eq!(faults.map(|it| it.count()), [4, 4, 1]);
    assert_eq!(warehouse.s3.open_uploads(STAGE), 0);
    let (expected, _) = load(source.path(), |_| {}).await;
    let found = tables::tables(warehouse.database()).await;
    for (found, expected) in found.into_iter().zip(tables::tables(&expected).await) {
        assert!(found == expected, "{} differs", found.0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_slice_has_a_file_of_one_size_as_far_as_memory_goes() {
    let source = bulky();
    let warehouse = Warehouse::start();
    for (slices, memory, files) in [(4, 128 << 20, 4), (3, 128 << 20, 3), (4, 16 << 20, 1)] {
        warehouse.redshift.set_slices(slices);
        let mut config = Config { memory, full_refresh: true, ..warehouse.config(source.path()) };
        config.block_bytes = 256 << 10;
        config.stage.as_mut().unwrap().keep = true;
        sparkload::load(&config).await.unwrap();
        for table in [Table::StagingEvents, Table::Songplays] {
            let sizes = sizes(&warehouse, table);
            let case = format!("{table}, {slices} slices: {sizes:?}");
            assert_eq!(sizes.len(), files, "{case}");
            let (least, most) = (sizes.iter().min().unwrap(), sizes.iter().max().unwrap());
            assert!(most - least <= 1 << 20, "{case}");
        }
        assert_eq!(sizes(&warehouse, Table::Songs).len(), 1, "a small table has one file");
        for key in warehouse.staged() {
            warehouse.s3.remove(STAGE, &key);
        }
    }
}
