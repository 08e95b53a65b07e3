//! What libpq's environment variables say, gathered by whoever may read the environment.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::parameters::PARAMETERS;

/// The directory of the service file for all users.
const SYSTEM_DIRECTORY: &str = "PGSYSCONFDIR";

/// What stands in for the parameters that a connection string doesn't give.
///
/// The library never reads the environment: a program that wants libpq's rules passes it in.
/// `Defaults::default()` knows nothing, so that a test connects exactly where it says.
///
/// ```
/// use sparkload::Defaults;
///
/// let defaults = Defaults {
///     variables: Defaults::names()
///         .filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?)))
///         .collect(),
///     user: std::env::var("USER").ok(),
///     home: std::env::home_dir(),
/// };
/// # let _ = defaults;
/// ```
#[derive(Clone, Default)]
pub struct Defaults {
    /// libpq's variables by name (`PGHOST`, …); others are ignored.
    pub variables: BTreeMap<String, String>,
    /// The operating system's user name, the user to log in as when none is given.
    pub user: Option<String>,
    /// The home directory, where `.pgpass`, `.pg_service.conf` and `.postgresql/` are looked for.
    pub home: Option<PathBuf>,
}

impl Defaults {
    /// Lists the environment variables that matter.
    pub fn names() -> impl Iterator<Item = &'static str> {
        PARAMETERS.iter().filter_map(|parameter| parameter.variable).chain([SYSTEM_DIRECTORY])
    }

    /// Gives the value of a variable, if it is set and not empty.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Gives a file under the home directory, if it is there.
    pub(super) fn home_file(&self, name: &str) -> Option<PathBuf> {
        let path = self.home.as_ref()?.join(name);
        path.exists().then_some(path)
    }
}

/// Shows which variables are set, never their values: one of them is a password.
impl fmt::Debug for Defaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { variables, user, home } = self;
        f.debug_struct("Defaults")
            .field("variables", &variables.keys())
            .field("user", user)
            .field("home", home)
            .finish()
    }
}
