//! The security group of a cluster: one of its own, in the default VPC, which lets one range of addresses in.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::account::Account;
use super::address::Cidr;
use super::ec2::{Done, List, Parameter};
use super::mark::{self, Owner};
use super::refusal::Refusal;
use super::warehouse::Waiting;
use super::{Change, Cluster, Part};
use crate::error::{Error, Result};

/// How the rules that sparkload makes are known among those that were added by hand.
const OURS: &str = "made by sparkload";

/// The network interfaces of a cluster that is gone hold the group for a while.
const RELEASED: Duration = Duration::from_secs(600);

/// A security group.
#[derive(Debug, Clone, Serialize)]
pub struct SecurityGroup {
    /// Its name, and that of the cluster's own.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Who made it.
    pub owner: Owner,
    /// Whom it lets in.
    pub rules: Vec<Rule>,
}

/// A range of addresses that a group lets in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// The addresses, as EC2 writes them.
    pub cidr: String,
    /// The first port; `None` for all of them.
    pub port: Option<u16>,
    /// Whether sparkload has made it.
    pub ours: bool,
}

/// The security group of `cluster`, if one of that name is there.
pub(super) async fn look(account: &Account, cluster: &Cluster) -> Result<Option<SecurityGroup>> {
    let name = cluster.security_group();
    let can_not =
        |refusal: Refusal| refusal.error(format!("can't look for the security group {name}"));
    let Some(vpc) = default_vpc(account).await.map_err(can_not)? else { return Ok(None) };
    let filters = filters(&[("group-name", &name), ("vpc-id", &vpc)]);
    let answer: Groups =
        account.ec2.ask("DescribeSecurityGroups", &filters).await.map_err(can_not)?;
    let found = answer.groups.into_iter().next();
    Ok(found.map(|group| {
        let tags: Vec<_> = group.tags.into_iter().collect();
        let tags = tags.iter().map(|tag| (tag.key.as_str(), tag.value.as_str()));
        let owner = cluster.owner(tags);
        let rules = group.permissions.into_iter().flat_map(Permission::rules).collect();
        SecurityGroup { name: name.clone(), id: group.id, owner, rules }
    }))
}

/// Makes what is missing of the group that was `found`, so that it lets in `allow` alone, and gives its id.
pub(super) async fn make(
    account: &Account,
    cluster: &Cluster,
    found: Option<&SecurityGroup>,
    allow: Cidr,
    changes: &mut Vec<Change>,
) -> Result<String> {
    let name = cluster.security_group();
    let id = match found {
        Some(group) => group.id.clone(),
        None => {
            let id = create(account, cluster, &name).await?;
            tracing::info!("made the security group {name} ({id})");
            changes.push(Change::new(Part::SecurityGroup, &name));
            id
        }
    };
    let rules = found.map_or(&[][..], |group| &group.rules);
    let wanted = Rule { cidr: allow.to_string(), port: Some(cluster.port), ours: true };
    let is_wanted = |rule: &&Rule| rule.cidr == wanted.cidr && rule.port == wanted.port;
    if !rules.iter().any(|rule| is_wanted(&rule)) {
        if allow.is_everyone() {
            tracing::warn!("everyone in the internet will reach the port of {}", cluster.called());
        }
        let parameters = rule_parameters(&id, &wanted, true);
        let asked = account.ec2.ask::<Done>("AuthorizeSecurityGroupIngress", &parameters).await;
        asked.map_err(|refusal| refusal.error(format!("can't let {allow} in at {name}")))?;
        tracing::info!("{allow} may reach port {}", cluster.port);
        changes.push(Change::new(Part::Access, &wanted.cidr));
    }
    // An address that was one's own may be anyone's by now.
    for rule in rules.iter().filter(|rule| rule.ours && !is_wanted(rule)) {
        let parameters = rule_parameters(&id, rule, false);
        let asked = account.ec2.ask::<Done>("RevokeSecurityGroupIngress", &parameters).await;
        asked
            .map_err(|refusal| refusal.error(format!("can't shut {} out of {name}", rule.cidr)))?;
        tracing::info!("{} may not reach the cluster any more", rule.cidr);
        changes.push(Change::new(Part::Access, format!("no longer {}", rule.cidr)));
    }
    Ok(id)
}

async fn create(account: &Account, cluster: &Cluster, name: &str) -> Result<String> {
    let can_not = |refusal: Refusal| refusal.error(format!("can't make the security group {name}"));
    let vpc = default_vpc(account).await.map_err(can_not)?.ok_or_else(|| {
        Error::target("there is no default VPC in this region to put a cluster into").with_help(
            "make one with `aws ec2 create-default-vpc`, or choose another region with --region",
        )
    })?;
    let parameters = [
        ("GroupName", name),
        ("GroupDescription", &format!("Who may reach {}", cluster.called())),
        ("VpcId", &vpc),
        ("TagSpecification.1.ResourceType", "security-group"),
        ("TagSpecification.1.Tag.1.Key", mark::KEY),
        ("TagSpecification.1.Tag.1.Value", &cluster.mark()),
    ];
    let parameters: Vec<_> = parameters.into_iter().map(parameter).collect();
    let made: Made = account.ec2.ask("CreateSecurityGroup", &parameters).await.map_err(can_not)?;
    Ok(made.id)
}

