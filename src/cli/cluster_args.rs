//! The arguments of `sparkload cluster`, as they are typed; `settings` says what they mean.

use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand};
use secrecy::SecretString;

use super::args::Output;

#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cluster {
    #[command(subcommand)]
    pub action: Action,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// Make a cluster with a role and a security group, or what is missing of them
    Create(Box<Create>),
    /// Show what is there of a cluster
    Status(Box<Status>),
    /// Remove a cluster and all that was made with it
    Delete(Box<Delete>),
}

#[derive(Debug, Args)]
pub struct Create {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub shape: Shape,
    #[command(flatten)]
    pub access: Access,
    #[command(flatten)]
    pub data: Data,
    #[command(flatten)]
    pub aws: Aws,

    /// Don't wait until the cluster can be used; run it again to have it written into the settings file
    #[arg(long, help_heading = "Cluster", value_parser = BoolishValueParser::new())]
    pub no_wait: bool,

    /// How the result is written [default: table]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Output")]
    pub output: Option<Output>,
}

#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub aws: Aws,

    /// How the result is written [default: table]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Output")]
    pub output: Option<Output>,
}

#[derive(Debug, Args)]
pub struct Delete {
    #[command(flatten)]
    pub which: Which,
    #[command(flatten)]
    pub aws: Aws,

    /// Keep the data in a snapshot of this name, which costs money as long as it is there
    #[arg(long, value_name = "NAME", help_heading = "Data")]
    pub final_snapshot: Option<String>,

    /// Keep nothing of the data
    #[arg(long, conflicts_with = "final_snapshot", help_heading = "Data")]
    pub skip_final_snapshot: bool,

    /// Don't ask
    #[arg(long, short, help_heading = "Data")]
    pub yes: bool,

    /// How the result is written [default: table]
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "Output")]
    pub output: Option<Output>,
}

/// Which cluster is meant.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub struct Which {
    /// The name of the cluster, or of the workgroup and its namespace [default: sparkload]
    #[arg(long, value_name = "NAME")]
    pub cluster_identifier: Option<String>,

    /// Redshift Serverless: a workgroup instead of a cluster of nodes
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub serverless: bool,

    /// The role that the cluster acts in [default: NAME-redshift]
    #[arg(long, value_name = "NAME")]
    pub role_name: Option<String>,
}

/// What it is like.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub struct Shape {
    /// The type of the nodes [default: ra3.large]
    #[arg(long, value_name = "TYPE", conflicts_with = "serverless")]
    pub node_type: Option<String>,

    /// How many nodes there are [default: 1]
    #[arg(long, value_name = "COUNT", conflicts_with = "serverless", value_parser = clap::value_parser!(u32).range(1..))]
    pub nodes: Option<u32>,

    /// The capacity of a workgroup, in Redshift's processing units [default: Redshift's]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub base_capacity: Option<u32>,

    /// The database that is made with it [default: dev]
    ///
    /// In the environment and in files it is called cluster-database; so are --user, --port and the password.
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,

    /// The user that is made with it [default: sparkload]
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,

    /// Where it listens [default: 5439]
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
}

/// Who may get at it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Access")]
pub struct Access {
    /// Who may reach it: an address, or a range of them [default: this machine's]
    #[arg(long, value_name = "CIDR")]
    pub allow_cidr: Option<String>,

    /// What is asked for this machine's address, if nothing else says it [default: https://checkip.amazonaws.com]
    #[arg(long, value_name = "URL", hide_short_help = true)]
    pub address_url: Option<String>,

    /// The file that the user's password is kept in, in the form of ~/.pgpass [default: NAME.pgpass]
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,

    /// A password to take instead of one that is made; for settings files, as others may see what is typed
    #[arg(long, value_name = "PASSWORD", hide = true)]
    pub password: Option<SecretString>,

    /// Let Redshift keep the user's password in AWS Secrets Manager
    #[arg(long, value_parser = BoolishValueParser::new())]
    pub secrets_manager: bool,
}

/// What its role may get at.
#[derive(Debug, Args)]
#[command(next_help_heading = "Role")]
pub struct Data {
    /// What holds song_data and log_data, for the role to read them: s3://bucket[/prefix]
    #[arg(long, value_name = "BASE")]
    pub source: Option<String>,

    /// Where the songs are, if not in BASE/song_data
    #[arg(long, value_name = "PLACE")]
    pub songs: Option<String>,

    /// Where the logs are, if not in BASE/log_data
    #[arg(long, value_name = "PLACE")]
    pub logs: Option<String>,

    /// Where loads may put files, for the role to read and write there: s3://bucket/prefix
    #[arg(long, value_name = "PLACE")]
    pub stage: Option<String>,

    /// The KMS key that encrypts the files there, for the role to decrypt them: its ARN, its id, or alias/NAME
    #[arg(long, value_name = "KEY")]
    pub stage_kms_key: Option<String>,
}

/// How the account is reached.
#[derive(Debug, Args)]
#[command(next_help_heading = "AWS")]
pub struct Aws {
    /// The region of the cluster
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,

    /// The profile of the AWS configuration to use
    #[arg(long, value_name = "NAME")]
    pub profile: Option<String>,

    /// Another AWS than Amazon's
    #[arg(long, value_name = "URL", hide_short_help = true)]
    pub endpoint_url: Option<String>,

    /// The public half of a pair of keys; for settings files, as others may see what is typed
    #[arg(long, value_name = "ID", hide = true)]
    pub access_key_id: Option<String>,

    /// The secret half
    #[arg(long, value_name = "KEY", hide = true)]
    pub secret_access_key: Option<SecretString>,
}
