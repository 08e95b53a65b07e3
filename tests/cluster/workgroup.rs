//! Redshift Serverless: a namespace and a workgroup, against one that is played after its documentation.

use serde_json::json;

use crate::moto::Fault;
use crate::program::{ALLOW, Program};

#[test]
fn a_workgroup_is_made_with_all_that_it_needs_and_once() {
    let program = Program::new();
    let line = format!(
        "create --serverless --cluster-identifier dwh --base-capacity 8 --source s3://songs {ALLOW}"
    );
    let out = program.run(&line, 0).out;
    assert_eq!(
        program.changes(),
        [
            "CreateRole",
            "PutRolePolicy",
            "CreateSecurityGroup",
            "AuthorizeSecurityGroupIngress",
            "CreateNamespace",
            "CreateWorkgroup"
        ]
    );
    let host = "dwh.123456789012.us-east-1.redshift-serverless.amazonaws.com";
    assert!(out.contains(&format!("It listens at {host}:5439.\n")), "{out}");
    let status = program.status("--serverless --cluster-identifier dwh");
    assert_eq!(status["cluster"]["base_capacity"], 8);
    assert_eq!(status["cluster"]["roles"], json!([status["role"]["arn"]]));
    assert!(
        program.read("sparkload.toml").contains(&format!("postgres://sparkload@{host}:5439/dev"))
    );
    assert!(program.read("dwh.pgpass").starts_with(&format!("{host}:5439:dev:sparkload:")));

    program.moto.calls();
    let again = program.run(&line, 0).out;
    assert!(again.starts_with("Nothing to do"), "{again}");
    assert_eq!(program.changes(), [""; 0]);

    // The names of what a cluster needs are the same, and are not mixed up.
    let err = program.run(&format!("create --cluster-identifier dwh {ALLOW}"), 1).err;
    assert!(err.contains("dwh-redshift is there already, made for serverless:dwh\n  help: it was made with --serverless: pass that"), "{err}");
    let out = program.run("delete --yes --skip-final-snapshot --cluster-identifier dwh", 0).out;
    assert!(out.contains("Left alone, as sparkload has not made it: role dwh-redshift"), "{out}");
    assert_eq!(program.changes(), [""; 0]);

    let delete = "delete --serverless --cluster-identifier dwh --yes --final-snapshot last";
    let out = program.run(delete, 0).out;
    assert_eq!(
        program.changes(),
        [
            "DeleteWorkgroup",
            "DeleteNamespace",
            "DeleteSecurityGroup",
            "DeleteRolePolicy",
            "DeleteRole"
        ]
    );
    assert!(out.contains("  namespace       dwh\n"), "{out}");
    let again = program.run(delete, 0).out;
    assert_eq!(again, "Nothing is there of dwh that sparkload has made.\n");
}

#[test]
fn what_fails_at_either_half_is_completed() {
    let program = Program::new();
    let create = format!("create --serverless {ALLOW}");
    let delete = "delete --serverless --yes --skip-final-snapshot";
    for action in ["CreateNamespace", "CreateWorkgroup"] {
        for fault in [Fault::refuse(action, "ConflictException", "no"), Fault::lose(action)] {
            program.moto.inject(fault);
            let err = program.run(&create, 1).err;
            assert!(err.contains(&format!("  because: {action}: ")), "{err}");
            program.run(&create, 0);
            program.run(delete, 0);
        }
    }
    for action in ["DeleteWorkgroup", "DeleteNamespace"] {
        for fault in [Fault::refuse(action, "ConflictException", "no"), Fault::lose(action)] {
            program.run(&create, 0);
            program.moto.inject(fault);
            let err = program.run(delete, 1).err;
            assert!(err.contains(&format!("  because: {action}: ")), "{err}");
            program.run(delete, 0);
            assert_eq!(
                program.run("status --serverless", 0).out,
                "Nothing is there of sparkload.\n"
            );
        }
    }
}

#[test]
fn a_workgroup_of_someone_else_is_not_touched() {
    let program = Program::new();
    program.moto.make_foreign_workgroup("mine");
    let err = program.run(&format!("create --serverless --cluster-identifier mine {ALLOW}"), 1).err;
    assert!(
        err.contains("the workgroup mine is there already, and sparkload has not made it"),
        "{err}"
    );
    let line = "delete --serverless --cluster-identifier mine --yes --skip-final-snapshot";
    let out = program.run(line, 0).out;
    assert!(out.ends_with("sparkload has not made it: workgroup mine\n"), "{out}");
    assert_eq!(program.changes(), [""; 0]);
}
