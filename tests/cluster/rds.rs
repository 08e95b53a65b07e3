//! Logging in to RDS by IAM: a server that takes the place of an endpoint gets a signed token, and only over TLS.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::{JoinHandle, spawn};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use secrecy::ExposeSecret;
use sparkload::{Defaults, S3Credentials, S3Options, Server};

const HOST: &str = "dwh.abc123.eu-west-1.rds.amazonaws.com";

fn account() -> S3Options {
    let keys = S3Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "hunter2hunter2".to_owned().into(),
    };
    S3Options { credentials: Some(keys), ..S3Options::default() }
}

fn server(port: u16, more: &str) -> Server {
    let told = format!("host={HOST} hostaddr=127.0.0.1 port={port} user=ann dbname=dwh {more}");
    Server::parse(&told, &Defaults::default()).unwrap().with_iam_login(account())
}

fn take(stream: &mut impl Read, tagged: bool) -> Vec<u8> {
    let mut head = vec![0; if tagged { 5 } else { 4 }];
    stream.read_exact(&mut head).unwrap();
    let length = u32::from_be_bytes(*head.last_chunk().unwrap());
    let mut body = vec![0; length as usize - 4];
    stream.read_exact(&mut body).unwrap();
    body
}

/// Takes one connection; gives the password that came by TLS, or all that came where there is none.
fn serve(tls: bool) -> (u16, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert_eq!(take(&mut stream, false), b"\x04\xd2\x16\x2f", "TLS is asked for first");
        if !tls {
            stream.write_all(b"N").unwrap();
            let mut rest = String::new();
            stream.read_to_string(&mut rest).unwrap();
            return rest;
        }
        stream.write_all(b"S").unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([HOST.to_owned()]).unwrap().self_signed(&key);
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.unwrap().der().clone()], private)
            .unwrap();
        let connection = ServerConnection::new(Arc::new(config)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        take(&mut stream, false);
        stream.write_all(b"R\0\0\0\x08\0\0\0\x03").unwrap();
        stream.flush().unwrap();
        let password = take(&mut stream, true);
        stream.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").unwrap();
        stream.flush().unwrap();
        String::from_utf8(password).unwrap()
    };
    (port, spawn(serve))
}

#[tokio::test(flavor = "multi_thread")]
async fn rds_gets_a_signed_token_over_tls() {
    let (port, served) = serve(true);
    server(port, "").connect().await.unwrap();
    let token = served.join().unwrap();
    assert!(
        token.starts_with(&format!("{HOST}:{port}/?Action=connect&DBUser=ann&X-Amz-")),
        "{token}"
    );
    for part in ["%2Feu-west-1%2Frds-db%2Faws4_request", "X-Amz-Expires=900", "X-Amz-Signature="] {
        assert!(token.contains(part), "{part}: {token}");
    }
    assert!(!token.contains(account().credentials.unwrap().secret_access_key.expose_secret()));
}

#[tokio::test(flavor = "multi_thread")]
async fn rds_gets_no_token_without_tls() {
    for mode in ["sslmode=prefer", "sslmode=allow"] {
        let (port, served) = serve(false);
        let error = server(port, mode).connect().await.unwrap_err();
        assert!(error.help().unwrap().contains("a login by IAM goes by nothing else"), "{error:?}");
        assert_eq!(served.join().unwrap(), "", "{mode}");
    }
    let error = server(1, "sslmode=disable").connect().await.unwrap_err();
    assert!(error.to_string().contains("needs TLS"), "{error}");
    assert!(error.help().unwrap().contains("sslmode=verify-full"));
}
