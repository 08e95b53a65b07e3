//! Addresses: where the server may be, in the order they are tried.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::parameters::Given;
use crate::error::{Error, Result};

/// Where a socket is by default: PostgreSQL as distributions build it, then as its own source does.
pub(super) const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

const DEFAULT_PORT: u16 = 5432;

/// One place to find the server at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// The directory of a Unix socket, and the port in the socket's name.
    Socket(PathBuf, u16),
    /// A host's name or address, the address to use without asking for the name's, and the port.
    Tcp(String, Option<IpAddr>, u16),
}

/// Pairs up the lists of hosts, addresses and ports.
///
/// # Errors
///
/// They don't fit together, or one makes no sense.
pub(super) fn addresses(given: &Given) -> Result<Vec<Address>> {
    let list = |keyword: &str| -> Vec<&str> {
        given.get(keyword).iter().flat_map(|text| text.split(',')).map(str::trim).collect()
    };
    let (mut hosts, hostaddrs, ports) = (list("host"), list("hostaddr"), list("port"));
    if hosts.is_empty() && hostaddrs.is_empty() {
        hosts = vec![""];
    }
    let count = hosts.len().max(hostaddrs.len());
    if !hosts.is_empty() && !hostaddrs.is_empty() && hosts.len() != hostaddrs.len() {
        return Err(Error::config("`host` and `hostaddr` do not name equally many servers")
            .with_help("give one address for each host, or leave `hostaddr` out"));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(Error::config("`host` and `port` do not name equally many servers")
            .with_help("give one port for all hosts, or one for each"));
    }

    let mut addresses = Vec::with_capacity(count);
    for index in 0..count {
        let port = match ports.get(index).or_else(|| ports.first()).copied() {
            None | Some("") => DEFAULT_PORT,
            Some(port) => port.parse().ok().filter(|&port| port > 0).ok_or_else(|| {
                given.invalid("port").with_help(
                    "give a number from 1 to 65535; in a URL, write `:` and `/` in a password as %3A and %2F",
                )
            })?,
        };
        let ip = match hostaddrs.get(index).copied() {
            None | Some("") => None,
            Some(ip) => Some(ip.parse::<IpAddr>().map_err(|_| given.invalid("hostaddr"))?),
        };
        let host = hosts.get(index).copied().unwrap_or_default();
        if host.contains('@') {
            let help = "in a URL, write `@` in a user or password as %40";
            return Err(given.invalid("host").with_help(help));
        }
        addresses.push(match (host, ip) {
            ("", Some(ip)) => Address::Tcp(ip.to_string(), Some(ip), port),
            ("", None) => default_address(port),
            (host, None) if host.starts_with('/') => Address::Socket(host.into(), port),
            (host, ip) => Address::Tcp(host.to_owned(), ip, port),
        });
    }
    Ok(addresses)
}

fn default_address(port: u16) -> Address {
    let name = format!(".s.PGSQL.{port}");
    let mut directories = SOCKET_DIRECTORIES.iter().map(Path::new);
    match directories.find(|directory| cfg!(unix) && directory.join(&name).exists()) {
        Some(directory) => Address::Socket(directory.to_owned(), port),
        None => Address::Tcp("localhost".to_owned(), None, port),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(directory, port) => write!(f, "{}:{port}", directory.display()),
            Self::Tcp(host, _, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, _, port) => write!(f, "{host}:{port}"),
        }
    }
}
