//! Clusters are made with all that they need, and once.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;
use sparkload::cluster::credentials;
use sparkload::{Defaults, S3Credentials, S3Options, Server};

use crate::moto::{ADDRESS, parameter};
use crate::program::{ALLOW, Printed, Program};

#[test]
fn a_cluster_is_made_with_all_that_it_needs_and_once() {
    let program = Program::new();
    program.write("sparkload.toml", "# Ours.\nmemory = \"64MiB\"\n");
    let line = format!("create --nodes 2 --source s3://songs/data --stage s3://stage/tmp {ALLOW}");
    let Printed { out, err } = program.run(&format!("{line} --verbose"), 0);
    assert_eq!(
        program.changes(),
        [
            "CreateRole",
            "PutRolePolicy",
            "CreateSecurityGroup",
            "AuthorizeSecurityGroupIngress",
            "CreateCluster"
        ]
    );
    let made = out.split("It listens at ").next().unwrap();
    insta::assert_snapshot!(made, @r"
    Made for sparkload:
      role            sparkload-redshift
      permissions     sparkload-redshift
      security group  sparkload-redshift
      access          203.0.113.7/32
      cluster         sparkload
    ");
    let password = program.password("sparkload.pgpass");
    assert!(!format!("{out}{err}").contains(&password), "{out}{err}");
    let mode = fs::metadata(program.path("sparkload.pgpass")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let status = program.status("");
    let host = status["cluster"]["endpoint"]["host"].as_str().unwrap();
    let role = status["role"]["arn"].as_str().unwrap();
    assert_eq!(status["cluster"]["roles"], json!([role]));
    assert_eq!(status["cluster"]["security_groups"], json!([status["security_group"]["id"]]));
    assert_eq!(status["cluster"]["nodes"], 2);
    let rules = json!([{ "cidr": "203.0.113.7/32", "port": 5439, "ours": true }]);
    assert_eq!(status["security_group"]["rules"], rules);
    let statements = status["role"]["permissions"]["Statement"].as_array().unwrap();
    let songs =
        json!(["arn:aws:s3:::songs/data/song_data/*", "arn:aws:s3:::songs/data/log_data/*"]);
    assert_eq!(statements[0]["Action"], json!(["s3:GetObject"]));
    assert_eq!(statements[0]["Resource"], songs);

    let line_of_password = program.read("sparkload.pgpass");
    assert_eq!(line_of_password, format!("{host}:5439:dev:sparkload:{password}\n"));
    let passfile = program.path("sparkload.pgpass").canonicalize().unwrap();
    let target = format!(
        "postgres://sparkload@{host}:5439/dev?sslmode=verify-full&passfile={}",
        passfile.display()
    );
    let settings = format!(
        "# Ours.\nmemory = \"64MiB\"\ntarget = \"{target}\"\niam-role = \"{role}\"\nstage = \"s3://stage/tmp\"\n"
    );
    assert_eq!(program.read("sparkload.toml"), settings);

    program.moto.calls();
    let again = program.run(&line, 0).out;
    assert_eq!(program.changes(), [""; 0], "a second run changes nothing");
    assert!(
        again.starts_with("Nothing to do: sparkload is there, with all that it needs.\n"),
        "{again}"
    );
    assert!(again.ends_with("sparkload.toml names them already.\n"), "{again}");
    assert_eq!(program.read("sparkload.toml"), settings);
    assert_eq!(program.read("sparkload.pgpass"), line_of_password);
    // Nor does one that says less.
    program.run(&format!("create {ALLOW} --source s3://songs/data"), 0);
    assert_eq!(program.changes(), [""; 0]);
    // The settings that were written are settings.
    let table = program.run("status", 0).out;
    assert!(table.contains("available, 2 nodes of ra3.large, "), "{table}");
}

#[test]
fn the_cluster_is_encrypted_and_marked_and_of_the_size_that_is_wanted() {
    let program = Program::new();
    let line = format!(
        "create --cluster-identifier DWH --database songs --user admin --port 5440 {ALLOW}"
    );
    program.run(&line, 0);
    let calls = program.moto.calls();
    let made = &calls.iter().find(|call| call.action == "CreateCluster").unwrap().body;
    for (name, value) in [
        ("ClusterIdentifier", "dwh"),
        ("ClusterType", "single-node"),
        ("NodeType", "ra3.large"),
        ("DBName", "songs"),
        ("MasterUsername", "admin"),
        ("Port", "5440"),
        ("Encrypted", "true"),
        ("Tags.Tag.1.Key", "sparkload"),
        ("Tags.Tag.1.Value", "cluster:dwh"),
    ] {
        assert_eq!(parameter(made, name).as_deref(), Some(value), "{name} in {made}");
    }
    assert_eq!(parameter(made, "NumberOfNodes"), None);
    let trust = &calls.iter().find(|call| call.action == "CreateRole").unwrap().body;
    let trust = parameter(trust, "AssumeRolePolicyDocument").unwrap();
    assert!(trust.contains(r#""Service":"redshift.amazonaws.com""#), "{trust}");
    // Without the source there is nothing that the role may do.
    assert!(!calls.iter().any(|call| call.action == "PutRolePolicy"));
    // The second time it is known what it is like.
    let again = program.run(&format!("create --cluster-identifier dwh {ALLOW}"), 0);
    assert!(again.out.starts_with("Nothing to do"), "{}", again.out);
    assert!(!again.err.contains("is left as it is"), "{}", again.err);
    assert!(again.err.contains("WARN the role dwh-redshift may do nothing"), "{}", again.err);
    // And that it is not changed is said.
    let line = format!("create --cluster-identifier dwh --nodes 4 --user other {ALLOW}");
    let err = program.run(&line, 0).err;
    assert!(err.contains("it has 1 node of ra3.large, not 4 nodes of ra3.large"), "{err}");
    assert!(err.contains("its user is admin, not other"), "{err}");
    assert!(program.read("sparkload.toml").contains("postgres://admin@dwh."));
}

#[test]
fn the_old_settings_file_says_what_is_wanted_and_learns_where_it_is() {
    let program = Program::new();
    let cfg = "\
[CLUSTER]\r
HOST=\r
DB_NAME=dwh\r
DB_USER=dwhuser\r
DB_PASSWORD=Passw0rd%%1\r
DB_PORT=5439\r
\r
[IAM_ROLE]\r
ARN=''\r
\r
[S3]\r
LOG_DATA='s3://udacity-dend/log_data'\r
SONG_DATA='s3://udacity-dend/song_data'\r
\r
[DWH]\r
DWH_CLUSTER_TYPE=multi-node\r
DWH_NUM_NODES=4\r
DWH_NODE_TYPE=dc2.large\r
DWH_IAM_ROLE_NAME=dwhRole\r
DWH_CLUSTER_IDENTIFIER=dwhCluster\r
DWH_DB=dwh\r
DWH_DB_USER=dwhuser\r
DWH_DB_PASSWORD=Passw0rd%%1\r
DWH_PORT=5439";
    program.write("dwh.cfg", cfg);
    // Every old file wants nodes that are not made any more; nothing is made for them.
    let err = program.run(&format!("create {ALLOW}"), 2).err;
    assert!(err.contains("Redshift makes no clusters of dc2.large any more"), "{err}");
    assert!(err.contains("ra3.large") && err.contains("prices"), "{err}");
    assert_eq!(program.changes(), [""; 0]);
    assert!(!program.path("dwhcluster.pgpass").exists());
    let cfg = &cfg.replace("dc2.large", "ra3.xlplus");
    program.write("dwh.cfg", cfg);
    let Printed { out, err } = program.run(&format!("create {ALLOW} --verbose"), 0);
    assert!(!format!("{out}{err}").contains("Passw0rd"), "{out}{err}");
    let calls = program.moto.calls();
    let made = &calls.iter().find(|call| call.action == "CreateCluster").unwrap().body;
    for (name, value) in [
        ("ClusterIdentifier", "dwhcluster"),
        ("NodeType", "ra3.xlplus"),
        ("NumberOfNodes", "4"),
        ("MasterUserPassword", "Passw0rd%1"),
    ] {
        assert_eq!(parameter(made, name).as_deref(), Some(value), "{name}");
    }
    let status = program.status("");
    let (host, role) = (&status["cluster"]["endpoint"]["host"], &status["role"]["arn"]);
    let expected = cfg
        .replace("HOST=", &format!("HOST={}", host.as_str().unwrap()))
        .replace("ARN=''", &format!("ARN='{}'", role.as_str().unwrap()));
    assert_eq!(program.read("dwh.cfg"), expected);
    assert!(role.as_str().unwrap().ends_with(":role/dwhRole"), "{role}");
    assert!(!program.path("sparkload.toml").exists());
    program.run(&format!("create {ALLOW}"), 0);
    assert_eq!(program.changes(), [""; 0]);
    assert_eq!(program.read("dwh.cfg"), expected);
}

#[test]
fn what_redshift_makes_no_more_is_refused_before_anything_is_made() {
    let program = Program::new();
    for (options, reason) in [
        ("--node-type dc2.8xlarge", "no clusters of dc2.8xlarge"),
        ("--node-type DS2.xlarge", "no clusters of DS2.xlarge"),
        ("--port 5430", "can't listen at port 5430"),
        ("--port 8190", "can't listen at port 8190"),
        ("--serverless --port 5456", "can't listen at port 5456"),
        ("--stage-kms-key alias/k", "--stage-kms-key is given, and no stage"),
    ] {
        let err = program.run(&format!("create {ALLOW} {options}"), 2).err;
        assert!(err.contains(reason), "{options}: {err}");
        assert_eq!(program.changes(), [""; 0], "{options}");
        assert!(!program.path("sparkload.pgpass").exists(), "{options}");
    }
    // One that is there keeps what it has.
    let line = format!("create {ALLOW} --port 8215 --stage s3://stage/tmp --stage-kms-key alias/k");
    let out = program.run(&line, 0).out;
    assert!(out.contains("needs kms:GenerateDataKey and kms:Decrypt on alias/k"), "{out}");
    let statements = program.status("")["role"]["permissions"]["Statement"].clone();
    assert_eq!(statements.as_array().unwrap().last().unwrap()["Action"], json!(["kms:Decrypt"]));
    let err = program.run(&format!("create {ALLOW} --port 9000 --node-type dc2.large"), 0).err;
    assert!(err.contains("its port is 8215, not 9000"), "{err}");
}

#[test]
fn the_own_address_is_let_in_and_no_older_one() {
    let program = Program::new();
    let create = format!("create --address-url {}", program.moto.address_url());
    let err = program.run(&create, 0).err;
    assert!(err.contains(&format!("this machine's address is {ADDRESS}/32")), "{err}");
    let rules = |program: &Program| program.status("")["security_group"]["rules"].clone();
    let cidr = format!("{ADDRESS}/32");
    assert_eq!(rules(&program), json!([{ "cidr": cidr, "port": 5439, "ours": true }]));

    // What was added by hand stays.
    let status = program.status("");
    let id = status["security_group"]["id"].as_str().unwrap();
    program.moto.ask(
        "ec2",
        &format!(
            "Action=AuthorizeSecurityGroupIngress&Version=2016-11-15&GroupId={id}&IpPermissions.1.IpProtocol=tcp\
             &IpPermissions.1.FromPort=5439&IpPermissions.1.ToPort=5439&IpPermissions.1.IpRanges.1.CidrIp=10.0.0.0%2F8"
        ),
    );
    let out = program.run(&format!("create {ALLOW}"), 0).out;
    assert!(out.contains(&format!("no longer {ADDRESS}/32\n")), "{out}");
    let mut cidrs: Vec<_> =
        rules(&program).as_array().unwrap().iter().map(|it| it["cidr"].clone()).collect();
    cidrs.sort_by_key(ToString::to_string);
    assert_eq!(cidrs, ["10.0.0.0/8", "203.0.113.7/32"]);

    let nowhere = "create --cluster-identifier other --address-url http://127.0.0.1:1/";
    program.moto.calls();
    let err = program.run(nowhere, 1).err;
    assert!(
        err.contains("error: can't find out this machine's address from http://127.0.0.1:1/\n"),
        "{err}"
    );
    assert!(
        err.contains("  help: say who may reach the cluster: --allow-cidr ADDRESS/32\n"),
        "{err}"
    );
    assert_eq!(program.changes(), [""; 0]);
    assert!(!program.path("other.pgpass").exists());
}

#[test]
fn secrets_manager_keeps_the_password_where_that_is_wanted() {
    let program = Program::new();
    let out = program.run(&format!("create --secrets-manager {ALLOW}"), 0).out;
    let calls = program.moto.calls();
    let made = &calls.iter().find(|call| call.action == "CreateCluster").unwrap().body;
    assert_eq!(parameter(made, "ManageMasterPassword").as_deref(), Some("true"));
    assert_eq!(parameter(made, "MasterUserPassword"), None);
    assert!(out.contains("AWS Secrets Manager has the password of sparkload"), "{out}");
    assert!(!program.path("sparkload.pgpass").exists());
    assert!(!program.read("sparkload.toml").contains("passfile"));
}

#[test]
fn a_password_that_is_lost_is_not_replaced_by_one_that_is_wrong() {
    let program = Program::new();
    program.run(&format!("create {ALLOW}"), 0);
    fs::remove_file(program.path("sparkload.pgpass")).unwrap();
    let out = program.run(&format!("create {ALLOW}"), 0).out;
    assert!(out.contains("The password of sparkload is not known here"), "{out}");
    assert!(!program.path("sparkload.pgpass").exists());
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_made() {
    let program = Program::new();
    program.write("weak.toml", "cluster-password = 'weak'\n");
    for (line, expected) in [
        (
            "create --cluster-identifier d--h --allow-cidr 10.0.0.1",
            "a cluster can't be called \"d--h\"",
        ),
        ("create --allow-cidr here", "\"here\" is no range of addresses"),
        ("create --serverless --nodes 2", "cannot be used with"),
        ("create --stage ./here --allow-cidr 10.0.0.1", "./here is no place in S3"),
        ("create --config weak.toml --allow-cidr 10.0.0.1", "has not 8 to 64 characters"),
        ("create --nodes 0", "invalid value '0'"),
        ("", "Usage: sparkload cluster"),
    ] {
        let Printed { out, err } = program.run(line, 2);
        assert!(err.contains(expected), "{line}: {err}");
        assert!(!err.contains("'weak'"), "{err}");
        assert_eq!(out, "");
    }
    assert_eq!(program.changes(), [""; 0]);
    let left: Vec<_> = fs::read_dir(program.folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn iam_gives_a_login_for_an_hour() {
    let program = Program::new();
    program.run(&format!("create {ALLOW}"), 0);
    let status = program.status("");
    let host = status["cluster"]["endpoint"]["host"].as_str().unwrap();
    let keys = S3Credentials {
        access_key_id: "AKID".to_owned(),
        secret_access_key: "secret".to_owned().into(),
    };
    let aws = S3Options {
        endpoint_url: Some(program.moto.endpoint()),
        credentials: Some(keys),
        ..S3Options::default()
    };
    let login = credentials(host, "sparkload", "dev", &aws).await.unwrap();
    assert_eq!(login.user, "IAM:sparkload");
    let left = login.expires.duration_since(std::time::SystemTime::now()).unwrap();
    assert!((3500..=3600).contains(&left.as_secs()), "{left:?}");
    assert!(!format!("{login:?}").contains(secrecy::ExposeSecret::expose_secret(&login.password)));
    let error = credentials("localhost", "u", "d", &aws).await.unwrap_err();
    assert_eq!(error.to_string(), "localhost is no endpoint of Redshift");

    // A server by that name that asks for the password, and lets nobody in.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut startup = vec![0; u32::from_be_bytes(length) as usize - 4];
        stream.read_exact(&mut startup).unwrap();
        stream.write_all(b"R\0\0\0\x08\0\0\0\x03").unwrap();
        let mut head = [0; 5];
        stream.read_exact(&mut head).unwrap();
        let mut password = vec![0; u32::from_be_bytes(head[1..].try_into().unwrap()) as usize - 4];
        stream.read_exact(&mut password).unwrap();
        (String::from_utf8_lossy(&startup).into_owned(), password.len())
    });
    let target = format!(
        "host={host} hostaddr=127.0.0.1 port={port} user=sparkload dbname=dev sslmode=disable"
    );
    let server = Server::parse(&target, &Defaults::default()).unwrap().with_iam_login(aws);
    let refused = server.connect().await.unwrap_err();
    let (startup, password) = asked.join().unwrap();
    assert!(startup.contains("user\0IAM:sparkload\0"), "{startup:?}");
    assert!(password > 1, "{refused}");
}
