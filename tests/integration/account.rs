//! What AWS's own tools go by counts here alike: profiles, variables, and the certificates that are trusted.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::cli::{Printed, printed, sparkload};
use crate::support::postgres::{self, Database};
use crate::support::s3::{ACCESS_KEY, S3, SECRET_KEY};
use crate::tables::fixture;

/// A directory to work in, with files of AWS's own in it.
struct Here(TempDir);

impl Here {
    fn new(config: &str, credentials: &str) -> Self {
        let here = Self(tempfile::tempdir().unwrap());
        fs::write(here.path().join("config"), config).unwrap();
        fs::write(here.path().join("credentials"), credentials).unwrap();
        here
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A load from `endpoint`.
    fn load(&self, endpoint: &str, database: &Database, args: &[&str]) -> Command {
        let url = database.url();
        let source =
            ["load", "--source", "s3://music", "--target", &url, "--endpoint-url", endpoint];
        let mut command = sparkload(self.path(), &[&source[..], args].concat());
        command.env("AWS_CONFIG_FILE", "config").env("AWS_SHARED_CREDENTIALS_FILE", "credentials");
        command.env("AWS_REGION", "us-east-1");
        command
    }
}

#[test]
fn a_profile_that_is_named_wins_over_keys_of_the_environment() {
    let keys = format!(
        "[reader]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n\
         [stranger]\naws_access_key_id = AKIDOFANOTHER\naws_secret_access_key = other\n"
    );
    let here = Here::new("", &keys);
    let server = S3::start_private();
    server.put_directory("music", "", &fixture("sparkify"));
    let database = postgres::server().database();
    let load = |args: &[&str], variables: &[(&str, &str)], code| {
        let mut command = here.load(&server.endpoint(), &database, args);
        printed(command.envs(variables.iter().copied()), code)
    };
    let other = [("AWS_ACCESS_KEY_ID", "AKIDOFANOTHER"), ("AWS_SECRET_ACCESS_KEY", "other")];
    let own = [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY)];
    load(&["--profile", "reader"], &other, 0);
    load(&["--profile", "reader"], &[("AWS_PROFILE", "stranger"), other[0], other[1]], 0);
    load(&[], &[("SPARKLOAD_PROFILE", "reader"), other[0], other[1]], 0);
    // As in AWS's tools, a variable that names a profile does not.
    load(&[], &[("AWS_PROFILE", "stranger"), own[0], own[1]], 0);
    let refused = load(&["--profile", "stranger"], &own, 1).err;
    assert!(refused.contains("InvalidAccessKeyId"), "{refused}");
    let refused = load(&["--profile", "nobody"], &own, 2).err;
    assert!(refused.contains("there is no AWS profile `nobody`"), "{refused}");
    assert!(refused.contains("help: there are reader, stranger"), "{refused}");

    fs::write(here.path().join("sparkload.toml"), "profile = 'reader'").unwrap();
    load(&[], &other, 0);
    load(&["--profile", "stranger"], &own, 1);
}

#[test]
fn this_machine_is_asked_by_paths_whatever_it_is_called() {
    let server = S3::start();
    server.put_directory("music", "", &fixture("sparkify"));
    let database = postgres::server().database();
    for (name, profile, code) in [
        ("localhost", "", 0),
        ("127.0.0.1", "", 0),
        ("localhost", "s3 =\n  addressing_style = path", 0),
        ("localhost", "s3 =\n  addressing_style = auto\n  max_queue_size = 1", 0),
        ("localhost", "s3 =\n  addressing_style = round", 2),
        // No other style reaches a name that nobody knows but this server.
        ("[::1]", "", 1),
    ] {
        let here = Here::new(&format!("[default]\n{profile}\n"), "");
        let endpoint = format!("http://{name}:{}", server.port());
        let args = ["--no-sign-request", "--attempts", "1"];
        let Printed { err, .. } = printed(&mut here.load(&endpoint, &database, &args), code);
        let expected = if code == 2 { "addressing_style is \"round\"" } else { "" };
        assert!(err.contains(expected), "{err}");
    }
}

/// A server with a certificate that nobody knows, which finds nothing that it is asked for; its port, the certificate,
/// and how many connections were made.
fn unknown_server() -> (u16, String, Arc<AtomicUsize>) {
    const NOTHING: &str = "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 39\r\n\r\n\
         <Error><Code>NoSuchBucket</Code></Error>";
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(issued.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key.into())
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let accepted = connections.clone();
    thread::spawn(move || {
        for socket in listener.incoming() {
            accepted.fetch_add(1, Ordering::Relaxed);
            let secured = ServerConnection::new(config.clone()).unwrap();
            let mut socket = BufReader::new(StreamOwned::new(secured, socket.unwrap()));
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                if socket.read_line(&mut line).unwrap_or_default() == 0 {
                    break;
                }
            }
            // A client that trusts nobody here has gone.
            let answer = NOTHING
                .replace("39", &(NOTHING.len() - NOTHING.find("<Error").unwrap()).to_string());
            let _ = socket.get_mut().write_all(answer.as_bytes());
            let _ = socket.get_mut().flush();
        }
    });
    (port, issued.cert.pem(), connections)
}

#[test]
fn certificates_of_a_bundle_are_trusted_and_those_of_strangers_never() {
    let (port, certificate, connections) = unknown_server();
    let endpoint = format!("https://localhost:{port}");
    let database = postgres::server().database();
    let here = Here::new("[profile bundled]\nca_bundle = bundle.pem\n", "");
    fs::write(here.path().join("bundle.pem"), certificate).unwrap();
    fs::write(here.path().join("empty.pem"), "").unwrap();

    let load = |variables: &[(&str, &str)], args: &[&str], code| {
        let args = [&["--no-sign-request"][..], args].concat();
        let mut command = here.load(&endpoint, &database, &args);
        printed(command.envs(variables.iter().copied()), code).err
    };
    // Songs and logs are asked for at the same time; none of it is tried again.
    let unknown = load(&[], &[], 1);
    assert!(unknown.contains("invalid peer certificate: UnknownIssuer"), "{unknown}");
    assert!(unknown.contains("AWS_CA_BUNDLE") && !unknown.contains("attempts in"), "{unknown}");
    assert!(connections.load(Ordering::Relaxed) <= 2);
    // A JSONPaths file is looked for by the SDK, listings are not.
    let variable = [("AWS_CA_BUNDLE", "bundle.pem")];
    for (variables, args) in [(&variable[..], &[][..]), (&[], &["--profile", "bundled"])] {
        let known = load(variables, args, 1);
        assert!(known.contains("NoSuchBucket"), "{known}");
        let paths = [args, &["--jsonpaths", "s3://music/paths.json"]].concat();
        let known = load(variables, &paths, 2);
        assert!(known.contains("there is no JSONPaths file s3://music/paths.json"), "{known}");
    }
    let unknown = load(&[], &["--jsonpaths", "s3://music/paths.json"], 1);
    assert!(unknown.contains("AWS_CA_BUNDLE") && !unknown.contains("attempts in"), "{unknown}");
    for (file, expected) in [
        ("empty.pem", "there is no certificate of use in empty.pem"),
        ("missing.pem", "can't read the certificates in missing.pem"),
    ] {
        let refused = load(&[("AWS_CA_BUNDLE", file)], &[], 2);
        assert!(refused.contains(expected), "{refused}");
    }
}
