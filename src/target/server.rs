//! A PostgreSQL server: where it is and how to log in.

mod connect;
mod conninfo;
mod defaults;
mod key;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use tokio_postgres_rustls::MakeRustlsConnect;

use self::conninfo::Parameters;
pub use self::defaults::Defaults;
pub(super) use self::key::process;
use super::tls::{self, Identity, Roots, SslMode};
use crate::dialect::Dialect;
use crate::error::{Error, Result};
#[cfg(feature = "cluster")]
use crate::source::S3Options;

/// libpq waits for ever; a load that nobody watches should fail while someone still remembers it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A peer that is gone is noticed in 90 seconds: by probes while nothing is sent (six, ten seconds apart, after 30 of
/// silence), else by what it does not acknowledge. The probes also keep firewalls and load balancers from dropping a
/// connection that is silent for a few minutes (AWS: 350 s), as it is while an index is built.
const KEEPALIVES: [(&str, &str); 3] =
    [("keepalives_idle", "30"), ("keepalives_interval", "10"), ("keepalives_retries", "6")];
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(90);

/// Where a socket is by default: PostgreSQL as distributions build it, then as its own source does.
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

const DEFAULT_PORT: u16 = 5432;

/// The parameters that tokio-postgres understands by itself and that need nothing from us.
const SESSION: [&str; 11] = [
    "user",
    "dbname",
    "options",
    "application_name",
    "sslnegotiation",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
];

/// A PostgreSQL server to log in to: its addresses in the order they are tried, user, database and TLS.
///
/// Neither `Debug` nor `Display` ever shows a password.
#[derive(Clone)]
pub struct Server {
    addresses: Vec<Address>,
    /// Tries the addresses from a random one on.
    balance: bool,
    user: String,
    dbname: String,
    /// All else that goes into each connection; holds neither an address nor a password.
    session: Box<tokio_postgres::Config>,
    password: Option<SecretString>,
    passfile: Option<PathBuf>,
    sslmode: SslMode,
    /// `None` with `sslmode=disable`.
    tls: Option<MakeRustlsConnect>,
    timeout: Option<Duration>,
    dialect: Option<Dialect>,
    /// How to reach the AWS that gives a password for each connection.
    #[cfg(feature = "cluster")]
    iam: Option<Box<S3Options>>,
}

/// One place to find the server at.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Address {
    /// The directory of a Unix socket, and the port in the socket's name.
    Socket(PathBuf, u16),
    /// A host's name or address, the address to use without asking for the name's, and the port.
    Tcp(String, Option<IpAddr>, u16),
}

