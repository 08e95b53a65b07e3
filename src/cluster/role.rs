//! The role that a cluster acts in when it reads from S3 and writes there.

use aws_sdk_iam::types::Tag;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::Value;

use super::account::Account;
use super::mark::{self, Owner};
use super::refusal::{Refusal, refused};
use super::{Change, Cluster, Part, policy};
use crate::error::{Error, Result};

/// The policy in the role.
const POLICY: &str = "sparkload";

/// A role.
#[derive(Debug, Clone, Serialize)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// Who made it.
    pub owner: Owner,
    /// Who may act in it.
    #[serde(skip)]
    trust: Option<Value>,
    /// What may be done in it, by the policy that sparkload makes.
    pub permissions: Option<Value>,
}

/// The role of `cluster`, if one of that name is there.
pub(super) async fn look(account: &Account, cluster: &Cluster) -> Result<Option<Role>> {
    let name = &cluster.role;
    let can_not = |refusal: Refusal| refusal.error(format!("can't look for the role {name}"));
    let asked = account.iam.get_role().role_name(name).send().await.map_err(refused("GetRole"));
    let role = match asked {
        Ok(answer) => answer.role,
        Err(refusal) if refusal.is(&[NOT_THERE]) => return Ok(None),
        Err(refusal) => return Err(can_not(refusal)),
    };
    let Some(role) = role else { return Ok(None) };
    let owner = cluster.owner(role.tags().iter().map(|tag| (tag.key(), tag.value())));

    let request = account.iam.get_role_policy().role_name(name).policy_name(POLICY);
    let permissions = match request.send().await.map_err(refused("GetRolePolicy")) {
        Ok(answer) => document(answer.policy_document()),
        Err(refusal) if refusal.is(&[NOT_THERE]) => None,
        Err(refusal) => return Err(can_not(refusal)),
    };
    let trust = role.assume_role_policy_document().and_then(document);
    let (name, arn) = (role.role_name().to_owned(), role.arn().to_owned());
    Ok(Some(Role { name, arn, owner, trust, permissions }))
}

/// Makes what is missing of the role that was `found`, and gives its ARN.
pub(super) async fn make(
    account: &Account,
    cluster: &Cluster,
    found: Option<&Role>,
    changes: &mut Vec<Change>,
) -> Result<String> {
    let name = &cluster.role;
    let trust = policy::trust(cluster);
    let arn = match found {
        None => {
            let arn = create(account, cluster, &trust).await?;
            tracing::info!("made the role {name}");
            changes.push(Change::new(Part::Role, name));
            arn
        }
        Some(role) => {
            if role.trust.as_ref() != Some(&trust) {
                let request = account.iam.update_assume_role_policy().role_name(name);
                let asked = request.policy_document(trust.to_string()).send().await;
                asked.map_err(refused("UpdateAssumeRolePolicy")).map_err(|refusal| {
                    refusal.error(format!("can't let Redshift act in the role {name}"))
                })?;
                changes.push(Change::new(Part::Role, name));
            }
            role.arn.clone()
        }
    };
    let there = found.and_then(|role| role.permissions.as_ref());
    let wanted = policy::permissions(cluster, policy::Account::of(&arn));
    match &wanted {
        Some(permissions) if there != Some(permissions) => {
            let request = account.iam.put_role_policy().role_name(name).policy_name(POLICY);
            let asked = request.policy_document(permissions.to_string()).send().await;
            asked
                .map_err(refused("PutRolePolicy"))
                .map_err(|refusal| refusal.error(format!("can't give permissions to {name}")))?;
            tracing::info!("the role {name} may read the source and use the stage, and no more");
            changes.push(Change::new(Part::Permissions, name));
        }
        None if there.is_none() => {
            tracing::warn!("the role {name} may do nothing: no source in S3 and no stage is named");
        }
        // What it was once told to read may not be named this time: that is no order to forget it.
        Some(_) | None => {}
    }
    Ok(arn)
}

async fn create(account: &Account, cluster: &Cluster, trust: &Value) -> Result<String> {
    let name = &cluster.role;
    let tag = Tag::builder().key(mark::KEY).value(cluster.mark()).build();
    let tag = tag.map_err(|error| Error::target("can't name the tag of a role").because(error))?;
    let request = account
        .iam
        .create_role()
        .role_name(name)
        .description(format!("What {} may do for sparkload", cluster.called()))
        .assume_role_policy_document(trust.to_string())
        .tags(tag);
    let made = request.send().await.map_err(refused("CreateRole"));
    let made = made.map_err(|refusal| refusal.error(format!("can't make the role {name}")))?;
    match made.role {
        Some(role) => Ok(role.arn),
        None => Err(Error::target(format!("can't make the role {name}"))
            .because("CreateRole: the answer names no role")),
    }
}

/// Removes the role, with the policy in it. What else was attached to it is not sparkload's, and keeps it.
pub(super) async fn remove(
    account: &Account,
    role: &Role,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let name = &role.name;
    let can_not = |refusal: Refusal| refusal.error(format!("can't remove the role {name}"));
    let request = account.iam.delete_role_policy().role_name(name).policy_name(POLICY);
    match request.send().await.map_err(refused("DeleteRolePolicy")) {
        Ok(_) => changes.push(Change::new(Part::Permissions, name)),
        Err(refusal) if refusal.is(&[NOT_THERE]) => {}
        Err(refusal) => return Err(can_not(refusal)),
    }
    match account.iam.delete_role().role_name(name).send().await.map_err(refused("DeleteRole")) {
        Ok(_) => {}
        Err(refusal) if refusal.is(&[NOT_THERE]) => return Ok(()),
        Err(refusal) if refusal.is(&["DeleteConflict"]) => {
            let help = "detach by hand what was attached to it by hand, and run it again";
            return Err(can_not(refusal).with_help(help));
        }
        Err(refusal) => return Err(can_not(refusal)),
    }
    tracing::info!("removed the role {name}");
    changes.push(Change::new(Part::Role, name));
    Ok(())
}

/// IAM's code for what isn't there.
const NOT_THERE: &str = "NoSuchEntity";

/// A policy as IAM gives it: encoded as in a URL.
fn document(text: &str) -> Option<Value> {
    serde_json::from_str(&percent_decode_str(text).decode_utf8().ok()?).ok()
}
