//! Logging in: by which way, as whom, to which of several servers; what goes wrong is said with its cure.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;

use sparkload::{Defaults, Existing, Server, Target};

use crate::connections::{connect, free_port, text, told, variables};
use crate::own_server::OwnServer;
use crate::sources::bucket;
use crate::support::postgres::{self, Database, PASSWORD_IN_URL, Postgres, Stop, USER};
use crate::support::s3::{Operation, S3};
use crate::tables::{config, fixture, target};

/// The help on a connection that must fail.
async fn refused(conninfo: &str) -> (String, String) {
    let error = match connect(conninfo).await {
        Ok(_) => panic!("{conninfo}: was let in"),
        Err(error) => error,
    };
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    (told(&error), error.help().unwrap_or_default().to_owned())
}

/// A server without TLS that asks for a password and refuses it as Redshift does; it counts the passwords.
fn redshift() -> (u16, std::thread::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = move || {
        let mut passwords = 0;
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let message = |stream: &mut TcpStream, tagged: bool| {
                let mut head = [0; 5];
                let head = &mut head[..if tagged { 5 } else { 4 }];
                stream.read_exact(head).ok()?;
                let length = u32::from_be_bytes(*head.last_chunk().unwrap());
                let mut body = vec![0; length as usize - 4];
                stream.read_exact(&mut body).ok()?;
                Some(body)
            };
            let mut startup = message(&mut stream, false).unwrap();
            if startup == b"\x04\xd2\x16\x2f" {
                stream.write_all(b"N").unwrap();
                startup = message(&mut stream, false).unwrap();
            }
            if startup == b"stop" {
                return passwords;
            }
            stream.write_all(b"R\0\0\0\x08\0\0\0\x03").unwrap();
            // Who asks for another way hangs up.
            if message(&mut stream, true).is_none() {
                continue;
            }
            passwords += 1;
            let body = b"SFATAL\0C28000\0Mpassword authentication failed for user \"ann\"\0\0";
            stream.write_all(b"E").unwrap();
            stream.write_all(&(body.len() as u32 + 4).to_be_bytes()).unwrap();
            stream.write_all(body).unwrap();
        }
        unreachable!("a listener never ends")
    };
    (port, std::thread::spawn(serve))
}

