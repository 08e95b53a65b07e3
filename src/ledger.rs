//! The ledger: which version of which object is loaded, and what is still to be done.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::SystemTime;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::record::Format;
use crate::report::{Objects, TableRows, UnknownMembers};
use crate::source::{Entry, Kind, Listing, Object};
use crate::star::Matching;
use crate::table::Table;

/// What the tables hold, by the books of the loads before.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The number that the next load gets.
    pub next_run: i64,
    /// A number that no object has had yet.
    pub next_object: i64,
    /// The [`Settings`] that the tables were made with; `None` where there is nothing to build upon.
    pub settings: Option<String>,
    /// The objects whose rows are in the tables.
    pub loaded: HashMap<(Kind, String), Version>,
    /// The objects that an unfinished load has read to the end.
    pub finished: HashMap<(Kind, String), Version>,
}

/// A version of an object, and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Version {
    pub object_id: i64,
    pub bytes: u64,
    pub etag: String,
    pub amounts: Amounts,
}

/// What became of an object's records: `records = taken + filtered + rejected`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Amounts {
    pub records: u64,
    /// Song records, or rows of `songplays`.
    pub taken: u64,
    /// Events that make no play.
    pub filtered: u64,
    pub rejected: u64,
    /// Rows of the staging table.
    pub staged: u64,
}

impl Amounts {
    pub fn plus(self, other: Self) -> Self {
        Self {
            records: self.records + other.records,
            taken: self.taken + other.taken,
            filtered: self.filtered + other.filtered,
            rejected: self.rejected + other.rejected,
            staged: self.staged + other.staged,
        }
    }

    pub fn balance(&self) -> bool {
        self.records == self.taken + self.filtered + self.rejected
    }
}

impl Version {
    fn is(&self, entry: &Entry) -> bool {
        self.bytes == entry.size && self.etag == entry.etag
    }
}

/// The settings that decide what the rows are: only with the same ones can a load build upon another.
#[derive(Debug, Serialize)]
pub(crate) struct Settings<'a> {
    #[serde(rename = "match")]
    matching: Matching,
    matched_only: bool,
    staging: bool,
    #[serde(flatten)]
    format: &'a Format,
}

impl<'a> Settings<'a> {
    pub fn of(config: &'a Config) -> Self {
        let Config { matching, matched_only, staging, format, .. } = config;
        let (matching, matched_only, staging) = (*matching, *matched_only, *staging);
        Self { matching, matched_only, staging, format }
    }

    /// As the ledger keeps them.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("settings are plain data")
    }

    /// Whether the `kept` ones of a ledger are the same. What an earlier version had no setting for was done as it is
    /// by default.
    fn are(&self, kept: &str) -> bool {
        let value = |text: &str| serde_json::from_str::<Map<String, Value>>(text).ok();
        let format = &Format::default();
        let matching = Matching::default();
        let usual = Settings { matching, matched_only: false, staging: true, format };
        let Some(mut kept) = value(kept) else { return false };
        for (name, usual) in value(&usual.text()).into_iter().flatten() {
            kept.entry(name).or_insert(usual);
        }
        value(&self.text()) == Some(kept)
    }
}

/// A load that is to be published, and its books in sum.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub number: i64,
    /// Tells the run from one that was given the same number.
    pub token: String,
    pub mode: Mode,
    pub started: SystemTime,
    pub settings: String,
    pub objects: Objects,
    pub amounts: Amounts,
    pub unknown: UnknownMembers,
}

impl Run {
    /// The unknown members that `load_runs` keeps, as JSON.
    pub fn unknown(&self) -> String {
        serde_json::to_string(&self.unknown.most_frequent(10)).expect("names are plain data")
    }

    /// The numbers that `load_runs` keeps, in the order of its columns: the books, whose records came to `amounts`, and
    /// the rows of `tables`.
    pub fn counts(&self, amounts: Amounts, tables: &[TableRows]) -> Vec<u64> {
        let Objects { listed, loaded, resumed: _, unchanged, gone, skipped, bytes } = self.objects;
        let Amounts { records, taken, filtered, rejected, staged: _ } = amounts;
        let books = [listed, loaded, unchanged, skipped.total(), gone, bytes];
        let records = [records, taken, filtered, rejected];
        let rows = COUNTED.map(|counted| {
            tables.iter().find(|rows| rows.table == counted).map_or(0, |rows| rows.rows)
        });
        books.into_iter().chain(records).chain(rows).collect()
    }
}

