//! Records: typed events and songs out of JSON text, by a warehouse COPY's conversions, or a reject.

mod arena;
mod digits;
mod event;
mod format;
mod jsonpaths;
mod keys;
mod reader;
mod reject;
mod rescue;
mod scan;
mod song;
mod text;
mod unknown;
mod value;

pub use format::Format;
pub use jsonpaths::JsonPaths;
pub use reject::Reject;

pub(crate) use arena::Arena;
pub(crate) use event::{Event, EventReader};
#[cfg(feature = "internals")]
pub(crate) use reader::Reader;
pub(crate) use reject::Fault;
pub(crate) use song::{SongReader, SongRecord};
pub(crate) use unknown::Unknown;
