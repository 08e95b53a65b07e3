//! Logging in by IAM: who may act in the account gets a password for each connection, instead of knowing one.

use super::Server;
use super::address::Address;
use crate::cluster::{Credentials, RdsEndpoint, credentials};
use crate::error::{Error, Result};
use crate::source::S3Options;
use crate::target::tls::SslMode;

impl Server {
    /// Has IAM give a password for each connection, instead of knowing one: the host is an endpoint of Redshift, which
    /// names the cluster and its region, or one of RDS, Aurora or RDS Proxy. To the latter it only goes by TLS.
    pub fn with_iam_login(self, aws: S3Options) -> Self {
        Self { iam: Some(Box::new(aws)), ..self }
    }

    pub(super) async fn iam_credentials(
        &self,
        address: &Address,
        aws: &S3Options,
    ) -> Result<Credentials> {
        let Self { user, dbname, .. } = self;
        match (rds(address), address) {
            (Some(_), _) if self.sslmode == SslMode::Disable => Err(Error::config(format!(
                "a login by IAM to {self} needs TLS"
            ))
            .with_help("use sslmode=verify-full, and AWS's certificates as sslrootcert=FILE")),
            (Some((endpoint, port)), _) => endpoint.credentials(port, user, aws).await,
            (None, Address::Tcp(host, ..)) => credentials(host, user, dbname, aws).await,
            (None, Address::Socket(..)) => credentials("a Unix socket", user, dbname, aws).await,
        }
    }

    /// Whether the token that is sent to `address` lets in whoever reads it.
    pub(super) fn sends_token_to(&self, address: &Address) -> bool {
        self.iam.is_some() && rds(address).is_some()
    }
}

fn rds(address: &Address) -> Option<(RdsEndpoint<'_>, u16)> {
    match address {
        Address::Tcp(host, _, port) => Some((RdsEndpoint::named(host)?, *port)),
        Address::Socket(..) => None,
    }
}