impl Server {
    /// Reads a URL (`postgres://user@host:5432/dbname?sslmode=require`) or libpq's keywords and values
    /// (`host=… dbname=…`); what it leaves open comes from `defaults`, then from libpq's own defaults.
    ///
    /// Understood are host, hostaddr, port (each a list, too), user, password, dbname, passfile, options,
    /// application_name, connect_timeout (10 seconds; 0 waits for ever), sslmode, sslrootcert (a PEM file, or
    /// `system`), sslcert, sslkey, sslnegotiation, channel_binding, target_session_attrs,
    /// load_balance_hosts, the keepalives and tcp_user_timeout (milliseconds; 90,000 unless told otherwise).
    ///
    /// # Errors
    ///
    /// A malformed string, an unknown parameter or an impossible value, and certificate files that can't
    /// be read.
    pub fn parse(conninfo: &str, defaults: &Defaults) -> Result<Self> {
        let mut parameters = conninfo::parse(conninfo)?;
        let mut take = |keyword: &str| {
            let default = || defaults.variable(keyword).map(str::to_owned);
            parameters.remove(keyword).or_else(default)
        };

        let addresses = addresses(take("host"), take("hostaddr"), take("port"))?;
        let user = take("user").or_else(|| defaults.user.clone()).ok_or_else(|| {
            Error::config("no user to log in as is given")
                .with_help("name one: postgres://USER@host/dbname, or set PGUSER")
        })?;
        let dbname = take("dbname").unwrap_or_else(|| user.clone());
        let password = take("password").map(SecretString::from);
        let passfile = match take("passfile") {
            Some(path) => Some(PathBuf::from(path)),
            None => defaults.home_file(".pgpass"),
        };
        let timeout = match take("connect_timeout") {
            None => Some(CONNECT_TIMEOUT),
            Some(text) => {
                let seconds: i64 = text.parse().map_err(|_| invalid("connect_timeout"))?;
                u64::try_from(seconds).ok().filter(|&it| it > 0).map(Duration::from_secs)
            }
        };
        let balance = match take("load_balance_hosts").as_deref() {
            None | Some("disable") => false,
            Some("random") => true,
            Some(_) => return Err(invalid("load_balance_hosts")),
        };

        let sslmode = take("sslmode").map(|name| SslMode::parse(&name)).transpose()?;
        let roots = take("sslrootcert").map(|path| match path.as_str() {
            "system" => Roots::Platform,
            path => Roots::File(path.into()),
        });
        let sslmode = sslmode_or_default(sslmode, roots.as_ref())?;
        let roots = roots.or_else(|| defaults.home_file(".postgresql/root.crt").map(Roots::File));
        let identity = identity(take("sslcert"), take("sslkey"), defaults)?;

        let tcp_user_timeout = match take("tcp_user_timeout") {
            None => Some(TCP_USER_TIMEOUT),
            Some(text) => milliseconds(&text).ok_or_else(|| invalid("tcp_user_timeout"))?,
        };

        let mut session: Parameters =
            SESSION.iter().filter_map(|&key| Some((key.to_owned(), take(key)?))).collect();
        if let Some(unknown) = parameters.into_keys().next() {
            return Err(Error::config(format!("the target has an unknown parameter `{unknown}`"))
                .with_help("remove it; in a URL, write `&` inside a value as %26"));
        }
        session.insert("user".to_owned(), user.clone());
        session.insert("dbname".to_owned(), dbname.clone());
        session.entry("application_name".to_owned()).or_insert_with(|| "sparkload".to_owned());
        for (keyword, default) in KEEPALIVES {
            session.entry(keyword.to_owned()).or_insert_with(|| default.to_owned());
        }
        let direct = session.get("sslnegotiation").is_some_and(|how| how == "direct");

        let mut session = Box::new(self::session(&session)?);
        if let Some(timeout) = tcp_user_timeout {
            session.tcp_user_timeout(timeout);
        }

        Ok(Self {
            addresses,
            balance,
            user,
            dbname,
            session,
            password,
            passfile,
            sslmode,
            tls: tls::connector(sslmode, roots.as_ref(), identity.as_ref(), direct)?,
            timeout,
            dialect: None,
            #[cfg(feature = "cluster")]
            iam: None,
        })
    }

    /// Has IAM give a password for each connection, instead of knowing one: the host is an endpoint of Redshift, which
    /// names the cluster and its region.
    #[cfg(feature = "cluster")]
    pub fn with_iam_login(self, aws: S3Options) -> Self {
        Self { iam: Some(Box::new(aws)), ..self }
    }

    /// The server with a user and a password that IAM gives.
    #[cfg(feature = "cluster")]
    async fn logging_in_by_iam(&self, aws: &S3Options) -> Result<Self> {
        let host = self.addresses.iter().find_map(|address| match address {
            Address::Tcp(host, ..) => Some(host.as_str()),
            Address::Socket(..) => None,
        });
        let Self { user, dbname, .. } = self;
        let given =
            crate::cluster::credentials(host.unwrap_or_default(), user, dbname, aws).await?;
        let mut server = Self { iam: None, ..self.clone() };
        server.session.user(&given.user);
        Ok(Self { user: given.user, password: Some(given.password), ..server })
    }

    /// Takes the server for one of this dialect, which otherwise it is asked for.
    pub fn with_dialect(self, dialect: Dialect) -> Self {
        Self { dialect: Some(dialect), ..self }
    }

    pub(crate) fn dialect(&self) -> Option<Dialect> {
        self.dialect
    }

