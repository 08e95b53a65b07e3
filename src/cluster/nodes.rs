//! A cluster of nodes.

use std::time::Duration;

use aws_sdk_redshift::types::{self, Tag};
use secrecy::ExposeSecret;

use super::account::Account;
use super::mark;
use super::refusal::{Refusal, refused};
use super::warehouse::{Condition, Endpoint, Place, Waiting, Warehouse};
use super::{Change, Cluster, Login, Part, Size, Snapshot};
use crate::error::{Error, Result};

/// A final snapshot of much data takes long.
const GONE: Duration = Duration::from_secs(2 * 3600);

pub(super) async fn look(account: &Account, cluster: &Cluster) -> Result<Option<Warehouse>> {
    let request = account.redshift.describe_clusters().cluster_identifier(&cluster.name);
    match request.send().await.map_err(refused("DescribeClusters")) {
        Ok(answer) => {
            let found = answer.clusters().first();
            Ok(found.map(|found| warehouse(found, cluster)))
        }
        Err(refusal) if refusal.is(&[NOT_THERE]) => Ok(None),
        Err(refusal) => Err(refusal.error(format!("can't look for the {}", cluster.called()))),
    }
}

/// Redshift's code for what isn't there.
const NOT_THERE: &str = "ClusterNotFound";

fn warehouse(found: &types::Cluster, cluster: &Cluster) -> Warehouse {
    let tags = found.tags().iter();
    let owner = cluster.owner(tags.filter_map(|tag| Some((tag.key()?, tag.value()?))));
    let state = found.cluster_status().unwrap_or("unknown").to_owned();
    let endpoint = found.endpoint().and_then(|endpoint| {
        let port = endpoint.port()?.try_into().ok()?;
        Some(Endpoint { host: endpoint.address()?.to_owned(), port })
    });
    let roles = found.iam_roles().iter().filter_map(|role| role.iam_role_arn());
    let groups = found.vpc_security_groups().iter();
    Warehouse {
        owner,
        condition: condition(&state),
        state,
        endpoint,
        size: Size::Nodes {
            node_type: found.node_type().unwrap_or_default().to_owned(),
            count: found.number_of_nodes().and_then(|it| it.try_into().ok()).unwrap_or_default(),
        },
        database: found.db_name().map(str::to_owned),
        user: found.master_username().map(str::to_owned),
        roles: roles.map(str::to_owned).collect(),
        security_groups: groups
            .filter_map(|group| group.vpc_security_group_id())
            .map(str::to_owned)
            .collect(),
        secret: found.master_password_secret_arn().map(str::to_owned),
    }
}

/// What the states mean, <https://docs.aws.amazon.com/redshift/latest/mgmt/rs-mgmt-cluster-status.html>.
fn condition(state: &str) -> Condition {
    match state {
        "available" | "available, prep-for-resize" | "available, resize-cleanup" => {
            Condition::Ready
        }
        "creating" | "modifying" | "rebooting" | "renaming" | "resizing" | "resuming"
        | "rotating-keys" | "updating-hsm" | "cancelling-resize" => Condition::Changing,
        "deleting" | "final-snapshot" => Condition::Leaving,
        _ => Condition::Stuck,
    }
}

pub(super) async fn make(
    account: &Account,
    cluster: &Cluster,
    login: Option<&Login>,
    place: &Place<'_>,
    changes: &mut Vec<Change>,
) -> Result<()> {
    match look(account, cluster).await? {
        Some(found) => attach(account, cluster, &found, place, changes).await,
        None => create(account, cluster, login, place, changes).await,
    }
}

