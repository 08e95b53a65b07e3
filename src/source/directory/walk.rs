//! The walk through a directory, on which files may come and go.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{MAIN_SEPARATOR, Path};

use walkdir::{DirEntry, WalkDir};

use super::{Version, failed, is_gone, place};
use crate::error::{Error, Result};
use crate::source::Entry;
use crate::source::selection::{Choice, Key, Listing, Reason};

/// Lists the files at and below `root`. What nobody wants does no harm, whatever is wrong with it.
pub(super) fn walk(root: &Path, choice: &Choice) -> Result<Listing> {
    let root = place(root).map_err(|cause| failed(&root.to_string_lossy(), cause))?;
    // Like a bucket's keys, a file's key begins with the name of the place that was asked for.
    let above = root.parent().unwrap_or(&root);
    let below = key_of(&root, above).len() + 1;
    let mut listing = Listing::default();
    let mut files = Files::default();
    let mut links = Links::default();
    let mut entries = WalkDir::new(&root).follow_links(true).into_iter();
    while let Some(found) = entries.next() {
        let path = match &found {
            Ok(found) => found.path().to_owned(),
            Err(cause) => cause.path().unwrap_or(&root).to_owned(),
        };
        let path = &*path;
        let key = key_of(path, above);
        let of_place = Key::new(&key, below);
        let name = || path.to_string_lossy().into_owned();
        let found = match found {
            Ok(found) => found,
            Err(cause) if cause.depth() == 0 => return Err(not_listed(path, cause)),
            Err(cause) => {
                let reason = unreadable(path, of_place, choice, &cause);
                let Some(reason) = reason else { return Err(not_listed(path, cause)) };
                listing.pass_over(name(), reason);
                continue;
            }
        };
        let is_linked = links.lead_to(&found);
        if found.file_type().is_dir() {
            // Hidden folders are looked into, so that what is in them can be counted.
            if found.depth() > 0
                && let Some(Reason::Excluded) = choice.refusal_of_folder(of_place)
            {
                listing.close(&name(), Reason::Excluded);
                entries.skip_current_dir();
            }
            continue;
        }
        if let Some(reason) = choice.refusal(of_place) {
            listing.pass_over(name(), reason);
            continue;
        }
        if !found.file_type().is_file() {
            listing.pass_over(name(), Reason::NoFile);
            continue;
        }
        let Some(text) = path.to_str() else {
            let what = format!("the name of {} is not UTF-8", path.display());
            return Err(
                Error::source(what).with_help("rename the file, or leave it out with --exclude")
            );
        };
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(cause) if is_gone(&cause) => {
                listing.pass_over(text.to_owned(), Reason::Gone);
                continue;
            }
            Err(cause) => return Err(failed(text, cause)),
        };
        let Version { size, etag } = Version::of(&metadata).map_err(|cause| failed(text, cause))?;
        files.see(&metadata, is_linked, listing.found.len());
        let (name, archived) = (text.to_owned(), false);
        listing.found.push(Entry { name, key: key.clone(), size, etag, archived });
    }
    Ok(files.once(listing).sorted())
}

/// The key of a path, in which a `/` stands between folders.
fn key_of(path: &Path, above: &Path) -> String {
    let key = path.strip_prefix(above).unwrap_or(path);
    key.to_string_lossy().replace(MAIN_SEPARATOR, "/")
}

/// What counts instead of something at `path` that can't be looked at; `None` if something wanted may be there.
fn unreadable(
    path: &Path,
    key: Key<'_>,
    choice: &Choice,
    cause: &walkdir::Error,
) -> Option<Reason> {
    let is_gone = cause.io_error().is_some_and(is_gone);
    let is_link = fs::symlink_metadata(path).is_ok_and(|it| it.file_type().is_symlink());
    if !is_link && !is_gone {
        // A folder, as far as one knows.
        return choice.refusal_of_folder(key);
    }
    let is_forbidden =
        cause.io_error().is_some_and(|cause| cause.kind() == io::ErrorKind::PermissionDenied);
    match choice.refusal(key) {
        Some(reason) => Some(reason),
        None if is_forbidden => None,
        None if is_link => {
            tracing::warn!("{} leads nowhere, and is left out", path.display());
            Some(Reason::NoFile)
        }
        None => Some(Reason::Gone),
    }
}

fn not_listed(path: &Path, cause: walkdir::Error) -> Error {
    let error = Error::source(format!("can't list {}", path.display()));
    let error = match cause.into_io_error() {
        Some(cause) => error.because(cause),
        None => error.because("a link leads back to a folder above it"),
    };
    error.with_help(
        "give a directory that exists and that you may read, or leave out folders in it with --exclude 'NAME/'",
    )
}

/// Tells what is reached through links from what lies in the directory itself.
#[derive(Debug, Default)]
struct Links {
    /// How deep the link is that leads to what is looked at.
    depth: Option<usize>,
}

impl Links {
    /// Whether links below the root lead to the next entry of a walk.
    fn lead_to(&mut self, found: &DirEntry) -> bool {
        if self.depth.is_some_and(|depth| found.depth() <= depth) {
            self.depth = None;
        }
        if self.depth.is_none() && found.depth() > 0 && found.path_is_symlink() {
            self.depth = Some(found.depth());
        }
        self.depth.is_some()
    }
}

/// The files that were found, each known by more than its name.
#[derive(Debug, Default)]
struct Files(Vec<File>);

#[derive(Debug)]
struct File {
    id: Option<(u64, u64)>,
    is_linked: bool,
    at: usize,
}

impl Files {
    /// Notes the file that is the one `at` this place of the listing.
    fn see(&mut self, metadata: &Metadata, is_linked: bool, at: usize) {
        self.0.push(File { id: id(metadata), is_linked, at });
    }

