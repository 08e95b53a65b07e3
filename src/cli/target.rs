//! The target: where the tables are, told from a word, the environment, or nothing at all.

use std::path::PathBuf;

use sparkload::{Defaults, Dialect, Error, Result, Server};

use super::layers::Environment;
use super::options;

/// libpq's variables that name a server by themselves.
const NAMING: [&str; 4] = ["PGHOST", "PGHOSTADDR", "PGSERVICE", "PGDATABASE"];

/// The embedded database that is used when nothing names a target.
const DEFAULT_TARGET: &str = "./sparkload.db";

/// Where the tables are.
pub struct Target {
    pub database: sparkload::Target,
    pub schema: String,
}

impl Target {
    pub fn new(target: options::Target, environment: &Environment) -> Result<Self> {
        let options::Target { database, schema } = target;
        let database = named(database, environment)?.unwrap_or_else(usual);
        Ok(Self { database, schema: schema.unwrap_or_else(|| "public".to_owned()) })
    }
}

impl Target {
    /// The target, if it is to be asked something: an embedded database that isn't there is not made for that.
    pub fn existing(self) -> Result<Self> {
        match &self.database {
            sparkload::Target::Embedded(path) if !path.exists() => {
                Err(Error::config(format!("there is no database {}", path.display()))
                    .with_help("run `sparkload load` first, or name a server with --target"))
            }
            _ => Ok(self),
        }
    }
}

/// The server that only the environment names, and what of it does.
pub fn named_by_environment(target: Option<&str>, environment: &Environment) -> Option<String> {
    let is_set = |name: &&str| environment.get(*name).is_some_and(|value| !value.is_empty());
    match target {
        Some(target) => {
            const OURS: &str = "SPARKLOAD_TARGET";
            (environment.get(OURS).map(String::as_str) == Some(target)).then(|| OURS.to_owned())
        }
        None => {
            let names: Vec<_> = NAMING.into_iter().filter(is_set).collect();
            (!names.is_empty()).then(|| names.join(", "))
        }
    }
}

/// The embedded database that is meant where nothing names a target.
pub fn usual() -> sparkload::Target {
    sparkload::Target::Embedded(DEFAULT_TARGET.into())
}

/// The target that is named, if one is. Tells a server from a directory.
///
/// A lone word could be either (for psql it is a database, for a shell a directory), so that it is neither.
pub fn named(
    database: options::Database,
    environment: &Environment,
) -> Result<Option<sparkload::Target>> {
    let is_set = |name: &str| environment.get(name).is_some_and(|value| !value.is_empty());
    let options::Database { target, dialect, iam_login } = database;
    let server = |conninfo: &str| {
        let server = Server::parse(conninfo, &defaults(environment))?;
        let server = match dialect {
            None => server,
            Some(options::Dialect::Postgres) => server.with_dialect(Dialect::Postgres),
            Some(options::Dialect::Redshift) => server.with_dialect(Dialect::Redshift),
        };
        let server = if iam_login { by_iam(server)? } else { server };
        Ok(Some(sparkload::Target::Postgres(server)))
    };
    let embedded = |path: &str| Ok(Some(sparkload::Target::Embedded(PathBuf::from(path))));
    let Some(target) = target else {
        let named = NAMING.into_iter().any(is_set);
        return if named { server("") } else { Ok(None) };
    };
    if let Some(path) = target.strip_prefix("embedded:").filter(|path| !path.is_empty()) {
        return embedded(path);
    }
    let path_like =
        target.contains(['/', '\\']) || target.starts_with('.') || target.ends_with(".db");
    match &*target {
        target if target.contains("://") => server(target),
        // A password may hold any character, a path with `=` can be written as embedded:PATH.
        target if target.contains('=') => server(target),
        target if path_like => embedded(target),
        _ => Err(Error::config("the target is neither a server nor a directory").with_help(
            "write postgres://user@host/db or dbname=… for a server, ./name for the embedded PostgreSQL",
        )),
    }
}

/// The target with the account that its objects are read by, where it is logged in to by IAM.
#[cfg(feature = "cluster")]
pub fn in_account(
    database: sparkload::Target,
    iam_login: bool,
    s3: &sparkload::S3Options,
) -> sparkload::Target {
    match database {
        sparkload::Target::Postgres(server) if iam_login => {
            let aws = sparkload::S3Options {
                region: s3.region.clone(),
                profile: s3.profile.clone(),
                credentials: s3.credentials.clone(),
                ..sparkload::S3Options::default()
            };
            sparkload::Target::Postgres(server.with_iam_login(aws))
        }
        database => database,
    }
}

#[cfg(not(feature = "cluster"))]
pub fn in_account(
    database: sparkload::Target,
    _: bool,
    _: &sparkload::S3Options,
) -> sparkload::Target {
    database
}

/// libpq's variables for a session's parameters, and what the server calls these.
const PARAMETERS: [(&str, &str); 2] = [("PGTZ", "TimeZone"), ("PGDATESTYLE", "DateStyle")];

/// What the environment says of a session in which somebody reads values; a load's are the same for everybody.
pub fn session_parameters(environment: &Environment) -> Vec<(String, String)> {
    let set = |&(variable, name): &(&str, &str)| {
        let value = environment.get(variable).filter(|value| !value.is_empty())?;
        Some((name.to_owned(), value.clone()))
    };
    PARAMETERS.iter().filter_map(set).collect()
}

#[cfg(feature = "cluster")]
fn by_iam(server: Server) -> Result<Server> {
    Ok(server.with_iam_login(sparkload::S3Options::default()))
}

#[cfg(not(feature = "cluster"))]
fn by_iam(_: Server) -> Result<Server> {
    Err(Error::config("this build of sparkload logs in to nothing by IAM")
        .with_help("build it with the feature `cluster`, or give a password"))
}

fn defaults(environment: &Environment) -> Defaults {
    Defaults {
        variables: environment.clone(),
        user: whoami::username().ok(),
        home: std::env::home_dir(),
    }
}