/// The tables whose rows `load_runs` keeps count of, in the order of its columns.
pub(crate) const COUNTED: [Table; 7] = [
    Table::Songplays,
    Table::Users,
    Table::Songs,
    Table::Artists,
    Table::Time,
    Table::StagingEvents,
    Table::StagingSongs,
];

/// What a load that was published has come to.
#[derive(Debug, Default)]
pub(crate) struct Published {
    pub tables: Vec<TableRows>,
    /// The books of the run: where plays without a song are left out, only the target may know how many those are.
    pub amounts: Amounts,
}

/// What a load reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Every object.
    #[default]
    Full,
    /// Objects that are new or have changed.
    Incremental,
}

impl Mode {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Incremental => "incremental",
        }
    }
}

/// How the star comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// While everything is read.
    Direct,
    /// By the server, from staged rows of which some were read by an unfinished load.
    Rebuild,
    /// By the server, as far as objects have changed.
    Merge,
}

/// What is to be done with each of the listed objects.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub mode: Mode,
    pub logs: Vec<Arc<Object>>,
    pub songs: Vec<Arc<Object>>,
    /// The objects that an unfinished load has read, and that need not be read again.
    pub kept: Vec<(Kind, Version)>,
    pub unchanged: u64,
    /// Objects that hold nothing, and never did.
    pub empty: u64,
    /// Objects in archives, which are left out.
    pub archived: u64,
    /// Objects that are loaded but are not there any more.
    pub gone: Vec<String>,
}

impl Plan {
    /// Compares what is `listed` of logs and songs with the ledger; `covers` tells which names belong to the
    /// places that were listed.
    ///
    /// # Errors
    ///
    /// The settings are not those that the tables were made with, and some objects can't be read again.
    pub fn new(
        config: &Config,
        ledger: &Ledger,
        logs: &Listing,
        songs: &Listing,
        covers: impl Fn(Kind, &str) -> bool,
    ) -> Result<Self> {
        let Ledger { settings, loaded, finished, .. } = ledger;
        let settings = settings.as_ref();
        let same = settings.is_some_and(|settings| Settings::of(config).are(settings));
        let mode = match config.full_refresh || !config.staging || !same {
            true => Mode::Full,
            false => Mode::Incremental,
        };
        let mut plan = Self { mode, ..Self::default() };
        // Rejects are to be named, and to stand in the file, so who asks for them must see their objects again.
        let rejected: u64 = finished.values().map(|done| done.amounts.rejected).sum();
        let may_keep_rejects = config.rejects.is_none() && rejected <= config.max_errors;
        let mut next_object = ledger.next_object;
        let mut rank = 0;
        // What of the ledger was not found yet.
        let mut left: HashMap<_, _> = loaded.iter().collect();
        for (kind, listing) in [(Kind::Logs, logs), (Kind::Songs, songs)] {
            for entry in &listing.found {
                let key = (kind, entry.name.clone());
                let old = left.remove(&key);
                if mode == Mode::Incremental && old.is_some_and(|old| old.is(entry)) {
                    plan.unchanged += 1;
                    continue;
                }
                // What an object held once has to go, even if it holds nothing now.
                if entry.size == 0 && (mode == Mode::Full || old.is_none()) {
                    plan.empty += 1;
                    continue;
                }
                if let Some(done) = finished.get(&key).filter(|done| done.is(entry))
                    && (may_keep_rejects || done.amounts.rejected == 0)
                {
                    plan.kept.push((kind, done.clone()));
                    continue;
                }
                let id = old.map_or(next_object, |old| old.object_id);
                next_object = next_object.max(id + 1);
                let object = Arc::new(object(entry, kind, id, rank)?);
                rank += 1;
                match kind {
                    Kind::Logs => plan.logs.push(object),
                    Kind::Songs => plan.songs.push(object),
                }
            }
        }
        let may_drop = config.full_refresh || !config.staging;
        if mode == Mode::Full
            && !may_drop
            && let Some((_, name)) = left.keys().min_by(|(_, a), (_, b)| a.cmp(b))
        {
            return Err(other_settings(name, left.len()));
        }
        // A full load drops what it does not read, whatever the reason.
        if mode == Mode::Incremental {
            for (kind, listing) in [(Kind::Logs, logs), (Kind::Songs, songs)] {
                for name in &listing.passed_over {
                    left.remove(&(kind, name.clone()));
                }
            }
            let is_closed = |kind: Kind, name: &str| match kind {
                Kind::Logs => logs.is_closed(name),
                Kind::Songs => songs.is_closed(name),
            };
            left.retain(|(kind, name), _| covers(*kind, name) && !is_closed(*kind, name));
        }
        plan.gone = left.into_keys().map(|(_, name)| name.clone()).collect();
        plan.gone.sort_unstable();
        Ok(plan)
    }

