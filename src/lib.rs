//! Loads song and log JSON from S3 or a directory into a star schema in PostgreSQL.

mod check;
mod config;
mod decode;
mod encode;
mod error;
mod pipeline;
mod query;
mod record;
mod report;
mod source;
mod star;
mod table;
mod target;
mod transform;

pub use check::{Check, Verdict, check};
pub use config::Config;
pub use error::{Error, ErrorKind, Result};
pub use pipeline::load;
pub use query::{Column, Kind, NamedQuery, Rows, named_queries, query};
pub use record::{Format, JsonPaths, Reject};
pub use report::{
    Amount, Counter, EventBooks, Objects, Phase, Progress, Report, SongBooks, Stage, TableRows,
};
pub use source::{Location, S3Credentials, S3Options, Skipped, Source};
pub use star::Matching;
pub use table::Table;
pub use target::{Defaults, Existing, Server, Target, create};
