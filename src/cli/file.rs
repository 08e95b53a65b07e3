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

/// What is read of a file.
#[derive(Debug, Default)]
pub struct Read {
    pub values: Values,
    /// What would name the server that the file means, where it names none.
    pub nameless: Option<String>,
    /// What nothing was made of.
    pub unread: Vec<String>,
}

/// The options that mean a server or a cluster.
fn means_server(name: &str) -> bool {
    name.starts_with("cluster-") || ["dialect", "iam-login", "node-type", "nodes"].contains(&name)
}

/// Reads the file that is `named`, or a usual one that is there.
pub fn read(named: Option<PathBuf>, options: &Options) -> Result<Option<(PathBuf, Read)>> {
    let optional = named.is_none();
    let paths = named.map_or_else(|| USUAL.map(PathBuf::from).to_vec(), |path| vec![path]);
    for path in paths {
        match fs::read(&path) {
            Ok(bytes) => {
                let text = decoded(bytes).ok_or_else(|| {
                    let place = path.display();
                    Error::config(format!("the settings file {place} is neither UTF-8 nor UTF-16"))
                        .with_help("save it as UTF-8")
                })?;
                let read = match path.extension().is_some_and(|it| it == "cfg") {
                    true => dwh::parse(&text, &path.display().to_string())?,
                    false => parse(&text, &path, options)?,
                };
                return Ok(Some((path, read)));
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

/// The text of a file as UTF-8, or as UTF-16, which editors on Windows may write; without the byte order mark.
pub fn decoded(bytes: Vec<u8>) -> Option<String> {
    let unit: fn([u8; 2]) -> u16 = match bytes[..] {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        // Without a mark, what begins such a file is ASCII all the same.
        [_, 0, _, 0, ..] => u16::from_le_bytes,
        [0, _, 0, _, ..] => u16::from_be_bytes,
        _ => {
            let text = String::from_utf8(bytes).ok()?;
            return Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text));
        }
    };
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
    let text = String::from_utf16(&units).ok().filter(|_| rest.is_empty())?;
    Some(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

fn parse(text: &str, path: &Path, options: &Options) -> Result<Read> {
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
    let is_set = |name: &str| values.iter().any(|(of, _)| of == name);
    let means_one = values.iter().any(|(name, _)| means_server(name));
    let nameless = (means_one && !is_set("target")).then(|| "target".to_owned());
    Ok(Read { values, nameless, unread: Vec::new() })
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

    #[test]
    fn files_of_other_editors_are_read() {
        let text = "[CLUSTER]\r\nHOST=h\u{e9}\r\n";
        let units = |mark: &str| format!("{mark}{text}").encode_utf16().collect::<Vec<_>>();
        let le = |mark| units(mark).into_iter().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
        let be = |mark| units(mark).into_iter().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
        let marked = "\u{feff}";
        for bytes in [
            text.as_bytes().to_vec(),
            format!("{marked}{text}").into_bytes(),
            le(marked),
            be(marked),
            le(""),
            be(""),
        ] {
            assert_eq!(decoded(bytes.clone()).as_deref(), Some(text), "{bytes:?}");
        }
        assert_eq!(decoded(vec![]).as_deref(), Some(""));
        assert_eq!(decoded(vec![b'[', 0xe9, b']']), None);
        assert_eq!(decoded(vec![0xff, 0xfe, b'[']), None);
    }
}
