//! The password file: where the password of a cluster's user is kept, as libpq reads it.
//!
//! PostgreSQL manual, "The Password File": lines of `host:port:database:user:password`, `\` before `:` and `\`. Other
//! lines of the file stay as they are, and nobody but its owner may read it.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use sparkload::cluster::Cluster;
use sparkload::{Error, Result};
use tempfile::NamedTempFile;

/// A password file.
pub struct PasswordFile {
    path: PathBuf,
    text: SecretString,
}

impl PasswordFile {
    /// Reads the file at `path`, which need not be there.
    ///
    /// # Errors
    ///
    /// It can't be read, or others may read it too.
    pub fn open(path: &Path) -> Result<Self> {
        let text = match read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => {
                let what = format!("can't read the password file {}: {error}", path.display());
                return Err(Error::config(what)
                    .with_help("mend that, or name another with --password-file"));
            }
        };
        Ok(Self { path: path.to_owned(), text: text.into() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The password for the user of `cluster`, if it is there.
    pub fn find(&self, cluster: &Cluster) -> Option<SecretString> {
        let mut lines = self.text.expose_secret().lines().map(fields);
        let line = lines.find(|fields| is_of(fields, cluster))?;
        line.into_iter().nth(4).map(SecretString::from)
    }

    /// Puts the password for the user of `cluster` into it. Until the `host` is known the line is for one of the cluster's
    /// own name, which no host has.
    ///
    /// # Errors
    ///
    /// The file can't be written.
    pub fn keep(
        &mut self,
        cluster: &Cluster,
        host: Option<&str>,
        password: &SecretString,
    ) -> Result<()> {
        let Cluster { name, port, database, user, .. } = cluster;
        let port = port.to_string();
        let ours = [host.unwrap_or(name), &port, database, user, password.expose_secret()];
        let ours = ours.map(escaped).join(":");
        let text = self.text.expose_secret();
        let others = text.lines().filter(|line| !is_of(&fields(line), cluster));
        // In front, for the first line that fits is the one that counts.
        let lines = [ours.as_str()].into_iter().chain(others);
        let text: String = lines.flat_map(|line| [line, "\n"]).collect();
        if text != self.text.expose_secret() {
            write(&self.path, &text).map_err(|error| {
                let path = self.path.display();
                Error::config(format!("can't write the password file {path}: {error}"))
                    .with_help("name another with --password-file")
            })?;
            self.text = text.into();
        }
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<String> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        if fs::metadata(path)?.permissions().mode() & 0o077 != 0 {
            return Err(io::Error::other(
                "others may read it: allow only yourself (chmod 0600), as libpq demands",
            ));
        }
    }
    fs::read_to_string(path)
}

/// Puts `text` into the place of the file as a whole. A temporary file is its owner's alone.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Whether a line is for the user of `cluster`, wherever that listens.
fn is_of(fields: &[String], cluster: &Cluster) -> bool {
    let [host, port, database, user, _] = fields else { return false };
    let name = host.split('.').next();
    name == Some(&cluster.name)
        && *port == cluster.port.to_string()
        && *database == cluster.database
        && *user == cluster.user
}

fn fields(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        let is_password = fields.len() == 5;
        let Some(field) = fields.last_mut() else { break };
        match char {
            '\\' => field.extend(chars.next()),
            ':' if !is_password => fields.push(String::new()),
            char => field.push(char),
        }
    }
    fields
}

fn escaped(field: &str) -> String {
    field.replace('\\', "\\\\").replace(':', "\\:")
}

#[cfg(test)]
mod tests {
    use sparkload::S3Options;
    use sparkload::cluster::Size;

    use super::*;

    #[test]
    fn the_password_is_kept_beside_others_and_found_again() {
        let cluster = Cluster {
            name: "dwh".to_owned(),
            size: Size::Serverless { base_capacity: None },
            database: "dev".to_owned(),
            user: "us:er".to_owned(),
            port: 5439,
            role: "dwh".to_owned(),
            reads: Vec::new(),
            stage: None,
            stage_kms_key: None,
            aws: S3Options::default(),
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pgpass");
        let mut file = PasswordFile::open(&path).unwrap();
        assert!(file.find(&cluster).is_none());
        file.keep(&cluster, None, &"Pass:w0rd".into()).unwrap();
        let text = || fs::read_to_string(&path).unwrap();
        assert_eq!(text(), "dwh:5439:dev:us\\:er:Pass\\:w0rd\n");

        fs::write(&path, format!("# mine\n*:*:*:me:other\n{}", text())).unwrap();
        let mut file = PasswordFile::open(&path).unwrap();
        let found = file.find(&cluster).unwrap();
        assert_eq!(found.expose_secret(), "Pass:w0rd");
        file.keep(&cluster, Some("dwh.abc.example"), &found).unwrap();
        let expected = "dwh.abc.example:5439:dev:us\\:er:Pass\\:w0rd\n# mine\n*:*:*:me:other\n";
        assert_eq!(text(), expected);
        file.keep(&cluster, Some("dwh.abc.example"), &found).unwrap();
        assert_eq!(text(), expected);
        let other = Cluster { name: "dwh2".to_owned(), ..cluster };
        assert!(file.find(&other).is_none());
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pgpass");
        write(&path, "x\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = PasswordFile::open(&path).err().unwrap().to_string();
        assert!(error.contains("others may read it"), "{error}");
    }
}
