//! What is to be generated: every setting once, with its default and meaning.

use std::sync::Arc;

use super::Generating;
use super::popularity::MAX_SKEW;
use crate::decode::Compression;
use crate::error::{Error, Result};
use crate::retry::Retry;
use crate::source::{Location, S3Options};

/// Everything [`generate`](crate::generate) needs to know.
///
/// What is asked for, from [`seed`](Self::seed) to [`compression`](Self::compression), determines the bytes, and nothing
/// else does: they are the same on every machine.
#[derive(Debug, Clone)]
pub struct Generate {
    /// Where `song_data` and `log_data` are put; neither may be there.
    pub into: Location,
    /// How to talk to S3, for a bucket.
    pub s3: S3Options,
    /// Another seed gives other data of the same shape.
    pub seed: u64,
    /// How many songs the catalog has, each in an object of its own.
    pub songs: u64,
    /// How many days the logs cover, from 2018-11-01 on; each day with events has one object.
    pub days: u32,
    /// How many events there are in all days together.
    pub events: u64,
    /// Among how many users they are shared out; with few events or much skew some do nothing.
    pub users: u64,
    /// How much demand differs between songs and between users: at 0 all are equal, at 1 the `n`-th has about one
    /// `n`-th of the first's (Zipf's law); at most 4.
    pub skew: f64,
    /// The share of plays whose title, artist and duration are those of a song of the catalog; without songs none are.
    pub matching: f64,
    /// The share of events that a load must reject, each for one of ten reasons.
    pub dirty: f64,
    /// How the objects are compressed.
    pub compression: Compression,
    /// When to give up on requests that fail for now.
    pub retry: Retry,
    /// How many threads generate; `None` takes one for each core.
    pub threads: Option<usize>,
    /// Counts that move while it is generated; keep a clone to watch it.
    pub progress: Arc<Generating>,
}

/// Numbers of songs are told apart by 32 bits of their ids, sessions by 31 that a database can hold.
const MOST: u64 = 2_000_000_000;
const MOST_DAYS: u32 = 36_500;

impl Generate {
    /// A month of a million events (about 480 MB) by 10,000 users, of 15,000 songs, half of whose plays match.
    pub fn new(into: Location) -> Self {
        Self {
            into,
            s3: S3Options::default(),
            seed: 1,
            songs: 15_000,
            days: 30,
            events: 1_000_000,
            users: 10_000,
            skew: 1.0,
            matching: 0.5,
            dirty: 0.0,
            compression: Compression::Plain,
            retry: Retry::default(),
            threads: None,
            progress: Arc::default(),
        }
    }

    /// Checks what the types leave open.
    pub(super) fn validate(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::config(what));
        if self.songs > MOST || self.events > MOST || self.users > MOST {
            return wrong("there are at most 2,000,000,000 songs, events and users");
        }
        if self.days > MOST_DAYS {
            return wrong("there are at most 36,500 days");
        }
        if self.events > 0 && (self.days == 0 || self.users == 0) {
            return wrong("events need at least one day and one user");
        }
        if !(0.0..=MAX_SKEW).contains(&self.skew) {
            return wrong("the skew lies between 0 and 4");
        }
        if ![self.matching, self.dirty].iter().all(|share| (0.0..=1.0).contains(share)) {
            return wrong("the shares of matching plays and of dirty records lie between 0 and 1");
        }
        if self.threads == Some(0) {
            return wrong("threads are at least 1");
        }
        if self.retry.attempts == 0 {
            return wrong("at least one attempt is made");
        }
        Ok(())
    }
}
