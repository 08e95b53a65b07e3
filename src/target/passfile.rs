//! libpq's password file: lines of `host:port:database:user:password`.
//!
//! PostgreSQL manual, "The Password File": `*` matches anything, `\` escapes `:` and `\`, the first
//! line that matches counts.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use secrecy::SecretString;

/// What a password is looked up for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Login<'a> {
    /// A host name or address; `localhost` for a Unix socket in its usual place, else its directory.
    pub host: &'a str,
    pub port: u16,
    pub dbname: &'a str,
    pub user: &'a str,
}

/// Looks up the password in the file at `path`; a file that is missing or can't be trusted has none.
pub(crate) fn read(path: &Path, login: Login<'_>) -> Option<SecretString> {
    match lines_of(path) {
        Ok(lines) => find(&lines, login),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the password file is ignored");
            None
        }
    }
}

fn lines_of(path: &Path) -> io::Result<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let metadata = File::open(path)?.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a plain file"));
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(io::Error::other(
                "others may read it: allow only yourself (chmod 0600), as libpq demands",
            ));
        }
    }
    fs::read_to_string(path)
}

/// Finds the password for `login` in the text of a password file.
fn find(lines: &str, login: Login<'_>) -> Option<SecretString> {
    let port = login.port.to_string();
    let wanted = [login.host, &port, login.dbname, login.user];
    lines.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut rest = line;
        for value in wanted {
            let (raw, field, after) = take_field(rest);
            if raw != "*" && field != value {
                return None;
            }
            rest = after?;
        }
        let (_, password, _) = take_field(rest);
        Some(SecretString::from(password))
    })
}

/// Takes one field off the front: as it stands, unescaped, and what follows its colon.
fn take_field(text: &str) -> (&str, String, Option<&str>) {
    let mut field = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => field.push(chars.next().map_or('\\', |(_, escaped)| escaped)),
            ':' => return (&text[..at], field, Some(&text[at + 1..])),
            char => field.push(char),
        }
    }
    (text, field, None)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    const LOGIN: Login<'static> =
        Login { host: "db.example", port: 5432, dbname: "dwh", user: "ann" };

    #[test]
    fn the_first_matching_line_counts() {
        let cases = [
            ("", None),
            ("db.example:5432:dwh:ann:secret", Some("secret")),
            ("db.example:5432:dwh:ann:secret\r\n", Some("secret")),
            ("*:*:*:*:any", Some("any")),
            ("other:5432:dwh:ann:no\n*:5432:*:ann:yes\n*:*:*:*:late", Some("yes")),
            ("# db.example:5432:dwh:ann:no", None),
            ("db.example:5433:dwh:ann:no", None),
            ("db.example:5432:dwh:bob:no", None),
            ("db.example:5432:DWH:ann:no", None),
            ("db.example:5432:dwh:ann", None),
            (r"*:*:*:*:a\:b\\c", Some(r"a:b\c")),
            ("*:*:*:*:a:b", Some("a")),
            (r"*:*:*:*:trailing\", Some(r"trailing\")),
            ("*:*:*:*:", Some("")),
            (r"db\.example:5432:d\wh:ann:escapes", Some("escapes")),
            (r"\*:*:*:*:not a wildcard", None),
            ("\n\nnonsense\n*:*:*:ann:ok", Some("ok")),
        ];
        for (lines, expected) in cases {
            let found = find(lines, LOGIN);
            assert_eq!(found.as_ref().map(|found| found.expose_secret()), expected, "{lines:?}");
        }
    }

    #[test]
    fn colons_in_an_address_are_escaped() {
        let login = Login { host: "::1", ..LOGIN };
        let found = find(r"\:\:1:5432:*:*:six", login).unwrap();
        assert_eq!(found.expose_secret(), "six");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_ignored() {
        use std::os::unix::fs::PermissionsExt;

        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "*:*:*:*:secret").unwrap();
        for (mode, trusted) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(file.path(), LOGIN).is_some(), trusted, "{mode:o}");
        }
        assert!(read(Path::new("/nowhere/.pgpass"), LOGIN).is_none());
    }
}
