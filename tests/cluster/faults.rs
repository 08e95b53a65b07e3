//! A creation or deletion that fails at any step is completed by another.

use crate::moto::Fault;
use crate::program::{ALLOW, Program};

const MAKES: [&str; 5] = [
    "CreateRole",
    "PutRolePolicy",
    "CreateSecurityGroup",
    "AuthorizeSecurityGroupIngress",
    "CreateCluster",
];

#[test]
fn a_creation_that_fails_at_any_step_is_completed_by_another() {
    let program = Program::new();
    for (number, action) in MAKES.iter().enumerate() {
        let faults =
            [("refused", Fault::refuse(action, "Injected", "no")), ("lost", Fault::lose(action))];
        for (how, fault) in faults {
            let name = format!("{how}-{number}");
            let line = format!("create --cluster-identifier {name} --source s3://songs {ALLOW}");
            program.moto.inject(fault);
            let err = program.run(&line, 1).err;
            assert!(err.contains(&format!("  because: {action}: ")), "{err}");
            assert!(err.contains("run it again: it goes on where it ended"), "{err}");
            assert!(program.moto.is_calm());
            let password = program.password(&format!("{name}.pgpass"));
            let before = program.changes();

            program.run(&line, 0);
            let mut expected = MAKES.to_vec();
            if how == "refused" {
                expected.insert(number, action);
            }
            assert_eq!([before, program.changes()].concat(), expected, "{name}");
            assert_eq!(program.password(&format!("{name}.pgpass")), password);
            let out = program.run(&line, 0).out;
            assert!(out.starts_with("Nothing to do"), "{name}: {out}");
            assert_eq!(program.changes(), [""; 0], "{name}");
        }
    }
}

#[test]
fn a_deletion_that_fails_at_any_step_is_completed_by_another() {
    let program = Program::new();
    for action in ["DeleteCluster", "DeleteSecurityGroup", "DeleteRolePolicy", "DeleteRole"] {
        for fault in [Fault::refuse(action, "Injected", "no"), Fault::lose(action)] {
            program.run(&format!("create --source s3://songs {ALLOW}"), 0);
            program.moto.inject(fault);
            let delete = "delete --yes --skip-final-snapshot";
            let err = program.run(delete, 1).err;
            assert!(err.contains(&format!("  because: {action}: ")), "{err}");
            assert!(program.moto.is_calm());
            program.run(delete, 0);
            assert_eq!(
                program.run("status", 0).out,
                "Nothing is there of sparkload.\n",
                "{action}"
            );
        }
    }
}

#[test]
fn what_is_unwell_for_a_moment_is_asked_again() {
    let program = Program::new();
    for action in ["CreateRole", "DescribeVpcs", "CreateSecurityGroup", "CreateCluster"] {
        program.moto.inject(Fault::unwell(action));
    }
    program.run(&format!("create {ALLOW}"), 0);
    assert!(program.moto.is_calm());
    program.moto.inject(Fault::unwell("DescribeSecurityGroups").times(3));
    let err = program.run("status", 1).err;
    assert!(
        err.contains("DescribeSecurityGroups: InternalFailure: injected (3 attempts in "),
        "{err}"
    );
}

#[test]
fn a_cluster_that_starts_is_waited_for() {
    let program = Program::new();
    // Redshift takes a while until it knows a role.
    program.moto.inject(Fault::refuse(
        "CreateCluster",
        "InvalidParameterValue",
        "The IAM role is not valid",
    ));
    let err = program.run(&format!("create {ALLOW} --no-wait"), 0).err;
    assert!(
        err.contains("waiting for role sparkload-redshift: not known to Redshift yet (0 s)"),
        "{err}"
    );

    let (available, creating) = ("<ClusterStatus>available<", "<ClusterStatus>creating<");
    program.moto.inject(Fault::instead("DescribeClusters", available, creating).times(4));
    let err = program.run(&format!("create {ALLOW}"), 0).err;
    assert!(err.contains("waiting for cluster sparkload: creating (0 s)"), "{err}");
    assert!(program.moto.is_calm());

    let (deleting, paused) = ("<ClusterStatus>deleting<", "<ClusterStatus>paused<");
    program.moto.inject(Fault::instead("DescribeClusters", available, deleting).times(2));
    let err = program.run(&format!("create {ALLOW}"), 1).err;
    assert!(
        err.contains(
            "the cluster sparkload is being deleted\n  help: run it again when it is gone"
        ),
        "{err}"
    );
    program.moto.inject(Fault::instead("DescribeClusters", available, paused).times(4));
    let err = program.run(&format!("create {ALLOW}"), 1).err;
    assert!(err.contains("cluster sparkload is paused"), "{err}");

    // The interfaces of a cluster hold its group for a while.
    let held =
        Fault::refuse("DeleteSecurityGroup", "DependencyViolation", "it has a dependent object");
    program.moto.inject(held);
    let err = program.run("delete --yes --skip-final-snapshot", 0).err;
    assert!(err.contains("waiting for security group sparkload-redshift: in use (0 s)"), "{err}");
}

#[test]
fn refusals_are_told_with_what_to_do() {
    let program = Program::new();
    program.moto.inject(Fault::refuse("GetRole", "AccessDenied", "User: me is not authorized"));
    let err = program.run("status", 1).err;
    insta::assert_snapshot!(err, @r"
    error: can't look for the role sparkload-redshift
      because: GetRole: AccessDenied: User: me is not authorized
      help: these credentials must be allowed to do GetRole
    ");
    program.moto.inject(Fault::refuse("DescribeVpcs", "UnauthorizedOperation", "not you"));
    let err = program.run("status", 1).err;
    assert!(err.contains("these credentials must be allowed to do DescribeVpcs"), "{err}");
    program.moto.inject(Fault::refuse("CreateCluster", "ClusterQuotaExceeded", "too many"));
    let err = program.run(&format!("create {ALLOW}"), 1).err;
    assert!(err.contains("the account's quota is used up"), "{err}");
}