    /// Whether nobody between can read what is sent: it is encrypted, or stays on this machine.
    pub(crate) fn is_private(&self) -> bool {
        let is_here = |address: &Address| match address {
            Address::Socket(..) => true,
            Address::Tcp(_, Some(address), _) => address.is_loopback(),
            Address::Tcp(host, None, _) => {
                host == "localhost" || host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
            }
        };
        matches!(self.sslmode, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull)
            || self.addresses.iter().all(is_here)
    }
}

/// Pairs up the lists of hosts, addresses and ports.
fn addresses(
    hosts: Option<String>,
    hostaddrs: Option<String>,
    ports: Option<String>,
) -> Result<Vec<Address>> {
    let list = |text: &Option<String>| -> Vec<String> {
        text.iter().flat_map(|text| text.split(',')).map(|part| part.trim().to_owned()).collect()
    };
    let (mut hosts, hostaddrs, ports) = (list(&hosts), list(&hostaddrs), list(&ports));
    if hosts.is_empty() && hostaddrs.is_empty() {
        hosts = vec![String::new()];
    }
    let count = hosts.len().max(hostaddrs.len());
    if !hosts.is_empty() && !hostaddrs.is_empty() && hosts.len() != hostaddrs.len() {
        return Err(Error::config("`host` and `hostaddr` do not name equally many servers")
            .with_help("give one address for each host, or leave `hostaddr` out"));
    }
    if ports.len() > 1 && ports.len() != count {
        return Err(Error::config("`host` and `port` do not name equally many servers")
            .with_help("give one port for all hosts, or one for each"));
    }

    let mut addresses = Vec::with_capacity(count);
    for index in 0..count {
        let port = match ports.get(index).or_else(|| ports.first()).map(String::as_str) {
            None | Some("") => DEFAULT_PORT,
            Some(port) => port.parse().ok().filter(|&port| port > 0).ok_or_else(|| {
                invalid("port").with_help(
                    "give a number from 1 to 65535; in a URL, write `:` and `/` in a password as %3A and %2F",
                )
            })?,
        };
        let ip = match hostaddrs.get(index).map(String::as_str) {
            None | Some("") => None,
            Some(ip) => Some(ip.parse::<IpAddr>().map_err(|_| invalid("hostaddr"))?),
        };
        let host = hosts.get(index).map_or("", String::as_str);
        if host.contains('@') {
            return Err(
                invalid("host").with_help("in a URL, write `@` in a user or password as %40")
            );
        }
        addresses.push(match (host, ip) {
            ("", Some(ip)) => Address::Tcp(ip.to_string(), Some(ip), port),
            ("", None) => default_address(port),
            (host, None) if host.starts_with('/') => Address::Socket(host.into(), port),
            (host, ip) => Address::Tcp(host.to_owned(), ip, port),
        });
    }
    Ok(addresses)
}

fn default_address(port: u16) -> Address {
    let name = format!(".s.PGSQL.{port}");
    let mut directories = SOCKET_DIRECTORIES.iter().map(Path::new);
    match directories.find(|directory| cfg!(unix) && directory.join(&name).exists()) {
        Some(directory) => Address::Socket(directory.to_owned(), port),
        None => Address::Tcp("localhost".to_owned(), None, port),
    }
}

/// Trusting the platform's roots without checking the name would trust the whole Internet, so that libpq
/// demands `verify-full` with `sslrootcert=system`, and makes it the default.
fn sslmode_or_default(mode: Option<SslMode>, roots: Option<&Roots>) -> Result<SslMode> {
    match (mode, roots) {
        (None | Some(SslMode::VerifyFull), Some(Roots::Platform)) => Ok(SslMode::VerifyFull),
        (Some(_), Some(Roots::Platform)) => {
            Err(Error::config("`sslrootcert=system` needs more than this `sslmode`")
                .with_help("use sslmode=verify-full, or name a PEM file with `sslrootcert`"))
        }
        (mode, _) => Ok(mode.unwrap_or(SslMode::Prefer)),
    }
}

fn identity(
    certificate: Option<String>,
    key: Option<String>,
    defaults: &Defaults,
) -> Result<Option<Identity>> {
    let certificate =
        certificate.map(PathBuf::from).or_else(|| defaults.home_file(".postgresql/postgresql.crt"));
    let key = key.map(PathBuf::from).or_else(|| defaults.home_file(".postgresql/postgresql.key"));
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(Identity { certificate, key })),
        (None, _) => Ok(None),
        (Some(_), None) => Err(Error::config("`sslcert` is given without `sslkey`")
            .with_help("name the certificate's private key with `sslkey`")),
    }
}

