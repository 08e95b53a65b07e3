//! Selection: which of the listed objects count, and how many do not.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::Serialize;

use super::{Entry, Source};
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
    /// Objects below the place that was named which are hidden, or lie in a hidden folder: those whose names start with
    /// `.` or `_`.
    pub hidden: u64,
    /// Objects that are called neither `.json`, `.jsonl` nor `.ndjson`, compressed or not.
    pub other_suffix: u64,
    /// Objects that the globs leave out. A folder of a directory that is left out counts as one, as it is not looked into.
    pub excluded: u64,
    /// Other names of files that are listed already: links to them.
    pub repeated: u64,
    /// What is no file: sockets, devices, and links that lead nowhere or back to a folder above them.
    pub no_files: u64,
    /// Objects in archives, which would have to be restored to be read.
    pub archived: u64,
    /// Objects that were deleted while or after they were listed.
    pub gone: u64,
}

impl Skipped {
    /// All of them together.
    pub fn total(&self) -> u64 {
        let Self {
            empty,
            folders,
            hidden,
            other_suffix,
            excluded,
            repeated,
            no_files,
            archived,
            gone,
        } = *self;
        empty + folders + hidden + other_suffix + excluded + repeated + no_files + archived + gone
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            empty: self.empty + other.empty,
            folders: self.folders + other.folders,
            hidden: self.hidden + other.hidden,
            other_suffix: self.other_suffix + other.other_suffix,
            excluded: self.excluded + other.excluded,
            repeated: self.repeated + other.repeated,
            no_files: self.no_files + other.no_files,
            archived: self.archived + other.archived,
            gone: self.gone + other.gone,
        }
    }

    fn count(&mut self, reason: Reason) {
        *match reason {
            Reason::Folder => &mut self.folders,
            Reason::Hidden => &mut self.hidden,
            Reason::OtherSuffix => &mut self.other_suffix,
            Reason::Excluded => &mut self.excluded,
            Reason::Repeated => &mut self.repeated,
            Reason::NoFile => &mut self.no_files,
            Reason::Gone => &mut self.gone,
        } += 1;
    }
}

/// Why something that is listed does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    #[cfg_attr(
        not(feature = "s3"),
        expect(dead_code, reason = "only buckets have markers of folders")
    )]
    Folder,
    Hidden,
    OtherSuffix,
    Excluded,
    Repeated,
    NoFile,
    Gone,
}

/// What a place holds, sorted out.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// What counts, in the byte order of the names once all is there; some may be empty.
    pub found: Vec<Entry>,
    /// The names of what does not.
    pub passed_over: Vec<String>,
    /// The names of folders that were not looked into, each with a `/` behind it.
    closed: Vec<String>,
    pub skipped: Skipped,
}

/// Which objects of a place are wanted.
#[derive(Debug)]
pub(crate) struct Choice {
    include: Option<Patterns>,
    exclude: Patterns,
    hidden: bool,
}

/// The key of something below a place, from the name of the bucket or of the place on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key<'a> {
    key: &'a str,
    /// How many bytes of it are those of the place.
    place: usize,
}

impl<'a> Key<'a> {
    pub fn new(key: &'a str, place: usize) -> Self {
        Self { key, place }
    }

    /// The part that lies below the place.
    fn below(self) -> &'a str {
        self.key.get(self.place..).unwrap_or_default()
    }

    fn is_hidden(self) -> bool {
        let mut parts = self.below().split('/');
        // A key may have parts that stand for a folder itself and the one above it elsewhere.
        parts.any(|part| part.starts_with(['.', '_']) && part != "." && part != "..")
    }
}

impl Choice {
    /// What `source` says.
    ///
    /// # Errors
    ///
    /// One of its globs is none.
    pub fn of(source: &Source) -> Result<Self> {
        let Source { include, exclude, include_hidden, .. } = source;
        let include = if include.is_empty() { None } else { Some(Patterns::new(include)?) };
        Ok(Self { include, exclude: Patterns::new(exclude)?, hidden: *include_hidden })
    }

    /// Why an object is not wanted, if it is not.
    pub fn refusal(&self, key: Key<'_>) -> Option<Reason> {
        if let Some(reason) = self.refusal_of_folder(key) {
            return Some(reason);
        }
        let is_included = self.include.as_ref().is_none_or(|include| include.match_object(key));
        if !is_included || self.exclude.match_object(key) {
            return Some(Reason::Excluded);
        }
        let stem = Compression::stem(key.key);
        let is_json = [".json", ".jsonl", ".ndjson"].iter().any(|suffix| stem.ends_with(suffix));
        (!is_json).then_some(Reason::OtherSuffix)
    }

