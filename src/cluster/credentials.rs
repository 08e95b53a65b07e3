//! Logging in by IAM: a password that lasts for a while, for who may act in the account.

use std::time::{Duration, SystemTime};

use secrecy::SecretString;

use super::account::Account;
use super::refusal::refused;
use crate::error::{Error, Result};
use crate::source::S3Options;

/// A user and a password that Redshift takes for a while.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The user's name to log in with, which differs from the one in the database.
    pub user: String,
    /// The password.
    pub password: SecretString,
    /// Until when a connection can be made with them; one that is made stays.
    pub expires: SystemTime,
}

/// The longest that Redshift grants.
const LONGEST: Duration = Duration::from_secs(3600);

/// Has Redshift make a password for `user` of the cluster at `host`, to be used with `database` for an hour.
///
/// `host` is an endpoint as Redshift tells it, which names the cluster or workgroup and the region. A workgroup takes no
/// user: its user is the one that IAM knows.
///
/// # Errors
///
/// The host is not an endpoint of Redshift, AWS can't be reached, or it refuses.
pub async fn credentials(
    host: &str,
    user: &str,
    database: &str,
    aws: &S3Options,
) -> Result<Credentials> {
    let Some(Named { name, region, serverless }) = Named::in_host(host) else {
        return Err(Error::config(format!("{host} is no endpoint of Redshift")).with_help(
            "name the host as the endpoint says (ID.….REGION.redshift.amazonaws.com or .rds.amazonaws.com; `hostaddr` may \
             give another address), or log in with a password",
        ));
    };
    let account =
        Account::reach(&S3Options { region: Some(region.to_owned()), ..aws.clone() }).await?;
    let seconds = LONGEST.as_secs().try_into().unwrap_or(i32::MAX);
    let (user, password, expires) = if serverless {
        let request = account.serverless.get_credentials().workgroup_name(name).db_name(database);
        let asked =
            request.duration_seconds(seconds).send().await.map_err(refused("GetCredentials"));
        let answer =
            asked.map_err(|refusal| refusal.error(format!("can't log in to {name} by IAM")))?;
        (answer.db_user, answer.db_password, answer.expiration)
    } else {
        let request = account.redshift.get_cluster_credentials().cluster_identifier(name);
        let request = request.db_user(user).db_name(database).duration_seconds(seconds);
        let asked = request.send().await.map_err(refused("GetClusterCredentials"));
        let answer =
            asked.map_err(|refusal| refusal.error(format!("can't log in to {name} by IAM")))?;
        (answer.db_user, answer.db_password, answer.expiration)
    };
    match (user, password) {
        (Some(user), Some(password)) => Ok(Credentials {
            user,
            password: password.into(),
            expires: expires.and_then(|at| at.try_into().ok()).unwrap_or_else(SystemTime::now),
        }),
        _ => Err(Error::target(format!("can't log in to {name} by IAM"))
            .because("the answer names no user and password")),
    }
}

/// What an endpoint names.
#[derive(Debug, PartialEq, Eq)]
struct Named<'a> {
    name: &'a str,
    region: &'a str,
    serverless: bool,
}

impl<'a> Named<'a> {
    fn in_host(host: &'a str) -> Option<Self> {
        let mut parts = host.split('.');
        let (name, _, region) = (parts.next()?, parts.next()?, parts.next()?);
        let serverless = match parts.next()? {
            "redshift" => false,
            "redshift-serverless" => true,
            _ => return None,
        };
        (parts.next()? == "amazonaws").then_some(Self { name, region, serverless })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_names_the_cluster_and_the_region() {
        let named = |name, region, serverless| Some(Named { name, region, serverless });
        for (host, expected) in [
            ("dwh.abc123.eu-west-1.redshift.amazonaws.com", named("dwh", "eu-west-1", false)),
            ("dwh.abc123.cn-north-1.redshift.amazonaws.com.cn", named("dwh", "cn-north-1", false)),
            (
                "dwh.123456789012.us-east-1.redshift-serverless.amazonaws.com",
                named("dwh", "us-east-1", true),
            ),
            ("localhost", None),
            ("db.abc123.eu-west-1.rds.amazonaws.com", None),
        ] {
            assert_eq!(Named::in_host(host), expected, "{host}");
        }
    }
}
