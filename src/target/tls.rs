//! TLS to a PostgreSQL server: what each `sslmode` demands, as a rustls connector.
//!
//! PostgreSQL manual, "SSL Support" of libpq: `require` encrypts but trusts anyone unless roots are
//! given, `verify-ca` checks who signed the certificate, `verify-full` the host's name as well.

mod verify;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SignatureScheme, SupportedProtocolVersion};

use self::verify::{Check, Trusted, Verifier, revocation};
use crate::error::{Error, Result};

/// How much TLS a connection must have; libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SslMode {
    Disable,
    Allow,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl SslMode {
    pub(crate) fn parse(name: &str) -> Result<Self> {
        match name {
            "disable" => Ok(Self::Disable),
            "allow" => Ok(Self::Allow),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err(Error::config("`sslmode` has a value that does not exist")
                .with_help("use disable, allow, prefer, require, verify-ca or verify-full")),
        }
    }
}

/// Who may sign the server's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Roots {
    /// Whom the operating system trusts.
    Platform,
    /// The certificates in a PEM file.
    File(PathBuf),
}

/// The client's own certificate, for servers that ask for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// All that is told of TLS.
#[derive(Debug)]
pub(crate) struct Demands {
    pub mode: SslMode,
    pub roots: Option<Roots>,
    /// Files of lists of certificates that were revoked; none lets each one pass.
    pub revoked: Vec<PathBuf>,
    pub identity: Option<Identity>,
    /// No session begins before the server has taken the client's certificate; libpq's `sslcertmode=require`.
    pub shows_certificate: bool,
    pub versions: Versions,
    /// Names the host in the first message.
    pub names_host: bool,
    /// TLS begins at once, so that the handshake must name the protocol; libpq's `sslnegotiation=direct`.
    pub direct: bool,
}

impl Demands {
    /// What is checked of the server's certificate.
    fn check(&self) -> Check {
        match (self.mode, &self.roots) {
            (SslMode::Disable | SslMode::Allow | SslMode::Prefer, _) | (SslMode::Require, None) => {
                Check::Nothing
            }
            (SslMode::Require, Some(_)) | (SslMode::VerifyCa, _) => Check::Signer,
            (SslMode::VerifyFull, _) => Check::SignerAndName,
        }
    }

    /// Whether anything is.
    pub(crate) fn verifies(&self) -> bool {
        self.check() != Check::Nothing
    }
}

/// The versions of TLS that are good enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versions {
    /// 1.2 and 1.3, which is all that rustls has.
    All,
    Only12,
    Only13,
}

impl Versions {
    /// From the lowest to the highest, each as libpq names them.
    ///
    /// # Errors
    ///
    /// There is none between them, or none that is safe.
    pub(crate) fn between(lowest: Option<&str>, highest: Option<&str>) -> Result<Self> {
        let number = |keyword: &str, name: Option<&str>, default| match name {
            None => Ok(default),
            Some(name) => {
                let names = ["tlsv1", "tlsv1.1", "tlsv1.2", "tlsv1.3"];
                names.iter().position(|it| it.eq_ignore_ascii_case(name)).ok_or_else(|| {
                    Error::config(format!("`{keyword}` has a value that does not exist"))
                        .with_help("use TLSv1.2 or TLSv1.3")
                })
            }
        };
        let lowest = number("ssl_min_protocol_version", lowest, 2)?.max(2);
        match (lowest, number("ssl_max_protocol_version", highest, 3)?) {
            (2, 3) => Ok(Self::All),
            (2, 2) => Ok(Self::Only12),
            (3, 3) => Ok(Self::Only13),
            (_, 0 | 1) => {
                Err(Error::config("`ssl_max_protocol_version` allows only what is no more safe")
                    .with_help("use TLSv1.2 or TLSv1.3, and have the server speak one of them"))
            }
            _ => Err(Error::config(
                "`ssl_min_protocol_version` is higher than `ssl_max_protocol_version`",
            )
            .with_help("give a range that holds TLSv1.2 or TLSv1.3")),
        }
    }

    fn supported(self) -> Vec<&'static SupportedProtocolVersion> {
        match self {
            Self::All => vec![&TLS12, &TLS13],
            Self::Only12 => vec![&TLS12],
            Self::Only13 => vec![&TLS13],
        }
    }
}

