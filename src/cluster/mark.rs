//! The mark: the tag by which what was made for a cluster is known again.

use serde::Serialize;

use super::{Cluster, Size};
use crate::error::{Error, Result};

/// The tag's key.
pub(super) const KEY: &str = "sparkload";

/// Whose something is, as its tag says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Owner {
    /// It was made for the cluster.
    Sparkload,
    /// It was made by sparkload for another cluster, which the tag names.
    AnotherCluster(String),
    /// It was made by someone else.
    Foreign,
}

impl Cluster {
    /// The tag's value. It tells a cluster from a workgroup, which share the names of their roles and security groups.
    pub(super) fn mark(&self) -> String {
        match self.size {
            Size::Nodes { .. } => format!("cluster:{}", self.name),
            Size::Serverless { .. } => format!("serverless:{}", self.name),
        }
    }

    /// The owner of what has these tags.
    pub(super) fn owner<'a>(&self, tags: impl IntoIterator<Item = (&'a str, &'a str)>) -> Owner {
        match tags.into_iter().find(|(key, _)| *key == KEY) {
            Some((_, mark)) if mark == self.mark() => Owner::Sparkload,
            Some((_, mark)) => Owner::AnotherCluster(mark.to_owned()),
            None => Owner::Foreign,
        }
    }
}

impl Owner {
    /// Whether it was made for the cluster.
    pub fn is_ours(&self) -> bool {
        *self == Self::Sparkload
    }

    /// Refuses `what` if it was not made for `cluster`.
    ///
    /// # Errors
    ///
    /// It was not.
    pub(super) fn expect_ours(&self, what: &str, cluster: &Cluster) -> Result<()> {
        let error = match self {
            Self::Sparkload => return Ok(()),
            Self::AnotherCluster(mark) => {
                let (kind, _) = mark.split_once(':').unwrap_or(("", ""));
                let other_kind = format!("{kind}:{}", cluster.name) == *mark;
                let help = match (other_kind, cluster.is_serverless()) {
                    (true, false) => "it was made with --serverless: pass that",
                    (true, true) => "it was made without --serverless: leave that out",
                    (false, _) => "choose another name with --cluster-identifier or --role-name",
                };
                Error::target(format!("{what} is there already, made for {mark}")).with_help(help)
            }
            Self::Foreign => {
                let what = format!("{what} is there already, and sparkload has not made it");
                Error::target(what).with_help(format!(
                    "choose another name with --cluster-identifier or --role-name, or remove it; nothing without the \
                     tag {KEY}={} is touched",
                    cluster.mark()
                ))
            }
        };
        Err(error)
    }
}