    /// Why nothing in a folder is wanted, as far as that can be told by its key.
    pub fn refusal_of_folder(&self, key: Key<'_>) -> Option<Reason> {
        if !self.hidden && key.is_hidden() {
            return Some(Reason::Hidden);
        }
        self.exclude.match_folder(key).then_some(Reason::Excluded)
    }
}

/// Globs, of three kinds.
#[derive(Debug)]
struct Patterns {
    /// Those for keys.
    keys: GlobSet,
    /// `name/` stands for all that is in folders of that name, wherever below the place they are.
    names: GlobSet,
    /// What those for keys say of whole folders, whose keys they are held against with a `/` behind them.
    folders: GlobSet,
}

impl Patterns {
    fn new(texts: &[String]) -> Result<Self> {
        let [mut keys, mut names, mut folders] = [(); 3].map(|()| GlobSetBuilder::new());
        for text in texts {
            let glob = |glob: &str, within: bool| {
                // As in .gitignore, a star stays within the name of a folder; in keys it does not.
                let glob = GlobBuilder::new(glob).literal_separator(within).build();
                glob.map_err(|cause| Error::config(format!("not a glob: {text}")).because(cause))
            };
            match text.strip_suffix('/') {
                Some(name) if !name.is_empty() && !name.contains('/') => {
                    names.add(glob(&format!("**/{name}/**"), true)?);
                }
                // The folder with this key, and all that is in it.
                Some(_) => {
                    keys.add(glob(&format!("{text}**"), false)?);
                    folders.add(glob(text, false)?);
                }
                None => {
                    keys.add(glob(text, false)?);
                    let folder = text.trim_end_matches('*');
                    if folder.ends_with('/') && folder.len() < text.len() {
                        folders.add(glob(folder, false)?);
                    }
                }
            }
        }
        let set = |builder: GlobSetBuilder| {
            builder.build().map_err(|cause| Error::config("too many globs").because(cause))
        };
        Ok(Self { keys: set(keys)?, names: set(names)?, folders: set(folders)? })
    }

    fn match_object(&self, key: Key<'_>) -> bool {
        self.keys.is_match(key.key) || self.names.is_match(key.below())
    }

    fn match_folder(&self, key: Key<'_>) -> bool {
        let is_match =
            |set: &GlobSet, text: &str| !set.is_empty() && set.is_match(format!("{text}/"));
        is_match(&self.folders, key.key) || is_match(&self.names, key.below())
    }
}

impl Listing {
    /// Takes an object, or passes it over where `choice` does not want it; `place` bytes of its key are those of the place.
    #[cfg(feature = "s3")]
    pub fn add(&mut self, entry: Entry, place: usize, choice: &Choice) {
        let is_marker = entry.key.ends_with('/') && entry.size == 0;
        let refusal = match is_marker {
            true => Some(Reason::Folder),
            false => choice.refusal(Key::new(&entry.key, place)),
        };
        match refusal {
            Some(reason) => self.pass_over(entry.name, reason),
            None => self.found.push(entry),
        }
    }

    /// Counts what does not count.
    pub fn pass_over(&mut self, name: String, reason: Reason) {
        self.skipped.count(reason);
        self.passed_over.push(name);
    }

    /// Counts a folder that is not looked into.
    pub fn close(&mut self, name: &str, reason: Reason) {
        self.skipped.count(reason);
        self.closed.push(format!("{name}/"));
    }

    /// Sorts what was found, when all was.
    pub fn sorted(mut self) -> Self {
        self.found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self
    }

