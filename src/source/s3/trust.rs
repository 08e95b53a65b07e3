//! Trust: who may vouch for servers, where the AWS configuration names others than the operating system does.

use std::path::Path;
use std::sync::Arc;

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::error::{Error, Result};

/// The certificates of the authorities that are trusted, and of no others.
#[derive(Debug, Clone)]
pub(crate) struct Bundle {
    pub roots: Arc<RootCertStore>,
    pub context: TlsContext,
}

impl Bundle {
    /// Reads a PEM file.
    pub fn read(path: &Path) -> Result<Self> {
        let error = |what: &str| {
            Error::config(format!("{what} {}", path.display())).with_help(
                "have AWS_CA_BUNDLE, or ca_bundle in the AWS profile, name a PEM file with the certificates of the \
                 authorities to trust",
            )
        };
        let found: Vec<_> = CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect::<Result<_, _>>)
            .map_err(|cause| error("can't read the certificates in").because(cause))?;
        let mut roots = RootCertStore::empty();
        let mut store = TrustStore::empty();
        for certificate in found {
            // One that is broken is of no use, and takes nothing from the others.
            if roots.add(certificate.clone()).is_ok() {
                store.add_pem_certificate(pem(&certificate));
            }
        }
        if roots.is_empty() {
            return Err(error("there is no certificate of use in"));
        }
        let context = TlsContext::builder().with_trust_store(store).build();
        let context = context.map_err(|cause| error("can't trust those in").because(cause))?;
        Ok(Self { roots: Arc::new(roots), context })
    }

    /// A client for the SDK, which but for whom it trusts is like its own.
    pub fn client(&self) -> SharedHttpClient {
        let context = self.context.clone();
        Builder::new().build_with_connector_fn(move |settings, components| {
            let mut builder = Connector::builder();
            builder.set_connector_settings(settings.cloned());
            builder.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
            builder.set_proxy_config(Some(ProxyConfig::from_env()));
            let provider = Provider::Rustls(CryptoMode::AwsLc);
            builder.tls_provider(provider).tls_context(context.clone()).build()
        })
    }
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    let body = aws_smithy_types::base64::encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}
