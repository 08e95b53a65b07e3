//! What was made is removed, if that is meant, and nothing else.

use crate::program::{ALLOW, Printed, Program};

#[test]
fn nothing_is_removed_without_a_yes_and_a_word_about_the_data() {
    let program = Program::new();
    program.run(&format!("create {ALLOW}"), 0);
    program.moto.calls();
    for (line, expected) in [
        ("delete", "nobody is here to ask whether to remove sparkload"),
        ("delete --skip-final-snapshot", "nobody is here to ask whether to remove sparkload"),
        ("delete --yes", "nothing says what becomes of the data"),
        ("delete --yes --skip-final-snapshot --final-snapshot s", "cannot be used with"),
    ] {
        let Printed { out, err } = program.run(line, 2);
        assert!(err.contains(expected), "{line}: {err}");
        assert_eq!(out, "");
    }
    assert_eq!(program.changes(), [""; 0]);
}

#[test]
fn all_that_was_made_is_removed_and_once() {
    let program = Program::new();
    program.run(&format!("create --source s3://songs {ALLOW}"), 0);
    program.moto.calls();
    let out = program.run("delete --yes --final-snapshot last", 0).out;
    assert_eq!(
        program.changes(),
        ["DeleteCluster", "DeleteSecurityGroup", "DeleteRolePolicy", "DeleteRole"]
    );
    insta::assert_snapshot!(out, @r"
    Removed:
      cluster         sparkload
      security group  sparkload-redshift
      permissions     sparkload-redshift
      role            sparkload-redshift
    The snapshot last has its data; it costs money as long as it is there.
    The settings file and the password file are as they were.
    ");
    let snapshots = "Action=DescribeClusterSnapshots&Version=2012-12-01&SnapshotIdentifier=last";
    assert!(program.moto.ask("redshift", snapshots).contains("<SnapshotIdentifier>last<"));
    let nothing = program.status("");
    for part in ["cluster", "security_group", "role"] {
        assert!(nothing[part].is_null(), "{nothing}");
    }
    assert_eq!(program.run("status", 0).out, "Nothing is there of sparkload.\n");

    program.moto.calls();
    let again = program.run("delete --yes --skip-final-snapshot", 0).out;
    assert_eq!(again, "Nothing is there of sparkload that sparkload has made.\n");
    assert_eq!(program.changes(), [""; 0]);
    // What is left of it here is enough to make it again.
    let password = program.password("sparkload.pgpass");
    program.run(&format!("create {ALLOW}"), 0);
    assert_eq!(program.password("sparkload.pgpass"), password);
}

#[test]
fn what_sparkload_has_not_made_is_not_touched() {
    let role =
        "Action=CreateRole&Version=2010-05-08&RoleName=a-redshift&AssumeRolePolicyDocument=%7B%7D";
    let group =
        "Action=CreateSecurityGroup&Version=2016-11-15&GroupName=b-redshift&GroupDescription=mine";
    let cluster = "Action=CreateCluster&Version=2012-12-01&ClusterIdentifier=ccc&NodeType=ra3.large\
                   &MasterUsername=me&MasterUserPassword=Passw0rd";
    let program = Program::new();
    for (service, form, line, what) in [
        ("iam", role, "--cluster-identifier aaa --role-name a-redshift", "the role a-redshift"),
        ("ec2", group, "--cluster-identifier b", "the security group b-redshift"),
        ("redshift", cluster, "--cluster-identifier ccc", "the cluster ccc"),
    ] {
        program.moto.ask(service, form);
        program.moto.calls();
        let err = program.run(&format!("create {ALLOW} {line}"), 1).err;
        assert!(
            err.contains(&format!(
                "error: {what} is there already, and sparkload has not made it\n"
            )),
            "{err}"
        );
        assert!(err.contains("--cluster-identifier or --role-name"), "{err}");
        let out = program.run(&format!("delete --yes --skip-final-snapshot {line}"), 0).out;
        assert!(
            out.ends_with(&format!("sparkload has not made it: {}\n", &what["the ".len()..])),
            "{out}"
        );
        assert_eq!(program.changes(), [""; 0]);
        let status = program.run(&format!("status {line}"), 0).out;
        assert!(status.contains("someone else"), "{status}");
    }
    // Nor is what was made for another cluster.
    program.run(&format!("create --cluster-identifier one {ALLOW}"), 0);
    program.moto.calls();
    let line = format!("create --cluster-identifier two --role-name one-redshift {ALLOW}");
    let err = program.run(&line, 1).err;
    assert!(
        err.contains("the role one-redshift is there already, made for cluster:one\n"),
        "{err}"
    );
    assert_eq!(program.changes(), [""; 0]);
}
