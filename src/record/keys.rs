//! Keys: which member of a JSON object feeds which columns.

use std::fmt;

use bumpalo::Bump;
use hashbrown::HashMap;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::jsonpaths::{JsonPath, Step};
use super::reject::Fault;
use super::rescue;
use super::scan::{Members, Scanner};
use super::text::unescape;
use super::value::{Raw, Rules};

/// The members that a record's columns are fed from.
#[derive(Debug)]
pub(super) struct Keys<const COLUMNS: usize> {
    feeds: HashMap<String, Vec<Feed>>,
    ignore_case: bool,
    /// The fast path, where there is one.
    scanner: Option<Scanner<COLUMNS>>,
}

#[derive(Debug)]
struct Feed {
    column: usize,
    below: Vec<Step>,
}

impl<const COLUMNS: usize> Keys<COLUMNS> {
    /// The columns in order, each fed from its path.
    pub fn new(paths: [JsonPath; COLUMNS], ignore_case: bool) -> Self {
        let scanner = if ignore_case { None } else { Scanner::new(&paths) };
        let mut feeds = HashMap::<String, Vec<Feed>>::new();
        for (column, JsonPath { key, below }) in paths.into_iter().enumerate() {
            let key = if ignore_case { key.to_lowercase() } else { key };
            feeds.entry(key).or_default().push(Feed { column, below });
        }
        Self { feeds, ignore_case, scanner }
    }

    /// The same keys without the fast path.
    #[cfg(feature = "internals")]
    pub fn plain(self) -> Self {
        Self { scanner: None, ..self }
    }

    /// The values of `record` as they are come to, where it may be read so.
    #[inline(always)]
    pub fn members<'a>(&'a self, record: &'a str) -> Option<Members<'a, COLUMNS>> {
        self.scanner.as_ref()?.members(record)
    }

    /// The value of each column.
    ///
    /// # Errors
    ///
    /// `record` is not one JSON object.
    #[inline(never)]
    pub fn pick(&self, rules: &Rules<'_>) -> Result<[Raw; COLUMNS], Fault> {
        let picked = self.scanner.as_ref().and_then(|scanner| scanner.pick(rules));
        picked.map_or_else(|| self.parse_all(rules), Ok)
    }

    /// What [`pick`](Self::pick) gives, from a JSON parser. Members that feed no column are taken note of: only here are
    /// there any, as the scanner gives such a record up.
    #[cold]
    fn parse_all(&self, rules: &Rules<'_>) -> Result<[Raw; COLUMNS], Fault> {
        let (mut unknown, mut has_known) = (Vec::new(), false);
        let picked = self.parse(rules.record, |member| match member {
            Some(member) => unknown.push(member),
            None => has_known = true,
        })?;
        let rescued = (rules.format.rescue && !unknown.is_empty())
            .then(|| rescue::object(&unknown, rules.dialect));
        rules.arena.see_unknown(&unknown, has_known, rescued);
        Ok(picked)
    }

    /// The value of each column, from a JSON parser. `tell` is told each member: of one that feeds no column the name,
    /// with its quotes, and the value, as they are written; of others nothing.
    #[cold]
    pub fn parse<'a>(
        &self,
        record: &'a str,
        mut tell: impl FnMut(Option<(&'a str, &'a str)>),
    ) -> Result<[Raw; COLUMNS], Fault> {
        let mut picked = [Raw::NULL; COLUMNS];
        let read = each_member(record, |key, written, value| {
            let feeds = match key {
                Some(key) if self.ignore_case => self.feeds.get(&key.to_lowercase()),
                Some(key) => self.feeds.get(key),
                None => None,
            };
            tell(if feeds.is_some() { None } else { Some((written, value)) });
            for feed in feeds.into_iter().flatten() {
                let value = descend(value, &feed.below, self.ignore_case);
                picked[feed.column] = value.map_or(Raw::NULL, |value| Raw::of(record, value));
            }
        });
        match read {
            Ok(()) => Ok(picked),
            Err(_) if !record.starts_with('{') => Err(Fault::record("not a JSON object")),
            Err(cause) => Err(Fault::record(format!("broken JSON: {cause}"))),
        }
    }
}