    pub fn way(&self) -> Way {
        match self.mode {
            Mode::Full if self.kept.is_empty() => Way::Direct,
            Mode::Full => Way::Rebuild,
            Mode::Incremental => Way::Merge,
        }
    }

    /// Leaves out `archived` objects, whose rows stay as they are.
    ///
    /// # Errors
    ///
    /// The load would drop rows.
    pub fn leave_out(&mut self, archived: &[Arc<Object>], ledger: &Ledger) -> Result<()> {
        self.check_left_out(archived, ledger)?;
        let left_out: HashSet<u32> = archived.iter().map(|object| object.rank).collect();
        let mut rank = 0;
        for objects in [&mut self.logs, &mut self.songs] {
            objects.retain(|object| !left_out.contains(&object.rank));
            for object in objects {
                Arc::make_mut(object).rank = rank;
                rank += 1;
            }
        }
        self.archived += archived.len() as u64;
        Ok(())
    }

    /// Checks that the load drops no rows of `archived` objects, which it leaves out.
    ///
    /// # Errors
    ///
    /// It would: it is a full one, and some are loaded.
    pub fn check_left_out(&self, archived: &[Arc<Object>], ledger: &Ledger) -> Result<()> {
        let is_loaded = |object: &&Arc<Object>| {
            ledger.loaded.contains_key(&(object.kind, object.name.to_string()))
        };
        let mut loaded = archived.iter().filter(is_loaded);
        match (self.mode, loaded.next()) {
            (Mode::Incremental, _) | (_, None) => Ok(()),
            (Mode::Full, Some(first)) => Err(would_be_dropped(&first.name, loaded.count())),
        }
    }

    /// The objects that are read.
    pub fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.logs.iter().chain(&self.songs)
    }
}

fn object(entry: &Entry, kind: Kind, id: i64, rank: u32) -> Result<Object> {
    // The number of a play is that of its object times 2^32, in 64 bits with a sign.
    let id = i32::try_from(id).map_err(|_| {
        Error::config("the tables have seen more than 2147483647 objects")
            .with_help("make them anew by `sparkload create --drop`")
    })?;
    let (name, etag) = (entry.name.as_str().into(), entry.etag.as_str().into());
    Ok(Object { id: id as u32, rank, kind, name, size: entry.size, etag })
}

fn would_be_dropped(name: &str, others: usize) -> Error {
    let objects = match others {
        0 => "an object that is".to_owned(),
        others => format!("{} objects that are", others + 1),
    };
    let what =
        format!("a full load would drop the rows of {objects} loaded and archived since: {name}");
    Error::config(what).with_help(
        "restore what is archived (aws s3api restore-object), load what is new without --full-refresh and with the \
         settings of before, or have the rows dropped by --exclude",
    )
}

fn other_settings(name: &str, left: usize) -> Error {
    let objects = if left == 1 { "an object" } else { "some objects" };
    let what = format!(
        "the tables were loaded with other settings, and {objects} of theirs can't be read again: {name}"
    );
    Error::config(what).with_help(
        "pass --full-refresh to drop the rows of what is not there any more, or load with the settings of before \
         (sparkload history shows them)",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_an_earlier_version_did_not_have_stand_at_their_defaults() {
        let format = Format { empty_as_null: true, ..Format::default() };
        let (matching, matched_only, staging) = (Matching::TitleArtist, false, true);
        let settings = Settings { matching, matched_only, staging, format: &format };
        let same = r#"{"empty_as_null": true, "match": "title-artist"}"#;
        for (kept, expected) in [
            (&*settings.text(), true),
            (same, true),
            (r#"{"empty_as_null": true, "match": "title-artist", "jsonpaths": null}"#, true),
            (r#"{"empty_as_null": true, "match": "title-artist", "matched_only": true}"#, false),
            (r#"{"empty_as_null": true, "match": "title-artist", "what": "later"}"#, false),
            (r#"{"match": "title-artist"}"#, false),
            ("{}", false),
            ("", false),
        ] {
            assert_eq!(settings.are(kept), expected, "{kept}");
        }
    }
}