/// Removes the group, as soon as nothing uses it any more.
pub(super) async fn remove(
    account: &Account,
    group: &SecurityGroup,
    changes: &mut Vec<Change>,
) -> Result<()> {
    let parameters = [parameter(("GroupId", &group.id))];
    let mut waiting = Waiting::new(RELEASED);
    loop {
        let asked = account.ec2.ask::<Done>("DeleteSecurityGroup", &parameters).await;
        let Err(refusal) = asked else { break };
        if refusal.is(&["InvalidGroup.NotFound"]) {
            return Ok(());
        }
        let what = format!("security group {}", group.name);
        if !refusal.is(&["DependencyViolation"]) || !waiting.goes_on(&what, "in use").await {
            return Err(refusal.error(format!("can't remove the {what}")));
        }
    }
    tracing::info!("removed the security group {}", group.name);
    changes.push(Change::new(Part::SecurityGroup, &group.name));
    Ok(())
}

/// The VPC that clusters are put into if nothing else is said.
async fn default_vpc(account: &Account) -> Result<Option<String>, Refusal> {
    let answer: Vpcs = account.ec2.ask("DescribeVpcs", &filters(&[("is-default", "true")])).await?;
    Ok(answer.vpcs.into_iter().next().map(|vpc| vpc.id))
}

fn parameter((name, value): (&str, &str)) -> Parameter {
    (name.to_owned(), value.to_owned())
}

fn filters(filters: &[(&str, &str)]) -> Vec<Parameter> {
    let numbered = filters.iter().zip(1..);
    let parameters = numbered.flat_map(|((name, value), number)| {
        [
            (format!("Filter.{number}.Name"), (*name).to_owned()),
            (format!("Filter.{number}.Value.1"), (*value).to_owned()),
        ]
    });
    parameters.collect()
}

/// What says which rule is meant, and, of one that is to be made, that it is ours.
fn rule_parameters(group: &str, rule: &Rule, describe: bool) -> Vec<Parameter> {
    let port = rule.port.unwrap_or_default().to_string();
    let (ranges, cidr) = match rule.cidr.contains(':') {
        false => ("IpRanges", "CidrIp"),
        true => ("Ipv6Ranges", "CidrIpv6"),
    };
    let range = format!("IpPermissions.1.{ranges}.1");
    let mut parameters = vec![
        parameter(("GroupId", group)),
        parameter(("IpPermissions.1.IpProtocol", "tcp")),
        parameter(("IpPermissions.1.FromPort", &port)),
        parameter(("IpPermissions.1.ToPort", &port)),
        parameter((&format!("{range}.{cidr}"), &rule.cidr)),
    ];
    if describe {
        parameters.push(parameter((&format!("{range}.Description"), OURS)));
    }
    parameters
}

#[derive(Debug, Deserialize)]
struct Vpcs {
    #[serde(rename = "vpcSet", default)]
    vpcs: List<Vpc>,
}

#[derive(Debug, Deserialize)]
struct Vpc {
    #[serde(rename = "vpcId")]
    id: String,
}

#[derive(Debug, Deserialize)]
struct Made {
    #[serde(rename = "groupId")]
    id: String,
}

#[derive(Debug, Deserialize)]
struct Groups {
    #[serde(rename = "securityGroupInfo", default)]
    groups: List<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    #[serde(rename = "groupId")]
    id: String,
    #[serde(rename = "tagSet", default)]
    tags: List<Tag>,
    #[serde(rename = "ipPermissions", default)]
    permissions: List<Permission>,
}

#[derive(Debug, Deserialize)]
struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

#[derive(Debug, Deserialize)]
struct Permission {
    #[serde(rename = "fromPort")]
    port: Option<i32>,
    #[serde(rename = "ipRanges", default)]
    ranges: List<Range>,
    #[serde(rename = "ipv6Ranges", default)]
    ipv6_ranges: List<Range>,
}

#[derive(Debug, Deserialize)]
struct Range {
    #[serde(rename = "cidrIp", alias = "cidrIpv6")]
    cidr: String,
    description: Option<String>,
}

impl Permission {
    fn rules(self) -> impl Iterator<Item = Rule> {
        // -1 stands for all ports.
        let port = self.port.and_then(|port| port.try_into().ok());
        self.ranges.into_iter().chain(self.ipv6_ranges).map(move |Range { cidr, description }| {
            Rule { cidr, port, ours: description.as_deref() == Some(OURS) }
        })
    }
}
