//! Creation: makes what is missing, part after part.

use std::time::Duration;

use serde::Serialize;

use super::account::Account;
use super::address::Cidr;
use super::status::{self, Status};
use super::warehouse::{self, Condition, Place, Warehouse};
use super::{Change, Cluster, Login, Part, Size, password, role, security_group};
use crate::error::{Error, Result};

/// How a cluster is opened up.
#[derive(Debug, Clone)]
pub struct Opening {
    /// How its user logs in; `None` only where it is there already.
    pub login: Option<Login>,
    /// Who may reach it.
    pub allow: Cidr,
    /// How long to wait until it can be used; `None` doesn't wait.
    pub wait: Option<Duration>,
}

/// What a creation came to.
#[derive(Debug, Clone, Serialize)]
pub struct Created {
    /// What was made or mended; nothing where all was there.
    pub changes: Vec<Change>,
    /// The ARN of the role. IAM may need a moment until it shows a role that was just made in the status.
    pub role: String,
    /// What is there now.
    pub status: Status,
}

/// Makes `cluster` and what it needs: a role that may read the source and use the stage and no more, a security group
/// that lets in one range of addresses, and an encrypted cluster with both.
///
/// What is there already, made by sparkload for this cluster, stays; a cluster of another size or with other names in it
/// is not changed, and a warning says so. What is missing is made, so that a creation that failed is completed by another.
///
/// # Errors
///
/// Something of the same name is there that sparkload has not made for this cluster, or Redshift makes no such cluster
/// (see [`Cluster::check`]), and then nothing is changed; AWS can't be reached or refuses; or the cluster can't be used in
/// time.
pub async fn create(cluster: &Cluster, opening: &Opening) -> Result<Created> {
    let Opening { login, allow, wait } = opening;
    cluster.check_name()?;
    if let Some(Login::Password(password)) = login {
        password::check_password(password)?;
    }
    let account = Account::reach(&cluster.aws).await?;
    let there = status::look(&account, cluster).await?;
    there.expect_ours(cluster)?;
    cluster.check(there.cluster.as_ref())?;
    if let Some(found) = &there.cluster {
        if found.condition == Condition::Leaving {
            return Err(Error::target(format!("the {} is being deleted", cluster.called()))
                .with_help("run it again when it is gone"));
        }
        for difference in differences(cluster, found) {
            tracing::warn!("the {} is left as it is: {difference}", cluster.called());
        }
    }

    if there.cluster.is_none() && login.is_none() {
        return Err(Error::config("nothing says how the cluster's user is to log in"));
    }

    let mut changes = Vec::new();
    let role = role::make(&account, cluster, there.role.as_ref(), &mut changes).await?;
    let new_role = changes.iter().any(|change| change.part == Part::Role);
    let group = there.security_group.as_ref();
    let group = security_group::make(&account, cluster, group, *allow, &mut changes).await?;
    let place = Place { role: &role, security_group: &group, new_role };
    warehouse::make(&account, cluster, login.as_ref(), &place, &mut changes).await?;
    if let Some(most) = *wait {
        warehouse::wait(&account, cluster, most).await?;
    }
    Ok(Created { changes, role, status: status::look(&account, cluster).await? })
}

/// In what the cluster that is there differs from the one that is wanted.
fn differences(cluster: &Cluster, found: &Warehouse) -> Vec<String> {
    let mut differences = Vec::new();
    match (&cluster.size, &found.size) {
        (wanted @ Size::Nodes { .. }, there) if wanted != there => {
            differences.push(format!("it has {there}, not {wanted}"));
        }
        (wanted @ Size::Serverless { base_capacity: Some(_) }, there) if wanted != there => {
            differences.push(format!("it has {there}, not {wanted}"));
        }
        _ => {}
    }
    let port = found.endpoint.as_ref().map(|endpoint| endpoint.port.to_string());
    for (what, wanted, there) in [
        ("database", &cluster.database, &found.database),
        ("user", &cluster.user, &found.user),
        ("port", &cluster.port.to_string(), &port),
    ] {
        if let Some(there) = there
            && there != wanted
        {
            differences.push(format!("its {what} is {there}, not {wanted}"));
        }
    }
    differences
}
