//! Deletion: removes what was made, in the opposite order.

use serde::Serialize;

use super::account::Account;
use super::status::{self, Status};
use super::{Change, Cluster, role, security_group, warehouse};
use crate::error::Result;

/// What becomes of the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Snapshot {
    /// It is gone.
    Skip,
    /// It is kept in a snapshot of this name, out of which a cluster can be made again.
    Take(String),
}

/// What a deletion came to.
#[derive(Debug, Clone, Serialize)]
pub struct Deleted {
    /// What was removed; nothing where nothing of it was there.
    pub removed: Vec<Change>,
    /// What is there by the same names, and was not made by sparkload for this cluster.
    pub left: Vec<String>,
}

/// Removes what [`create`](super::create) has made for `cluster`, and waits until it is gone. What bears no tag of its
/// stays; what is gone already is no error, so that a deletion that failed is completed by another.
///
/// # Errors
///
/// No cluster can have this name, AWS can't be reached or refuses, or the cluster is not gone in time.
pub async fn delete(cluster: &Cluster, snapshot: &Snapshot) -> Result<Deleted> {
    cluster.check_name()?;
    let account = Account::reach(&cluster.aws).await?;
    let there = status::look(&account, cluster).await?;
    let Status { name: _, cluster: found, security_group, role } = there;
    let (mut removed, mut left) = (Vec::new(), Vec::new());
    match found {
        Some(found) if found.owner.is_ours() => {
            warehouse::remove(&account, cluster, snapshot, &mut removed).await?;
        }
        Some(_) => left.push(cluster.called()),
        None => {}
    }
    match security_group {
        Some(group) if group.owner.is_ours() => {
            security_group::remove(&account, &group, &mut removed).await?;
        }
        Some(group) => left.push(format!("security group {}", group.name)),
        None => {}
    }
    match role {
        Some(role) if role.owner.is_ours() => {
            role::remove(&account, &role, &mut removed).await?;
        }
        Some(role) => left.push(format!("role {}", role.name)),
        None => {}
    }
    Ok(Deleted { removed, left })
}
