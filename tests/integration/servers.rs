//! The test servers keep their own promises: what the other tests rely on, checked through the
//! clients that the program itself uses.

mod s3 {
    use std::collections::BTreeSet;

    use aws_sdk_s3::config::{Credentials, Region};
    use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
    use aws_sdk_s3::types::EncodingType;
    use aws_sdk_s3::{Client, Config};

    use crate::support::s3::{ACCESS_KEY, Operation, S3, SECRET_KEY};

    const STRANGE_KEYS: [&str; 16] = [
        "a b",
        "a+b",
        "a%b",
        "a%20b",
        "a&b",
        "a#b",
        "a=b",
        "a?b",
        "a~b*c(d)!'",
        "<a>\"&amp;",
        "música/日本語/🎵",
        "control\u{1}character",
        "/leading",
        "a//b",
        "a/../b/./c",
        "trailing/",
    ];

    fn config(server: &S3) -> aws_sdk_s3::config::Builder {
        Config::builder()
            .behavior_version_latest()
            .region(Region::new("us-east-1"))
            .endpoint_url(server.endpoint())
    }

    fn anonymous(server: &S3) -> Client {
        Client::from_conf(config(server).allow_no_auth().build())
    }

    fn signed(server: &S3, access_key: &str, secret_key: &str) -> Client {
        let keys = Credentials::new(access_key, secret_key, None, None, "test");
        Client::from_conf(config(server).credentials_provider(keys).build())
    }

    fn code<E: ProvideErrorMetadata, R>(result: Result<impl Sized, SdkError<E, R>>) -> String {
        match result {
            Ok(_) => "no error".to_owned(),
            Err(error) => error.code().unwrap_or("no code").to_owned(),
        }
    }

