//! The parameters of a connection: what each means here, and where one comes from that the string doesn't give.
//!
//! PostgreSQL 18's manual, "Parameter Key Words", "Environment Variables" and "The Connection Service File" of libpq.
//! docs/connecting.md shows this table.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::defaults::Defaults;
use super::{conninfo, foreign, service};
use crate::error::{Error, Result};

/// A parameter that libpq has.
pub(super) struct Parameter {
    pub keyword: &'static str,
    /// The environment variable that gives it where nothing else does.
    pub variable: Option<&'static str>,
    duty: Duty,
}

/// What is done with a parameter.
enum Duty {
    /// It is honoured.
    Read(&'static str),
    /// It takes nothing away that would protect anyone, and is left aside for this reason: without a word if its value is
    /// one of these.
    Idle(&'static [&'static str], &'static str),
    /// It can't be honoured for this reason, unless its value is one of these; what to do instead.
    Only(&'static [&'static str], &'static str, &'static str),
}

use Duty::{Idle, Only, Read};

/// Those that libpq has, in the order of its manual.
pub(super) const PARAMETERS: [Parameter; 52] = [
    of(
        "host",
        "PGHOST",
        Read(
            "the server's name or address, or the directory of its Unix socket; several, parted by commas, are tried in \
             turn",
        ),
    ),
    of(
        "hostaddr",
        "PGHOSTADDR",
        Read("the address, where `host` is not to be looked up; a list, too"),
    ),
    of("port", "PGPORT", Read("5432 unless given; one for all hosts or one for each")),
    of("dbname", "PGDATABASE", Read("the user's name unless given")),
    of("user", "PGUSER", Read("the operating system's user unless given")),
    of("password", "PGPASSWORD", Read("better kept in the password file")),
    of(
        "passfile",
        "PGPASSFILE",
        Read("the password file: `~/.pgpass`, which nobody else may read"),
    ),
    of(
        "require_auth",
        "PGREQUIREAUTH",
        Read(
            "the ways to log in that the server may ask for: `password`, `md5`, `scram-sha-256`, `none`; or with `!` before \
             each those that it may not. Another one ends the connection before a password is sent",
        ),
    ),
    of(
        "channel_binding",
        "PGCHANNELBINDING",
        Read(
            "`require` logs in only where the server proves to be the one that TLS was made with; `prefer`, `disable`",
        ),
    ),
    of(
        "connect_timeout",
        "PGCONNECT_TIMEOUT",
        Read("seconds for each attempt to connect; 10 unless given, 0 waits for ever"),
    ),
    of(
        "client_encoding",
        "PGCLIENTENCODING",
        Idle(&["auto", "utf8", "utf-8", "unicode"], "what is sent and received is UTF-8"),
    ),
    of("options", "PGOPTIONS", Read("settings of the session, such as `-c statement_timeout=0`")),
    of("application_name", "PGAPPNAME", Read("`sparkload` unless given")),
    only_given("fallback_application_name", Read("the name where `application_name` gives none")),
    only_given("keepalives", Read("0 turns TCP's keepalives off")),
    only_given(
        "keepalives_idle",
        Read("seconds of silence until the first keepalive; 30 unless given"),
    ),
    only_given("keepalives_interval", Read("seconds between two of them; 10 unless given")),
    only_given(
        "keepalives_count",
        Read("how many of them may stay without an answer; 6 unless given"),
    ),
    only_given(
        "tcp_user_timeout",
        Read(
            "milliseconds that what was sent may stay without an acknowledgement; 90000 unless given, 0 leaves it to the system",
        ),
    ),
    only_given(
        "replication",
        Only(
            &["0", "false", "off", "no"],
            "a load needs a session of its own kind, and not one for replication",
            "leave it out",
        ),
    ),
    of(
        "gssencmode",
        "PGGSSENCMODE",
        Only(
            &["disable", "prefer"],
            "nothing here encrypts by GSSAPI",
            "demand TLS instead (gssencmode=prefer and sslmode=verify-full)",
        ),
    ),
    of(
        "sslmode",
        "PGSSLMODE",
        Read("`disable`, `allow`, `prefer` unless given, `require`, `verify-ca`, `verify-full`"),
    ),
    of(
        "requiressl",
        "PGREQUIRESSL",
        Read("1 is the older way to say `sslmode=require`, and gives way to `sslmode`"),
    ),
    of(
        "sslnegotiation",
        "PGSSLNEGOTIATION",
        Read("`postgres`, or `direct`, which demands `sslmode=require` or more"),
    ),
    of(
        "sslcompression",
        "PGSSLCOMPRESSION",
        Idle(&["0"], "nothing is compressed, which is what is safe"),
    ),
    of(
        "sslcert",
        "PGSSLCERT",
        Read("the client's certificate, a PEM file: `~/.postgresql/postgresql.crt`"),
    ),
    of("sslkey", "PGSSLKEY", Read("its private key, a PEM file: `~/.postgresql/postgresql.key`")),
    only_given(
        "sslpassword",
        Idle(
            &[],
            "a private key that needs a password is refused, and the error says how to decrypt it",
        ),
    ),
    of(
        "sslcertmode",
        "PGSSLCERTMODE",
        Read(
            "`allow`; `disable` shows no certificate; `require` logs in only where the server has asked for it",
        ),
    ),
    of(
        "sslrootcert",
        "PGSSLROOTCERT",
        Read(
            "who may have signed the server's certificate, a PEM file: `~/.postgresql/root.crt`; `system` takes whom this \
             machine trusts, and demands `verify-full`",
        ),
    ),
    of(
        "sslcrl",
        "PGSSLCRL",
        Read(
            "the certificates that were revoked, a PEM file: `~/.postgresql/root.crl`. All of a chain are looked for, as \
             OpenSSL does: a signer without a list of its own in the file is refused, a list that is out of date, too",
        ),
    ),
    of("sslcrldir", "PGSSLCRLDIR", Read("a directory of such files, whatever their names are")),
    of("sslsni", "PGSSLSNI", Read("0 keeps the host's name out of TLS's first message")),
    of(
        "requirepeer",
        "PGREQUIREPEER",
        Read("the user whom the server must run as, on a Unix socket; looked up in /etc/passwd"),
    ),
    of(
        "ssl_min_protocol_version",
        "PGSSLMINPROTOCOLVERSION",
        Read("`TLSv1.2` unless given, or `TLSv1.3`; what is lower means TLSv1.2"),
    ),
    of(
        "ssl_max_protocol_version",
        "PGSSLMAXPROTOCOLVERSION",
        Read("`TLSv1.2` or `TLSv1.3`; what is lower is refused"),
    ),
    of(
        "min_protocol_version",
        "PGMINPROTOCOLVERSION",
        Only(&["3.0"], "what is spoken here is version 3.0 of the protocol", "give 3.0 or nothing"),
    ),
    of(
        "max_protocol_version",
        "PGMAXPROTOCOLVERSION",
        Idle(&["3.0", "3.2", "latest"], "what is spoken here is version 3.0 of the protocol"),
    ),
    of("krbsrvname", "PGKRBSRVNAME", Idle(&[], NO_GSSAPI)),
    of("gsslib", "PGGSSLIB", Idle(&[], NO_GSSAPI)),
    of("gssdelegation", "PGGSSDELEGATION", Idle(&["0"], NO_GSSAPI)),
    of(
        "service",
        "PGSERVICE",
        Read("a name in the service file, which gives what the string leaves open"),
    ),
    of(
        "servicefile",
        "PGSERVICEFILE",
        Read(
            "the service file: `~/.pg_service.conf`, then `pg_service.conf` in the directory PGSYSCONFDIR",
        ),
    ),
    of(
        "target_session_attrs",
        "PGTARGETSESSIONATTRS",
        Read(
            "`any` server, or one that is `read-write`, `read-only`, `primary`, `standby`; `prefer-standby`",
        ),
    ),
    of(
        "load_balance_hosts",
        "PGLOADBALANCEHOSTS",
        Read("`random` begins with any of the hosts; `disable`"),
    ),
    only_given(
        "scram_client_key",
        Only(&[], NO_KEYS, "give the password (PGPASSWORD or the password file)"),
    ),
    only_given(
        "scram_server_key",
        Only(&[], NO_KEYS, "give the password (PGPASSWORD or the password file)"),
    ),
    only_given("sslkeylogfile", Idle(&[], "keys of TLS are written nowhere")),
    only_given("oauth_issuer", Idle(&[], NO_OAUTH)),
    only_given("oauth_client_id", Idle(&[], NO_OAUTH)),
    only_given("oauth_client_secret", Idle(&[], NO_OAUTH)),
    only_given("oauth_scope", Idle(&[], NO_OAUTH)),
];

