//! The settings of `sparkload cluster`: what was typed, in the environment or in a file, as what it means.

use std::path::PathBuf;

use secrecy::SecretString;
use sparkload::cluster::{ADDRESS_URL, Cidr, Cluster, Size, Snapshot, Warehouse};
use sparkload::{Error, Location, Result, S3Credentials, S3Options};

use super::super::args::Output;
use super::super::cluster_args::{self as args, Action};

/// What is to be done.
pub enum Job {
    Create(Box<Create>),
    Status(Box<Status>),
    Delete(Box<Delete>),
}

pub struct Create {
    /// All but its shape.
    cluster: Cluster,
    shape: args::Shape,
    pub password: Password,
    pub allow: Allow,
    pub wait: bool,
    /// Where the endpoint is written to: the settings file in use, or a new one.
    pub settings_file: PathBuf,
    pub output: Output,
}

pub struct Status {
    pub cluster: Cluster,
    pub output: Output,
}

pub struct Delete {
    pub cluster: Cluster,
    /// `None` where it is to be asked for.
    pub snapshot: Option<Snapshot>,
    /// No need to ask.
    pub yes: bool,
    pub output: Output,
}

/// Who looks after the password of the cluster's user.
pub enum Password {
    SecretsManager,
    /// It stands in a password file, and is this one, or one that is made.
    File {
        path: PathBuf,
        given: Option<SecretString>,
    },
}

/// Who may reach the cluster.
pub enum Allow {
    Cidr(Cidr),
    /// This machine, whose address what is at the URL tells.
    ThisMachine(String),
}

/// The file that is written where none is read.
const SETTINGS_FILE: &str = "sparkload.toml";

/// Longer than any cluster takes to come up.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_secs(3600);

impl Job {
    /// Works out what the arguments mean; `settings_file` is the one that was read.
    ///
    /// # Errors
    ///
    /// One of them makes no sense.
    pub fn new(typed: args::Cluster, settings_file: Option<PathBuf>) -> Result<Self> {
        Ok(match typed.action {
            Action::Create(create) => Self::Create(Box::new(Create::new(*create, settings_file)?)),
            Action::Status(status) => {
                let args::Status { which, aws, output } = *status;
                let (cluster, output) = (named(which, aws)?, output.unwrap_or_default());
                Self::Status(Box::new(Status { cluster, output }))
            }
            Action::Delete(delete) => {
                let args::Delete { which, aws, final_snapshot, skip_final_snapshot, yes, output } =
                    *delete;
                let snapshot = match skip_final_snapshot {
                    true => Some(Snapshot::Skip),
                    false => final_snapshot.map(Snapshot::Take),
                };
                let (cluster, output) = (named(which, aws)?, output.unwrap_or_default());
                Self::Delete(Box::new(Delete { cluster, snapshot, yes, output }))
            }
        })
    }

    /// What an interruption means.
    pub fn if_interrupted(&self) -> &'static str {
        match self {
            Self::Create(_) => {
                "what was made so far is there, and may cost money: run it again to go on, or `sparkload cluster delete`"
            }
            Self::Status(_) => "there are no results",
            Self::Delete(_) => "what was removed so far is gone: run it again to go on",
        }
    }
}

impl Create {
    fn new(create: args::Create, settings_file: Option<PathBuf>) -> Result<Self> {
        let args::Create { which, shape, access, data, aws, no_wait, output } = create;
        let args::Access { allow_cidr, address_url, password_file, password, secrets_manager } =
            access;
        let stage_kms_key = data.stage_kms_key.clone();
        let (reads, stage) = places(data)?;
        if stage_kms_key.is_some() && stage.is_none() {
            return Err(Error::config("--stage-kms-key is given, and no stage")
                .with_help("name a place for staged files with --stage s3://bucket[/prefix]"));
        }
        let cluster = Cluster { reads, stage, stage_kms_key, ..named(which, aws)? };
        let password = match secrets_manager {
            true => Password::SecretsManager,
            false => Password::File {
                path: password_file.unwrap_or_else(|| format!("{}.pgpass", cluster.name).into()),
                given: password,
            },
        };
        let allow = match allow_cidr {
            Some(cidr) => Allow::Cidr(cidr.parse()?),
            None => Allow::ThisMachine(address_url.unwrap_or_else(|| ADDRESS_URL.to_owned())),
        };
        Ok(Self {
            cluster,
            shape,
            password,
            allow,
            wait: !no_wait,
            settings_file: settings_file.unwrap_or_else(|| SETTINGS_FILE.into()),
            output: output.unwrap_or_default(),
        })
    }
}

