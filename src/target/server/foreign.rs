//! Connection strings as other programs have them, and the one that is meant.
//!
//! SQLAlchemy's URLs name a driver (`postgresql+psycopg2://`), JDBC's begin with `jdbc:`, .NET's are parted by
//! semicolons, and Prisma, Django and pools add parameters of their own. What is given back never holds a password, nor
//! what could be a piece of one in the wrong place.

use super::conninfo::{self, Parameters};
use super::parameters::find;
use crate::error::Error;

/// Schemes that mean PostgreSQL, or what speaks its protocol, to other programs.
const SCHEMES: [&str; 9] = [
    "postgres",
    "postgresql",
    "postgis",
    "pgsql",
    "psql",
    "redshift",
    "cockroachdb",
    "timescale",
    "timescaledb",
];

/// What becomes of another program's parameter.
#[derive(Clone, Copy)]
enum Meaning {
    /// It is the parameter of this name.
    Is(&'static str),
    /// It is this option of the command line.
    Option(&'static str),
    /// It tells of TLS, which its value is worked out from.
    Tls,
    /// It is a setting of the session.
    Setting,
    /// It steers a pool or a driver that isn't there.
    Nothing,
}

use Meaning::{Is, Nothing, Option as Flag, Setting, Tls};

const PARAMETERS: [(&str, Meaning); 43] = [
    ("schema", Flag("schema")),
    ("currentSchema", Flag("schema")),
    ("search_path", Flag("schema")),
    ("connection_limit", Flag("connections")),
    ("pool_max_conns", Flag("connections")),
    ("pool_size", Flag("connections")),
    ("Maximum Pool Size", Flag("connections")),
    ("pool", Flag("connections")),
    ("Server", Is("host")),
    ("Data Source", Is("host")),
    ("Database", Is("dbname")),
    ("Initial Catalog", Is("dbname")),
    ("User Id", Is("user")),
    ("User Name", Is("user")),
    ("Username", Is("user")),
    ("Uid", Is("user")),
    ("Pwd", Is("password")),
    ("ApplicationName", Is("application_name")),
    ("loginTimeout", Is("connect_timeout")),
    ("connectTimeout", Is("connect_timeout")),
    ("Timeout", Is("connect_timeout")),
    ("keepalives_retries", Is("keepalives_count")),
    ("targetServerType", Is("target_session_attrs")),
    ("Root Certificate", Is("sslrootcert")),
    ("ssl", Tls),
    ("sslaccept", Tls),
    // Of two the stronger one counts, as `sslaccept=strict` comes first.
    ("Ssl Mode", Tls),
    ("Trust Server Certificate", Nothing),
    ("pgbouncer", Nothing),
    ("pool_timeout", Nothing),
    ("pool_recycle", Nothing),
    ("pooling", Nothing),
    ("max_overflow", Nothing),
    ("conn_max_age", Nothing),
    ("socket_timeout", Nothing),
    ("socketTimeout", Nothing),
    ("statement_cache_size", Nothing),
    ("prepared_statement_cache_size", Nothing),
    ("prepareThreshold", Nothing),
    ("reWriteBatchedInserts", Nothing),
    ("statement_timeout", Setting),
    ("lock_timeout", Setting),
    ("timezone", Setting),
];

/// `Ssl Mode`, `SslMode`, `sslmode` and `ssl_mode` are one.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|it| it.to_ascii_lowercase()).collect()
}

fn meaning(keyword: &str) -> Option<Meaning> {
    let wanted = plain(keyword);
    let foreign = PARAMETERS.iter().find(|(name, _)| plain(name) == wanted);
    let ours = || super::parameters::PARAMETERS.iter().find(|it| plain(it.keyword) == wanted);
    foreign.map(|(_, meaning)| *meaning).or_else(|| ours().map(|it| Is(it.keyword)))
}

/// Whether `conninfo` is a URL, or a list with semicolons: neither is what libpq reads, where it is no `postgres://`.
pub(super) fn is_foreign(conninfo: &str) -> bool {
    // The value of a keyword may hold what looks like a URL's beginning.
    conninfo.split('=').next().is_some_and(|start| start.contains("://"))
        || pairs(conninfo).is_some()
}

/// The pairs of .NET's `Server=…;Database=…`.
fn pairs(conninfo: &str) -> Option<Parameters> {
    let (first, rest) = conninfo.split_once(';')?;
    let is_pair = |part: &str| match part.split_once('=') {
        Some((name, value)) => meaning(name).is_some() && !value.contains('='),
        None => false,
    };
    if !is_pair(first) || !rest.trim().is_empty() && !rest.split(';').any(is_pair) {
        return None;
    }
    let parts = conninfo.split(';').filter_map(|part| part.split_once('='));
    Some(parts.map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned())).collect())
}