    /// What was found by the `name`.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        let at = self.found.binary_search_by(|entry| (*entry.name).cmp(name)).ok()?;
        Some(&self.found[at])
    }

    /// Whether a name lies in a folder that was not looked into.
    pub fn is_closed(&self, name: &str) -> bool {
        self.closed.iter().any(|folder| name.starts_with(folder))
    }

    /// How many objects were listed, whether they count or not.
    pub fn listed(&self) -> u64 {
        (self.found.len() + self.passed_over.len() + self.closed.len()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choice(include: &[&str], exclude: &[&str]) -> Result<Choice> {
        let texts = |globs: &[&str]| globs.iter().map(|&glob| glob.to_owned()).collect();
        let source = Source::at("unused").unwrap();
        Choice::of(&Source { include: texts(include), exclude: texts(exclude), ..source })
    }

    #[test]
    fn every_entry_is_found_or_counted() {
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
            ("log_data/.ipynb_checkpoints/h.json", 1),
            ("log_data/_temporary/0/i.json", 1),
            ("log_data/._j.json", 1),
            ("log_data//a/../k.json", 1),
        ];
        let choice = choice(&[], &["*/old/*"]).unwrap();
        let mut listing = Listing::default();
        for (key, size) in entries {
            let (name, etag) = (format!("s3://b/{key}"), String::new());
            let entry = Entry { name, key: key.to_owned(), size, etag, archived: false };
            listing.add(entry, "log_data/".len(), &choice);
        }
        let listing = listing.sorted();
        let found: Vec<_> = listing.found.iter().map(|entry| &*entry.name).collect();
        let expected = [
            "s3://b/log_data//a/../k.json",
            "s3://b/log_data/a.ndjson.gz",
            "s3://b/log_data/b.json",
            "s3://b/log_data/c.jsonl.zst",
            "s3://b/log_data/d.json.bz2",
            "s3://b/log_data/empty.json",
        ];
        assert_eq!(found, expected);
        let skipped =
            Skipped { folders: 1, hidden: 3, other_suffix: 2, excluded: 1, ..Skipped::default() };
        assert_eq!(listing.skipped, skipped);
        assert_eq!(listing.listed(), entries.len() as u64);
        assert_eq!(listing.get("s3://b/log_data/b.json").unwrap().key, "log_data/b.json");
        assert!(listing.get("s3://b/log_data/old/g.json").is_none());
    }

    #[test]
    fn only_what_lies_below_the_place_can_be_hidden() {
        let choice = choice(&[], &[]).unwrap();
        for (key, place, expected) in [
            ("_log/.data/a.json", "_log/.data/", None),
            ("_log/.data/_a.json", "_log/.data/", Some(Reason::Hidden)),
            ("_a.json", "_a.json", None),
            ("_a.json", "", Some(Reason::Hidden)),
            ("a_.json", "", None),
            ("a/b.c/_/d.json", "a/", Some(Reason::Hidden)),
        ] {
            assert_eq!(choice.refusal(Key::new(key, place.len())), expected, "{key}");
        }
        let source = Source { include_hidden: true, ..Source::at("unused").unwrap() };
        let all = Choice::of(&source).unwrap();
        assert_eq!(all.refusal(Key::new("_a/.b.json", 0)), None);
    }

    #[test]
    fn globs_choose_keys_and_folders() {
        // A glob, what lies in `d/log_data` and is left out by it, what is not, and whether the first one's folder is.
        let cases = [
            ("*/old/*", "d/log_data/old/a.json", "d/log_data/older/a.json", true),
            ("*/old/**", "d/log_data/old/a.json", "d/log_data/old.json", true),
            ("old/", "d/log_data/old/a.json", "d/log_data/old.json", true),
            ("old/", "d/log_data/x/old/y/a.json", "d/log_data/x/older/y/a.json", true),
            ("o*d/", "d/log_data/old/a.json", "d/log_data/o/d/a.json", true),
            ("log_data/", "d/log_data/log_data/a.json", "d/log_data/a.json", true),
            ("d/", "d/log_data/d/a.json", "d/log_data/a.json", true),
            ("d/log_data/old/", "d/log_data/old/x/a.json", "d/log_data/x/old/a.json", false),
            ("d/log_data/old/", "d/log_data/old/a.json", "d/log_data/old.json", true),
            ("*.tmp.json", "d/log_data/old/a.tmp.json", "d/log_data/a.json", false),
            ("{a,b}.json", "a.json", "d/log_data/a.json", false),
            ("d/log_data/o[l]d/*", "d/log_data/old/a.json", "d/log_data/a.json", true),
        ];
        let place = "d/log_data/".len();
        for (glob, out, kept, folder) in cases {
            let exclude = choice(&[], &[glob]).unwrap();
            let of = |key| exclude.refusal(Key::new(key, place));
            assert_eq!((of(out), of(kept)), (Some(Reason::Excluded), None), "{glob}");
            let parent = out.rsplit_once('/').map_or("", |it| it.0);
            let closed = exclude.refusal_of_folder(Key::new(parent, place)).is_some();
            assert_eq!(closed, folder, "{glob}");
            let include = choice(&[glob], &[]).unwrap();
            let of = |key| include.refusal(Key::new(key, place));
            assert_eq!((of(out), of(kept)), (None, Some(Reason::Excluded)), "{glob}");
        }
        for wrong in ["[", "[/", "a/[/"] {
            assert!(choice(&[wrong], &[]).is_err(), "{wrong}");
        }
    }
}