#[tokio::test]
async fn a_wrong_password_is_sent_once_whatever_code_says_so() {
    for mode in ["prefer", "allow", "disable"] {
        let (port, served) = redshift();
        let url = format!("postgres://ann:hunter2@127.0.0.1:{port}/dev?sslmode={mode}");
        let (told, help) = refused(&url).await;
        assert!(told.ends_with("password authentication failed for user \"ann\""), "{told}");
        assert!(help.starts_with("check the password of ann"), "{help}");
        let mut stop = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stop.write_all(b"\0\0\0\x08stop").unwrap();
        assert_eq!(served.join().unwrap(), 1, "{mode}");
    }

    // Over TLS, from a server that would take the same user without: LDAP's refusal has the code of pg_hba.conf's.
    let server = OwnServer::new(Postgres::start_tls());
    server.admit("host all all 127.0.0.1/32 ldap ldapserver=127.0.0.1 ldapport=1 ldapprefix=cn=");
    if server.log().contains("LDAP is not supported")
        || server.log().contains("not supported by this build")
    {
        return;
    }
    let name = server.database.name();
    for mode in ["prefer", "allow"] {
        let count = || server.log().matches("FATAL:  LDAP authentication failed").count();
        let before = count();
        let port = server.server.port();
        let url = format!("postgres://{USER}:hunter2@127.0.0.1:{port}/{name}?sslmode={mode}");
        let (told, help) = refused(&url).await;
        assert!(told.contains("LDAP authentication failed"), "{told}");
        assert!(help.starts_with("check the password"), "{help}");
        assert_eq!(count(), before + 1, "{mode}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_another_login_gets_no_password() {
    let database = postgres::server().database();
    let tls = OwnServer::new(Postgres::start_tls());
    let encrypted = tls.database.url_at("localhost");
    let socket = database.socket_keywords();
    for allowed in ["scram-sha-256", "md5,scram-sha-256", "!password,!md5", "!none"] {
        connect(&format!("{}?require_auth={allowed}", database.url())).await.unwrap();
        connect(&format!("{encrypted}?require_auth={allowed}&sslmode=require")).await.unwrap();
    }
    for allowed in ["none", "!scram-sha-256"] {
        connect(&format!("{socket} require_auth={allowed}")).await.unwrap();
    }
    for (conninfo, allowed, asked) in [
        (format!("{}?require_auth=", database.url()), "md5", "a login by scram-sha-256"),
        (format!("{}?require_auth=", database.url()), "none", "a login by scram-sha-256"),
        (format!("{}?require_auth=", database.url()), "!scram-sha-256", "a login by scram-sha-256"),
        (format!("{encrypted}?sslmode=require&require_auth="), "md5", "a login by scram-sha-256"),
        (format!("{encrypted}?require_auth="), "password", "a login by scram-sha-256"),
        (format!("{socket} require_auth="), "scram-sha-256", "without any login"),
        (format!("{socket} require_auth="), "!none", "without any login"),
    ] {
        let (told, help) = refused(&format!("{conninfo}{allowed}")).await;
        assert!(told.contains(asked), "{allowed}: {told}");
        assert!(help.contains("require_auth"), "{allowed}: {help}");
    }

    // The demand stands in the environment alone, and the server is one that would get the password in the clear.
    let (port, served) = redshift();
    let url = format!("postgres://ann:hunter2@127.0.0.1:{port}/dev");
    let server = Server::parse(&url, &variables(&[("PGREQUIREAUTH", "scram-sha-256")])).unwrap();
    let error = server.connect().await.unwrap_err();
    assert!(told(&error).contains("a login by password"), "{}", told(&error));
    TcpStream::connect(("127.0.0.1", port)).unwrap().write_all(b"\0\0\0\x08stop").unwrap();
    assert_eq!(served.join().unwrap(), 0);

    for hopeless in ["gss", "sspi,oauth", "!password,!md5,!scram-sha-256,!none"] {
        let (told, help) = refused(&format!("{}?require_auth={hopeless}", database.url())).await;
        assert!(told.contains("no way to log in") && help.contains("scram-sha-256"), "{told}");
    }
}

#[tokio::test]
async fn the_user_that_a_server_runs_as_can_be_demanded() {
    let database = postgres::server().database();
    let folder = database.server().socket_folder();
    let owner = fs::metadata(folder.join("data")).unwrap().uid().to_string();
    let users = fs::read_to_string("/etc/passwd").unwrap();
    let user = |is_owner: bool| {
        let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        lines.find(|fields| (fields[2] == owner) == is_owner).unwrap()[0].to_owned()
    };
    let socket = database.socket_keywords();
    connect(&format!("{socket} requirepeer={}", user(true))).await.unwrap();
    let (told, help) = refused(&format!("{socket} requirepeer={}", user(false))).await;
    assert!(told.contains(&format!("the number {owner}")), "{told}");
    assert!(help.contains("requirepeer"), "{help}");
    let (told, _) = refused(&format!("{socket} requirepeer=no-such-user")).await;
    assert!(told.contains("no-such-user"), "{told}");

    let wrong = variables(&[("PGREQUIREPEER", &user(false))]);
    Server::parse(&socket, &wrong).unwrap().connect().await.unwrap_err();
    // It is about sockets alone.
    Server::parse(&database.url(), &wrong).unwrap().connect().await.unwrap();
}

#[tokio::test]
async fn a_refused_login_names_its_own_cure() {
    let server = OwnServer::new(Postgres::start());
    server.database.query(
        "CREATE ROLE idle PASSWORD 'pw'; CREATE ROLE few LOGIN PASSWORD 'pw' CONNECTION LIMIT 0;
         CREATE ROLE ann LOGIN PASSWORD 'pw'",
    );
    let (port, name) = (server.server.port(), server.database.name());
    server.admit("host all idle,few 127.0.0.1/32 scram-sha-256\nhost all ann 127.0.0.1/32 reject");
    let at = |login: &str| format!("postgres://{login}@127.0.0.1:{port}/{name}");
    for (conninfo, cure) in [
        (at("idle:pw"), "ALTER ROLE idle LOGIN"),
        (at("nobody:pw"), "a line in the server's pg_hba.conf, or with TLS (sslmode=require)"),
        (at("ann:pw"), "a line in the server's pg_hba.conf"),
        (
            at("few:pw"),
            "(--connections), end others, or raise the role's limit (ALTER ROLE few CONNECTION LIMIT",
        ),
        (at("few:hunter2"), "check the password of few"),
        (format!("{} user=nobody", server.database.socket_keywords()), "create the role nobody"),
    ] {
        let (told, help) = refused(&conninfo).await;
        assert!(help.contains(cure), "{conninfo}: {told}: {help}");
    }
    server.write("data/pg_hba.conf", "local all ann peer\nlocal all all trust\n");
    server.reload();
    let (told, help) = refused(&format!("{} user=ann", server.database.socket_keywords())).await;
    assert!(told.contains("Peer authentication failed"), "{told}");
    assert!(help.contains("run this as that user"), "{help}");
}

#[tokio::test]
async fn of_several_hosts_each_is_named_and_a_refusal_ends_the_search() {
    let database = postgres::server().database();
    let (name, port, down) = (database.name(), database.server().port(), free_port());
    let at = |password: &str, places: &str| format!("postgres://{USER}:{password}@{places}/{name}");
    let (told, help) = refused(&at("hunter2", &format!("127.0.0.1:{down},127.0.0.1:{port}"))).await;
    assert_eq!(
        told,
        format!(
            "can't connect to postgres://{USER}@127.0.0.1:{down},127.0.0.1:{port}/{name}: \
             127.0.0.1:{down}: error connecting to server: Connection refused (os error 111)\n\
             127.0.0.1:{port}: FATAL: password authentication failed for user \"{USER}\""
        )
    );
    assert!(help.starts_with("check the password"), "{help}");

    // Whom the first one refuses doesn't get to the second.
    let (told, _) = refused(&at("hunter2", &format!("127.0.0.1:{port},127.0.0.1:{down}"))).await;
    assert!(!told.contains("Connection refused"), "{told}");
    let (other, served) = redshift();
    refused(&at("hunter2", &format!("127.0.0.1:{port},127.0.0.1:{other}"))).await;
    TcpStream::connect(("127.0.0.1", other)).unwrap().write_all(b"\0\0\0\x08stop").unwrap();
    assert_eq!(served.join().unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_what_it_is_wanted_to_be() {
    let standby = Postgres::start();
    standby.stop(Stop::Fast);
    fs::write(standby.socket_folder().join("data/standby.signal"), "").unwrap();
    standby.restart();
    let (primary, standby_port) = (postgres::server(), standby.port());
    let (s, p) = (format!("127.0.0.1:{standby_port}"), format!("127.0.0.1:{}", primary.port()));
    let both = [format!("{s},{p}"), format!("{p},{s}")];
    let at = |places: &str, wanted: &str| {
        format!(
            "postgres://{USER}:{PASSWORD_IN_URL}@{places}/postgres?target_session_attrs={wanted}"
        )
    };
    for (wanted, is_standby) in [
        ("read-write", "false"),
        ("primary", "false"),
        ("read-only", "true"),
        ("standby", "true"),
        ("prefer-standby", "true"),
    ] {
        for places in &both {
            let client = connect(&at(places, wanted)).await.unwrap();
            let is = text(&client, "SELECT pg_is_in_recovery()::text").await;
            assert_eq!(is, is_standby, "{wanted} of {places}");
        }
    }
    for place in [&s, &p] {
        connect(&at(place, "any")).await.unwrap();
        connect(&at(place, "prefer-standby")).await.unwrap();
    }
    for (place, wanted, objection) in [
        (&p, "standby", "the server is no standby"),
        (&p, "read-only", "the session is not read-only"),
        (&s, "primary", "the server is a standby"),
        (&s, "read-write", "the session is read-only"),
        (&s, "leader", "invalid value"),
    ] {
        let (told, help) = refused(&at(place, wanted)).await;
        assert!(told.contains(objection), "{wanted} of {place}: {told}");
        assert!(help.contains("target_session_attrs"), "{help}");
    }

    let loaded = Target::Postgres(Server::parse(&at(&s, "any"), &Defaults::default()).unwrap());
    let error = sparkload::create(&loaded, "public", Existing::Keep).await.unwrap_err();
    assert!(told(&error).ends_with("takes no writes: it is a standby"), "{}", told(&error));
    assert!(error.help().unwrap().contains("target_session_attrs=read-write"));
}

/// A role of the shared server that owns the database's schema and may do all that a load needs; and its URL.
fn loader(database: &Database) -> (String, String) {
    let name = database.name();
    let role = format!("loader_{name}");
    database.query(&format!(
        "CREATE ROLE {role} LOGIN PASSWORD 'pw'; GRANT CREATE, TEMPORARY ON DATABASE {name} TO {role};
         ALTER SCHEMA public OWNER TO {role}; CREATE SCHEMA mine AUTHORIZATION {role}"
    ));
    let url = format!("postgres://{role}:pw@127.0.0.1:{}/{name}", database.server().port());
    (role, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_cant_load_is_told_what_it_lacks() {
    let database = postgres::server().database();
    let (role, url) = loader(&database);
    let mut config = config(&fixture("sparkify"), &database);
    config.target = target(&url);
    sparkload::load(&config).await.unwrap();
    config.full_refresh = true;

    // Rows that it can't see would be missing from what is made of the others.
    database.query("ALTER TABLE staging_events ENABLE ROW LEVEL SECURITY");
    sparkload::load(&config).await.unwrap();
    for table in ["staging_events", "songplays", "users", "load_objects"] {
        database.query(&format!(
            "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; ALTER TABLE {table} FORCE ROW LEVEL SECURITY"
        ));
        let error = sparkload::load(&config).await.unwrap_err();
        assert!(told(&error).contains("row-level security"), "{table}: {}", told(&error));
        assert!(error.help().unwrap().contains("NO FORCE ROW LEVEL SECURITY"), "{error:?}");
        database.query(&format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"));
    }
    sparkload::load(&config).await.unwrap();

    database.query(&format!("ALTER ROLE {role} SET default_transaction_read_only = on"));
    for error in [
        sparkload::load(&config).await.unwrap_err(),
        sparkload::create(&config.target, "public", Existing::Keep).await.unwrap_err(),
    ] {
        assert!(told(&error).ends_with("default_transaction_read_only is on"), "{}", told(&error));
        assert!(error.help().unwrap().contains("default_transaction_read_only=off"), "{error:?}");
    }
    let off = format!("{url}?options=-c%20default_transaction_read_only%3Doff");
    config.target = target(&off);
    sparkload::load(&config).await.unwrap();
    database.query(&format!("ALTER ROLE {role} RESET default_transaction_read_only"));

    database.query(&format!("ALTER SCHEMA mine OWNER TO {USER}"));
    database.query(&format!("GRANT CREATE ON SCHEMA mine TO {role}"));
    config.schema = "mine".to_owned();
    let error = sparkload::load(&config).await.unwrap_err();
    assert!(told(&error).contains("permission denied for schema mine"), "{}", told(&error));
    assert!(error.help().unwrap().contains("USAGE and CREATE on the schema"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cant_hold_utf_8_is_refused_before_anything_is_read() {
    let shared = postgres::server().database();
    let server = S3::start();
    server.put_directory("music", "", &fixture("sparkify"));
    for (encoding, fits) in
        [("LATIN1", false), ("EUC_JP", false), ("SQL_ASCII", true), ("UTF8", true)]
    {
        let name = format!("{}_{}", shared.name(), encoding.to_lowercase());
        shared.query(&format!(
            "CREATE DATABASE {name} ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        ));
        let target =
            target(&shared.url().replace(&format!("/{}", shared.name()), &format!("/{name}")));
        let config = sparkload::Config::new(bucket(&server, "s3://music"), target.clone());
        let before = server.requests(Operation::GetObject);
        match (sparkload::load(&config).await, fits) {
            (Err(error), false) => {
                assert!(
                    told(&error).contains(&format!("its encoding is {encoding}")),
                    "{}",
                    told(&error)
                );
                assert!(error.help().unwrap().contains("ENCODING 'UTF8'"), "{error:?}");
                assert_eq!(server.requests(Operation::GetObject), before);
                let error = sparkload::create(&target, "new", Existing::Keep).await.unwrap_err();
                assert!(told(&error).contains("its encoding is"), "{}", told(&error));
            }
            (Ok(_), true) => {
                let sql = "SELECT name FROM artists ORDER BY name COLLATE \"C\" DESC LIMIT 1";
                sparkload::query(&target, "public", sql).await.unwrap();
            }
            (done, _) => panic!("{encoding}: {done:?}"),
        }
        shared.query(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        ));
        shared.query(&format!("DROP DATABASE {name}"));
    }
}

#[tokio::test]
async fn a_schemas_name_may_have_so_many_bytes() {
    let database = postgres::server().database();
    let target = target(&database.url());
    let longest = "é".repeat(19);
    sparkload::create(&target, &longest, Existing::Keep).await.unwrap();
    for name in [format!("{longest}x"), String::new()] {
        let error = sparkload::create(&target, &name, Existing::Keep).await.unwrap_err();
        assert!(error.to_string().contains("1 to 38 bytes, not"), "{error}");
        assert!(error.help().is_some());
    }
}