/// What is wrong with a string that [`is_foreign`], and the right one.
pub(super) fn refused(conninfo: &str) -> Error {
    let error = Error::config("the target is not a PostgreSQL URL");
    if let Some(parameters) = pairs(conninfo) {
        return Error::config("the target is written as .NET has it")
            .with_help(advice(&parameters));
    }
    // A command line for psql, as providers show it.
    let words = conninfo.trim_start();
    if words.starts_with("psql") && words.contains(' ') {
        let url = words.split(['\'', '"', ' ']).find(|word| word.contains("://"));
        let url = url.and_then(|url| url.split_once("://")).map_or("", |(_, rest)| rest);
        return Error::config("the target is a command for psql").with_help(advice_for_url(url));
    }
    let (jdbc, url) = match conninfo.strip_prefix("jdbc:") {
        Some(url) => (true, url),
        None => (false, conninfo),
    };
    let (scheme, rest) = url.split_once("://").unwrap_or((url, ""));
    let (base, driver) = match scheme.split_once(['+', ':']) {
        Some((base, driver)) => (base, Some(driver)),
        None => (scheme, None),
    };
    if !SCHEMES.contains(&base.to_ascii_lowercase().as_str()) {
        return error.with_help(match scheme {
            "prisma" | "prisma+postgres" => {
                "Prisma's own service speaks another protocol: give the database's URL (postgres://…)"
            }
            _ => "start it with postgres:// or postgresql://, or write `host=… dbname=… user=…`",
        });
    }
    // What asks JDBC for TLS asks for all of it.
    let rest = match jdbc && !rest.contains("sslmode=") {
        true => rest.replace("ssl=true", "sslmode=verify-full"),
        false => rest.to_owned(),
    };
    let advice = advice_for_url(&rest);
    match (jdbc, driver) {
        (true, Some("iam")) => Error::config("the target is written for JDBC")
            .with_help(format!("{advice} --iam-login")),
        (true, _) => Error::config("the target is written for JDBC").with_help(advice),
        (false, Some(_)) => Error::config("the target is written for SQLAlchemy").with_help(advice),
        (false, None) => error.with_help(advice),
    }
}

/// A keyword that libpq doesn't have, among all that is told.
pub(super) fn unknown_parameter(keyword: &str, told: &Parameters) -> Error {
    // A keyword may be a piece of a password, too, but has always been shown: nothing else says what is wrong.
    let error = Error::config(format!("the target has an unknown parameter `{keyword}`"));
    if meaning(keyword).is_some() {
        return error.with_help(advice(told));
    }
    error.with_help(if plain(keyword).starts_with("ssl") {
        "docs/connecting.md lists the parameters of TLS, such as sslmode=verify-full and sslrootcert=FILE"
    } else {
        "docs/connecting.md lists the parameters there are; in a URL, write `&` inside a value as %26"
    })
}

fn advice_for_url(rest: &str) -> String {
    match conninfo::parse_url(rest) {
        Ok(parameters) => advice(&parameters),
        Err(_) => advice(&Parameters::new()),
    }
}