const NO_GSSAPI: &str = "a server that wants a login by GSSAPI lets nobody in from here";
const NO_OAUTH: &str = "a server that wants a login by OAuth lets nobody in from here";
const NO_KEYS: &str = "nothing here logs in by SCRAM's keys";

const fn of(keyword: &'static str, variable: &'static str, duty: Duty) -> Parameter {
    Parameter { keyword, variable: Some(variable), duty }
}

/// One without a variable.
const fn only_given(keyword: &'static str, duty: Duty) -> Parameter {
    Parameter { keyword, variable: None, duty }
}

pub(super) fn find(keyword: &str) -> Option<&'static Parameter> {
    PARAMETERS.iter().find(|parameter| parameter.keyword == keyword)
}

/// What is given, by keyword: in the string, or else in the service file, or else in the environment.
#[derive(Default)]
pub(super) struct Given {
    values: BTreeMap<&'static str, (String, Origin)>,
    /// What is left aside, and why.
    pub notes: Vec<String>,
}

/// Where a value is from.
#[derive(Clone)]
enum Origin {
    Target,
    Service(String, PathBuf),
    Variable(&'static str),
}

impl Given {
    /// Gathers what `conninfo` says, the service that it or `defaults` name, and the variables of `defaults`.
    ///
    /// # Errors
    ///
    /// The string or the service file is malformed, names a parameter that libpq doesn't have, or asks for what can't be
    /// done here; the service is nowhere defined.
    pub fn gather(conninfo: &str, defaults: &Defaults) -> Result<Self> {
        let told = conninfo::parse(conninfo)?;
        if let Some(unknown) = told.keys().find(|keyword| find(keyword).is_none()) {
            return Err(foreign::unknown_parameter(unknown, &told));
        }
        let mut given = Self::default();
        for (keyword, value) in told {
            given.add(&keyword, value, &Origin::Target);
        }
        let service = given.get("service").or_else(|| defaults.variable("PGSERVICE"));
        if let Some(name) = service.map(str::to_owned) {
            let file = given.get("servicefile").or_else(|| defaults.variable("PGSERVICEFILE"));
            let (file, settings) = service::read(&name, file, defaults)?;
            let origin = Origin::Service(name, file);
            for (keyword, value) in settings {
                given.add(&keyword, value, &origin);
            }
        }
        for Parameter { keyword, variable, .. } in &PARAMETERS {
            if let Some(name) = *variable
                && let Some(value) = defaults.variable(name)
            {
                given.add(keyword, value.to_owned(), &Origin::Variable(name));
            }
        }
        if given.get("requiressl").is_some_and(|value| value.starts_with('1')) {
            given.add("sslmode", "require".to_owned(), &Origin::Variable("PGREQUIRESSL"));
        }
        given.check()?;
        Ok(given)
    }

