//! A namespace and a workgroup of Redshift Serverless, both of the cluster's name.

use std::time::Duration;

use aws_sdk_redshiftserverless::types::{
    Namespace, NamespaceStatus, Tag, Workgroup, WorkgroupStatus,
};
use secrecy::ExposeSecret;

use super::account::Account;
use super::mark::{self, Owner};
use super::refusal::{Refusal, refused};
use super::warehouse::{Condition, Endpoint, Place, Waiting, Warehouse};
use super::{Change, Cluster, Login, Part, Size, Snapshot};
use crate::error::{Error, Result};

/// How long each half may take to come to rest or to go.
const SETTLED: Duration = Duration::from_secs(3600);

/// The service's code for what isn't there.
const NOT_THERE: &str = "ResourceNotFound";

pub(super) async fn look(account: &Account, cluster: &Cluster) -> Result<Option<Warehouse>> {
    let namespace = namespace(account, cluster).await?;
    let workgroup = workgroup(account, cluster).await?;
    if namespace.is_none() && workgroup.is_none() {
        return Ok(None);
    }
    let arns = [
        namespace.as_ref().and_then(Namespace::namespace_arn),
        workgroup.as_ref().and_then(Workgroup::workgroup_arn),
    ];
    let mut owner = Owner::Sparkload;
    for arn in arns.into_iter().flatten() {
        let found = self::owner(account, cluster, arn).await?;
        if !found.is_ours() {
            owner = found;
        }
    }
    let (state, condition) = state(namespace.as_ref(), workgroup.as_ref());
    let endpoint = workgroup.as_ref().and_then(Workgroup::endpoint).and_then(|endpoint| {
        let port = endpoint.port()?.try_into().ok()?;
        Some(Endpoint { host: endpoint.address()?.to_owned(), port })
    });
    let base_capacity = workgroup.as_ref().and_then(Workgroup::base_capacity);
    let text =
        |of: fn(&Namespace) -> Option<&str>| namespace.as_ref().and_then(of).map(str::to_owned);
    Ok(Some(Warehouse {
        owner,
        state,
        condition,
        endpoint,
        size: Size::Serverless { base_capacity: base_capacity.and_then(|it| it.try_into().ok()) },
        database: text(Namespace::db_name),
        user: text(Namespace::admin_username),
        roles: namespace.iter().flat_map(Namespace::iam_roles).map(|role| arn_in(role)).collect(),
        security_groups: workgroup
            .iter()
            .flat_map(Workgroup::security_group_ids)
            .cloned()
            .collect(),
        secret: text(Namespace::admin_password_secret_arn),
    }))
}

/// What the two are doing, in one word.
fn state(namespace: Option<&Namespace>, workgroup: Option<&Workgroup>) -> (String, Condition) {
    let word = |state: Option<&str>| state.unwrap_or("unknown").to_lowercase();
    let namespace = namespace.map(Namespace::status);
    match (namespace, workgroup.map(Workgroup::status)) {
        (None, _) => ("without a namespace".to_owned(), Condition::Stuck),
        (Some(Some(NamespaceStatus::Deleting)), _) => ("deleting".to_owned(), Condition::Leaving),
        (Some(_), None) => ("without a workgroup".to_owned(), Condition::Stuck),
        (Some(namespace), Some(workgroup)) => match workgroup {
            Some(WorkgroupStatus::Available) => match namespace {
                Some(NamespaceStatus::Available) => ("available".to_owned(), Condition::Ready),
                _ => (word(namespace.map(NamespaceStatus::as_str)), Condition::Changing),
            },
            Some(WorkgroupStatus::Deleting) => ("deleting".to_owned(), Condition::Leaving),
            other => (word(other.map(WorkgroupStatus::as_str)), Condition::Changing),
        },
    }
}

/// The ARN of a role, which the service tells as `IamRole(applyStatus=in-sync, iamRoleArn=arn:…)`.
fn arn_in(role: &str) -> String {
    let arn = role.find("arn:").map_or(role, |at| &role[at..]);
    arn.split([',', ')']).next().unwrap_or(arn).to_owned()
}

async fn namespace(account: &Account, cluster: &Cluster) -> Result<Option<Namespace>> {
    let request = account.serverless.get_namespace().namespace_name(&cluster.name);
    match request.send().await.map_err(refused("GetNamespace")) {
        Ok(answer) => Ok(answer.namespace),
        Err(refusal) if refusal.is(&[NOT_THERE]) => Ok(None),
        Err(refusal) => {
            Err(refusal.error(format!("can't look for the namespace {}", cluster.name)))
        }
    }
}

