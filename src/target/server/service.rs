//! Service files: connections by name, for all who use libpq.
//!
//! PostgreSQL manual, "The Connection Service File".

use std::fs;
use std::path::{Path, PathBuf};

use super::conninfo::modern;
use super::defaults::Defaults;
use super::parameters::find;
use crate::error::{Error, Result};

/// Where the file for all users is, if PGSYSCONFDIR doesn't say: as Debian, PGDG's packages and PostgreSQL's own source
/// are built.
const SYSTEM: [&str; 3] =
    ["/etc/postgresql-common", "/etc/sysconfig/pgsql", "/usr/local/pgsql/etc"];

/// Reads what `service` is, and in which file that stands: in `file`, or else in the user's own, or in the one for all.
pub(super) fn read(
    service: &str,
    file: Option<&str>,
    defaults: &Defaults,
) -> Result<(PathBuf, Vec<(String, String)>)> {
    let own = match file {
        Some(file) => Some(PathBuf::from(file)),
        None => defaults.home_file(".pg_service.conf"),
    };
    let system: Vec<PathBuf> = match defaults.variable("PGSYSCONFDIR") {
        Some(directory) => vec![directory.into()],
        None => SYSTEM.map(PathBuf::from).into(),
    };
    let system = system.into_iter().map(|directory| directory.join("pg_service.conf"));
    let files: Vec<_> = own.into_iter().chain(system.filter(|path| path.exists())).collect();
    for path in &files {
        let text = fs::read_to_string(path).map_err(|error| {
            Error::config(format!("the service file {} can't be read", path.display()))
                .because(error)
                .with_help("name another one (servicefile, PGSERVICEFILE), or write it")
        })?;
        if let Some(settings) = settings(&text, service, path)? {
            return Ok((path.clone(), settings));
        }
    }
    let read: Vec<_> = files.iter().map(|path| path.display().to_string()).collect();
    let places = match read.as_slice() {
        [] => "there is neither ~/.pg_service.conf nor one for all users".to_owned(),
        read => format!("none is in {}", read.join(" or ")),
    };
    Err(Error::config(format!("the service {service} is not defined"))
        .because(places)
        .with_help(format!("write [{service}] and lines of keyword=value below it")))
}

/// What the text of a file says of a service; of a keyword given twice the first value counts.
fn settings(text: &str, service: &str, path: &Path) -> Result<Option<Vec<(String, String)>>> {
    let mut found: Option<Vec<(String, String)>> = None;
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(heading) = line.strip_prefix('[') {
            if found.is_some() {
                break;
            }
            if heading.strip_prefix(service).is_some_and(|rest| rest.starts_with(']')) {
                found = Some(Vec::new());
            }
            continue;
        }
        let Some(settings) = &mut found else { continue };
        let wrong = |why: String| {
            let place = format!("line {} of the service file {}", index + 1, path.display());
            Error::config(format!("{place} can't be used")).because(why)
        };
        // The value may be a password: it is never shown.
        let (keyword, value) = match line.split_once('=') {
            _ if line.starts_with("ldap") => {
                return Err(wrong("it asks an LDAP server, which is not done here".to_owned())
                    .with_help("write the parameters into the file themselves"));
            }
            Some(pair) => pair,
            None => {
                return Err(wrong("it has no `=`".to_owned())
                    .with_help("write keyword=value, or begin a comment with #"));
            }
        };
        if ["service", "servicefile"].contains(&keyword) {
            return Err(wrong(format!("a service can't have `{keyword}` in turn"))
                .with_help("write the parameters of that service here"));
        }
        if find(keyword).is_none() {
            return Err(wrong(format!("there is no parameter `{keyword}`"))
                .with_help("write keyword=value without blanks before the `=`"));
        }
        let (keyword, value) = modern(keyword, value);
        settings.push((keyword.to_owned(), value.to_owned()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::Server;
    use super::*;

    fn at_home(text: &str) -> (tempfile::TempDir, Defaults) {
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join(".pg_service.conf"), text).unwrap();
        let defaults = Defaults {
            home: Some(home.path().to_owned()),
            user: Some("os".to_owned()),
            ..Defaults::default()
        };
        (home, defaults)
    }

    fn set(defaults: &Defaults, variables: &[(&str, &str)]) -> Defaults {
        let variables = variables.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Defaults { variables, ..defaults.clone() }
    }

    #[test]
    fn a_service_comes_behind_the_string_and_before_the_variables() {
        let (_home, defaults) = at_home(
            "# ours\nhost=nowhere\n[dwh-old]\nhost=old\n\n  [dwh] \n host=h\nhost=late\nport=6\n\
             user=ann\n[other]\nhost=o\n[dwh]\ndbname=late\n",
        );
        let variables = [("PGHOST", "v"), ("PGDATABASE", "d"), ("PGSERVICE", "other")];
        for (conninfo, variables, expected) in [
            ("service=dwh", &[][..], "postgres://ann@h:6/ann"),
            ("service=dwh port=7", &variables, "postgres://ann@h:7/d"),
            ("postgres:///x?service=dwh", &variables, "postgres://ann@h:6/x"),
            ("", &variables, "postgres://os@o:5432/d"),
            ("host=h", &variables, "postgres://os@h:5432/d"),
        ] {
            let server = Server::parse(conninfo, &set(&defaults, variables)).unwrap();
            assert_eq!(server.to_string(), expected, "{conninfo}");
        }
    }

    #[test]
    fn the_file_is_the_one_that_is_named_then_the_users_own_then_the_one_for_all() {
        let (home, defaults) = at_home("[a]\nhost=own\n");
        let named = home.path().join("named.conf");
        fs::write(&named, "[a]\nhost=named\n").unwrap();
        let all = tempfile::tempdir().unwrap();
        fs::write(all.path().join("pg_service.conf"), "[a]\nhost=all\n[b]\nhost=all\n").unwrap();
        let (named, all) = (named.to_str().unwrap(), all.path().to_str().unwrap());
        let in_string = format!("service=a servicefile={named}");
        for (conninfo, variables, expected) in [
            ("service=a", &[][..], "own"),
            ("service=a", &[("PGSERVICEFILE", named)], "named"),
            (&in_string, &[("PGSERVICEFILE", "/nowhere")], "named"),
            ("service=a", &[("PGSYSCONFDIR", all)], "own"),
            ("service=b", &[("PGSYSCONFDIR", all)], "all"),
            ("service=b", &[("PGSERVICEFILE", named), ("PGSYSCONFDIR", all)], "all"),
        ] {
            let server = Server::parse(conninfo, &set(&defaults, variables)).unwrap();
            assert_eq!(server.to_string(), format!("postgres://os@{expected}:5432/os"));
        }
        for (variables, expected) in [
            (&[("PGSERVICEFILE", "/nowhere")][..], "the service file /nowhere can't be read"),
            (&[("PGSYSCONFDIR", all)], "the service c is not defined"),
        ] {
            let error = Server::parse("service=c", &set(&defaults, variables)).unwrap_err();
            assert_eq!(error.to_string(), expected);
            assert!(error.help().is_some());
        }
    }

    #[test]
    fn lines_that_mean_nothing_are_refused_without_showing_them() {
        for line in [
            "s3cret",
            "pasword=s3cret",
            "password =s3cret",
            "service=s3cret",
            "ldap://h/dc=s3cret",
            "sslmode=s3cret",
        ] {
            let (_home, defaults) = at_home(&format!("[a]\nhost=h\n{line}\n"));
            let error = Server::parse("service=a", &defaults).unwrap_err();
            assert!(error.help().is_some(), "{error:?}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }
}
