//! Loads song and log JSON from S3 or a directory into a star schema in PostgreSQL or Amazon Redshift.
//!
//! [`load`] is the whole job: it lists a [`Source`], reads and parses it concurrently, builds the tables
//! `songplays`, `users`, `songs`, `artists` and `time` (see [`Table`]), and makes them visible in a [`Target`] by
//! one commit. [`Config`] holds every setting; the [`Report`] says what was done; an [`Error`] says what failed,
//! where, and what to do about it.
//!
//! A test of your own loads a directory into the embedded PostgreSQL and asks it:
//!
//! ```
//! # #[cfg(not(feature = "embedded"))] fn main() {}
//! # #[cfg(feature = "embedded")]
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use sparkload::{Config, Source, Table, Target};
//!
//! let directory = tempfile::tempdir()?;
//! let target = Target::Embedded(directory.path().join("test.db"));
//! let source = Source::at("fixtures/sparkify")?;
//!
//! let report = sparkload::load(&Config::new(source, target.clone())).await?;
//! assert_eq!(report.rows(Table::Songplays), 81);
//! assert_eq!(report.rejected(), 0);
//!
//! let sql = "SELECT count(*) FROM users";
//! let rows = sparkload::query(&target, "public", sql).await?;
//! assert_eq!(rows.rows[0][0].as_deref(), Some("16"));
//! # Ok(())
//! # }
//! ```
//!
//! # A way through the code
//!
//! The story of a load is told in `pipeline`, which also owns all concurrency. Bytes come from `source`; `decode`
//! makes blocks of whole records of them; `record` makes typed records of those, or rejects; `star` knows the
//! rules of the model; `table` the columns; `encode` the bytes that a database reads; `transform` is the work on
//! one block, through all of these; `target` holds a load in progress and publishes it. `decode`, `record`,
//! `star`, `table`, `encode` and `transform` know neither network nor runtime. The library reads no
//! environment of its own, prints nothing and never exits: that is the program's part.
//!
//! `buffer` has the memory that blocks and rows take turns at, `cpu` the threads that work on them. `generate` writes
//! songs and logs to load: it makes their bytes from numbers, and takes them to a directory or a bucket.
//!
//! # Features
//!
//! `s3` reads from S3 and generates into it, `embedded` brings the embedded PostgreSQL, `bench` measures the stages of a
//! load, `cluster` makes and removes clusters of Amazon Redshift, and `cli` is the program. All are on by default; none is
//! needed to load a directory into a PostgreSQL server.

#[macro_use]
mod failpoint;

#[cfg(feature = "bench")]
pub mod bench;
mod buffer;
mod check;
#[cfg(feature = "cluster")]
pub mod cluster;
mod config;
mod cpu;
mod decode;
mod dialect;
mod encode;
mod error;
mod generate;
mod history;
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod ledger;
mod packing;
mod pipeline;
mod query;
mod queue;
mod record;
mod report;
mod retry;
mod source;
mod star;
mod table;
mod target;
mod transform;

pub use check::{Check, Difference, Verdict, check};
pub use config::Config;
pub use decode::Compression;
pub use dialect::Dialect;
pub use error::{Error, ErrorKind, Result};
pub use generate::{Generate, Generated, Generating, generate};
pub use history::{PastLoad, PastObject, history, history_of};
pub use ledger::Mode;
pub use pipeline::{load, load_until};
pub use query::{
    Access, Answer, Column, CsvWriter, Done, JsonWriter, Kind, NamedQuery, Piece, Query, Row, Rows,
    named_queries, query,
};
pub use record::{Format, JsonPaths, Reject};
pub use report::{
    Amount, Counter, EventBooks, Objects, Phase, Progress, Report, SongBooks, Stage, TableRows,
    UnknownMember, UnknownMembers,
};
pub use retry::Retry;
pub use source::{Encryption, Location, S3Credentials, S3Options, Skipped, Source, read_jsonpaths};
pub use star::Matching;
pub use table::Table;
pub use target::{
    CopyAccess, Defaults, Existing, Interrupt, S3Stage, Server, Silence, Target, create,
};

#[cfg(all(test, feature = "s3"))]
#[path = "../tests/support/s3.rs"]
mod test_s3;
#[cfg(test)]
#[path = "../tests/support/postgres.rs"]
mod test_server;