async fn workgroup(account: &Account, cluster: &Cluster) -> Result<Option<Workgroup>> {
    let request = account.serverless.get_workgroup().workgroup_name(&cluster.name);
    match request.send().await.map_err(refused("GetWorkgroup")) {
        Ok(answer) => Ok(answer.workgroup),
        Err(refusal) if refusal.is(&[NOT_THERE]) => Ok(None),
        Err(refusal) => {
            Err(refusal.error(format!("can't look for the workgroup {}", cluster.name)))
        }
    }
}

async fn owner(account: &Account, cluster: &Cluster, arn: &str) -> Result<Owner> {
    let request = account.serverless.list_tags_for_resource().resource_arn(arn);
    let asked = request.send().await.map_err(refused("ListTagsForResource"));
    let answer =
        asked.map_err(|refusal| refusal.error(format!("can't look for the tags of {arn}")))?;
    Ok(cluster.owner(answer.tags().iter().map(|tag| (tag.key(), tag.value()))))
}

fn tag(cluster: &Cluster) -> Result<Tag> {
    let tag = Tag::builder().key(mark::KEY).value(cluster.mark()).build();
    tag.map_err(|error| Error::target("can't name the tag of a namespace").because(error))
}

pub(super) async fn make(
    account: &Account,
    cluster: &Cluster,
    login: Option<&Login>,
    place: &Place<'_>,
    changes: &mut Vec<Change>,
) -> Result<()> {
    match namespace(account, cluster).await? {
        Some(found) => attach_role(account, cluster, &found, place, changes).await?,
        None => create_namespace(account, cluster, login, place, changes).await?,
    }
    // A workgroup can't be made for a namespace that is being changed.
    settled(account, cluster).await?;
    match workgroup(account, cluster).await? {
        Some(found) => attach_group(account, cluster, &found, place, changes).await,
        None => create_workgroup(account, cluster, place, changes).await,
    }
}

async fn create_namespace(
    account: &Account,
    cluster: &Cluster,
    login: Option<&Login>,
    place: &Place<'_>,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let name = &cluster.name;
    let request = account
        .serverless
        .create_namespace()
        .namespace_name(name)
        .db_name(&cluster.database)
        .admin_username(&cluster.user)
        .iam_roles(place.role)
        .tags(tag(cluster)?);
    let request = match login {
        Some(Login::Password(password)) => request.admin_user_password(password.expose_secret()),
        Some(Login::SecretsManager) => request.manage_admin_password(true),
        // Redshift says that it needs one.
        None => request,
    };
    let ask = || {
        let request = request.clone();
        async move { request.send().await.map_err(refused("CreateNamespace")) }
    };
    let made = place.until_role_is_known(cluster, ask).await;
    made.map_err(|refusal| refusal.error(format!("can't make the namespace {name}")))?;
    tracing::info!("made the namespace {name}");
    changes.push(Change::new(Part::Namespace, name));
    Ok(())
}

async fn create_workgroup(
    account: &Account,
    cluster: &Cluster,
    place: &Place<'_>,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let Size::Serverless { base_capacity } = cluster.size else { return Ok(()) };
    let request = account
        .serverless
        .create_workgroup()
        .workgroup_name(&cluster.name)
        .namespace_name(&cluster.name)
        .set_base_capacity(base_capacity.and_then(|it| it.try_into().ok()))
        .port(cluster.port.into())
        // It has an address in the internet; who may reach that is the security group's matter.
        .publicly_accessible(true)
        .security_group_ids(place.security_group)
        .tags(tag(cluster)?);
    let asked = request.send().await.map_err(refused("CreateWorkgroup"));
    asked.map_err(|refusal| refusal.error(format!("can't make the {}", cluster.called())))?;
    tracing::info!("made the {}, which now starts", cluster.called());
    changes.push(Change::new(Part::Cluster, &cluster.name));
    Ok(())
}

