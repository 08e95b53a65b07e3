//! Addresses: who may reach a cluster, and what one's own address is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};
use tokio::time::timeout;

use super::http;
use crate::error::{Error, Result};

/// Says by which address one is seen in the internet; Amazon's own.
pub const ADDRESS_URL: &str = "https://checkip.amazonaws.com";

/// How long that may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cidr {
    address: IpAddr,
    bits: u8,
}

impl Cidr {
    /// One address alone.
    pub fn single(address: IpAddr) -> Self {
        Self { address, bits: if address.is_ipv4() { 32 } else { 128 } }
    }

    /// Whether it is one of IPv4.
    pub fn is_ipv4(&self) -> bool {
        self.address.is_ipv4()
    }

    /// Whether it holds all addresses.
    pub fn is_everyone(&self) -> bool {
        self.bits == 0
    }
}

impl FromStr for Cidr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::config(format!("{text:?} is no range of addresses: {why}")).with_help(
                "write an address, or one and how many of its bits count: 203.0.113.7/32",
            )
        };
        let (address, bits) = text.split_once('/').unzip();
        let address: IpAddr =
            address.unwrap_or(text).parse().map_err(|_| wrong("it begins with no address"))?;
        let Self { bits: most, .. } = Self::single(address);
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(|| {
                wrong(&format!("the number behind the slash is not one up to {most}"))
            })?,
        };
        let cidr = Self { address, bits };
        // EC2 clears the bits that don't count, and the rule would not be found again.
        if cidr.network() != address {
            return Err(wrong(&format!(
                "bits are set behind the first {bits}; did you mean {}/{bits}?",
                cidr.network()
            )));
        }
        Ok(cidr)
    }
}

impl Cidr {
    /// The address with only the bits that count.
    fn network(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                IpAddr::V4((address.to_bits() & mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.bits)).unwrap_or(0);
                IpAddr::V6((address.to_bits() & mask).into())
            }
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Serialize for Cidr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Asks the service at `url` by which address it sees this machine; [`ADDRESS_URL`] is one.
///
/// # Errors
///
/// It can't be reached, or answers anything but an address.
pub async fn own_address(url: &str) -> Result<Cidr> {
    let asked = timeout(PATIENCE, http::get(url)).await;
    let answer = asked.unwrap_or_else(|elapsed| Err(elapsed.to_string()));
    let address = answer.and_then(|text| {
        text.trim().parse().map_err(|_| "the answer is not an address".to_owned())
    });
    address.map(Cidr::single).map_err(|cause| {
        Error::target(format!("can't find out this machine's address from {url}"))
            .because(cause)
            .with_help("say who may reach the cluster: --allow-cidr ADDRESS/32")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_ec2_writes_them() {
        for (text, expected) in [
            ("203.0.113.7", "203.0.113.7/32"),
            ("203.0.113.0/24", "203.0.113.0/24"),
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("2001:db8::/32", "2001:db8::/32"),
            ("2001:db8::1", "2001:db8::1/128"),
        ] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), expected);
        }
        for (text, why) in [
            ("here", "begins with no address"),
            ("203.0.113.7/33", "not one up to 32"),
            ("203.0.113.7/", "not one up to 32"),
            ("203.0.113.7/24", "did you mean 203.0.113.0/24?"),
        ] {
            let error = text.parse::<Cidr>().unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