impl Create {
    /// What is looked for.
    pub fn named(&self) -> &Cluster {
        &self.cluster
    }

    /// What is to be made. What nobody has said is as it is where a cluster is `there`, and as usual where none is.
    pub fn wanted(&self, there: Option<&Warehouse>) -> Cluster {
        let Self { cluster: usual, shape, .. } = self;
        let args::Shape { node_type, nodes, base_capacity, database, user, port } = shape;
        let size = there.map_or(&usual.size, |there| &there.size);
        let size = match size {
            Size::Nodes { node_type: usual_type, count } => Size::Nodes {
                node_type: node_type.as_ref().unwrap_or(usual_type).clone(),
                count: nodes.unwrap_or(*count),
            },
            Size::Serverless { base_capacity: usual } => {
                Size::Serverless { base_capacity: base_capacity.or(*usual) }
            }
        };
        let named = |typed: &Option<String>, there: Option<&String>, usual: &str| {
            typed.as_ref().or(there).map_or_else(|| usual.to_owned(), Clone::clone)
        };
        let there_port = there.and_then(|there| there.endpoint.as_ref()).map(|it| it.port);
        Cluster {
            size,
            database: named(database, there.and_then(|it| it.database.as_ref()), &usual.database),
            user: named(user, there.and_then(|it| it.user.as_ref()), &usual.user),
            port: port.or(there_port).unwrap_or(usual.port),
            ..usual.clone()
        }
    }
}

/// The cluster that is meant, with what is usual for all that has no part in its name.
fn named(which: args::Which, aws: args::Aws) -> Result<Cluster> {
    let args::Which { cluster_identifier, serverless, role_name } = which;
    // So does Redshift with the mixed case that the old settings files have.
    let name = cluster_identifier.map_or_else(|| "sparkload".to_owned(), |it| it.to_lowercase());
    let size = match serverless {
        true => Size::Serverless { base_capacity: None },
        false => Size::Nodes { node_type: "ra3.large".to_owned(), count: 1 },
    };
    Ok(Cluster {
        role: role_name.unwrap_or_else(|| format!("{name}-redshift")),
        name,
        size,
        database: "dev".to_owned(),
        user: "sparkload".to_owned(),
        port: 5439,
        reads: Vec::new(),
        stage: None,
        stage_kms_key: None,
        aws: self::aws(aws)?,
    })
}

/// What the role may read, and what it may write.
fn places(data: args::Data) -> Result<(Vec<Location>, Option<Location>)> {
    let args::Data { source, songs, logs, stage, stage_kms_key: _ } = data;
    let base: Option<Location> = source.map(|base| base.parse()).transpose()?;
    let mut reads = Vec::new();
    for (place, name) in [(songs, "song_data"), (logs, "log_data")] {
        match (place, &base) {
            (Some(place), _) => reads.push(place.parse()?),
            (None, Some(base)) => reads.push(base.join(name)),
            (None, None) => {}
        }
    }
    let stage: Option<Location> = stage.map(|place| place.parse()).transpose()?;
    match stage {
        Some(Location::Directory(path)) => {
            Err(Error::config(format!("{} is no place in S3", path.display()))
                .with_help("name one that loads may put files into: --stage s3://bucket/prefix"))
        }
        stage => Ok((reads, stage)),
    }
}

fn aws(aws: args::Aws) -> Result<S3Options> {
    let args::Aws { region, profile, endpoint_url, access_key_id, secret_access_key } = aws;
    let credentials = match (access_key_id, secret_access_key) {
        // What is said about a call goes before keys that lie in a file.
        _ if profile.is_some() => None,
        (None, None) => None,
        (Some(access_key_id), Some(secret_access_key)) => {
            Some(S3Credentials { access_key_id, secret_access_key })
        }
        _ => {
            return Err(Error::config("of a pair of AWS keys only one half is given").with_help(
                "set access-key-id and secret-access-key (KEY and SECRET in dwh.cfg), or neither",
            ));
        }
    };
    Ok(S3Options { region, profile, endpoint_url, credentials, ..S3Options::default() })
}
