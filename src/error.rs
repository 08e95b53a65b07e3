//! The one error of the crate: what was tried, where, why it failed, and what to do about it.

use std::error::Error as StdError;
use std::fmt;

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a load, query or check could not be done.
///
/// `Display` names the operation and the place (object, record, table); [`StdError::source`] keeps the
/// cause; [`Error::help`] says what to do. None of the three ever holds a password or a key.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    what: String,
    cause: Option<Box<dyn StdError + Send + Sync>>,
    help: Option<String>,
    remedy: Remedy,
}

/// What a load itself can do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nothing.
    None,
    /// The same may go well in a while.
    TryAgain,
    /// Some of what was read is worth nothing any more; what is finished can be kept.
    StartOver,
    /// Let go of all that was written, for the target has no room.
    MakeRoom,
}

/// Where an [`Error`] comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is missing, malformed or contradicts another one; nothing was tried yet.
    Config,
    /// The source can't be listed or read, or can't be written where one is generated.
    Source,
    /// The data is not what it should be: too many rejects, a broken archive.
    Data,
    /// The target can't be reached, or refuses a statement.
    Target,
    /// The load was told to stop.
    Interrupted,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), cause: None, help: None, remedy: Remedy::None }
    }

    /// A setting that can't be used; the front reports it as wrong usage.
    pub fn config(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, what)
    }

    pub(crate) fn source(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Source, what)
    }

    pub(crate) fn data(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, what)
    }

    pub(crate) fn target(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Target, what)
    }

    pub(crate) fn interrupted(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Interrupted, what)
    }

    pub(crate) fn because(mut self, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds what the user can do about it.
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says what the load can do about it.
    pub(crate) fn with_remedy(mut self, remedy: Remedy) -> Self {
        self.remedy = remedy;
        self
    }

    pub(crate) fn remedy(&self) -> Remedy {
        self.remedy
    }

    /// All causes in one text, each said once.
    pub(crate) fn causes(&self) -> String {
        let mut causes = Vec::new();
        let mut next = StdError::source(self);
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes.dedup_by(|cause, before| before.ends_with(cause.as_str()));
        causes.join(": ")
    }

    /// Where the error comes from.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What to do about it, in one sentence, where that is known.
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}