/// How to encrypt connections.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
    shows_certificate: bool,
}

impl Tls {
    /// What `demands` say, or `None` where TLS is out of the question.
    pub(crate) fn new(demands: &Demands) -> Result<Option<Self>> {
        let Demands { mode, roots, revoked, identity, .. } = demands;
        if *mode == SslMode::Disable {
            return Ok(None);
        }
        let check = demands.check();
        let trusted = match (check, roots) {
            (Check::Nothing, _) => Trusted::nobody(),
            (_, Some(Roots::File(path))) => Trusted::from_file(path)?,
            (_, Some(Roots::Platform) | None) => Trusted::from_platform()?,
        };

        // Named here rather than installed for the process: the choice is the program's, not a library's.
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let revocation = match check {
            Check::Nothing => None,
            Check::Signer | Check::SignerAndName => revocation(&trusted, revoked, &provider)?,
        };
        let verifier = Verifier::new(check, trusted, revocation, &provider);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&demands.versions.supported())
            .map_err(|error| Error::config("TLS can't be set up").because(error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key }) => builder
                .with_client_auth_cert(certificates(certificate, "sslcert")?, private_key(key)?)
                .map_err(|error| {
                    Error::config(format!(
                        "`sslkey` {} does not belong to `sslcert` {}",
                        key.display(),
                        certificate.display()
                    ))
                    .because(error)
                    .with_help("name the private key that the certificate was made with")
                })?,
        };
        config.enable_sni = demands.names_host;
        if demands.direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        let shows_certificate = demands.shows_certificate;
        Ok(Some(Self { config: Arc::new(config), shows_certificate }))
    }

    /// Whether nothing goes on without the client's certificate.
    pub(crate) fn shows_certificate(&self) -> bool {
        self.shows_certificate
    }

    /// What one connection is made with, and `shown` where the client's certificate must be: it is set as soon as the
    /// server asks for it.
    pub(crate) fn for_one_connection(
        self,
        shown: Arc<OnceLock<()>>,
    ) -> (ClientConfig, Option<Arc<OnceLock<()>>>) {
        let mut config = ClientConfig::clone(&self.config);
        if !self.shows_certificate {
            return (config, None);
        }
        // A session that is resumed asks for no certificate.
        config.resumption = Resumption::disabled();
        let inner = config.client_auth_cert_resolver;
        config.client_auth_cert_resolver = Arc::new(Witness { inner, shown: shown.clone() });
        (config, Some(shown))
    }
}

/// Gives the client's certificate, and takes down that it was asked for.
#[derive(Debug)]
struct Witness {
    inner: Arc<dyn ResolvesClientCert>,
    shown: Arc<OnceLock<()>>,
}

impl ResolvesClientCert for Witness {
    fn resolve(&self, issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let found = self.inner.resolve(issuers, schemes);
        if found.is_some() {
            let _ = self.shown.set(());
        }
        found
    }

    fn has_certs(&self) -> bool {
        self.inner.has_certs()
    }
}

fn certificates(path: &Path, keyword: &str) -> Result<Vec<CertificateDer<'static>>> {
    let unreadable = |cause| {
        Error::config(format!("`{keyword}` {} can't be read", path.display()))
            .because(cause)
            .with_help("give a PEM file")
    };
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(unreadable)?;
    if found.is_empty() {
        return Err(Error::config(format!("`{keyword}` {} holds no certificate", path.display()))
            .with_help("give a PEM file with at least one BEGIN CERTIFICATE block"));
    }
    Ok(found)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        // PKCS #8's own block, and the header of OpenSSL's older ones.
        if ["BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED"].iter().any(|it| text.contains(it)) {
            let what = format!("`sslkey` {} is encrypted, which can't be read here", path.display());
            return Error::config(what).with_help(format!(
                "decrypt it into a file that only you can read: umask 077; openssl pkey -in {} -out FILE",
                path.display()
            ));
        }
        Error::config(format!("`sslkey` {} can't be read", path.display()))
            .because(error)
            .with_help("give a PEM file with a private key")
    })
}