    async fn list(client: &Client, prefix: &str) -> Vec<String> {
        let mut pages =
            (client.list_objects_v2().bucket("music").prefix(prefix)).into_paginator().send();
        let mut keys = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.unwrap();
            assert_eq!(page.key_count(), Some(page.contents().len() as i32));
            keys.extend(page.contents().iter().map(|object| object.key().unwrap().to_owned()));
        }
        keys
    }

    #[tokio::test]
    async fn a_listing_has_every_key_below_the_prefix_once_in_order() {
        let server = S3::start();
        let client = anonymous(&server);
        for number in 0..2_501 {
            server.put("music", format!("song/{number}.json"), "{}");
        }
        server.put("music", "song", "before");
        server.put("music", "song0", "after");

        let expected: BTreeSet<String> = (0..2_501).map(|n| format!("song/{n}.json")).collect();
        assert_eq!(list(&client, "song/").await, Vec::from_iter(expected));
        assert_eq!(server.requests(Operation::ListObjects), 3);

        server.set_page_size(100);
        assert_eq!(list(&client, "").await.len(), 2_503);
        assert_eq!(server.requests(Operation::ListObjects), 3 + 26);
        assert_eq!(list(&client, "nothing").await, [""; 0]);
    }

    #[tokio::test]
    async fn a_listing_starts_after_a_key_and_stops_at_max_keys() {
        let server = S3::start();
        let client = anonymous(&server);
        for key in ["a", "b/1", "b/2", "b/3", "c"] {
            server.put("music", key, "");
        }
        let cases = [
            ("", "a", 10, "b/1 b/2 b/3 c", false),
            ("b/", "a", 10, "b/1 b/2 b/3", false),
            ("b/", "b/1", 1, "b/2", true),
            ("b/", "b/3", 10, "", false),
            ("b/", "c", 10, "", false),
            ("", "", 0, "", false),
        ];
        for (prefix, after, max, expected, more) in cases {
            let request = client.list_objects_v2().bucket("music").prefix(prefix);
            let page = request.start_after(after).max_keys(max).send().await.unwrap();
            let keys: Vec<_> = page.contents().iter().map(|it| it.key().unwrap()).collect();
            assert_eq!(keys.join(" "), expected, "{prefix:?} after {after:?}");
            assert_eq!(page.is_truncated(), Some(more), "{prefix:?} after {after:?}");
        }
    }

    #[tokio::test]
    async fn strange_keys_are_listed_and_read() {
        let server = S3::start_private();
        let client = signed(&server, ACCESS_KEY, SECRET_KEY);
        let longest = "é".repeat(512);
        let keys = Vec::from_iter(STRANGE_KEYS.into_iter().chain([longest.as_str()]));
        for &key in &keys {
            server.put("music", key, key.to_owned());
        }
        server.set_page_size(2);

        let mut listed = Vec::new();
        let mut token = None;
        loop {
            let request = client.list_objects_v2().bucket("music");
            let request = request.encoding_type(EncodingType::Url).set_continuation_token(token);
            let page = request.send().await.unwrap();
            assert_eq!(page.encoding_type(), Some(&EncodingType::Url));
            listed.extend(page.contents().iter().map(|it| form_decoded(it.key().unwrap())));
            token = page.next_continuation_token().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        assert_eq!(listed, Vec::from_iter(keys.iter().copied().collect::<BTreeSet<_>>()));

        for key in keys {
            let object = client.get_object().bucket("music").key(key).send().await;
            let object = object.unwrap_or_else(|error| panic!("{key:?}: {error:?}"));
            assert_eq!(object.body.collect().await.unwrap().into_bytes(), key);
            let prefix = key.to_owned();
            let request = client.list_objects_v2().bucket("music").prefix(prefix);
            let page = request.encoding_type(EncodingType::Url).send().await.unwrap();
            assert_eq!(form_decoded(page.prefix().unwrap()), key);
            assert_eq!(form_decoded(page.contents()[0].key().unwrap()), key);
        }
    }

    #[tokio::test]
    async fn keys_are_encoded_the_way_s3_encodes_them() {
        let server = S3::start();
        server.put("music", "a b/c+d~e*f(g).é", "");
        let request = anonymous(&server).list_objects_v2().bucket("music");
        let page = request.encoding_type(EncodingType::Url).send().await.unwrap();
        assert_eq!(page.contents()[0].key(), Some("a+b/c%2Bd%7Ee*f%28g%29.%C3%A9"));
    }

    #[tokio::test]
    async fn an_object_is_read_whole_or_in_part_and_only_in_the_version_asked_for() {
        let server = S3::start();
        let client = anonymous(&server);
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| n as u8).collect();
        server.put("music", "object", bytes.clone());
        server.put("music", "empty", "");
        let get = |key: &str| client.get_object().bucket("music").key(key);

        let object = get("object").send().await.unwrap();
        let etag = object.e_tag().unwrap().to_owned();
        assert_eq!(object.content_length(), Some(200_000));
        assert_eq!(object.body.collect().await.unwrap().into_bytes(), bytes);
        assert_eq!(get("empty").send().await.unwrap().content_length(), Some(0));

        let part = get("object").range("bytes=70000-70002").if_match(&etag).send().await.unwrap();
        assert_eq!(part.content_range(), Some("bytes 70000-70002/200000"));
        assert_eq!(part.body.collect().await.unwrap().into_bytes(), bytes[70_000..70_003]);
        let tail = get("object").range("bytes=199999-").send().await.unwrap();
        assert_eq!(tail.body.collect().await.unwrap().into_bytes(), bytes[199_999..]);
        assert_eq!(code(get("object").range("bytes=200000-").send().await), "InvalidRange");

        let head = client.head_object().bucket("music").key("object").send().await.unwrap();
        assert_eq!((head.content_length(), head.e_tag()), (Some(200_000), Some(etag.as_str())));
        let page = client.list_objects_v2().bucket("music").prefix("object").send().await.unwrap();
        let listed = &page.contents()[0];
        assert_eq!((listed.size(), listed.e_tag()), (Some(200_000), Some(etag.as_str())));
        assert_eq!(listed.last_modified().unwrap().secs(), head.last_modified().unwrap().secs());

        server.put("music", "object", "another");
        assert_eq!(code(get("object").if_match(&etag).send().await), "PreconditionFailed");
        server.put("music", "object", bytes);
        assert_eq!(get("object").send().await.unwrap().e_tag(), Some(etag.as_str()));
    }

    #[tokio::test]
    async fn what_is_not_there_is_named_as_s3_names_it() {
        let server = S3::start();
        server.create_bucket("music");
        server.put("music", "gone", "");
        server.remove("music", "gone");
        let client = anonymous(&server);
        let get = |bucket, key| client.get_object().bucket(bucket).key(key).send();
        assert_eq!(code(client.list_objects_v2().bucket("nowhere").send().await), "NoSuchBucket");
        assert_eq!(code(get("nowhere", "gone").await), "NoSuchBucket");
        assert_eq!(code(get("music", "gone").await), "NoSuchKey");
        assert_eq!(code(client.head_bucket().bucket("nowhere").send().await), "NotFound");
        assert_eq!(code(client.head_bucket().bucket("music").send().await), "no error");
        assert_eq!(code(client.get_bucket_location().bucket("music").send().await), "no error");
    }

    #[tokio::test]
    async fn a_private_server_wants_the_right_signature() {
        let public = S3::start();
        let private = S3::start_private();
        let cases = [
            (anonymous(&public), "no error"),
            (anonymous(&private), "AccessDenied"),
            (signed(&private, ACCESS_KEY, SECRET_KEY), "no error"),
            (signed(&public, ACCESS_KEY, SECRET_KEY), "no error"),
            (signed(&private, ACCESS_KEY, "wrong"), "SignatureDoesNotMatch"),
            (signed(&private, "AKIAUNKNOWN", SECRET_KEY), "InvalidAccessKeyId"),
        ];
        for server in [&public, &private] {
            server.put("music", "a b+c", "");
        }
        for (client, expected) in cases {
            let list = client.list_objects_v2().bucket("music").prefix("a b").send().await;
            assert_eq!(code(list), expected);
            let get = client.get_object().bucket("music").key("a b+c").send().await;
            assert_eq!(code(get), expected);
        }
        assert_eq!(private.requests(Operation::GetObject), 4);
    }

    #[tokio::test]
    async fn a_bucket_may_want_the_requester_to_pay() {
        let server = S3::start_private();
        server.put("music", "object", "");
        server.set_requester_pays("music");
        let client = signed(&server, ACCESS_KEY, SECRET_KEY);
        let get = || client.get_object().bucket("music").key("object");
        assert_eq!(code(get().send().await), "AccessDenied");
        assert_eq!(code(get().request_payer("requester".into()).send().await), "no error");
    }

    #[test]
    fn the_bucket_may_stand_in_the_host_name() {
        use std::io::{Read, Write};
        let server = S3::start();
        server.put("music", "a/b", "the object");
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        let port = server.port();
        write!(stream, "GET /a/b HTTP/1.1\r\nHost: music.localhost:{port}\r\n").unwrap();
        write!(stream, "Connection: close\r\n\r\n").unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{response}");
        assert!(response.ends_with("\r\n\r\nthe object"), "{response}");
        assert_eq!(server.requests(Operation::GetObject), 1);
    }

    #[tokio::test]
    async fn a_directory_becomes_a_bucket() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(directory.path().join("a/b c")).unwrap();
        std::fs::write(directory.path().join("a/b c/é+.json"), "{}").unwrap();
        std::fs::write(directory.path().join("top"), "").unwrap();
        let server = S3::start();
        server.put_directory("music", "base/", directory.path());
        assert_eq!(list(&anonymous(&server), "").await, ["base/a/b c/é+.json", "base/top"]);
    }

    #[tokio::test]
    async fn a_dropped_server_answers_no_more() {
        let server = S3::start();
        server.create_bucket("music");
        let port = server.port();
        assert_eq!(list(&anonymous(&server), "").await, [""; 0]);
        drop(server);
        let closed = || std::net::TcpStream::connect(("127.0.0.1", port)).is_err();
        let patience = std::time::Duration::from_secs(10);
        let start = std::time::Instant::now();
        while !closed() {
            assert!(start.elapsed() < patience, "the server still listens");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    /// Decodes `application/x-www-form-urlencoded`.
    fn form_decoded(text: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            bytes.push(match byte {
                b'+' => b' ',
                b'%' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            });
        }
        String::from_utf8(bytes).unwrap()
    }
}

