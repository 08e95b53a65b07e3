//! What is there of a cluster.

use serde::Serialize;

use super::Cluster;
use super::account::Account;
use super::role::{self, Role};
use super::security_group::{self, SecurityGroup};
use super::warehouse::{self, Warehouse};
use crate::error::Result;

/// What is there of a cluster, whoever made it.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// The name that was looked for.
    pub name: String,
    /// The cluster, or the workgroup with its namespace.
    pub cluster: Option<Warehouse>,
    /// The security group.
    pub security_group: Option<SecurityGroup>,
    /// The role.
    pub role: Option<Role>,
}

impl Status {
    /// Whether nothing at all is there.
    pub fn is_nothing(&self) -> bool {
        let Self { name: _, cluster, security_group, role } = self;
        cluster.is_none() && security_group.is_none() && role.is_none()
    }

    /// Refuses to make anything for `cluster` beside what is another's.
    ///
    /// # Errors
    ///
    /// Something of what is there was not made by sparkload for it.
    pub fn expect_ours(&self, cluster: &Cluster) -> Result<()> {
        let Self { name: _, cluster: found, security_group, role } = self;
        if let Some(found) = found {
            found.owner.expect_ours(&format!("the {}", cluster.called()), cluster)?;
        }
        if let Some(group) = security_group {
            group.owner.expect_ours(&format!("the security group {}", group.name), cluster)?;
        }
        if let Some(role) = role {
            role.owner.expect_ours(&format!("the role {}", role.name), cluster)?;
        }
        Ok(())
    }
}

/// Looks for what is there of `cluster`.
///
/// # Errors
///
/// No cluster can have this name, AWS can't be reached, or it refuses to tell.
pub async fn status(cluster: &Cluster) -> Result<Status> {
    cluster.check_name()?;
    let account = Account::reach(&cluster.aws).await?;
    look(&account, cluster).await
}

pub(super) async fn look(account: &Account, cluster: &Cluster) -> Result<Status> {
    Ok(Status {
        name: cluster.name.clone(),
        cluster: warehouse::look(account, cluster).await?,
        security_group: security_group::look(account, cluster).await?,
        role: role::look(account, cluster).await?,
    })
}
