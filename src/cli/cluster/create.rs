//! `sparkload cluster create`: makes a cluster, keeps its password, and takes down where it is.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::SecretString;
use serde_json::json;
use sparkload::Result;
use sparkload::cluster::{self, Cluster, Created, Endpoint, Login, Opening, Status, Warehouse};

use super::super::args::Output;
use super::super::failure::Failure;
use super::super::output;
use super::password_file::PasswordFile;
use super::settings::{Allow, Create, PATIENCE, Password};
use super::settings_file::Place;

pub async fn run(job: Create) -> Result<ExitCode, Failure> {
    let there = cluster::status(job.named()).await?;
    let cluster = job.wanted(there.cluster.as_ref());
    let Create { password, allow, wait, settings_file, output, .. } = job;
    there.expect_ours(&cluster)?;
    cluster.check(there.cluster.as_ref())?;
    let allow = match allow {
        Allow::Cidr(cidr) => cidr,
        Allow::ThisMachine(url) => {
            let address = cluster::own_address(&url).await?;
            tracing::info!("this machine's address is {address}, says {url}");
            address
        }
    };
    let mut kept = Kept::new(password, &cluster, &there)?;

    let opening = Opening { login: kept.login(), allow, wait: wait.then_some(PATIENCE) };
    let created = cluster::create(&cluster, &opening).await?;

    let found = &created.status.cluster;
    let mut taken_down = None;
    if let Some(found) = found
        && let Some(endpoint) = &found.endpoint
    {
        kept.tell(&cluster, endpoint)?;
        let place = Place {
            host: &endpoint.host,
            target: target(&cluster, found, endpoint, kept.path())?,
            role: &created.role,
            stage: cluster.stage.as_ref().map(ToString::to_string),
        };
        taken_down = Some(place.write(&settings_file)?);
    }

    if output == Output::Json {
        output::json(&json!({
            "changes": created.changes,
            "role": created.role,
            "status": created.status,
            "password_file": kept.path(),
            "settings_file": taken_down.map(|_| &settings_file),
            "settings_changed": taken_down == Some(true),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    tell(&cluster, &created, &kept, taken_down.map(|changed| (settings_file.as_path(), changed)))?;
    Ok(ExitCode::SUCCESS)
}

/// Where the password is.
enum Kept {
    SecretsManager,
    File(PasswordFile, SecretString),
    /// The cluster was made with one that is nowhere to be found here.
    Unknown,
}

impl Kept {
    /// Makes sure that there is a password, and that it is in its file before anything is made with it.
    fn new(password: Password, cluster: &Cluster, there: &Status) -> Result<Self> {
        let there = there.cluster.as_ref();
        let Password::File { path, given } = password else { return Ok(Self::SecretsManager) };
        if there.is_some_and(|there| there.secret.is_some()) {
            return Ok(Self::SecretsManager);
        }
        let mut file = PasswordFile::open(&path)?;
        let password = match given.or_else(|| file.find(cluster)) {
            Some(password) => {
                cluster::check_password(&password)?;
                password
            }
            None if there.is_some() => return Ok(Self::Unknown),
            None => cluster::new_password()?,
        };
        let host = there.and_then(|found| found.endpoint.as_ref());
        file.keep(cluster, host.map(|endpoint| endpoint.host.as_str()), &password)?;
        Ok(Self::File(file, password))
    }

    fn login(&self) -> Option<Login> {
        match self {
            Self::SecretsManager => Some(Login::SecretsManager),
            Self::File(_, password) => Some(Login::Password(password.clone())),
            Self::Unknown => None,
        }
    }

    /// Tells the file where the password is for.
    fn tell(&mut self, cluster: &Cluster, endpoint: &Endpoint) -> Result<()> {
        match self {
            Self::File(file, password) => file.keep(cluster, Some(&endpoint.host), password),
            Self::SecretsManager | Self::Unknown => Ok(()),
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::File(file, _) => Some(file.path()),
            Self::SecretsManager | Self::Unknown => None,
        }
    }
}

/// Everything but what a URL may hold as it is.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// The target that a load into the cluster names: all but the password.
fn target(
    cluster: &Cluster,
    found: &Warehouse,
    endpoint: &Endpoint,
    password_file: Option<&Path>,
) -> io::Result<String> {
    let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let user = encoded(found.user.as_ref().unwrap_or(&cluster.user));
    let database = encoded(found.database.as_ref().unwrap_or(&cluster.database));
    // Amazon's certificates are signed by an authority that systems trust.
    let mut target = format!("postgres://{user}@{endpoint}/{database}?sslmode=verify-full");
    if let Some(path) = password_file {
        // A load may run in another folder.
        let path = std::path::absolute(path)?;
        target += &format!("&passfile={}", encoded(&path.to_string_lossy()));
    }
    Ok(target)
}

fn tell(
    cluster: &Cluster,
    created: &Created,
    kept: &Kept,
    taken_down: Option<(&Path, bool)>,
) -> io::Result<()> {
    let Created { changes, role: _, status } = created;
    let name = &cluster.name;
    let mut out = io::stdout().lock();
    if changes.is_empty() {
        writeln!(out, "Nothing to do: {name} is there, with all that it needs.")?;
    } else {
        writeln!(out, "Made for {name}:")?;
        for change in changes {
            writeln!(out, "  {:<16}{}", change.part.to_string(), change.name)?;
        }
    }
    let found = status.cluster.as_ref();
    match found.and_then(|found| found.endpoint.as_ref()) {
        Some(endpoint) => writeln!(out, "It listens at {endpoint}.")?,
        None => {
            let state = found.map_or("not there", |found| &found.state);
            writeln!(
                out,
                "It is {state}; run this again to have it written into the settings file."
            )?;
        }
    }
    match kept {
        Kept::File(file, _) => {
            writeln!(out, "The password of {} is in {}.", cluster.user, file.path().display())?;
        }
        Kept::SecretsManager => {
            let secret = found.and_then(|found| found.secret.as_deref());
            let secret = secret.map_or_else(String::new, |secret| format!(", in {secret}"));
            writeln!(out, "AWS Secrets Manager has the password of {}{secret}.", cluster.user)?;
        }
        Kept::Unknown => {
            writeln!(
                out,
                "The password of {} is not known here: it was made elsewhere.",
                cluster.user
            )?;
        }
    }
    if let (Some(stage), Some(key)) = (&cluster.stage, &cluster.stage_kms_key) {
        writeln!(
            out,
            "Who loads through {stage} needs kms:GenerateDataKey and kms:Decrypt on {key}."
        )?;
    }
    match taken_down {
        Some((path, true)) => {
            writeln!(out, "{} names the cluster and its role now.", path.display())?;
        }
        Some((path, false)) => writeln!(out, "{} names them already.", path.display())?,
        None => {}
    }
    Ok(())
}