    /// The first value of a keyword stays.
    fn add(&mut self, keyword: &str, value: String, origin: &Origin) {
        if let Some(parameter) = find(keyword) {
            self.values.entry(parameter.keyword).or_insert_with(|| (value, origin.clone()));
        }
    }

    pub fn get(&self, keyword: &str) -> Option<&str> {
        self.values.get(keyword).map(|(value, _)| value.as_str())
    }

    /// The value of `keyword` as `read` understands it.
    ///
    /// # Errors
    ///
    /// It does not.
    pub fn read<T>(
        &self,
        keyword: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(keyword) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| self.invalid(keyword))
    }

    fn check(&mut self) -> Result<()> {
        for (keyword, (value, origin)) in &self.values {
            let is_one_of =
                |harmless: &[&str]| harmless.iter().any(|it| it.eq_ignore_ascii_case(value));
            let name = match origin {
                Origin::Variable(name) => (*name).to_owned(),
                Origin::Target | Origin::Service(..) => format!("`{keyword}` of the target"),
            };
            match find(keyword).map(|parameter| &parameter.duty) {
                Some(Idle(silent, why)) if !is_one_of(silent) => {
                    self.notes.push(format!("{name} is ignored: {why}"));
                }
                Some(Only(harmless, why, instead)) if !is_one_of(harmless) => {
                    return Err(Error::config(format!("{name} asks for what can't be had"))
                        .because(*why)
                        .with_help(*instead));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Never shows the value: it may be a piece of a password in the wrong place.
    pub fn invalid(&self, keyword: &str) -> Error {
        let error = Error::config(format!("`{keyword}` of the target has an invalid value"));
        let place = match self.values.get(keyword) {
            Some((_, Origin::Variable(name))) => format!("the variable {name}"),
            Some((_, Origin::Service(name, file))) => {
                format!("`{keyword}` of the service {name} in {}", file.display())
            }
            _ => format!("`{keyword}` in the connection string"),
        };
        error.with_help(match find(keyword).map(|parameter| &parameter.duty) {
            Some(Read(meaning)) => format!("correct {place}: {meaning}"),
            _ => format!("correct {place}"),
        })
    }
}

impl Parameter {
    /// What it means here, as docs/connecting.md has it.
    #[cfg(test)]
    fn meaning(&self) -> String {
        match &self.duty {
            Read(meaning) => (*meaning).to_owned(),
            Idle(_, why) => format!("ignored: {why}"),
            Only([], why, instead) => format!("refused: {why}; {instead}"),
            Only(values, why, _) => {
                let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
                format!("{}; all else is refused: {why}", values.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_parameter_and_what_it_means() {
        let documentation = include_str!("../../../docs/connecting.md");
        let rows = documentation.lines().skip_while(|line| !line.starts_with("| `"));
        let documented: Vec<_> = rows.take_while(|line| line.starts_with("| `")).collect();
        let table: Vec<_> = PARAMETERS
            .iter()
            .map(|parameter| {
                let Parameter { keyword, variable, .. } = parameter;
                let variable = variable.unwrap_or_default();
                format!("| `{keyword}` | {variable} | {} |", parameter.meaning())
            })
            .collect();
        similar_asserts::assert_eq!(documented.join("\n"), table.join("\n"));
    }

    fn given(conninfo: &str, variables: &[(&str, &str)]) -> Result<Given> {
        let variables = variables.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Given::gather(conninfo, &Defaults { variables, ..Defaults::default() })
    }

    #[test]
    fn what_asks_for_protection_that_cant_be_had_is_refused_wherever_it_is_asked_for() {
        for (keyword, variable, value) in [
            ("gssencmode", Some("PGGSSENCMODE"), "require"),
            ("min_protocol_version", Some("PGMINPROTOCOLVERSION"), "3.2"),
            ("replication", None, "database"),
            ("scram_client_key", None, "a2V5"),
        ] {
            let error = given(&format!("host=h {keyword}={value}"), &[]).err().unwrap();
            assert_eq!(
                error.to_string(),
                format!("`{keyword}` of the target asks for what can't be had")
            );
            assert!(!error.help().unwrap().contains("remove"), "{error:?}");
            if let Some(variable) = variable {
                let error = given("host=h", &[(variable, value)]).err().unwrap();
                assert_eq!(error.to_string(), format!("{variable} asks for what can't be had"));
            }
        }
        for harmless in
            ["gssencmode=disable", "gssencmode=prefer", "min_protocol_version=3.0", "replication=0"]
        {
            given(&format!("host=h {harmless}"), &[]).unwrap();
        }
    }

    #[test]
    fn what_is_ignored_is_noted_unless_it_changes_nothing() {
        let note = |name: &str, why: &str| vec![format!("{name} is ignored: {why}")];
        let utf8 = "what is sent and received is UTF-8";
        for (conninfo, variables, notes) in [
            ("host=h client_encoding=utf8 sslcompression=0", &[][..], Vec::new()),
            ("host=h", &[("PGCLIENTENCODING", "auto")], Vec::new()),
            ("host=h", &[("PGCLIENTENCODING", "LATIN1")], note("PGCLIENTENCODING", utf8)),
            ("host=h client_encoding=LATIN1", &[], note("`client_encoding` of the target", utf8)),
            ("host=h gsslib=gssapi", &[], note("`gsslib` of the target", NO_GSSAPI)),
        ] {
            assert_eq!(given(conninfo, variables).unwrap().notes, notes, "{conninfo}");
        }
    }

    #[test]
    fn every_variable_gives_its_parameter() {
        for Parameter { keyword, variable, duty, .. } in &PARAMETERS {
            if let (Some(variable), Read(_)) = (variable, duty)
                && !keyword.starts_with("service")
            {
                let given = given("", &[(variable, "x y")]).unwrap();
                assert_eq!(given.get(keyword), Some("x y"), "{variable}");
                assert!(given.invalid(keyword).help().unwrap().contains(variable));
            }
        }
        assert_eq!(Defaults::names().filter(|name| name.starts_with("PGSSL")).count(), 12);
    }

    #[test]
    fn ssl_is_required_as_libpq_has_it() {
        for (conninfo, variables, sslmode) in [
            ("host=h", &[("PGREQUIRESSL", "1")][..], Some("require")),
            ("host=h", &[("PGREQUIRESSL", "0")], None),
            ("host=h", &[("PGREQUIRESSL", "1"), ("PGSSLMODE", "prefer")], Some("prefer")),
            ("host=h sslmode=disable", &[("PGREQUIRESSL", "1")], Some("disable")),
            ("host=h requiressl=1", &[("PGSSLMODE", "disable")], Some("require")),
            ("host=h requiressl=0", &[("PGREQUIRESSL", "1")], Some("prefer")),
            ("host=h requiressl=1 sslmode=allow", &[], Some("allow")),
        ] {
            let given = given(conninfo, variables).unwrap();
            assert_eq!(given.get("sslmode"), sslmode, "{conninfo} {variables:?}");
        }
    }
}
