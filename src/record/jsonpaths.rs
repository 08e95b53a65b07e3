//! JSONPaths files: which member of an event feeds which column, in Redshift's format.
//!
//! The file is `{"jsonpaths": ["$.a", "$['b']['c'][0]", …]}` with one path a column, in column order.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::table::staging_events::FIELDS;

/// The paths of a JSONPaths file, one for each column of `staging_events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JsonPaths(Box<[JsonPath; FIELDS]>);

/// A way into a JSON object: the member that it starts with and the steps below.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct JsonPath {
    pub key: String,
    pub below: Vec<Step>,
}

/// A step into a JSON value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl JsonPaths {
    /// Reads the text of a JSONPaths file.
    ///
    /// # Errors
    ///
    /// The text is not such a file, has another number of paths than there are columns, or a path is neither
    /// in dot nor in bracket notation.
    pub fn parse(json: &str) -> Result<Self> {
        #[derive(Deserialize)]
        struct File {
            jsonpaths: Vec<String>,
        }
        let file: File = serde_json::from_str(json).map_err(|cause| {
            Error::config("not a JSONPaths file")
                .because(cause)
                .with_help("it should read {\"jsonpaths\": [\"$['artist']\", …]}")
        })?;
        let paths = file.jsonpaths.iter().map(|path| {
            JsonPath::parse(path).ok_or_else(|| {
                Error::config(format!("not a JSON path: {path}"))
                    .with_help("write it as $.member, $['member'] or $['member'][0]")
            })
        });
        paths.collect::<Result<Box<[_]>>>()?.try_into().map(Self).map_err(|paths: Box<[_]>| {
            let count = paths.len();
            let what =
                format!("the JSONPaths file has {count} paths, staging_events {FIELDS} columns");
            Error::config(what)
                .with_help("give one path for each column of staging_events, in its order")
        })
    }

    /// The paths in the order of the columns.
    pub(super) fn columns(&self) -> &[JsonPath; FIELDS] {
        &self.0
    }
}

impl JsonPath {
    pub fn member(key: &str) -> Self {
        Self { key: key.to_owned(), below: Vec::new() }
    }

    fn parse(path: &str) -> Option<Self> {
        let mut rest = path.trim().strip_prefix('$')?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, behind) = Step::parse(rest)?;
            steps.push(step);
            rest = behind;
        }
        let mut steps = steps.into_iter();
        match steps.next()? {
            Step::Key(key) => Some(Self { key, below: steps.collect() }),
            Step::Index(_) => None,
        }
    }
}

impl Step {
    /// Splits off the first step of `path`.
    fn parse(path: &str) -> Option<(Self, &str)> {
        if let Some(name) = path.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            return (end > 0).then(|| (Self::Key(name[..end].to_owned()), &name[end..]));
        }
        let inside = path.strip_prefix('[')?;
        for quote in ['\'', '"'] {
            if let Some(name) = inside.strip_prefix(quote) {
                let end = name.find(&[quote, ']'][..].iter().collect::<String>())?;
                return Some((Self::Key(name[..end].to_owned()), &name[end + 2..]));
            }
        }
        let (index, behind) = inside.split_once(']')?;
        Some((Self::Index(index.trim().parse().ok()?), behind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_are_read() {
        let key = |name: &str| Step::Key(name.to_owned());
        let cases = [
            ("$.artist", Some(("artist", vec![]))),
            ("$['artist']", Some(("artist", vec![]))),
            ("$[\"a.b\"]", Some(("a.b", vec![]))),
            ("$.a.b[2].c", Some(("a", vec![key("b"), Step::Index(2), key("c")]))),
            ("$['a']['it]s'][0]", Some(("a", vec![key("it]s"), Step::Index(0)]))),
            ("$", None),
            ("artist", None),
            ("$[0]", None),
            ("$..a", None),
            ("$['a'", None),
            ("$.a[-1]", None),
            ("$.a[x]", None),
        ];
        for (path, expected) in cases {
            let expected = expected.map(|(key, below)| JsonPath { key: key.to_owned(), below });
            assert_eq!(JsonPath::parse(path), expected, "{path}");
        }
    }

    #[test]
    fn a_file_needs_a_path_for_each_column() {
        let error = JsonPaths::parse("{\"jsonpaths\": [\"$.a\"]}").unwrap_err();
        assert_eq!(error.to_string(), "the JSONPaths file has 1 paths, staging_events 18 columns");
        assert!(JsonPaths::parse("[]").is_err());
        let paths = vec!["\"$.a\""; FIELDS].join(",");
        assert!(JsonPaths::parse(&format!("{{\"jsonpaths\":[{paths}]}}")).is_ok());
    }
}
