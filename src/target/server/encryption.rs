//! What a connection string demands of TLS, put together from its parameters.

use std::fs;
use std::path::PathBuf;

use super::address::Address;
use super::defaults::Defaults;
use super::parameters::Given;
use crate::error::{Error, Result};
use crate::target::tls::{Demands, Identity, Roots, SslMode, Versions};

/// Whether the client shows its certificate; libpq's `sslcertmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Certificate {
    Hidden,
    /// If the server asks for it.
    Allowed,
    Demanded,
}

/// Reads what is `given` of TLS to these `addresses`.
///
/// # Errors
///
/// A value makes no sense, or would protect nothing as it is combined.
pub(super) fn demands(
    given: &Given,
    defaults: &Defaults,
    addresses: &[Address],
) -> Result<Demands> {
    let mode = given.get("sslmode").map(SslMode::parse).transpose()?;
    let roots = given.get("sslrootcert").map(|path| match path {
        "system" => Roots::Platform,
        path => Roots::File(path.into()),
    });
    let mode = mode_or_default(mode, roots.as_ref())?;
    let roots = roots.or_else(|| defaults.home_file(".postgresql/root.crt").map(Roots::File));
    let direct = given.read("sslnegotiation", |how| match how {
        "postgres" => Some(false),
        "direct" => Some(true),
        _ => None,
    })?;
    let direct = direct.unwrap_or(false);
    if direct && matches!(mode, SslMode::Disable | SslMode::Allow | SslMode::Prefer) {
        return Err(Error::config("`sslnegotiation=direct` needs more than this `sslmode`")
            .with_help(
                "use sslmode=require, verify-ca or verify-full, or sslnegotiation=postgres",
            ));
    }
    let certificate = given.read("sslcertmode", |mode| match mode {
        "disable" => Some(Certificate::Hidden),
        "allow" => Some(Certificate::Allowed),
        "require" => Some(Certificate::Demanded),
        _ => None,
    })?;
    let certificate = certificate.unwrap_or(Certificate::Allowed);
    let identity = match certificate {
        Certificate::Hidden => None,
        Certificate::Allowed | Certificate::Demanded => identity(given, defaults)?,
    };
    if certificate == Certificate::Demanded {
        let is_socket = |address: &Address| matches!(address, Address::Socket(..));
        if mode == SslMode::Disable || addresses.iter().any(is_socket) {
            return Err(Error::config("`sslcertmode=require` can't be had without TLS").with_help(
                "connect over TCP with sslmode=require or more, or use sslcertmode=allow",
            ));
        }
        if identity.is_none() {
            return Err(Error::config("`sslcertmode=require` is given without a certificate")
                .with_help("name the client's certificate and its key (sslcert, sslkey)"));
        }
    }
    let names_host = given.read("sslsni", |value| match value {
        "0" => Some(false),
        "1" => Some(true),
        _ => None,
    })?;
    let demands = Demands {
        mode,
        roots,
        revoked: revoked(given)?,
        identity,
        shows_certificate: certificate == Certificate::Demanded,
        versions: Versions::between(
            given.get("ssl_min_protocol_version"),
            given.get("ssl_max_protocol_version"),
        )?,
        names_host: names_host.unwrap_or(true),
        direct,
    };
    if demands.verifies() && demands.revoked.is_empty() {
        let revoked = defaults.home_file(".postgresql/root.crl").into_iter().collect();
        return Ok(Demands { revoked, ..demands });
    }
    let is_tcp = |address: &Address| matches!(address, Address::Tcp(..));
    if !demands.verifies() && !demands.revoked.is_empty() && addresses.iter().any(is_tcp) {
        return Err(Error::config("a revocation list (sslcrl, sslcrldir, PGSSLCRL, PGSSLCRLDIR) is given, and no certificate is checked")
            .because("this `sslmode` takes any certificate, a revoked one as well")
            .with_help("use sslmode=verify-full, and name who signed the server's certificate with sslrootcert=FILE"));
    }
    Ok(demands)
}

/// Trusting the platform's roots without checking the name would trust the whole Internet, so that libpq
/// demands `verify-full` with `sslrootcert=system`, and makes it the default.
fn mode_or_default(mode: Option<SslMode>, roots: Option<&Roots>) -> Result<SslMode> {
    match (mode, roots) {
        (None | Some(SslMode::VerifyFull), Some(Roots::Platform)) => Ok(SslMode::VerifyFull),
        (Some(_), Some(Roots::Platform)) => {
            Err(Error::config("`sslrootcert=system` needs more than this `sslmode`")
                .with_help("use sslmode=verify-full, or name a PEM file with `sslrootcert`"))
        }
        (mode, _) => Ok(mode.unwrap_or(SslMode::Prefer)),
    }
}

fn identity(given: &Given, defaults: &Defaults) -> Result<Option<Identity>> {
    let file = |keyword, usual| {
        given.get(keyword).map(PathBuf::from).or_else(|| defaults.home_file(usual))
    };
    let certificate = file("sslcert", ".postgresql/postgresql.crt");
    let key = file("sslkey", ".postgresql/postgresql.key");
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(Identity { certificate, key })),
        (None, _) => Ok(None),
        (Some(_), None) => Err(Error::config("`sslcert` is given without `sslkey`")
            .with_help("name the certificate's private key with `sslkey`")),
    }
}

/// The files that name revoked certificates.
fn revoked(given: &Given) -> Result<Vec<PathBuf>> {
    let mut files: Vec<_> = given.get("sslcrl").map(PathBuf::from).into_iter().collect();
    let Some(directory) = given.get("sslcrldir") else { return Ok(files) };
    let unreadable = |error| {
        Error::config(format!("the directory {directory} of revocation lists can't be read"))
            .because(error)
            .with_help("name a directory with PEM files (sslcrldir)")
    };
    let before = files.len();
    for entry in fs::read_dir(directory).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if fs::read_to_string(&path).is_ok_and(|text| text.contains("BEGIN X509 CRL")) {
            files.push(path);
        }
    }
    if files.len() == before {
        return Err(Error::config(format!("the directory {directory} holds no revocation list"))
            .with_help("name a directory with PEM files (sslcrldir)"));
    }
    Ok(files)
}
