//! What the data is in: a cluster of nodes, or a namespace and a workgroup of Redshift Serverless.

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::account::Account;
use super::mark::Owner;
use super::refusal::Refusal;
use super::{Change, Cluster, Login, Size, Snapshot, nodes, serverless};
use crate::error::{Error, Result};

/// A cluster that is there.
#[derive(Debug, Clone, Serialize)]
pub struct Warehouse {
    /// Who made it.
    pub owner: Owner,
    /// Redshift's word for what it is doing, such as `available` or `creating`.
    pub state: String,
    #[serde(skip)]
    pub(super) condition: Condition,
    /// Where it is reached, as soon as it can be.
    pub endpoint: Option<Endpoint>,
    /// How large it is.
    #[serde(flatten)]
    pub size: Size,
    /// The database that was made with it.
    pub database: Option<String>,
    /// The user that was made with it.
    pub user: Option<String>,
    /// The ARNs of the roles that it may act in.
    pub roles: Vec<String>,
    /// The ids of its security groups.
    pub security_groups: Vec<String>,
    /// The ARN of the secret that holds the user's password, if Redshift looks after that.
    pub secret: Option<String>,
}

/// Where a cluster is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Endpoint {
    /// The name of the host.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What a state means to who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// It can be used.
    Ready,
    /// It will be of use in a while.
    Changing,
    /// It will be gone in a while.
    Leaving,
    /// Nothing gets better by waiting.
    Stuck,
}

/// The cluster of that name, if there is one.
pub(super) async fn look(account: &Account, cluster: &Cluster) -> Result<Option<Warehouse>> {
    match cluster.size {
        Size::Nodes { .. } => nodes::look(account, cluster).await,
        Size::Serverless { .. } => serverless::look(account, cluster).await,
    }
}

/// Where a cluster is put, and what it may act as.
pub(super) struct Place<'a> {
    pub role: &'a str,
    pub security_group: &'a str,
    /// Made so lately that Redshift may not know it yet.
    pub new_role: bool,
}

/// Redshift may take a minute until it knows a role that was just made.
const ROLE_KNOWN: Duration = Duration::from_secs(120);

/// The state of such a role.
const NOT_KNOWN: &str = "not known to Redshift yet";

impl Place<'_> {
    /// Asks for something that is to act in the role, again as long as Redshift does not know a new one.
    pub async fn until_role_is_known<T, F>(
        &self,
        cluster: &Cluster,
        ask: impl Fn() -> F,
    ) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, Refusal>>,
    {
        let mut waiting = Waiting::new(ROLE_KNOWN);
        loop {
            let refusal = match ask().await {
                Ok(made) => return Ok(made),
                Err(refusal) => refusal,
            };
            let early = self.new_role && is_about_a_role(&refusal);
            if !early || !waiting.goes_on(&format!("role {}", cluster.role), NOT_KNOWN).await {
                return Err(refusal);
            }
        }
    }
}

/// Whether it is the role that Redshift doesn't like.
fn is_about_a_role(refusal: &Refusal) -> bool {
    refusal.code.is_some() && refusal.message.to_lowercase().contains("role")
}

/// Makes what is missing of it.
pub(super) async fn make(
    account: &Account,
    cluster: &Cluster,
    login: Option<&Login>,
    place: &Place<'_>,
    changes: &mut Vec<Change>,
) -> Result<()> {
    match cluster.size {
        Size::Nodes { .. } => nodes::make(account, cluster, login, place, changes).await,
        Size::Serverless { .. } => serverless::make(account, cluster, login, place, changes).await,
    }
}

/// Removes it, and waits until it is gone.
pub(super) async fn remove(
    account: &Account,
    cluster: &Cluster,
    snapshot: &Snapshot,
    changes: &mut Vec<Change>,
) -> Result<()> {
    match cluster.size {
        Size::Nodes { .. } => nodes::remove(account, cluster, snapshot, changes).await,
        Size::Serverless { .. } => serverless::remove(account, cluster, snapshot, changes).await,
    }
}

/// Waits until the cluster can be used, at most so long.
pub(super) async fn wait(account: &Account, cluster: &Cluster, most: Duration) -> Result<()> {
    let mut waiting = Waiting::new(most);
    loop {
        let found = look(account, cluster).await?;
        let state = found.as_ref().map_or("not there", |it| it.state.as_str());
        match found.as_ref().map(|it| it.condition) {
            // Without an endpoint nobody can use it.
            Some(Condition::Ready) if found.as_ref().is_some_and(|it| it.endpoint.is_some()) => {
                return Ok(());
            }
            Some(Condition::Ready | Condition::Changing) => {}
            Some(Condition::Leaving) => {
                let what = format!("{} is being deleted", cluster.called());
                return Err(Error::target(what).with_help("run it again when it is gone"));
            }
            Some(Condition::Stuck) | None => {
                let what = format!("{} is {state}", cluster.called());
                return Err(Error::target(what).with_help(
                    "see what AWS's console says about it; as soon as it is available run this again",
                ));
            }
        }
        if !waiting.goes_on(&cluster.called(), state).await {
            let what = format!("{} is still {state}", cluster.called());
            return Err(Error::target(what).with_help("run it again to wait on"));
        }
    }
}

/// Someone who looks again and again, and says what there is to see.
pub(super) struct Waiting {
    since: Instant,
    most: Duration,
    looked: u32,
    said: Option<(String, Instant)>,
}

/// The first pause; each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// A cluster takes minutes to come or go.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Who waits wants to see now and then that it goes on.
const SAY_AGAIN: Duration = Duration::from_secs(60);

impl Waiting {
    pub fn new(most: Duration) -> Self {
        Self { since: Instant::now(), most, looked: 0, said: None }
    }

    /// Says what the state of `what` is, and pauses; `false` where all patience is gone.
    pub async fn goes_on(&mut self, what: &str, state: &str) -> bool {
        let elapsed = self.since.elapsed();
        let news =
            self.said.as_ref().is_none_or(|(said, at)| said != state || at.elapsed() > SAY_AGAIN);
        if news {
            tracing::info!("waiting for {what}: {state} ({} s)", elapsed.as_secs());
            self.said = Some((state.to_owned(), Instant::now()));
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.looked.min(8)).min(LONGEST_PAUSE);
        self.looked += 1;
        if elapsed + pause > self.most {
            return false;
        }
        sleep(pause).await;
        true
    }
}
