//! TLS to a PostgreSQL server: what each `sslmode` demands, as a rustls connector.
//!
//! PostgreSQL manual, "SSL Support" of libpq: `require` encrypts but trusts anyone unless roots are
//! given, `verify-ca` checks who signed the certificate, `verify-full` the host's name as well.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{self, CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres_rustls::MakeRustlsConnect;

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

/// Builds the connector for `mode`, or `None` where TLS is out of the question.
///
/// `direct` is for `sslnegotiation=direct`, where the handshake must name the protocol.
pub(crate) fn connector(
    mode: SslMode,
    roots: Option<&Roots>,
    identity: Option<&Identity>,
    direct: bool,
) -> Result<Option<MakeRustlsConnect>> {
    let check = match (mode, roots) {
        (SslMode::Disable, _) => return Ok(None),
        (SslMode::Allow | SslMode::Prefer, _) | (SslMode::Require, None) => Check::Nothing,
        (SslMode::Require, Some(_)) | (SslMode::VerifyCa, _) => Check::Signer,
        (SslMode::VerifyFull, _) => Check::SignerAndName,
    };
    let trusted = match (check, roots) {
        (Check::Nothing, _) => Trusted::nobody(),
        (_, Some(Roots::File(path))) => Trusted::from_file(path)?,
        (_, Some(Roots::Platform) | None) => Trusted::from_platform()?,
    };

    // Named here rather than installed for the process: the choice is the program's, not a library's.
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let verifier = Verifier::new(check, trusted, &provider);
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
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
    if direct {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    Ok(Some(MakeRustlsConnect::new(config)))
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
        Error::config(format!("`sslkey` {} can't be read", path.display()))
            .because(error)
            .with_help("give a PEM file with a private key that has no passphrase")
    })
}

/// What is checked of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Check {
    Nothing,
    Signer,
    SignerAndName,
}

/// Certificates that count as proof.
#[derive(Debug)]
struct Trusted {
    roots: RootCertStore,
    /// The same certificates whole: a server that shows one of them is known, as OpenSSL has it, though
    /// webpki refuses a self-signed CA certificate (what `openssl req -x509` makes) at the end of a chain.
    known: Vec<CertificateDer<'static>>,
}

impl Trusted {
    fn nobody() -> Self {
        Self { roots: RootCertStore::empty(), known: Vec::new() }
    }

    fn from_file(path: &Path) -> Result<Self> {
        let known = certificates(path, "sslrootcert")?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(known.iter().cloned());
        Ok(Self { roots, known })
    }

    fn from_platform() -> Result<Self> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        if !roots.is_empty() {
            return Ok(Self { roots, known: Vec::new() });
        }
        let error = Error::config("this machine has no trusted root certificates").with_help(
            "install the system's ca-certificates, or name a PEM file with `sslrootcert`",
        );
        Err(match found.errors.into_iter().next() {
            Some(cause) => error.because(cause),
            None => error,
        })
    }
}

#[derive(Debug)]
struct Verifier {
    check: Check,
    trusted: Trusted,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    fn new(check: Check, trusted: Trusted, provider: &CryptoProvider) -> Self {
        Self { check, trusted, algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.check == Check::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        let parsed = ParsedCertificate::try_from(certificate)?;
        if !self.trusted.known.contains(certificate) {
            verify_server_cert_signed_by_trust_anchor(
                &parsed,
                &self.trusted.roots,
                intermediates,
                now,
                self.algorithms.all,
            )?;
        }
        if self.check == Check::SignerAndName {
            verify_server_name(&parsed, name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // Owning the key of a certificate that nobody checks proves nothing, and old ones don't parse.
        if self.check == Check::Nothing {
            return Ok(HandshakeSignatureValid::assertion());
        }
        crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if self.check == Check::Nothing {
            return Ok(HandshakeSignatureValid::assertion());
        }
        crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
