//! A PostgreSQL server: where it is and how to log in.

mod address;
mod connect;
mod conninfo;
mod defaults;
mod encryption;
mod failure;
mod foreign;
#[cfg(feature = "cluster")]
mod iam;
mod key;
mod parameters;
mod peer;
mod service;
mod session_attrs;
mod wire;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use self::address::{Address, addresses};
pub use self::defaults::Defaults;
pub(in crate::target) use self::failure::Tried;
pub(super) use self::key::process;
use self::parameters::Given;
use self::peer::Peer;
use self::session_attrs::SessionAttrs;
use self::wire::Methods;
pub(in crate::target) use self::wire::Refusal;
use super::Interrupt;
use super::tls::{SslMode, Tls};
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
    [("keepalives_idle", "30"), ("keepalives_interval", "10"), ("keepalives_count", "6")];
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(90);

/// The parameters that tokio-postgres understands by itself, and what it calls them.
const SESSION: [(&str, &str); 7] = [
    ("options", "options"),
    ("application_name", "application_name"),
    ("keepalives", "keepalives"),
    ("keepalives_idle", "keepalives_idle"),
    ("keepalives_interval", "keepalives_interval"),
    ("keepalives_count", "keepalives_retries"),
    ("channel_binding", "channel_binding"),
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
    tls: Option<Tls>,
    /// TLS begins without a question.
    direct: bool,
    /// The ways to log in that the server may ask for, if not all.
    methods: Option<Methods>,
    /// Whom a server on a Unix socket must run as.
    peer: Option<Box<Peer>>,
    wanted: SessionAttrs,
    timeout: Option<Duration>,
    /// What is told of this server and left aside.
    notes: Box<[String]>,
    dialect: Option<Dialect>,
    interrupt: Option<Interrupt>,
    /// How to reach the AWS that gives a password for each connection.
    #[cfg(feature = "cluster")]
    iam: Option<Box<S3Options>>,
}

impl Server {
    /// Reads a URL (`postgres://user@host:5432/dbname?sslmode=require`) or libpq's keywords and values
    /// (`host=… dbname=…`); what it leaves open comes from the service that it names, from `defaults`, then from libpq's
    /// own defaults.
    ///
    /// Understood are the parameters that libpq has, of which `docs/connecting.md` says what each means here.
    ///
    /// # Errors
    ///
    /// A malformed string or service file, an unknown parameter or an impossible value, one that asks for protection
    /// which can't be had, and certificate files that can't be read.
    pub fn parse(conninfo: &str, defaults: &Defaults) -> Result<Self> {
        let given = Given::gather(conninfo, defaults)?;
        let addresses = addresses(&given)?;
        let user = given.get("user").or(defaults.user.as_deref()).ok_or_else(|| {
            Error::config("no user to log in as is given")
                .with_help("name one: postgres://USER@host/dbname, or set PGUSER")
        })?;
        let dbname = given.get("dbname").unwrap_or(user);
        let passfile = match given.get("passfile") {
            Some(path) => Some(PathBuf::from(path)),
            None => defaults.home_file(".pgpass"),
        };
        let timeout = given.read("connect_timeout", |text| {
            let seconds: i64 = text.trim().parse().ok()?;
            Some(u64::try_from(seconds).ok().filter(|&it| it > 0).map(Duration::from_secs))
        })?;
        let balance = given.read("load_balance_hosts", |how| match how {
            "disable" => Some(false),
            "random" => Some(true),
            _ => None,
        })?;
        let methods = given.read("require_auth", Methods::parse)?;
        if methods.is_some_and(Methods::is_hopeless) {
            return Err(Error::config("`require_auth` allows no way to log in that there is here")
                .with_help("allow scram-sha-256, md5, password or none"));
        }
        let peer = match given.get("requirepeer") {
            Some(name) if addresses.iter().any(|it| matches!(it, Address::Socket(..))) => {
                Some(Box::new(Peer::named(name)?))
            }
            _ => None,
        };
        let wanted = given.read("target_session_attrs", SessionAttrs::parse)?;
        let demands = encryption::demands(&given, defaults, &addresses)?;
        Ok(Self {
            addresses,
            balance: balance.unwrap_or(false),
            user: user.to_owned(),
            dbname: dbname.to_owned(),
            session: Box::new(session(&given, user, dbname)?),
            password: given.get("password").map(SecretString::from),
            passfile,
            sslmode: demands.mode,
            tls: Tls::new(&demands)?,
            direct: demands.direct,
            methods,
            peer,
            wanted: wanted.unwrap_or(SessionAttrs::Any),
            timeout: timeout.unwrap_or(Some(CONNECT_TIMEOUT)),
            notes: given.notes.into(),
            dialect: None,
            interrupt: None,
            #[cfg(feature = "cluster")]
            iam: None,
        })
    }

    /// Takes the server for one of this dialect, which otherwise it is asked for.
    pub fn with_dialect(self, dialect: Dialect) -> Self {
        Self { dialect: Some(dialect), ..self }
    }

    /// What its connection string and the variables say and is left aside, with the reasons.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Lets `interrupt` stop what its connections do.
    pub(super) fn interruptible(self, interrupt: &Interrupt) -> Self {
        Self { interrupt: Some(interrupt.clone()), ..self }
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

/// A time as libpq counts it, where 0 and less leave it to the system; `None` if it is no number.
fn milliseconds(text: &str) -> Option<Option<Duration>> {
    let milliseconds: i64 = text.trim().parse().ok()?;
    Some(u64::try_from(milliseconds).ok().filter(|&it| it > 0).map(Duration::from_millis))
}

/// What tokio-postgres makes of the parameters that are its own.
fn session(given: &Given, user: &str, dbname: &str) -> Result<tokio_postgres::Config> {
    let mut all = String::new();
    for (keyword, name) in SESSION {
        let usual = KEEPALIVES.iter().find(|(of, _)| *of == keyword).map(|(_, value)| *value);
        let Some(value) = given.get(keyword).or(usual) else { continue };
        let pair = format!("{name}='{}' ", value.replace('\\', r"\\").replace('\'', r"\'"));
        // Read one by one, to know which it refuses.
        pair.parse::<tokio_postgres::Config>().map_err(|_| given.invalid(keyword))?;
        all += &pair;
    }
    let mut session: tokio_postgres::Config = all
        .parse()
        .map_err(|error| Error::config("the target can't be understood").because(error))?;
    session.user(user).dbname(dbname);
    if session.get_application_name().is_none() {
        session.application_name(given.get("fallback_application_name").unwrap_or("sparkload"));
    }
    if let Some(timeout) =
        given.read("tcp_user_timeout", milliseconds)?.unwrap_or(Some(TCP_USER_TIMEOUT))
    {
        session.tcp_user_timeout(timeout);
    }
    Ok(session)
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