/// The value at the end of `steps`; of a repeated key the last one counts.
fn descend<'a>(value: &'a str, steps: &[Step], ignore_case: bool) -> Option<&'a str> {
    let mut value = value;
    for step in steps {
        value = match step {
            Step::Key(name) => {
                let mut found = None;
                let same = |key: &str| match ignore_case {
                    true => key.to_lowercase() == name.to_lowercase(),
                    false => key == name,
                };
                each_member(value, |key, _, value| {
                    if key.is_some_and(&same) {
                        found = Some(value);
                    }
                })
                .ok()?;
                found?
            }
            Step::Index(index) => {
                let elements: Vec<&'a RawValue> = serde_json::from_str(value).ok()?;
                elements.get(*index)?.get()
            }
        };
    }
    Some(value).filter(|value| *value != "null")
}

/// Calls `each` with every member of the JSON object `json`: its key, if that is one that a text can hold, and the source
/// texts of key and value.
fn each_member<'a>(
    json: &'a str,
    each: impl FnMut(Option<&str>, &'a str, &'a str),
) -> serde_json::Result<()> {
    struct Members<F>(F);

    impl<'de, F: FnMut(Option<&str>, &'de str, &'de str)> Visitor<'de> for Members<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some((key, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
                let (written, arena) = (key.get(), Bump::new());
                // A key that no text can hold is none that is known.
                let key = unescape(&written[1..written.len() - 1], None, &arena).ok();
                (self.0)(key, written, value.get());
            }
            Ok(())
        }
    }

    let mut deserializer = serde_json::Deserializer::from_str(json);
    deserializer.deserialize_map(Members(each))?;
    deserializer.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(
        record: &str,
        paths: &[(&str, Vec<Step>); 2],
        ignore_case: bool,
    ) -> [Option<String>; 2] {
        let paths = paths
            .each_ref()
            .map(|(key, below)| JsonPath { key: (*key).to_owned(), below: below.clone() });
        let keys = Keys::new(paths, ignore_case);
        let picked = Rules::with(record, |rules| keys.pick(rules)).unwrap();
        picked.map(|raw| raw.source(record).map(str::to_owned))
    }

    #[test]
    fn members_feed_their_columns() {
        let plain = [("a", vec![]), ("b", vec![])];
        let cases = [
            (r#"{"b": 2, "a": "x", "c": {"a": 9}}"#, false, [Some("\"x\""), Some("2")]),
            (r#"{"a": 1, "a": 2}"#, false, [Some("2"), None]),
            (r#"{"a": 1, "a": null}"#, false, [None, None]),
            (r#"{"\u0061": 1, "\ud800": 5}"#, false, [Some("1"), None]),
            (r#"{"A": 1, "B": 2}"#, false, [None, None]),
            (r#"{"A": 1, "a": 3, "B": 2}"#, true, [Some("3"), Some("2")]),
            (r#" { "a" : { "x" : [ 1 ] } } "#, false, [Some("{ \"x\" : [ 1 ] }"), None]),
        ];
        for (record, ignore_case, expected) in cases {
            let expected = expected.map(|value| value.map(str::to_owned));
            assert_eq!(picked(record, &plain, ignore_case), expected, "{record}");
        }
    }

    #[test]
    fn paths_lead_into_nested_values() {
        let step = |name: &str| Step::Key(name.to_owned());
        let paths = [("a", vec![step("b"), Step::Index(1)]), ("a", vec![step("c")])];
        let record = r#"{"a": {"b": [1, [2]], "c": 1, "c": 3}}"#;
        assert_eq!(picked(record, &paths, false), [Some("[2]".to_owned()), Some("3".to_owned())]);
        let record = r#"{"a": {"b": 7, "c": null}}"#;
        assert_eq!(picked(record, &paths, false), [None, None]);
    }

    #[test]
    fn what_is_no_object_is_refused_without_overflowing_the_stack() {
        let keys = Keys::new(["a", "b"].map(JsonPath::member), false);
        let pick = |record: &str| Rules::with(record, |rules| keys.pick(rules));
        let deep = format!("{{\"a\":{}", "[".repeat(1 << 20));
        let deep_unknown = format!("{{\"z\":{}{}}}", "[".repeat(1 << 20), "]".repeat(1 << 20));
        assert!(pick(&deep).is_err());
        assert!(pick(&deep_unknown).is_ok());
        for record in ["", "1", "[{}]", "{\"a\":1", "{\"a\":01}", "{\"a\":\"\n\"}", "{} {}"] {
            assert!(pick(record).is_err(), "{record}");
        }
    }
}
