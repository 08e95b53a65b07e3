//! A connection string: the parameters that a URL or a list of keywords and values spells out.
//!
//! Both forms are read by libpq's rules (PostgreSQL manual, "Connection Strings"). No error shows a
//! value: a misplaced `@` or `/` can make a piece of the password look like a host or a port.

use std::collections::BTreeMap;

use super::foreign;
use crate::error::{Error, Result};

/// Parameters by keyword; of a keyword given twice the last value counts, an empty one is not set.
pub(super) type Parameters = BTreeMap<String, String>;

pub(super) fn parse(conninfo: &str) -> Result<Parameters> {
    let url =
        ["postgres://", "postgresql://"].iter().find_map(|scheme| conninfo.strip_prefix(scheme));
    let mut parameters = match url {
        Some(rest) => parse_url(rest)?,
        None if foreign::is_foreign(conninfo) => return Err(foreign::refused(conninfo)),
        None => parse_keywords(conninfo)?,
    };
    parameters.retain(|_, value| !value.is_empty());
    Ok(parameters)
}

/// What a keyword and its value are called today: libpq has not known `requiressl` by that name for long.
pub(super) fn modern<'a>(keyword: &'a str, value: &'a str) -> (&'a str, &'a str) {
    match keyword {
        "requiressl" if value.starts_with('1') => ("sslmode", "require"),
        "requiressl" => ("sslmode", "prefer"),
        _ => (keyword, value),
    }
}

/// Reads `[user[:password]@][host[:port],…][/dbname][?keyword=value&…]`, what follows `postgres://`.
pub(super) fn parse_url(url: &str) -> Result<Parameters> {
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
        if value.contains('=') {
            return Err(malformed("a parameter after `?` has more than one `=`")
                .with_help("write `=` inside a value as %3D, and `&` as %26"));
        }
        let keyword = decode(keyword, "keyword")?;
        let value = decode(value, &keyword)?;
        // JDBC's spelling, which libpq accepts too.
        let (keyword, value) = match (keyword.as_str(), value.as_str()) {
            ("ssl", "true") => ("sslmode", "require"),
            (keyword, value) => modern(keyword, value),
        };
        parameters.insert(keyword.to_owned(), value.to_owned());
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

/// Decodes what is written as `%` and two digits, as strictly as libpq.
fn decode(text: &str, of: &str) -> Result<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let code = digit().zip(digit()).ok_or_else(|| {
            malformed(format!("a `%` in `{of}` is not followed by two hexadecimal digits"))
                .with_help("write `%` itself as %25")
        })?;
        match code {
            (0, 0) => {
                return Err(malformed(format!("`{of}` holds %00"))
                    .with_help("leave it out: nothing that PostgreSQL takes holds a zero byte"));
            }
            (high, low) => decoded.push((high * 16 + low) as u8),
        }
    }
    let decoded = String::from_utf8(decoded);
    decoded.map_err(|_| {
        malformed(format!("`{of}` is not UTF-8 when decoded"))
            .with_help("write each of a character's bytes in UTF-8 as % and two digits")
    })
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
        let (keyword, value) = modern(keyword, &value);
        parameters.insert(keyword.to_owned(), value.to_owned());
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

pub(super) fn malformed(what: impl std::fmt::Display) -> Error {
    Error::config(format!("the target is not a valid connection string: {what}"))
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
            ("postgres://u:100%25@h", &[("host", "h"), ("password", "100%"), ("user", "u")]),
            ("postgres://u:%C3%a9%E2%82%AC@h", &[("host", "h"), ("password", "é€"), ("user", "u")]),
            ("postgres://h?requiressl=1", &[("host", "h"), ("sslmode", "require")]),
            ("host=h requiressl=0", &[("host", "h"), ("sslmode", "prefer")]),
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
            "postgres://u:s3cret%@h",
            "postgres://u:s3cret%2@h",
            "postgres://u:s3cret%zz@h",
            "postgres://u:s3cret%+1@h",
            "postgres://u:s3cret%00@h",
            "postgres://u@h%00/d?password=s3cret",
            "postgres://h/d?password=s3cret%%",
            "postgres://h/d?password=s3cret=s3cret",
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