async fn create(
    account: &Account,
    cluster: &Cluster,
    login: Option<&Login>,
    place: &Place<'_>,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let Size::Nodes { node_type, count } = &cluster.size else { return Ok(()) };
    let tag = Tag::builder().key(mark::KEY).value(cluster.mark()).build();
    let request = account
        .redshift
        .create_cluster()
        .cluster_identifier(&cluster.name)
        .node_type(node_type)
        .cluster_type(if *count == 1 { "single-node" } else { "multi-node" })
        // Redshift takes no number for a single node.
        .set_number_of_nodes((*count > 1).then(|| i32::try_from(*count).unwrap_or(i32::MAX)))
        .db_name(&cluster.database)
        .port(cluster.port.into())
        .encrypted(true)
        // It has an address in the internet; who may reach that is the security group's matter.
        .publicly_accessible(true)
        .vpc_security_group_ids(place.security_group)
        .iam_roles(place.role)
        .master_username(&cluster.user)
        .tags(tag);
    let request = match login {
        Some(Login::Password(password)) => request.master_user_password(password.expose_secret()),
        Some(Login::SecretsManager) => request.manage_master_password(true),
        // Redshift says that it needs one.
        None => request,
    };
    let ask = || {
        let request = request.clone();
        async move { request.send().await.map_err(refused("CreateCluster")) }
    };
    let made = place.until_role_is_known(cluster, ask).await;
    made.map_err(|refusal| refusal.error(format!("can't make the {}", cluster.called())))?;
    tracing::info!("made the {}, which now starts", cluster.called());
    changes.push(Change::new(Part::Cluster, &cluster.name));
    Ok(())
}

/// Gives role and security group to a cluster that is there without them.
async fn attach(
    account: &Account,
    cluster: &Cluster,
    found: &Warehouse,
    place: &Place<'_>,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let can_not = |refusal: Refusal| {
        refusal.error(format!("can't give role and security group to the {}", cluster.called()))
    };
    if !found.roles.iter().any(|role| role == place.role) {
        let request = account.redshift.modify_cluster_iam_roles().cluster_identifier(&cluster.name);
        let asked = request.add_iam_roles(place.role).send().await;
        asked.map_err(refused("ModifyClusterIamRoles")).map_err(can_not)?;
        changes.push(Change::new(Part::Attachment, place.role));
    }
    if !found.security_groups.iter().any(|group| group == place.security_group) {
        let request = account.redshift.modify_cluster().cluster_identifier(&cluster.name);
        let groups = found.security_groups.iter().map(String::as_str);
        let request = groups
            .chain([place.security_group])
            .fold(request, |request, group| request.vpc_security_group_ids(group));
        request.send().await.map_err(refused("ModifyCluster")).map_err(can_not)?;
        changes.push(Change::new(Part::Attachment, place.security_group));
    }
    Ok(())
}

pub(super) async fn remove(
    account: &Account,
    cluster: &Cluster,
    snapshot: &Snapshot,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let Some(found) = look(account, cluster).await? else { return Ok(()) };
    if found.condition != Condition::Leaving {
        let request = account.redshift.delete_cluster().cluster_identifier(&cluster.name);
        let request = match snapshot {
            Snapshot::Skip => request.skip_final_cluster_snapshot(true),
            Snapshot::Take(name) => {
                request.skip_final_cluster_snapshot(false).final_cluster_snapshot_identifier(name)
            }
        };
        match request.send().await.map_err(refused("DeleteCluster")) {
            Ok(_) => {}
            Err(refusal) if refusal.is(&[NOT_THERE]) => return Ok(()),
            Err(refusal) => {
                return Err(refusal.error(format!("can't remove the {}", cluster.called())));
            }
        }
    }
    let mut waiting = Waiting::new(GONE);
    while let Some(found) = look(account, cluster).await? {
        if !waiting.goes_on(&cluster.called(), &found.state).await {
            let what = format!("the {} is still {}", cluster.called(), found.state);
            return Err(Error::target(what).with_help("run it again to wait on"));
        }
    }
    tracing::info!("removed the {}", cluster.called());
    changes.push(Change::new(Part::Cluster, &cluster.name));
    Ok(())
}
