//! What a connection string and the environment demand of TLS is kept, and what to do is said where it can't be.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};
use sparkload::{Error, Server};
use tokio_postgres::Client;

use crate::connections::{connect, text, told, variables};
use crate::own_server::OwnServer;
use crate::support::postgres::Postgres;

/// Who signs certificates, and lists of those that are revoked.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        Self { issuer, folder: tempfile::tempdir().unwrap() }
    }

    fn pem(&self) -> String {
        self.issuer.pem()
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// A certificate for `name`, and its key.
    fn certify(&self, name: &str, serial: u64) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from(serial));
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// A list that revokes `serial`, good until `year`.
    fn revoke(&self, serial: Option<u64>, year: i32) -> String {
        let revoked = serial.map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        });
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.into_iter().collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// A TLS server whose certificate has the number 7 and is made out to localhost.
fn start(authority: &Authority) -> OwnServer {
    let server = OwnServer::new(Postgres::start_tls());
    show(&server, authority.certify("localhost", 7));
    server
}

fn show(server: &OwnServer, (certificate, key): (String, String)) {
    server.write("server.pem", &certificate);
    server.write("server.key", &key);
    server.reload();
}

async fn at(server: &OwnServer, host: &str, parameters: &str) -> Result<Client, Error> {
    connect(&format!("{}?{parameters}", server.database.url_at(host))).await
}