mod postgres {
    use std::os::unix::fs::PermissionsExt;
    use std::time::{Duration, Instant};

    use tokio_postgres::NoTls;

    use crate::support::postgres::{self, Postgres};

    #[test]
    fn each_database_is_new_and_its_own() {
        let server = postgres::server();
        let (one, other) = (server.database(), server.database());
        one.query("CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (NULL)");
        assert_eq!(one.query("SELECT a FROM t"), [[Some("1".to_owned())], [None]]);
        assert_eq!(other.query("SELECT to_regclass('t')"), [[None::<String>]]);
        assert_ne!(one.name(), other.name());
    }

    #[tokio::test]
    async fn a_database_is_reached_over_tcp_and_over_the_socket() {
        let database = postgres::server().database();
        for target in [database.url(), database.url_at("localhost"), database.socket_keywords()] {
            let (client, connection) = tokio_postgres::connect(&target, NoTls).await.unwrap();
            tokio::spawn(connection);
            let row = client.query_one("SELECT current_database()", &[]).await.unwrap();
            assert_eq!(row.get::<_, &str>(0), database.name(), "{target}");
        }
        let wrong = database.url().replace("s3cret", "guessed");
        let refused = tokio_postgres::connect(&wrong, NoTls).await.err().unwrap();
        assert_eq!(refused.code().unwrap().code(), "28P01");
        let row = database.connect().await.query_one("SHOW password_encryption", &[]).await;
        assert_eq!(row.unwrap().get::<_, &str>(0), "scram-sha-256");
    }

