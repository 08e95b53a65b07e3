//! The settings file: `sparkload.toml`, whose keys are the long options' names, or the old system's `dwh.cfg`.
//!
//! No error shows a line of it: the target may hold a password.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sparkload::{Error, Result};
use toml::{Table, Value};

use super::dwh;
use super::layers::{Options, Takes};
use super::nearest::nearest;

/// What is read when no file is named: the first one that is there.
const USUAL: [&str; 2] = ["sparkload.toml", "dwh.cfg"];

/// The options that a file sets, each as if typed.
pub type Values = Vec<(String, Vec<String>)>;

/// Reads the file that is `named`, or a usual one that is there.
pub fn read(named: Option<PathBuf>, options: &Options) -> Result<Option<(PathBuf, Values)>> {
    let optional = named.is_none();
    let paths = named.map_or_else(|| USUAL.map(PathBuf::from).to_vec(), |path| vec![path]);
    for path in paths {
        match fs::read_to_string(&path) {
            Ok(text) => {
                let values = match path.extension().is_some_and(|it| it == "cfg") {
                    true => dwh::parse(&text, &path.display().to_string())?,
                    false => parse(&text, &path, options)?,
                };
                return Ok(Some((path, values)));
            }
            Err(error) if optional && error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let what = format!("cannot read the settings file {}: {error}", path.display());
                return Err(
                    Error::config(what).with_help("name a file that is there with --config")
                );
            }
        }
    }
    Ok(None)
}

fn parse(text: &str, path: &Path, options: &Options) -> Result<Values> {
    let place = path.display();
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.lines().count().max(1);
        Error::config(format!("{place}, line {line}: {}", error.message()))
            .with_help("write name = value, with text in quotes: source = \"s3://bucket\"")
    })?;
    let mut values = Values::new();
    for (name, value) in table {
        let Some(takes) = options.get(&name) else {
            let known: Vec<_> = options.iter().map(|(name, _)| name).collect();
            let nearest = match nearest(&name, known.iter().copied()).as_slice() {
                [] => String::new(),
                [first, ..] => format!("did you mean {first}? "),
            };
            return Err(Error::config(format!("{place} has an unknown key `{name}`"))
                .with_help(format!("{nearest}known are {}", known.join(", "))));
        };
        let Some(texts) = texts(&value, takes) else {
            let what = format!("{place} gives `{name}` {}", kind_of(&value));
            let wanted = match takes {
                Takes::One => "give it one value",
                Takes::Many => "give it text, or a list of texts",
            };
            return Err(Error::config(what).with_help(wanted));
        };
        values.push((name, texts));
    }
    Ok(values)
}

fn texts(value: &Value, takes: Takes) -> Option<Vec<String>> {
    match value {
        Value::Array(values) if takes == Takes::Many => values.iter().map(text).collect(),
        value => Some(vec![text(value)?]),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        Value::Boolean(truth) => Some(truth.to_string()),
        Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
        Value::Datetime(_) => "a date",
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => "a value",
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::args::Arguments;
    use super::*;

    fn error(text: &str) -> Error {
        let options = Options::of(&Arguments::command());
        parse(text, Path::new("sparkload.toml"), &options).unwrap_err()
    }

    #[test]
    fn an_unknown_key_is_named_with_those_that_exist() {
        let error = error("fetchs = 3");
        assert_eq!(error.to_string(), "sparkload.toml has an unknown key `fetchs`");
        let help = error.help().unwrap();
        assert!(
            help.starts_with("did you mean fetches? known are access-key-id, address-url, "),
            "{help}"
        );
        assert!(help.ends_with(", wait"), "{help}");
        for once in ["drop", "list", "config"] {
            assert!(!help.contains(once), "{once} is for one call alone: {help}");
        }
    }

    #[test]
    fn errors_say_where_and_never_show_the_line() {
        let broken = error("quiet = true\ntarget = \"postgres://u:s3cret@h\nfetches = 1");
        assert!(broken.to_string().starts_with("sparkload.toml, line 2: "), "{broken}");
        assert!(!format!("{broken:?}").contains("s3cret"), "{broken:?}");

        let list = error("memory = [1, 2]");
        assert_eq!(list.to_string(), "sparkload.toml gives `memory` a list");
        let table = error("[target]\nhost = 'h'");
        assert_eq!(table.to_string(), "sparkload.toml gives `target` a table");
    }
}
