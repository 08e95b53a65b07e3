//! Subjects: what is measured.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What is measured: a stage of a load alone, or the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Subject {
    /// Opening the source and listing its objects.
    List,
    /// Reading every object, songs and logs at once, and keeping nothing.
    Fetch,
    /// From here on from memory, by one thread: bytes into blocks of whole records.
    Decode,
    /// That, and records into typed songs and events.
    Parse,
    /// That, and the folding of them into the dimensions, and each play's match.
    Transform,
    /// That, and the encoding of rows: all that a load does between reading and writing.
    Encode,
    /// Encoded rows from memory into the target, over all connections.
    Copy,
    /// The building of keys and indexes on rows that are there.
    Keys,
    /// The making of finished tables the live ones.
    Publish,
    /// A whole load whose rows are counted and forgotten.
    Null,
    /// A whole load into tables that are not there yet.
    Load,
}

impl Subject {
    /// All of them, in the order of a load.
    pub const ALL: [Self; 11] = [
        Self::List,
        Self::Fetch,
        Self::Decode,
        Self::Parse,
        Self::Transform,
        Self::Encode,
        Self::Copy,
        Self::Keys,
        Self::Publish,
        Self::Null,
        Self::Load,
    ];

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Fetch => "fetch",
            Self::Decode => "decode",
            Self::Parse => "parse",
            Self::Transform => "transform",
            Self::Encode => "encode",
            Self::Copy => "copy",
            Self::Keys => "keys",
            Self::Publish => "publish",
            Self::Null => "null",
            Self::Load => "load",
        }
    }

    /// The stage that this one goes on from and includes.
    pub const fn includes(self) -> Option<Self> {
        match self {
            Self::Parse => Some(Self::Decode),
            Self::Transform => Some(Self::Parse),
            Self::Encode => Some(Self::Transform),
            Self::List | Self::Fetch | Self::Decode | Self::Copy => None,
            Self::Keys | Self::Publish | Self::Null | Self::Load => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Subject {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|subject| subject.name() == text);
        found.ok_or_else(|| {
            Error::config(format!("there is no stage {text}"))
                .with_help(format!("there are {}", Self::ALL.map(Self::name).join(", ")))
        })
    }
}
