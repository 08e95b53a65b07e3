//! A connection string: the parameters that a URL or a list of keywords and values spells out.
//!
//! Both forms are read by libpq's rules (PostgreSQL manual, "Connection Strings"). No error shows a
//! value: a misplaced `@` or `/` can make a piece of the password look like a host or a port.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;

use crate::error::{Error, Result};

/// Parameters by keyword; of a keyword given twice the last value counts, an empty one is not set.
pub(super) type Parameters = BTreeMap<String, String>;

pub(super) fn parse(conninfo: &str) -> Result<Parameters> {
    let url =
        ["postgres://", "postgresql://"].iter().find_map(|scheme| conninfo.strip_prefix(scheme));
    let mut parameters = match url {
        Some(rest) => parse_url(rest)?,
        None if conninfo.contains("://") => return Err(not_postgres()),
        None => parse_keywords(conninfo)?,
    };
    parameters.retain(|_, value| !value.is_empty());
    Ok(parameters)
}

/// Reads `[user[:password]@][host[:port],…][/dbname][?keyword=value&…]`.
fn parse_url(url: &str) -> Result<Parameters> {
    let mut parameters = Parameters::new();
    let mut rest = url;

    if let Some(at) = rest.find(['@', '/', '?']).filter(|&at| rest[at..].starts_with('@')) {
        let (user, password) = rest[..at].split_once(':').unwrap_or((&rest[..at], ""));
        parameters.insert("user".into(), decode(user, "user")?);
        parameters.insert("password".into(), decode(password, "password")?);
        rest = &rest[at + 1..];
    }

    let (places, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (places, dbname) = places.split_once('/').unwrap_or((places, ""));
    parameters.insert("dbname".into(), decode(dbname, "dbname")?);

    let places = places.split(',').map(split_place).collect::<Result<Vec<_>>>()?;
    if places.iter().any(|(host, _)| !host.is_empty()) {
        let hosts = places.iter().map(|(host, _)| decode(host, "host"));
        parameters.insert("host".into(), hosts.collect::<Result<Vec<_>>>()?.join(","));
    }
    if places.iter().any(|(_, port)| !port.is_empty()) {
        let ports: Vec<_> = places.iter().map(|(_, port)| *port).collect();
        parameters.insert("port".into(), ports.join(","));
    }

    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (keyword, value) = pair.split_once('=').ok_or_else(|| {
            malformed("a parameter after `?` has no `=`")
                .with_help("write parameters as `?keyword=value&keyword=value`")
        })?;
        let keyword = decode(keyword, "keyword")?;
        let value = decode(value, &keyword)?;
        // JDBC's spelling, which libpq accepts too.
        match (keyword.as_str(), value.as_str()) {
            ("ssl", "true") => parameters.insert("sslmode".into(), "require".into()),
            _ => parameters.insert(keyword, value),
        };
    }
    Ok(parameters)
}

/// Splits `host:port`, `host`, `:port`, `[v6]:port` or `[v6]`.
fn split_place(place: &str) -> Result<(&str, &str)> {
    let Some(bracketed) = place.strip_prefix('[') else {
        return Ok(place.split_once(':').unwrap_or((place, "")));
    };
    let (host, after) = bracketed
        .split_once(']')
        .ok_or_else(|| malformed("the address in brackets has no closing `]`"))?;
    match after.strip_prefix(':') {
        Some(port) => Ok((host, port)),
        None if after.is_empty() => Ok((host, "")),
        None => Err(malformed("only `:port` may follow an address in brackets")),
    }
}

fn decode(text: &str, of: &str) -> Result<String> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(String::from).map_err(|_| malformed(format!("`{of}` is not UTF-8 when decoded")))
}

/// Reads `keyword = value` pairs; values with blanks stand in single quotes, `\` escapes.
fn parse_keywords(text: &str) -> Result<Parameters> {
    let mut parameters = Parameters::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (keyword, after) = rest.split_once('=').ok_or_else(|| {
            malformed("a keyword is not followed by `=`")
                .with_help("give a URL (postgres://user@host/dbname) or `host=… dbname=… user=…`")
        })?;
        let keyword = keyword.trim_end();
        if keyword.contains(char::is_whitespace) {
            return Err(malformed("a keyword is not followed by `=`")
                .with_help("put values that hold blanks in single quotes"));
        }
        let (value, after) = take_value(after.trim_start())?;
        parameters.insert(keyword.to_owned(), value);
        rest = after.trim_start();
    }
    Ok(parameters)
}

/// Takes one value off the front and gives what follows it.
fn take_value(text: &str) -> Result<(String, &str)> {
    let (text, quoted) = match text.strip_prefix('\'') {
        Some(inner) => (inner, true),
        None => (text, false),
    };
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            char if !quoted && char.is_whitespace() => return Ok((value, &text[at..])),
            char => value.push(char),
        }
    }
    if quoted {
        return Err(malformed("a quoted value has no closing quote"));
    }
    Ok((value, ""))
}

fn malformed(what: impl std::fmt::Display) -> Error {
    Error::config(format!("the target is not a valid connection string: {what}"))
}

fn not_postgres() -> Error {
    Error::config("the target is not a PostgreSQL URL")
        .with_help("start it with postgres:// or postgresql://, or write `host=… dbname=… user=…`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(conninfo: &str) -> Vec<(String, String)> {
        parse(conninfo).unwrap().into_iter().collect()
    }

    #[test]
    fn reads_what_libpq_reads() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("", &[]),
            ("postgres://", &[]),
            ("postgresql://h", &[("host", "h")]),
            ("postgresql://h:5433/d", &[("dbname", "d"), ("host", "h"), ("port", "5433")]),
            ("postgres://u@h", &[("host", "h"), ("user", "u")]),
            ("postgres://u:p%40s:s@h", &[("host", "h"), ("password", "p@s:s"), ("user", "u")]),
            ("postgres://u:@h", &[("host", "h"), ("user", "u")]),
            ("postgres://h1,h2:2/", &[("host", "h1,h2"), ("port", ",2")]),
            ("postgres://[::1]:7,[fe80::2]/", &[("host", "::1,fe80::2"), ("port", "7,")]),
            ("postgres://%2Ftmp/d", &[("dbname", "d"), ("host", "/tmp")]),
            ("postgres:///d?host=/tmp&port=1", &[("dbname", "d"), ("host", "/tmp"), ("port", "1")]),
            ("postgres://h?user=a@b", &[("host", "h"), ("user", "a@b")]),
            ("postgres://h/d?ssl=true", &[("dbname", "d"), ("host", "h"), ("sslmode", "require")]),
            ("host=h port = 5", &[("host", "h"), ("port", "5")]),
            (r"password='a \'b\\' user=x\ y", &[("password", r"a 'b\"), ("user", "x y")]),
            ("host=a host=b password=''", &[("host", "b")]),
            ("dbname=", &[]),
        ];
        for (conninfo, expected) in cases {
            let expected: Vec<_> =
                expected.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            assert_eq!(pairs(conninfo), expected, "{conninfo}");
        }
    }

    #[test]
    fn malformed_strings_are_refused_without_showing_them() {
        for conninfo in [
            "mysql://u:s3cret@h",
            "postgres://u:s3cret@[::1",
            "postgres://u:s3cret@[::1]x",
            "postgres://u:s3cret@h?sslmode",
            "postgres://u:%ff@h",
            "s3cret",
            "user=u s3cret host=h",
            "password='s3cret",
        ] {
            let error = parse(conninfo).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Config, "{conninfo}");
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }
}
