//! Transforming: pieces are worked on, on all threads, and what comes of them is sent to the writers.

use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt, pin_mut};
use tokio::sync::mpsc;

use super::books::Books;
use super::reading::{Batch, Reserved, batches};
use crate::buffer::Buffers;
use crate::config::Config;
use crate::cpu::{Cpu, States};
use crate::encode::{Encoding, in_parts};
use crate::error::Result;
use crate::ledger::Way;
use crate::record::{EventReader, SongReader};
use crate::report::{Phase, Stage};
use crate::source::{Kind, Object};
use crate::star::{Catalog, Fold, MatchIndex};
use crate::table::Row;
use crate::target::Part;
use crate::transform::{Listening, Logs, Outcome, Piece, Songs};

/// The work between readers and writers: songs first, then logs.
pub(super) struct Transforming<'a> {
    config: &'a Config,
    way: Way,
    encoding: Encoding,
    cpu: Cpu,
    books: Books,
    rows: async_channel::Sender<Part>,
    stages: Vec<Stage>,
}

/// Batches that may be at work or wait to be sent, for each thread.
const BATCHES_PER_THREAD: usize = 2;

impl<'a> Transforming<'a> {
    /// Rows go into `rows`, which must have readers for as long as this lives.
    pub fn new(
        config: &'a Config,
        way: Way,
        encoding: Encoding,
        books: Books,
        rows: async_channel::Sender<Part>,
    ) -> Result<Self> {
        let cpu = Cpu::new(config.threads)?;
        Ok(Self { config, way, encoding, cpu, books, rows, stages: Vec::new() })
    }

    /// Works on song `pieces` until no more come. Where the star is made here it sends songs and artists, and returns
    /// what plays are matched with.
    pub async fn songs(
        &mut self,
        pieces: mpsc::Receiver<Reserved>,
        objects: &[Arc<Object>],
    ) -> Result<Option<MatchIndex>> {
        self.config.progress.enter(Phase::Songs);
        let started = Instant::now();
        let (staging, star) = (self.config.staging, self.way == Way::Direct);
        let encoding = self.encoding;
        let reader = SongReader::new(&self.config.format, encoding.dialect());
        let work = Songs { reader, staging, star, encoding };
        let catalog: Catalog =
            self.fold(pieces, move |pieces, state| work.transform(pieces, state)).await?;
        self.stages.push(stage("songs", started, objects, self.books.records(Kind::Songs)));
        if !star {
            return Ok(None);
        }
        send(&self.rows, self.encoding, catalog.songs()).await;
        send(&self.rows, self.encoding, catalog.artists()).await;
        Ok(Some(catalog.match_index(self.config.matching)))
    }

    /// Works on log `pieces` until no more come; returns what the plays, which it sends, say of users and times. With
    /// `songs` the star is made here.
    pub async fn logs(
        &mut self,
        pieces: mpsc::Receiver<Reserved>,
        objects: &[Arc<Object>],
        songs: Option<MatchIndex>,
    ) -> Result<Listening> {
        self.config.progress.enter(Phase::Logs);
        let started = Instant::now();
        let work = Logs {
            reader: EventReader::new(&self.config.format, self.encoding.dialect()),
            staging: self.config.staging,
            songs,
            matched_only: self.config.matched_only,
            encoding: self.encoding,
            plays: Buffers::default(),
            staged: Buffers::default(),
        };
        let listening =
            self.fold(pieces, move |pieces, state| work.transform(pieces, state)).await?;
        self.stages.push(stage("logs", started, objects, self.books.records(Kind::Logs)));
        Ok(listening)
    }

    /// Gives the books back; no more rows come.
    pub fn finish(self) -> (Books, Vec<Stage>) {
        (self.books, self.stages)
    }

    /// Works on pieces as they come and sends the rows on; returns what they were folded into.
    async fn fold<S: Fold>(
        &mut self,
        pieces: mpsc::Receiver<Reserved>,
        work: impl Fn(&[Piece], &mut S) -> Outcome + Send + Sync + 'static,
    ) -> Result<S> {
        let Self { cpu, books, rows, .. } = self;
        let states = Arc::new(States::default());
        let work = Arc::new(work);
        let outcomes = batches(pieces)
            .map(|Batch { pieces, reserved }| {
                let (states, work) = (states.clone(), work.clone());
                cpu.run(move || (states.with(|state| work(&pieces, state)), reserved))
            })
            .buffer_unordered(BATCHES_PER_THREAD * cpu.threads());
        pin_mut!(outcomes);
        while let Some((outcome, reserved)) = outcomes.next().await {
            let reserved = Arc::new(reserved);
            for run in books.enter(outcome)? {
                // No writer is left when one of them has failed; its error is on its way.
                let _ = rows.send(Part { rows: run, reserved: Some(reserved.clone()) }).await;
            }
        }
        Ok(states.take().into_iter().reduce(S::merged).unwrap_or_default())
    }
}

/// Encodes and sends the rows of a dimension.
pub(super) async fn send<R: Row>(
    parts: &async_channel::Sender<Part>,
    encoding: Encoding,
    all: impl Iterator<Item = R>,
) {
    for rows in in_parts(encoding, all) {
        let _ = parts.send(Part { rows, reserved: None }).await;
    }
}

fn stage(name: &'static str, started: Instant, objects: &[Arc<Object>], records: u64) -> Stage {
    let bytes = objects.iter().map(|object| object.size).sum();
    let amounts = [("objects", objects.len() as u64), ("bytes", bytes), ("records", records)];
    Stage::new(name, started, &amounts)
}
