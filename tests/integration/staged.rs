//! The stage: who may read and write there, how the rows lie there, and what it takes.

use std::path::Path;

use sparkload::{Config, CopyAccess, ErrorKind, Target};

use crate::cli::{self, Printed};
use crate::redshift::{hasty, source, told};
use crate::support::postgres;
use crate::support::s3::{ACCESS_KEY, Fault, Operation, SECRET_KEY, When};
use crate::warehouse::{STAGE, Warehouse};
use crate::{books, tables};

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