/// The string that is meant, and the options that belong to it.
fn advice(told: &Parameters) -> String {
    let mut ours = Parameters::new();
    let mut flags = String::new();
    for (keyword, value) in told {
        match meaning(keyword) {
            Some(Is(keyword)) => {
                ours.insert(keyword.to_owned(), value.clone());
            }
            Some(Flag(option)) if is_plain(value) => flags += &format!(" --{option} {value}"),
            Some(Tls) => {
                let mode = match plain(value).as_str() {
                    "strict" | "verifyfull" => "verify-full",
                    "verifyca" => "verify-ca",
                    "false" | "disable" => "disable",
                    "prefer" | "allow" => "prefer",
                    _ => "require",
                };
                ours.entry("sslmode".to_owned()).or_insert_with(|| mode.to_owned());
            }
            Some(Setting) if is_plain(value) => {
                let options = format!("-c%20{}%3D{value}", plain_setting(keyword));
                ours.insert("options".to_owned(), options);
            }
            Some(Flag(_) | Setting | Nothing) | None => {}
        }
    }
    match url(&ours) {
        Some(url) => format!("write {url}{flags}"),
        None => format!("write postgres://USER:…@HOST:5432/DATABASE{flags}"),
    }
}

fn plain_setting(keyword: &str) -> String {
    keyword.to_ascii_lowercase()
}

/// Whether a value can be shown, and typed as it is.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|it| it.is_ascii_alphanumeric() || "._-/%".contains(it))
}

/// The parameters that say nothing secret.
const SHOWN: [&str; 8] = [
    "sslmode",
    "sslrootcert",
    "channel_binding",
    "application_name",
    "connect_timeout",
    "options",
    "keepalives_count",
    "target_session_attrs",
];

/// The URL of `parameters` with `…` for the password; `None` where a piece of a password may stand in the wrong place.
fn url(parameters: &Parameters) -> Option<String> {
    let part = |keyword: &str| parameters.get(keyword).map_or("", String::as_str);
    let is_name = |text: &str| !text.contains(['@', '/', ':', '?', '#', ' ', '%', '&']);
    let (user, dbname) = (part("user"), part("dbname"));
    if !is_name(user) || !is_name(dbname) || part("host").is_empty() {
        return None;
    }
    let hosts: Vec<_> = part("host").split(',').collect();
    let ports: Vec<_> = part("port").split(',').collect();
    let mut places = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        let port = ports.get(index).or(ports.first()).copied().unwrap_or_default();
        // An address in brackets holds colons.
        let is_host = is_name(host) || host.parse::<std::net::IpAddr>().is_ok();
        // A password of digits could be told from a port by nothing but the user before it.
        let is_port = port.is_empty() || port.parse::<u16>().is_ok() && !user.is_empty();
        if !is_host || !is_port {
            return None;
        }
        let host = if host.contains(':') { format!("[{host}]") } else { (*host).to_owned() };
        places.push(if port.is_empty() { host } else { format!("{host}:{port}") });
    }
    let user = match (user, part("password")) {
        ("", _) => String::new(),
        (user, "") => format!("{user}@"),
        (user, _) => format!("{user}:…@"),
    };
    let shown: Vec<_> = SHOWN
        .iter()
        .filter(|keyword| find(keyword).is_some() && is_plain(part(keyword)))
        .map(|keyword| format!("{keyword}={}", part(keyword)))
        .collect();
    let query = if shown.is_empty() { String::new() } else { format!("?{}", shown.join("&")) };
    Some(format!("postgres://{user}{}/{dbname}{query}", places.join(",")))
}

#[cfg(test)]
mod tests {
    use super::super::{Defaults, Server};