/// What is said about a connection that must fail.
async fn refused(server: &OwnServer, parameters: &str) -> (String, String) {
    let error = match at(server, "localhost", parameters).await {
        Ok(_) => panic!("{parameters}: was let in"),
        Err(error) => error,
    };
    (told(&error), error.help().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_certificate_that_was_revoked_is_refused() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let server = start(&authority);
    let ca = authority.write("ca.pem", &authority.pem()).display().to_string();
    let none = authority.write("none.crl", &authority.revoke(None, 2099));
    let others = authority.write("others.crl", &authority.revoke(Some(8), 2099));
    let ours = authority.write("ours.crl", &authority.revoke(Some(7), 2099));
    let late = authority.write("late.crl", &authority.revoke(None, 2021));
    let foreign = authority.write("foreign.crl", &other.revoke(None, 2099));
    let directory = |list: &Path| {
        let directory = tempfile::tempdir_in(authority.folder.path()).unwrap().keep();
        fs::copy(list, directory.join("0123abcd.r0")).unwrap();
        fs::write(directory.join("README"), "lists").unwrap();
        directory
    };
    let (good_directory, bad_directory) = (directory(&none), directory(&ours));

    let verified = format!("sslmode=verify-full&sslrootcert={ca}");
    for list in [&none, &others] {
        let with = format!("{verified}&sslcrl={}", list.display());
        at(&server, "localhost", &with).await.unwrap();
        // The name is still none of verify-ca's business, and of verify-full's.
        let with = format!("sslmode=verify-ca&sslrootcert={ca}&sslcrl={}", list.display());
        at(&server, "127.0.0.1", &with).await.unwrap();
        let with = format!("{verified}&sslcrl={}", list.display());
        let error = at(&server, "127.0.0.1", &with).await.unwrap_err();
        assert!(error.help().unwrap().contains("sslmode=verify-ca"), "{error:?}");
    }
    at(&server, "localhost", &format!("{verified}&sslcrldir={}", good_directory.display()))
        .await
        .unwrap();
    for (list, help) in [
        (format!("sslcrl={}", ours.display()), "was revoked"),
        (format!("sslcrldir={}", bad_directory.display()), "was revoked"),
        (format!("sslcrl={}", late.display()), "up to date"),
        (format!("sslcrl={}", foreign.display()), "up to date"),
        ("sslcrl=/nowhere.crl".to_owned(), "give a PEM file"),
        (format!("sslcrl={ca}"), "BEGIN X509 CRL"),
        (
            format!("sslcrldir={}", server.server.socket_folder().join("data/base").display()),
            "PEM files",
        ),
    ] {
        let (told, said) = refused(&server, &format!("{verified}&{list}")).await;
        assert!(said.contains(help), "{list}: {told}: {said}");
    }

    let url = format!("{}?{verified}", server.database.url_at("localhost"));
    let ours = ours.to_str().unwrap();
    let server = Server::parse(&url, &variables(&[("PGSSLCRL", ours)])).unwrap();
    assert!(server.connect().await.unwrap_err().help().unwrap().contains("was revoked"));
    // A list that nothing is held against protects nobody.
    for mode in ["prefer", "require", "disable"] {
        let plain = url.split('?').next().unwrap();
        let url = format!("{plain}?sslmode={mode}");
        let error = Server::parse(&url, &variables(&[("PGSSLCRL", ours)])).unwrap_err();
        assert!(error.help().unwrap().contains("sslmode=verify-full"), "{error:?}");
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_hidden_or_demanded() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let server = start(&authority);
    let by = |authority: &Authority| {
        let (certificate, key) = authority.certify("sparkload", 9);
        let certificate = authority.write("client.pem", &certificate);
        let key = authority.write("client.key", &key);
        format!("sslcert={}&sslkey={}", certificate.display(), key.display())
    };
    let (ours, others) = (by(&authority), by(&other));

    let (told, help) =
        refused(&server, &format!("sslcertmode=require&sslmode=require&{ours}")).await;
    assert!(told.contains("has taken no client certificate"), "{told}");
    assert!(help.contains("ssl_ca_file"), "{help}");

    let clients = server.write("clients.pem", &authority.pem());
    server.set(&[("ssl_ca_file", clients.to_str().unwrap())]);
    server.admit("hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca");
    for parameters in [ours.clone(), format!("sslcertmode=require&{ours}")] {
        at(&server, "localhost", &parameters).await.unwrap();
    }
    for parameters in ["sslmode=require".to_owned(), format!("sslcertmode=disable&{ours}")] {
        let (told, help) = refused(&server, &parameters).await;
        assert!(told.contains("requires a valid client certificate"), "{told}");
        assert!(help.contains("sslcert"), "{help}");
    }
    // In TLS 1.3 the server's word on it may be lost in the reset of the connection.
    let others = format!("sslmode=require&ssl_max_protocol_version=TLSv1.2&{others}");
    let (told, help) = refused(&server, &others).await;
    assert!(help.contains("who signed it"), "{told}: {help}");

    for (parameters, help) in [
        ("sslcertmode=require&sslmode=require".to_owned(), "sslcert, sslkey"),
        (format!("sslcertmode=require&sslmode=disable&{ours}"), "sslmode=require"),
        (format!("sslcertmode=perhaps&{ours}"), "correct `sslcertmode`"),
    ] {
        let (told, said) = refused(&server, &parameters).await;
        assert!(said.contains(help), "{told}: {said}");
    }
    let secret =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let key = authority.write("secret.key", secret);
    let (told, help) =
        refused(&server, &format!("{ours}&sslkey={}&sslpassword=hunter2", key.display())).await;
    assert!(told.contains("is encrypted") && help.contains("openssl pkey"), "{told}: {help}");
    assert!(!format!("{told}{help}").contains("hunter2"));
}

#[tokio::test]
async fn a_handshake_that_fails_says_what_the_two_ends_lack() {
    let (authority, other) = (Authority::new("ours"), Authority::new("another"));
    let server = start(&authority);
    let version = "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    for (settings, parameters, expected) in [
        (&[][..], "sslmode=require", "TLSv1.3"),
        (&[], "sslmode=require&sslsni=0", "TLSv1.3"),
        (&[], "sslmode=require&ssl_max_protocol_version=TLSv1.2", "TLSv1.2"),
        (&[("ssl_max_protocol_version", "TLSv1.2")], "ssl_min_protocol_version=tlsv1", "TLSv1.2"),
        (&[], "channel_binding=require", "TLSv1.3"),
    ] {
        server.set(settings);
        let client = at(&server, "localhost", parameters).await.unwrap();
        assert_eq!(text(&client, version).await, expected, "{parameters}");
    }
    let only12 = ("ssl_max_protocol_version", "TLSv1.2");
    for (settings, parameters, help) in [
        (&[only12][..], "ssl_min_protocol_version=TLSv1.3", "ssl_max_protocol_version"),
        (&[only12, ("ssl_ciphers", "AES256-SHA256")], "", "ssl_ciphers"),
        (&[], "ssl_max_protocol_version=TLSv1.1", "TLSv1.2"),
        (&[], "ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2", "a range"),
        (&[], "ssl_min_protocol_version=SSLv3", "use TLSv1.2"),
        (&[], "sslnegotiation=direct&sslmode=prefer", "sslmode=require"),
    ] {
        server.set(settings);
        let mode = if parameters.contains("sslmode") { "" } else { "&sslmode=require" };
        let (told, said) = refused(&server, &format!("{parameters}{mode}")).await;
        assert!(said.contains(help), "{parameters}: {told}: {said}");
    }
    server.set(&[]);

    // A certificate that signed itself, as `openssl req -x509` makes it.
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap().pem();
    show(&server, (certificate.clone(), key.serialize_pem()));
    let itself = authority.write("itself.pem", &certificate);
    at(&server, "localhost", &format!("sslmode=verify-full&sslrootcert={}", itself.display()))
        .await
        .unwrap();
    let other = other.write("ca.pem", &other.pem());
    for mode in ["verify-full", "verify-ca", "require"] {
        let with = format!("sslmode={mode}&sslrootcert={}", other.display());
        let (told, help) = refused(&server, &with).await;
        assert!(help.contains("sslrootcert=FILE"), "{told}: {help}");
    }

    server.admit("host all all 127.0.0.1/32 scram-sha-256");
    let (told, help) = refused(&server, "channel_binding=require&sslmode=disable").await;
    assert!(told.contains("channel binding"), "{told}");
    assert!(help.starts_with("channel_binding=require needs TLS"), "{help}");
}