    /// Leaves each file in the listing once: by the name that no link leads to, or else by the smallest. So a new link
    /// to a file that is loaded does not make it another one.
    fn once(self, mut listing: Listing) -> Listing {
        let mut kept: HashMap<(u64, u64), &File> = HashMap::new();
        let mut repeated = Vec::new();
        for file in &self.0 {
            let Some(id) = file.id else { continue };
            let rank = |file: &File| (file.is_linked, &listing.found[file.at].name);
            match kept.get(&id) {
                Some(before) if rank(before) <= rank(file) => repeated.push(file.at),
                Some(before) => {
                    repeated.push(before.at);
                    kept.insert(id, file);
                }
                None => drop(kept.insert(id, file)),
            }
        }
        repeated.sort_unstable();
        for at in repeated.into_iter().rev() {
            let entry = listing.found.swap_remove(at);
            listing.pass_over(entry.name, Reason::Repeated);
        }
        listing
    }
}

/// Tells a file from all others, whatever its names.
#[cfg(unix)]
fn id(metadata: &Metadata) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.dev(), metadata.ino()))
}

#[cfg(not(unix))]
fn id(_: &Metadata) -> Option<(u64, u64)> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::{create_dir_all, hard_link, write};
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::source::{Skipped, Source};

    /// The names below `root` that are found, and what is skipped.
    fn listed(root: &Path, change: impl FnOnce(&mut Source)) -> (Vec<String>, Skipped) {
        let mut source = Source::at("unused").unwrap();
        change(&mut source);
        let listing = walk(root, &Choice::of(&source).unwrap()).unwrap();
        let Listing { found, passed_over, skipped, .. } = &listing;
        assert_eq!(listing.listed(), found.len() as u64 + skipped.total(), "{passed_over:?}");
        let base = format!("{}/", root.to_str().unwrap());
        let names = found.iter().map(|entry| entry.name.replace(&base, ""));
        (names.collect(), *skipped)
    }

    #[test]
    fn what_is_no_file_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("log_data");
        create_dir_all(root.join("a")).unwrap();
        write(root.join("a/x.json"), "{}").unwrap();
        for (target, link) in [
            ("nowhere", "dangling"),
            ("nowhere", "dangling.json"),
            ("itself.json", "itself.json"),
            ("..", "a/up"),
            (".", "a/here.json"),
        ] {
            symlink(target, root.join(link)).unwrap();
        }
        let _sockets = ["s", "s.json"].map(|name| UnixListener::bind(root.join(name)).unwrap());
        let (names, skipped) = listed(&root, |_| {});
        assert_eq!(names, ["a/x.json"]);
        // A name without the suffix is all that there is to say of the others.
        let expected = Skipped { no_files: 4, other_suffix: 3, ..Skipped::default() };
        assert_eq!(skipped, expected);
        assert!(
            walk(&root.join("not there"), &Choice::of(&Source::at("x").unwrap()).unwrap()).is_err()
        );
    }

    #[test]
    fn a_file_counts_once_whatever_leads_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("log_data");
        create_dir_all(root.join("m/.versions")).unwrap();
        create_dir_all(folder.path().join("elsewhere")).unwrap();
        write(root.join("m/x.json"), "1").unwrap();
        write(root.join("m/.versions/now.json"), "2").unwrap();
        write(folder.path().join("elsewhere/y.json"), "3").unwrap();
        hard_link(root.join("m/x.json"), root.join("m/twin.json")).unwrap();
        symlink("m", root.join("a")).unwrap();
        symlink("m", root.join("z")).unwrap();
        symlink("m/x.json", root.join("b.json")).unwrap();
        // What it leads to is hidden, and this is not.
        symlink(".versions/now.json", root.join("m/now.json")).unwrap();
        symlink("../elsewhere", root.join("o")).unwrap();
        symlink("../elsewhere", root.join("n")).unwrap();
        let (names, skipped) = listed(&root, |_| {});
        assert_eq!(names, ["a/now.json", "m/twin.json", "n/y.json"]);
        // The hidden one is seen by three ways, now.json by two more.
        let expected = Skipped { hidden: 3, repeated: 9, ..Skipped::default() };
        assert_eq!(skipped, expected);
        // Which folder is asked for decides.
        let (names, _) = listed(&root, |source| source.include = vec!["*/z/*".to_owned()]);
        assert_eq!(names, ["z/now.json", "z/twin.json"]);
    }

    #[test]
    fn folders_that_are_left_out_are_not_looked_into() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("log_data");
        create_dir_all(root.join("2018/old/deep")).unwrap();
        create_dir_all(root.join("old")).unwrap();
        for name in
            ["2018/old/deep/a.json", "2018/old/b.json", "2018/c.json", "old/d.json", "old.json"]
        {
            write(root.join(name), "{}").unwrap();
        }
        for glob in ["old/", "*/old/*", "*/old/**"] {
            let (names, skipped) = listed(&root, |source| source.exclude = vec![glob.to_owned()]);
            assert_eq!(names, ["2018/c.json", "old.json"], "{glob}");
            assert_eq!(skipped, Skipped { excluded: 2, ..Skipped::default() }, "{glob}");
        }
        let source = Source { exclude: vec!["old/".to_owned()], ..Source::at("unused").unwrap() };
        let listing = walk(&root, &Choice::of(&source).unwrap()).unwrap();
        let name = |name: &str| root.join(name).to_str().unwrap().to_owned();
        assert!(listing.is_closed(&name("2018/old/deep/a.json")));
        assert!(!listing.is_closed(&name("old.json")));
    }
}
