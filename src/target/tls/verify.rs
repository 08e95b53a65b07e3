//! Verifying a server's certificate: by whom it was signed, for which name, and whether it was revoked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor, verify_server_name,
};
use rustls::crypto::{self, CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::certificates;
use crate::error::{Error, Result};

/// What is checked of the server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    Nothing,
    Signer,
    SignerAndName,
}

/// Certificates that count as proof.
#[derive(Debug)]
pub(super) struct Trusted {
    roots: RootCertStore,
    /// The same certificates whole: a server that shows one of them is known, as OpenSSL has it, though
    /// webpki refuses a self-signed CA certificate (what `openssl req -x509` makes) at the end of a chain.
    known: Vec<CertificateDer<'static>>,
}

impl Trusted {
    pub fn nobody() -> Self {
        Self { roots: RootCertStore::empty(), known: Vec::new() }
    }

    pub fn from_file(path: &Path) -> Result<Self> {
        let known = certificates(path, "sslrootcert")?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(known.iter().cloned());
        Ok(Self { roots, known })
    }

    pub fn from_platform() -> Result<Self> {
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
pub(super) struct Verifier {
    check: Check,
    trusted: Trusted,
    /// Checks the chain and what of it was revoked.
    revocation: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub fn new(
        check: Check,
        trusted: Trusted,
        revocation: Option<Arc<WebPkiServerVerifier>>,
        provider: &CryptoProvider,
    ) -> Self {
        let algorithms = provider.signature_verification_algorithms;
        Self { check, trusted, revocation, algorithms }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.check == Check::Nothing {
            return Ok(ServerCertVerified::assertion());
        }
        let parsed = ParsedCertificate::try_from(certificate)?;
        if let Some(revocation) = &self.revocation {
            let checked =
                revocation.verify_server_cert(certificate, intermediates, name, ocsp_response, now);
            match checked {
                // The name is looked at last.
                Err(rustls::Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                )) if self.check == Check::Signer => {}
                checked => return checked,
            }
            return Ok(ServerCertVerified::assertion());
        }
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

/// Who looks whether a certificate was revoked, if any list says what was.
pub(super) fn revocation(
    trusted: &Trusted,
    files: &[PathBuf],
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<WebPkiServerVerifier>>> {
    let mut lists = Vec::new();
    for path in files {
        let found = CertificateRevocationListDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| {
                Error::config(format!("the revocation list {} can't be read", path.display()))
                    .because(error)
                    .with_help("give a PEM file (sslcrl), or a directory of them (sslcrldir)")
            })?;
        if found.is_empty() {
            let what = format!("{} holds no revocation list", path.display());
            return Err(Error::config(what)
                .with_help("give a PEM file with at least one BEGIN X509 CRL block"));
        }
        lists.extend(found);
    }
    if lists.is_empty() {
        return Ok(None);
    }
    let builder = WebPkiServerVerifier::builder_with_provider(
        Arc::new(trusted.roots.clone()),
        provider.clone(),
    );
    // As OpenSSL does, which libpq tells to look at the whole chain.
    let built = builder.with_crls(lists).enforce_revocation_expiration().build();
    built.map(Some).map_err(|error| {
        Error::config("the revocation lists can't be used")
            .because(error)
            .with_help("give lists that are whole (sslcrl, sslcrldir), and the certificates of who signed them (sslrootcert)")
    })
}
