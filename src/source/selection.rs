//! Selection: which of the listed objects count, and how many do not.

use globset::{Glob, GlobSet, GlobSetBuilder};
use serde::Serialize;

use super::Entry;
use crate::decode::Compression;
use crate::error::{Error, Result};

/// The objects that were listed and not loaded, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Skipped {
    /// Objects without a byte.
    pub empty: u64,
    /// Markers that make a prefix look like a folder.
    pub folders: u64,
    /// Objects that are called neither `.json`, `.jsonl` nor `.ndjson`, compressed or not.
    pub other_suffix: u64,
    /// Objects that the globs leave out.
    pub excluded: u64,
    /// Objects that were deleted after they were listed.
    pub gone: u64,
}

impl Skipped {
    /// All of them together.
    pub fn total(&self) -> u64 {
        let Self { empty, folders, other_suffix, excluded, gone } = *self;
        empty + folders + other_suffix + excluded + gone
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            empty: self.empty + other.empty,
            folders: self.folders + other.folders,
            other_suffix: self.other_suffix + other.other_suffix,
            excluded: self.excluded + other.excluded,
            gone: self.gone + other.gone,
        }
    }
}

/// What a place holds, sorted out.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// What counts, in the byte order of the names; some may be empty.
    pub found: Vec<Entry>,
    /// The names of what does not.
    pub passed_over: Vec<String>,
    pub skipped: Skipped,
}

/// Which keys are wanted.
#[derive(Debug)]
pub(crate) struct Globs {
    include: Option<GlobSet>,
    exclude: GlobSet,
}

impl Globs {
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self> {
        let include = if include.is_empty() { None } else { Some(glob_set(include)?) };
        Ok(Self { include, exclude: glob_set(exclude)? })
    }

    fn want(&self, key: &str) -> bool {
        self.include.as_ref().is_none_or(|include| include.is_match(key))
            && !self.exclude.is_match(key)
    }
}

fn glob_set(globs: &[String]) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        let glob = Glob::new(glob)
            .map_err(|cause| Error::config(format!("not a glob: {glob}")).because(cause))?;
        set.add(glob);
    }
    set.build().map_err(|cause| Error::config("too many globs").because(cause))
}

impl Listing {
    pub fn new(mut entries: Vec<Entry>, globs: &Globs) -> Self {
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let mut listing = Self::default();
        for entry in entries {
            let Entry { key, size, .. } = &entry;
            let stem = Compression::stem(key);
            let skipped = &mut listing.skipped;
            let reason = if key.ends_with('/') && *size == 0 {
                &mut skipped.folders
            } else if !globs.want(key) {
                &mut skipped.excluded
            } else if ![".json", ".jsonl", ".ndjson"].iter().any(|suffix| stem.ends_with(suffix)) {
                &mut skipped.other_suffix
            } else {
                listing.found.push(entry);
                continue;
            };
            *reason += 1;
            listing.passed_over.push(entry.name);
        }
        listing
    }

    /// How many objects were listed, whether they count or not.
    pub fn listed(&self) -> u64 {
        (self.found.len() + self.passed_over.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_found_or_counted() {
        let entry = |&(key, size): &(&str, u64)| Entry {
            name: format!("s3://b/{key}"),
            key: key.to_owned(),
            size,
            etag: String::new(),
        };
        let entries = [
            ("log_data/", 0),
            ("log_data/b.json", 1),
            ("log_data/a.ndjson.gz", 1),
            ("log_data/c.jsonl.zst", 1),
            ("log_data/d.json.bz2", 1),
            ("log_data/empty.json", 0),
            ("log_data/e.json.tmp", 1),
            ("log_data/f.gz", 1),
            ("log_data/old/g.json", 1),
        ];
        let globs = Globs::new(&[], &["*/old/*".to_owned()]).unwrap();
        let listing = Listing::new(entries.iter().map(entry).collect(), &globs);
        let found: Vec<_> = listing.found.iter().map(|entry| &*entry.name).collect();
        let expected = [
            "s3://b/log_data/a.ndjson.gz",
            "s3://b/log_data/b.json",
            "s3://b/log_data/c.jsonl.zst",
            "s3://b/log_data/d.json.bz2",
            "s3://b/log_data/empty.json",
        ];
        assert_eq!(found, expected);
        let skipped = Skipped { empty: 0, folders: 1, other_suffix: 2, excluded: 1, gone: 0 };
        assert_eq!(listing.skipped, skipped);
        assert_eq!(listing.listed(), entries.len() as u64);
        assert!(Globs::new(&["[".to_owned()], &[]).is_err());
    }
}
