//! The peer: the user whom a server on a Unix socket must run as; libpq's `requirepeer`.

use std::fs;

use crate::error::{Error, Result};

/// The users of this machine.
const USERS: &str = "/etc/passwd";

/// A user of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    pub name: String,
    pub id: u32,
}

impl Peer {
    /// Looks up the user `name`.
    ///
    /// # Errors
    ///
    /// There is none, or not where it is looked for.
    pub fn named(name: &str) -> Result<Self> {
        let unknown = || {
            Error::config(format!("`requirepeer` names a user whom {USERS} doesn't have: {name}"))
                .with_help(
                    "name the user of this machine that PostgreSQL runs as, such as postgres",
                )
        };
        let users = fs::read_to_string(USERS).map_err(|error| unknown().because(error))?;
        let id = id_of(name, &users).ok_or_else(unknown)?;
        Ok(Self { name: name.to_owned(), id })
    }
}

fn id_of(name: &str, users: &str) -> Option<u32> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (user, _, id) = (fields.next()?, fields.next()?, fields.next()?);
        (user == name).then(|| id.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_a_number() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\n\n# no user\npostgres:x:70:70::/:\nbad:x:y:0::/:\n";
        for (name, id) in
            [("root", Some(0)), ("postgres", Some(70)), ("post", None), ("bad", None), ("", None)]
        {
            assert_eq!(id_of(name, users), id, "{name}");
        }
        assert_eq!(Peer::named("root").unwrap().id, 0);
        assert!(Peer::named("nobody such").unwrap_err().help().is_some());
    }
}
