//! A Redshift cluster to load into: made, looked at, and removed again, with the role and the network access it needs.
//!
//! [`create`] looks for each part and makes those that are missing, in the order of [`Part`], so that a creation which
//! failed half-way is completed by another one, and one that was completed changes nothing. Whatever it makes bears a
//! tag; [`create`] refuses to go on beside parts of the same names without it, and [`delete`] leaves them alone.
//!
//! A cluster is one of [`Size::Nodes`], or a namespace and a workgroup of Redshift Serverless.

mod account;
mod address;
mod create;
mod credentials;
mod delete;
mod ec2;
mod http;
mod mark;
mod nodes;
mod password;
mod policy;
mod refusal;
mod role;
mod security_group;
mod serverless;
mod status;
mod token;
mod warehouse;

use std::fmt;

use secrecy::SecretString;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::source::{Location, S3Options};

pub use address::{ADDRESS_URL, Cidr, own_address};
pub use create::{Created, Opening, create};
pub use credentials::{Credentials, credentials};
pub use delete::{Deleted, Snapshot, delete};
pub use mark::Owner;
pub use password::{check_password, new_password};
pub use role::Role;
pub use security_group::{Rule, SecurityGroup};
pub use status::{Status, status};
pub(crate) use token::RdsEndpoint;
pub use warehouse::{Endpoint, Warehouse};

/// What a cluster is, or is to be.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its identifier, or the name of both the namespace and the workgroup.
    pub name: String,
    /// How large it is.
    pub size: Size,
    /// The database that is made with it.
    pub database: String,
    /// The user that is made with it, who may do everything.
    pub user: String,
    /// Where it listens.
    pub port: u16,
    /// The name of the role that it acts in.
    pub role: String,
    /// What the role may read. Directories are nothing to it.
    pub reads: Vec<Location>,
    /// What the role may read and write.
    pub stage: Option<Location>,
    /// The KMS key that encrypts the files of the stage, if one is named: its ARN, its id, or `alias/NAME`.
    pub stage_kms_key: Option<String>,
    /// How the account is reached.
    pub aws: S3Options,
}

/// What a cluster consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Size {
    /// Nodes that run until they are removed.
    Nodes {
        /// A type of Redshift's, such as `ra3.large`.
        node_type: String,
        #[serde(rename = "nodes")]
        /// How many; one makes a cluster of a single node.
        count: u32,
    },
    /// Redshift Serverless.
    Serverless {
        /// In Redshift's processing units; Redshift's own default where it is not given.
        base_capacity: Option<u32>,
    },
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nodes { node_type, count: 1 } => write!(f, "1 node of {node_type}"),
            Self::Nodes { node_type, count } => write!(f, "{count} nodes of {node_type}"),
            Self::Serverless { base_capacity: Some(capacity) } => write!(f, "{capacity} RPUs"),
            Self::Serverless { base_capacity: None } => f.write_str("Redshift's own capacity"),
        }
    }
}

/// How the user that is made with a cluster logs in.
#[derive(Debug, Clone)]
pub enum Login {
    /// With this password.
    Password(SecretString),
    /// With one that Redshift makes, and keeps and renews in AWS Secrets Manager.
    SecretsManager,
}

/// What is made for a cluster, in the order of making.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The role, and who may act in it.
    Role,
    /// What may be done in the role.
    Permissions,
    /// The security group, without rules.
    SecurityGroup,
    /// The rule of the group that lets an address in.
    Access,
    /// The namespace of Redshift Serverless, which holds the data.
    Namespace,
    /// The cluster, or the workgroup of Redshift Serverless.
    Cluster,
    /// The role and the security group at a cluster that was there without them.
    Attachment,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Role => "role",
            Self::Permissions => "permissions",
            Self::SecurityGroup => "security group",
            Self::Access => "access",
            Self::Namespace => "namespace",
            Self::Cluster => "cluster",
            Self::Attachment => "attachment",
        })
    }
}

/// A part that was made, mended or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Which part.
    pub part: Part,
    /// What it is called, or what it says.
    pub name: String,
}

impl Change {
    fn new(part: Part, name: impl Into<String>) -> Self {
        Self { part, name: name.into() }
    }
}

impl Cluster {
    /// The name of the security group that is made for it.
    pub fn security_group(&self) -> String {
        format!("{}-redshift", self.name)
    }

    /// Checks that Redshift would make this cluster, unless it is `there` already. Nothing is asked of AWS.
    ///
    /// # Errors
    ///
    /// Its name, its node type or its port is none that Redshift takes for a new one.
    pub fn check(&self, there: Option<&Warehouse>) -> Result<()> {
        self.check_name()?;
        match there {
            Some(_) => Ok(()),
            None => self.check_node_type().and_then(|()| self.check_port()),
        }
    }

    /// Nodes of the older types can't be created any more:
    /// <https://docs.aws.amazon.com/redshift/latest/mgmt/working-with-clusters.html>.
    fn check_node_type(&self) -> Result<()> {
        let Size::Nodes { node_type, .. } = &self.size else { return Ok(()) };
        let family = node_type.to_lowercase();
        if !family.starts_with("dc") && !family.starts_with("ds") {
            return Ok(());
        }
        Err(Error::config(format!("Redshift makes no clusters of {node_type} any more")).with_help(
            "take --node-type ra3.large (DWH_NODE_TYPE in dwh.cfg) or --serverless; their prices differ from those of \
             dc and ds nodes, so look at https://aws.amazon.com/redshift/pricing/ first",
        ))
    }

    /// The ports of clusters of RA3 nodes, and of workgroups:
    /// <https://docs.aws.amazon.com/redshift/latest/APIReference/API_CreateCluster.html>,
    /// <https://docs.aws.amazon.com/redshift-serverless/latest/APIReference/API_CreateWorkgroup.html>.
    fn check_port(&self) -> Result<()> {
        match self.port {
            5431..=5455 | 8191..=8215 => Ok(()),
            port => Err(Error::config(format!("a cluster can't listen at port {port}")).with_help(
                "take one from 5431 to 5455 or from 8191 to 8215: --port (DWH_PORT or DB_PORT in dwh.cfg)",
            )),
        }
    }

    /// Checks the name by Redshift's rules, before parts are made that would be of no use:
    /// <https://docs.aws.amazon.com/redshift/latest/APIReference/API_CreateCluster.html>,
    /// <https://docs.aws.amazon.com/redshift-serverless/latest/APIReference/API_CreateNamespace.html>.
    fn check_name(&self) -> Result<()> {
        let Self { name, size, .. } = self;
        let shortest = match size {
            Size::Nodes { .. } => 1,
            Size::Serverless { .. } => 3,
        };
        let chars = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '-';
        let good = (shortest..=63).contains(&name.len())
            && name.starts_with(|char: char| char.is_ascii_lowercase())
            && name.chars().all(chars)
            && !name.ends_with('-')
            && !name.contains("--");
        match good {
            true => Ok(()),
            false => Err(Error::config(format!("a cluster can't be called {name:?}")).with_help(
                "take 3 to 63 small letters, digits and hyphens, a letter first, no hyphen last and no two together",
            )),
        }
    }

    fn is_serverless(&self) -> bool {
        matches!(self.size, Size::Serverless { .. })
    }

    /// What it is called in messages.
    fn called(&self) -> String {
        match self.size {
            Size::Nodes { .. } => format!("cluster {}", self.name),
            Size::Serverless { .. } => format!("workgroup {}", self.name),
        }
    }
}