/// A time as libpq counts it, where 0 and less leave it to the system; `None` if it is no number.
fn milliseconds(text: &str) -> Option<Option<Duration>> {
    let milliseconds: i64 = text.trim().parse().ok()?;
    Some(u64::try_from(milliseconds).ok().filter(|&it| it > 0).map(Duration::from_millis))
}

/// Lets tokio-postgres read the parameters that are its own, one by one to know which it refuses.
fn session(parameters: &Parameters) -> Result<tokio_postgres::Config> {
    let mut all = String::new();
    for (keyword, value) in parameters {
        let pair = format!("{keyword}='{}' ", value.replace('\\', r"\\").replace('\'', r"\'"));
        pair.parse::<tokio_postgres::Config>().map_err(|_| invalid(keyword))?;
        all += &pair;
    }
    all.parse().map_err(|error| Error::config("the target can't be understood").because(error))
}

/// Never shows the value: it may be a piece of a password in the wrong place.
fn invalid(keyword: &str) -> Error {
    Error::config(format!("`{keyword}` of the target has an invalid value"))
        .with_help(format!("correct `{keyword}` in the connection string or its PG* variable"))
}

/// The server as a URL without secrets, for messages.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, dbname, addresses, .. } = self;
        if let [Address::Socket(directory, port)] = addresses.as_slice() {
            let directory = directory.display();
            return write!(f, "postgres://{user}@/{dbname}?host={directory}&port={port}");
        }
        let places: Vec<_> = addresses.iter().map(Address::to_string).collect();
        write!(f, "postgres://{user}@{}/{dbname}", places.join(","))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self}, sslmode {:?})", self.sslmode)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(directory, port) => write!(f, "{}:{port}", directory.display()),
            Self::Tcp(host, _, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, _, port) => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn defaults(variables: &[(&str, &str)]) -> Defaults {
        Defaults {
            variables: variables.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
            user: Some("os".to_owned()),
            home: None,
        }
    }

    #[test]
    fn a_parameter_wins_over_its_variable_and_that_over_the_built_in() {
        type Variables<'a> = &'a [(&'a str, &'a str)];
        let cases: &[(&str, Variables<'_>, &str)] = &[
            ("host=h", &[], "postgres://os@h:5432/os"),
            ("postgres://ann@h", &[], "postgres://ann@h:5432/ann"),
            ("postgres://ann:pw@h:1/d", &[("PGHOST", "no")], "postgres://ann@h:1/d"),
            ("", &[("PGHOST", "e"), ("PGPORT", "7")], "postgres://os@e:7/os"),
            ("postgres://h/d", &[("PGPORT", "7"), ("PGUSER", "bob")], "postgres://bob@h:7/d"),
            ("host=h", &[("PGDATABASE", "d")], "postgres://os@h:5432/d"),
            ("host=h", &[("PGDATABASE", "")], "postgres://os@h:5432/os"),
            ("host=a,b port=1,2", &[], "postgres://os@a:1,b:2/os"),
            ("postgres://a,b:2/d", &[], "postgres://os@a:5432,b:2/d"),
            ("host=a,b port=9", &[], "postgres://os@a:9,b:9/os"),
            ("hostaddr=::1", &[], "postgres://os@[::1]:5432/os"),
            ("host=/run/pg dbname=d", &[], "postgres://os@/d?host=/run/pg&port=5432"),
            ("postgres://u@%2Frun%2Fpg/d", &[], "postgres://u@/d?host=/run/pg&port=5432"),
        ];
        for (conninfo, variables, expected) in cases {
            let server = Server::parse(conninfo, &defaults(variables)).unwrap();
            assert_eq!(server.to_string(), *expected, "{conninfo}");
        }
    }

    #[test]
    fn what_goes_into_a_session() {
        let with_defaults = Server::parse("host=h", &defaults(&[])).unwrap();
        assert_eq!(with_defaults.session.get_application_name(), Some("sparkload"));
        let seconds = Duration::from_secs;
        assert_eq!(with_defaults.session.get_keepalives_idle(), seconds(30));
        assert_eq!(with_defaults.session.get_keepalives_interval(), Some(seconds(10)));
        assert_eq!(with_defaults.session.get_keepalives_retries(), Some(6));
        assert_eq!(with_defaults.session.get_tcp_user_timeout(), Some(&seconds(90)));
        assert_eq!(with_defaults.session.get_options(), None);
        assert_eq!(with_defaults.timeout, Some(CONNECT_TIMEOUT));
        assert_eq!(with_defaults.sslmode, SslMode::Prefer);
        assert!(with_defaults.password.is_none());

        let told = "host=h application_name='it''s' connect_timeout=0 sslmode=disable password=p";
        let told = told.replace("''", r"\'");
        let told = Server::parse(&told, &defaults(&[("PGOPTIONS", "-c a=b")])).unwrap();
        assert_eq!(told.session.get_application_name(), Some("it's"));
        assert_eq!(told.session.get_options(), Some("-c a=b"));
        assert_eq!(told.timeout, None);
        assert_eq!(told.password.unwrap().expose_secret(), "p");
        assert!(told.tls.is_none());
    }

    #[test]
    fn a_user_timeout_is_in_milliseconds_as_libpq_has_it() {
        for (value, expected) in [
            ("15000", Some(Duration::from_secs(15))),
            (" 1 ", Some(Duration::from_millis(1))),
            ("0", None),
            ("-1", None),
        ] {
            let told = format!("host=h tcp_user_timeout='{value}'");
            let server = Server::parse(&told, &defaults(&[])).unwrap();
            assert_eq!(server.session.get_tcp_user_timeout(), expected.as_ref(), "{value}");
        }
    }

    #[test]
    fn no_password_is_ever_shown() {
        let variables = defaults(&[("PGPASSWORD", "s3cret")]);
        for conninfo in ["postgres://u:s3cret@h/d", "host=h password=s3cret", "host=h"] {
            let server = Server::parse(conninfo, &variables).unwrap();
            assert!(!format!("{server} {server:?} {variables:?}").contains("s3cret"));
        }
    }

    #[test]
    fn impossible_settings_are_refused_without_showing_secrets() {
        for (conninfo, expected) in [
            ("host=h pasword=s3cret", "the target has an unknown parameter `pasword`"),
            ("postgres://u:s3/cret@h/d", "`port` of the target has an invalid value"),
            ("postgres://u:p@s3cret@h/d", "`host` of the target has an invalid value"),
            ("host=h port=s3cret", "`port` of the target has an invalid value"),
            ("host=h port=0", "`port` of the target has an invalid value"),
            ("host=a,b port=1,2,3", "`host` and `port` do not name equally many servers"),
            ("host=a,b hostaddr=::1", "`host` and `hostaddr` do not name equally many servers"),
            ("hostaddr=s3cret", "`hostaddr` of the target has an invalid value"),
            ("host=h sslmode=s3cret", "`sslmode` has a value that does not exist"),
            ("host=h tcp_user_timeout=9s", "`tcp_user_timeout` of the target has an invalid value"),
            ("host=h connect_timeout=x", "`connect_timeout` of the target has an invalid value"),
            ("host=h channel_binding=x", "`channel_binding` of the target has an invalid value"),
            ("host=h sslcert=/c.pem", "`sslcert` is given without `sslkey`"),
            (
                "host=h sslrootcert=system sslmode=require",
                "`sslrootcert=system` needs more than this `sslmode`",
            ),
            (
                "host=h sslmode=verify-ca sslrootcert=/nowhere/ca.pem",
                "`sslrootcert` /nowhere/ca.pem can't be read",
            ),
        ] {
            let error = Server::parse(conninfo, &defaults(&[])).unwrap_err();
            assert_eq!(error.to_string(), expected, "{conninfo}");
            assert!(error.help().is_some(), "{conninfo}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
        let nobody = Server::parse("host=h", &Defaults::default()).unwrap_err();
        assert_eq!(nobody.to_string(), "no user to log in as is given");
    }
}