    #[test]
    fn other_programs_strings_are_answered_with_the_right_one() {
        let written = |by: &str| format!("the target is written {by}");
        let unknown = |keyword: &str| format!("the target has an unknown parameter `{keyword}`");
        for (conninfo, expected, right) in [
            (
                "postgresql+psycopg2://ann:s3cret@db.example:5433/dwh?sslmode=require",
                written("for SQLAlchemy"),
                "postgres://ann:…@db.example:5433/dwh?sslmode=require",
            ),
            (
                "postgresql+asyncpg://ann:s3cret@h/dwh?ssl=verify-full&prepared_statement_cache_size=0",
                written("for SQLAlchemy"),
                "postgres://ann:…@h/dwh?sslmode=verify-full",
            ),
            (
                "redshift+redshift_connector://ann@h:5439/dev",
                written("for SQLAlchemy"),
                "postgres://ann@h:5439/dev",
            ),
            (
                "jdbc:postgresql://h:5432/dwh?user=ann&password=s3cret&ssl=true&currentSchema=mart&ApplicationName=etl",
                written("for JDBC"),
                "postgres://ann:…@h:5432/dwh?sslmode=verify-full&application_name=etl --schema mart",
            ),
            (
                "jdbc:postgresql://a,b/dwh?user=ann&targetServerType=primary",
                written("for JDBC"),
                "postgres://ann@a,b/dwh?target_session_attrs=primary",
            ),
            (
                "jdbc:redshift:iam://h:5439/dev?user=ann",
                written("for JDBC"),
                "postgres://ann@h:5439/dev --iam-login",
            ),
            (
                "postgres://ann:s3cret@h:6543/dwh?schema=mart&pgbouncer=true&connection_limit=1",
                unknown("connection_limit"),
                "postgres://ann:…@h:6543/dwh --connections 1 --schema mart",
            ),
            (
                "postgres://ann:s3cret@h/dwh?sslaccept=strict&sslmode=require",
                unknown("sslaccept"),
                "postgres://ann:…@h/dwh?sslmode=verify-full",
            ),
            (
                "postgres://ann@h/dwh?statement_timeout=5000",
                unknown("statement_timeout"),
                "postgres://ann@h/dwh?options=-c%20statement_timeout%3D5000",
            ),
            (
                "postgres://ann@h/dwh?SSLMode=require",
                unknown("SSLMode"),
                "postgres://ann@h/dwh?sslmode=require",
            ),
            (
                "host=h user=ann keepalives_retries=3",
                unknown("keepalives_retries"),
                "postgres://ann@h/?keepalives_count=3",
            ),
            (
                "Server=h.postgres.database.azure.com;Database=dwh;Port=5432;User Id=ann;Password=s3cret;Ssl Mode=Require;",
                written("as .NET has it"),
                "postgres://ann:…@h.postgres.database.azure.com:5432/dwh?sslmode=require",
            ),
            (
                "Host=h;Username=ann;Password=s3cret;Database=dwh",
                written("as .NET has it"),
                "postgres://ann:…@h/dwh",
            ),
            (
                "psql 'postgresql://ann:s3cret@ep-x.eu.aws.neon.tech/dwh?sslmode=require&channel_binding=require'",
                "the target is a command for psql".to_owned(),
                "postgres://ann:…@ep-x.eu.aws.neon.tech/dwh?sslmode=require&channel_binding=require",
            ),
            (
                "postgis://ann:s3cret@h/dwh",
                "the target is not a PostgreSQL URL".to_owned(),
                "postgres://ann:…@h/dwh",
            ),
            (
                "postgresql+psycopg2://ann:s3cret/x@h/dwh",
                written("for SQLAlchemy"),
                "postgres://USER:…@HOST:5432/DATABASE",
            ),
            (
                "postgresql+psycopg2://ann:12/s3cret@h/dwh",
                written("for SQLAlchemy"),
                "postgres://USER:…@HOST:5432/DATABASE",
            ),
            (
                "postgresql+psycopg2://ann:p@s3cret@h/dwh",
                written("for SQLAlchemy"),
                "postgres://USER:…@HOST:5432/DATABASE",
            ),
            (
                "postgresql+psycopg2://ann:s3cret%@h/dwh",
                written("for SQLAlchemy"),
                "postgres://USER:…@HOST:5432/DATABASE",
            ),
        ] {
            let error = Server::parse(conninfo, &Defaults::default()).unwrap_err();
            assert_eq!(error.to_string(), expected, "{conninfo}");
            assert_eq!(error.help(), Some(format!("write {right}").as_str()), "{conninfo}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
        for (conninfo, help) in [
            ("mysql://ann:s3cret@h/d", "postgres://"),
            ("prisma+postgres://accelerate.example/?api_key=s3cret", "Prisma"),
            ("host=h pasword=s3cret", "docs/connecting.md"),
            ("host=h sslfactory=s3cret", "sslmode=verify-full"),
        ] {
            let error = Server::parse(conninfo, &Defaults::default()).unwrap_err();
            assert!(error.help().unwrap().contains(help), "{error:?}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }
}
