//! The work between reading and writing, on a sample, by one thread, and cut short after each of its stages.
//!
//! Encoding calls what a load calls; the stages before it are the same calls without what follows them.

use std::hint::black_box;

use super::sample::{Sample, Stored};
use crate::buffer::Buffers;
use crate::config::Config;
use crate::decode::{Compression, Cutter, Limits};
use crate::dialect::Dialect;
use crate::encode::{Encoding, Rows, in_parts};
use crate::error::{Error, Result};
use crate::record::{Arena, EventReader, Fault, SongReader};
use crate::star::{Catalog, Place, songplay};
use crate::transform::{BATCH_BYTES, Fate, Listening, Logs, Outcome, Piece, Songs, each_record};

/// Cuts the sample into blocks; returns how many records they hold.
pub(super) fn decode(sample: &Sample, config: &Config) -> Result<u64> {
    let buffers = Buffers::default();
    let mut records = 0;
    for stored in sample.songs.iter().chain(&sample.logs) {
        pieces(stored, config, &buffers, |piece| {
            records += black_box(piece).block.frames.len() as u64
        })?;
    }
    Ok(records)
}

/// Decodes and parses the sample; returns how many records it holds.
pub(super) fn parse(sample: &Sample, config: &Config) -> Result<u64> {
    let songs = SongReader::new(&config.format, Dialect::Postgres);
    let seen = records(&sample.songs, config, songs.arena(), |record, _, arena| {
        black_box(songs.read(&songs.text(record)?, arena)?);
        Ok(())
    })?;
    let events = EventReader::new(&config.format, Dialect::Postgres);
    let more = records(&sample.logs, config, events.arena(), |record, _, arena| {
        black_box(events.read(&events.text(record)?, arena)?);
        Ok(())
    })?;
    Ok(seen + more)
}

/// Parses the sample and makes the dimensions and plays of it; returns how many records it holds.
pub(super) fn transform(sample: &Sample, config: &Config) -> Result<u64> {
    let reader = SongReader::new(&config.format, Dialect::Postgres);
    let mut catalog = Catalog::default();
    let seen = records(&sample.songs, config, reader.arena(), |record, place, arena| {
        catalog.add(&reader.read(&reader.text(record)?, arena)?, place);
        Ok(())
    })?;
    let songs = catalog.match_index(config.matching);
    let reader = EventReader::new(&config.format, Dialect::Postgres);
    let mut listening = Listening::default();
    let more = records(&sample.logs, config, reader.arena(), |record, place, arena| {
        let text = reader.text(record)?;
        let event = reader.read(&text, arena)?;
        listening.users.see(&event, place);
        if let Some(play) = black_box(songplay(&event, place, &songs, config.matched_only)) {
            listening.moments.insert(play.start_time);
        }
        Ok(())
    })?;
    black_box(listening);
    Ok(seen + more)
}

/// Does all that a load does, and hands over the rows; returns how many records the sample holds.
pub(super) fn encode(sample: &Sample, config: &Config, mut take: impl FnMut(Rows)) -> Result<u64> {
    let mut seen = 0;
    let mut outcome = |outcome: Outcome| {
        seen += counted(&outcome);
        outcome.rows.into_iter().filter(|rows| rows.count > 0).for_each(&mut take);
    };
    let songs = Songs {
        reader: SongReader::new(&config.format, Dialect::Postgres),
        staging: config.staging,
        star: true,
        encoding: Encoding::Binary,
    };
    let mut catalog = Catalog::default();
    batches(&sample.songs, config, |batch| outcome(songs.transform(batch, &mut catalog)))?;
    let logs = Logs {
        reader: EventReader::new(&config.format, Dialect::Postgres),
        staging: config.staging,
        songs: Some(catalog.match_index(config.matching)),
        matched_only: config.matched_only,
        encoding: Encoding::Binary,
        plays: Buffers::default(),
        staged: Buffers::default(),
    };
    let mut listening = Listening::default();
    batches(&sample.logs, config, |batch| outcome(logs.transform(batch, &mut listening)))?;
    in_parts(Encoding::Binary, catalog.songs()).for_each(&mut take);
    in_parts(Encoding::Binary, catalog.artists()).for_each(&mut take);
    in_parts(Encoding::Binary, listening.users.rows()).for_each(&mut take);
    in_parts(Encoding::Binary, listening.moments.rows()).for_each(&mut take);
    Ok(seen)
}

/// Decodes `objects` and takes small pieces together.
fn batches(objects: &[Stored], config: &Config, mut work: impl FnMut(&[Piece])) -> Result<()> {
    let buffers = Buffers::default();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for stored in objects {
        pieces(stored, config, &buffers, |piece| {
            bytes += piece.block.bytes.len();
            batch.push(piece);
            if bytes >= BATCH_BYTES {
                work(&batch);
                batch.clear();
                bytes = 0;
            }
        })?;
    }
    work(&batch);
    Ok(())
}

/// Decodes `objects` and reads them record by record; returns how many there are.
fn records(
    objects: &[Stored],
    config: &Config,
    mut arena: Arena,
    mut read: impl FnMut(&[u8], Place, &Arena) -> std::result::Result<(), Fault>,
) -> Result<u64> {
    let mut seen = 0;
    batches(objects, config, |batch| {
        let outcome = each_record(batch, &mut arena, |record, place, arena| {
            read(record, place, arena).map(|()| Fate::Taken)
        });
        seen += counted(&outcome);
    })?;
    Ok(seen)
}

fn counted(outcome: &Outcome) -> u64 {
    outcome.counts.iter().map(|counts| counts.amounts.records).sum()
}

/// Cuts an object into pieces.
fn pieces(
    stored: &Stored,
    config: &Config,
    buffers: &Buffers,
    mut take: impl FnMut(Piece),
) -> Result<()> {
    let Stored { object, bytes, whole } = stored;
    let limits = Limits {
        block_bytes: config.block_bytes,
        max_record_bytes: config.format.max_record_bytes,
    };
    let broken = |cause| Error::data(format!("can't decode {}", object.name)).because(cause);
    let compression = bytes.first().and_then(|start| Compression::of(start));
    let compression = compression.unwrap_or(Compression::Plain);
    let mut cutter = Cutter::new(compression, limits, buffers, object.size);
    for chunk in bytes {
        let mut chunk = chunk.clone();
        while let Some(block) = cutter.push(&mut chunk).map_err(broken)? {
            take(Piece { object: object.clone(), block, last: false });
        }
    }
    // What is left of an object that is cut short is half a record.
    while *whole && let Some(block) = cutter.finish().map_err(broken)? {
        take(Piece { object: object.clone(), block, last: false });
    }
    Ok(())
}
