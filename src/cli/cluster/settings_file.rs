//! The settings file: takes down where a cluster is, and leaves all else in the file as it is.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use tempfile::NamedTempFile;
use toml_edit::{DocumentMut, Item, Value};

use crate::cli::file::decoded;

/// What is taken down of a cluster.
pub struct Place<'a> {
    /// The host that it is reached at.
    pub host: &'a str,
    /// All that a connection needs but the password.
    pub target: String,
    /// The ARN of its role.
    pub role: &'a str,
    /// Where loads may put files.
    pub stage: Option<String>,
}

impl Place<'_> {
    /// Takes it down in the file at `path`, `dwh.cfg` or `sparkload.toml` by its ending; whether that changed anything.
    ///
    /// # Errors
    ///
    /// The file can't be read, understood or written.
    pub fn write(&self, path: &Path) -> io::Result<bool> {
        let can_not = |error: io::Error| {
            let path = path.display();
            io::Error::other(format!(
                "the cluster is there, but {path} can't name it: {error}; mend that and run it again"
            ))
        };
        let before = match fs::read(path) {
            Ok(bytes) => decoded(bytes)
                .ok_or_else(|| can_not(io::Error::other("it is neither UTF-8 nor UTF-16")))?,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => return Err(can_not(error)),
        };
        let after = match path.extension().is_some_and(|it| it == "cfg") {
            true => self.in_cfg(&before),
            // What is wrong with it may be quoted, with a password.
            false => self.in_toml(&before).ok_or_else(|| {
                can_not(io::Error::other("it is not TOML any more, or names the target in a table"))
            })?,
        };
        if after == before {
            return Ok(false);
        }
        replace(path, &after).map_err(can_not)?;
        Ok(true)
    }

    fn in_toml(&self, text: &str) -> Option<String> {
        let mut document: DocumentMut = text.parse().ok()?;
        let target = document.get("target").and_then(Item::as_str);
        // One that was refined by hand, as by a user, stays.
        if !target.is_some_and(|target| target.contains(self.host)) {
            set(&mut document, "target", &self.target)?;
        }
        set(&mut document, "iam-role", self.role)?;
        if let Some(stage) = &self.stage {
            set(&mut document, "stage", stage)?;
        }
        Some(document.to_string())
    }

    fn in_cfg(&self, text: &str) -> String {
        let with_host = set_in_cfg(text, "CLUSTER", "HOST", self.host);
        set_in_cfg(&with_host, "IAM_ROLE", "ARN", self.role)
    }
}

/// Sets a value, with the comment beside it left where it is; `None` where there is a table of this name.
fn set(document: &mut DocumentMut, key: &str, text: &str) -> Option<()> {
    match document.get_mut(key) {
        Some(item) if item.as_str() == Some(text) => {}
        Some(item) => {
            let value = item.as_value_mut()?;
            let decor = value.decor().clone();
            *value = Value::from(text);
            *value.decor_mut() = decor;
        }
        None => {
            document.insert(key, Item::Value(text.into()));
        }
    }
    Some(())
}

/// Sets the value of a key in a section as Python's `configparser` reads them: names without regard to the case of keys,
/// `=` or `:` behind them. Quotes around the old value are put around the new one.
fn set_in_cfg(text: &str, section: &str, key: &str, value: &str) -> String {
    let ending = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    let (mut within, mut header) = (false, None);
    for (at, line) in lines.iter_mut().enumerate() {
        let content = line.trim_end();
        if let Some(name) = content.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            within = name == section;
            if within && header.is_none() {
                header = Some(at);
            }
            continue;
        }
        let Some(delimiter) = content.find(['=', ':']).filter(|_| within) else { continue };
        if !content[..delimiter].trim().eq_ignore_ascii_case(key) {
            continue;
        }
        let (head, old) = content.split_at(delimiter + 1);
        let space = &old[..old.len() - old.trim_start().len()];
        let old = old.trim();
        let quote = ['\'', '"']
            .into_iter()
            .find(|quote| old.len() > 1 && old.starts_with(*quote) && old.ends_with(*quote));
        let quote = quote.map(String::from).unwrap_or_default();
        let end = &line[content.len()..];
        let new = format!("{head}{space}{quote}{value}{quote}{end}");
        *line = new;
        return lines.concat();
    }
    let new = format!("{key}={value}{ending}");
    match header {
        Some(at) => lines.insert(at + 1, new),
        None => {
            let gap = if text.is_empty() || text.ends_with("\n\n") { "" } else { ending };
            if lines.last().is_some_and(|last| !last.ends_with('\n')) {
                lines.push(ending.to_owned());
            }
            lines.push(format!("{gap}[{section}]{ending}{new}"));
        }
    }
    lines.concat()
}

/// Puts `text` into the place of the file as a whole, which keeps its permissions.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A link stays one.
    let path = match path.canonicalize() {
        Ok(path) => path,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return fs::write(path, text);
        }
        Err(error) => return Err(error),
    };
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(fs::metadata(&path)?.permissions())?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place<'static> {
        Place {
            host: "dwh.abc.us-east-1.redshift.amazonaws.com",
            target: "postgres://u@dwh.abc.us-east-1.redshift.amazonaws.com:5439/dev".to_owned(),
            role: "arn:aws:iam::123456789012:role/dwh",
            stage: Some("s3://stage/tmp".to_owned()),
        }
    }

    #[test]
    fn the_rest_of_sparkload_toml_stays_as_it_is() {
        let text = "# Ours.\nsource = 's3://songs'\ntarget = \"./sparkload.db\" # for now\n\nmemory = '64MiB'\n";
        let after = place().in_toml(text).unwrap();
        insta::assert_snapshot!(after, @r#"
        # Ours.
        source = 's3://songs'
        target = "postgres://u@dwh.abc.us-east-1.redshift.amazonaws.com:5439/dev" # for now

        memory = '64MiB'
        iam-role = "arn:aws:iam::123456789012:role/dwh"
        stage = "s3://stage/tmp"
        "#);
        assert_eq!(place().in_toml(&after).as_deref(), Some(&*after), "twice is as once");
        let refined = after.replace("u@", "another@");
        assert_eq!(place().in_toml(&refined), Some(refined));
        assert_eq!(place().in_toml("target = "), None);
        assert_eq!(place().in_toml("[target]\nhost = 'h'"), None);
    }

    #[test]
    fn the_rest_of_dwh_cfg_stays_as_it_is() {
        let text = "\
[CLUSTER]\r
host = ''\r
DB_PASSWORD=it's %% # 1\r
\r
[IAM_ROLE]\r
ARN=\r
# the end";
        let after = place().in_cfg(text);
        assert_eq!(
            after,
            text.replace("''", "'dwh.abc.us-east-1.redshift.amazonaws.com'")
                .replace("ARN=", "ARN=arn:aws:iam::123456789012:role/dwh")
        );
        assert_eq!(place().in_cfg(&after), after, "twice is as once");
        let added = place().in_cfg("[CLUSTER]\nDB_NAME=dev\n");
        insta::assert_snapshot!(added, @r"
        [CLUSTER]
        HOST=dwh.abc.us-east-1.redshift.amazonaws.com
        DB_NAME=dev

        [IAM_ROLE]
        ARN=arn:aws:iam::123456789012:role/dwh
        ");
    }
}