    #[tokio::test]
    async fn a_dropped_database_is_gone_though_somebody_is_connected() {
        let server = postgres::server();
        let (kept, dropped) = (server.database(), server.database());
        let _client = dropped.connect().await;
        let name = dropped.name().to_owned();
        drop(dropped);
        let sql = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
        assert_eq!(kept.query(&sql), [[Some("0".to_owned())]]);
    }

    #[test]
    fn a_server_leaves_nothing_behind() {
        let server = Postgres::start();
        let database = server.database();
        let (folder, port) = (server.socket_folder().to_owned(), server.port());
        drop(server);
        assert_eq!(database.query("SELECT 1").len(), 1, "a database keeps its server alive");
        drop(database);
        assert!(!folder.exists());
        assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    }

    #[test]
    fn a_server_goes_when_its_process_is_killed() {
        use std::io::{BufRead, BufReader};
        use std::process::{Command, Stdio};
        const CHILD: &str = "SPARKLOAD_TEST_SERVER_OF_A_CHILD";
        if std::env::var_os(CHILD).is_some() {
            let server = Postgres::start();
            println!("\nfolder: {}", server.socket_folder().display());
            std::thread::sleep(Duration::from_secs(60));
        }
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "servers::postgres::a_server_goes_when_its_process_is_killed",
                "--nocapture",
            ])
            .env(CHILD, "1")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let folder =
            lines.filter_map(|line| Some(line.strip_prefix("folder: ")?.to_owned())).next();
        child.kill().unwrap();
        child.wait().unwrap();
        let folder = std::path::PathBuf::from(folder.expect("the child's server"));
        let start = Instant::now();
        while folder.exists() {
            assert!(start.elapsed() < Duration::from_secs(60), "{folder:?} is still there");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    #[tokio::test]
    async fn a_tls_server_takes_tls_with_its_own_authority_and_nothing_else_over_tcp() {
        use rustls::pki_types::{CertificateDer, pem::PemObject};
        let server = Postgres::start_tls();
        let database = server.database();
        let plain = tokio_postgres::connect(&database.url(), NoTls).await.err().unwrap();
        assert_eq!(plain.code().unwrap().code(), "28000");

        let key = server.socket_folder().join("server.key");
        assert_eq!(std::fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);

        let cases = [
            (server.ca_file(), "localhost", true),
            (server.ca_file(), "127.0.0.1", false),
            (server.other_ca_file(), "localhost", false),
        ];
        for (authority, host, accepted) in cases {
            let mut roots = rustls::RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(&authority).unwrap()).unwrap();
            let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = rustls::ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let tls = tokio_postgres_rustls::MakeRustlsConnect::new(config);
            let url = database.url_at(host) + "?sslmode=require";
            let connected = tokio_postgres::connect(&url, tls).await;
            assert_eq!(connected.is_ok(), accepted, "{} {host}", authority.display());
        }
    }
}