/// Gives the role to a namespace that is there without it.
async fn attach_role(
    account: &Account,
    cluster: &Cluster,
    found: &Namespace,
    place: &Place<'_>,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let there: Vec<_> = found.iam_roles().iter().map(|role| arn_in(role)).collect();
    if there.iter().any(|role| role == place.role) {
        return Ok(());
    }
    // The list takes the place of the one before.
    let roles = there.into_iter().chain([place.role.to_owned()]).collect();
    let request = account.serverless.update_namespace().namespace_name(&cluster.name);
    let asked = request.set_iam_roles(Some(roles)).send().await.map_err(refused("UpdateNamespace"));
    asked.map_err(|refusal| refusal.error(format!("can't give {} its role", cluster.called())))?;
    changes.push(Change::new(Part::Attachment, place.role));
    Ok(())
}

/// Gives the security group to a workgroup that is there without it.
async fn attach_group(
    account: &Account,
    cluster: &Cluster,
    found: &Workgroup,
    place: &Place<'_>,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let there = found.security_group_ids();
    if there.iter().any(|group| group == place.security_group) {
        return Ok(());
    }
    let groups = there.iter().cloned().chain([place.security_group.to_owned()]).collect();
    let request = account.serverless.update_workgroup().workgroup_name(&cluster.name);
    let asked = request.set_security_group_ids(Some(groups)).send().await;
    asked.map_err(refused("UpdateWorkgroup")).map_err(|refusal| {
        refusal.error(format!("can't give {} its security group", cluster.called()))
    })?;
    changes.push(Change::new(Part::Attachment, place.security_group));
    Ok(())
}

/// Waits until nothing changes at the namespace.
async fn settled(account: &Account, cluster: &Cluster) -> Result<()> {
    let what = format!("namespace {}", cluster.name);
    let mut waiting = Waiting::new(SETTLED);
    loop {
        let found = namespace(account, cluster).await?;
        let status = found.as_ref().and_then(Namespace::status);
        let state = status.map_or("unknown", NamespaceStatus::as_str).to_lowercase();
        match status {
            Some(NamespaceStatus::Available) => return Ok(()),
            Some(NamespaceStatus::Deleting) => {
                return Err(Error::target(format!("the {what} is being deleted"))
                    .with_help("run it again when it is gone"));
            }
            _ => {}
        }
        if !waiting.goes_on(&what, &state).await {
            return Err(Error::target(format!("the {what} is still {state}"))
                .with_help("run it again to wait on"));
        }
    }
}

pub(super) async fn remove(
    account: &Account,
    cluster: &Cluster,
    snapshot: &Snapshot,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let name = &cluster.name;
    if let Some(found) = workgroup(account, cluster).await? {
        if found.status() != Some(&WorkgroupStatus::Deleting) {
            let request = account.serverless.delete_workgroup().workgroup_name(name);
            let asked = request.send().await.map_err(refused("DeleteWorkgroup"));
            gone_or(asked.map(drop), || format!("can't remove the {}", cluster.called()))?;
        }
        let mut waiting = Waiting::new(SETTLED);
        while workgroup(account, cluster).await?.is_some() {
            if !waiting.goes_on(&cluster.called(), "deleting").await {
                return Err(Error::target(format!("the {} is still there", cluster.called()))
                    .with_help("run it again to wait on"));
            }
        }
        tracing::info!("removed the {}", cluster.called());
        changes.push(Change::new(Part::Cluster, name));
    }
    let Some(found) = namespace(account, cluster).await? else { return Ok(()) };
    if found.status() != Some(&NamespaceStatus::Deleting) {
        let request = account.serverless.delete_namespace().namespace_name(name);
        let request = match snapshot {
            Snapshot::Skip => request,
            Snapshot::Take(snapshot) => request.final_snapshot_name(snapshot),
        };
        let asked = request.send().await.map_err(refused("DeleteNamespace"));
        gone_or(asked.map(drop), || format!("can't remove the namespace {name}"))?;
    }
    let mut waiting = Waiting::new(SETTLED);
    while namespace(account, cluster).await?.is_some() {
        if !waiting.goes_on(&format!("namespace {name}"), "deleting").await {
            return Err(Error::target(format!("the namespace {name} is still there"))
                .with_help("run it again to wait on"));
        }
    }
    tracing::info!("removed the namespace {name}");
    changes.push(Change::new(Part::Namespace, name));
    Ok(())
}

/// What is gone need not be removed.
fn gone_or(asked: Result<(), Refusal>, what: impl FnOnce() -> String) -> Result<()> {
    match asked {
        Err(refusal) if refusal.is(&[NOT_THERE]) => Ok(()),
        asked => asked.map_err(|refusal| refusal.error(what())),
    }
}
