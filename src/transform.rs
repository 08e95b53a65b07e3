//! The work on blocks: records are parsed, folded into the dimensions, and encoded as rows.

use std::sync::Arc;

use crate::buffer::Buffers;
use crate::decode::{Block, FrameKind};
use crate::encode::{Encoding, Rows};
use crate::ledger::Amounts;
use crate::record::{Arena, EventReader, Fault, Reject, SongReader, Unknown};
use crate::source::Object;
use crate::star::{Catalog, Fold, MatchIndex, Moments, Place, Users, songplay};
use crate::table::Table;
use crate::table::staging_events::StagedEvent;
use crate::table::staging_songs::StagedSong;

/// A block and the object that it was cut from.
pub(crate) struct Piece {
    /// In the version that was read.
    pub object: Arc<Object>,
    /// Has no records where an object ends without more.
    pub block: Block,
    /// Whether the object ends with this piece; none follows it.
    pub last: bool,
}

/// Small pieces are worked on together up to this size: a job of one 300-byte object would cost more to hand over than
/// to do.
pub(crate) const BATCH_BYTES: usize = 256 << 10;

/// The dimensions that grow while logs are read.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    pub users: Users,
    pub moments: Moments,
}

impl Fold for Listening {
    fn merged(self, other: Self) -> Self {
        Self { users: self.users.merged(other.users), moments: self.moments.merged(other.moments) }
    }
}

/// What became of some pieces.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Encoded rows, at most one run a table.
    pub rows: Vec<Rows>,
    pub rejects: Vec<Reject>,
    pub counts: Vec<Counts>,
    /// The members of their records that feed no column.
    pub unknown: Unknown,
}

/// What became of the records of one piece.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    pub object: Arc<Object>,
    pub amounts: Amounts,
    /// How many records the object has up to the end of this piece, if that is its last one.
    pub end: Option<u64>,
}

/// Reads song records.
pub(crate) struct Songs {
    pub reader: SongReader,
    /// Whether the records go into `staging_songs`.
    pub staging: bool,
    /// Whether they go into the catalog.
    pub star: bool,
    pub encoding: Encoding,
}

impl Songs {
    pub fn transform(&self, pieces: &[Piece], catalog: &mut Catalog) -> Outcome {
        let mut staged = Rows::new(Table::StagingSongs, self.encoding);
        let mut outcome = each_record(pieces, &mut self.reader.arena(), |record, place, arena| {
            let text = self.reader.text(record)?;
            let song = self.reader.read(&text, arena)?;
            if self.star {
                catalog.add(&song, place);
            }
            if self.staging {
                let (object_id, record_no) = (place.object_id.into(), place.record_no.into());
                let rescued = arena.rescued();
                staged.push(&StagedSong { song: &song, object_id, record_no, rescued });
            }
            Ok(Fate::Taken)
        });
        outcome.close(self.staging);
        outcome.rows = vec![staged];
        outcome
    }
}

/// Reads events.
pub(crate) struct Logs {
    pub reader: EventReader,
    /// Whether the records go into `staging_events`.
    pub staging: bool,
    /// What plays are matched with; without it no play is made, and no user and no moment.
    pub songs: Option<MatchIndex>,
    pub matched_only: bool,
    pub encoding: Encoding,
    /// Memory for the rows of plays.
    pub plays: Buffers,
    /// Memory for staged rows.
    pub staged: Buffers,
}

impl Logs {
    pub fn transform(&self, pieces: &[Piece], listening: &mut Listening) -> Outcome {
        // What the rows take of real events.
        let bytes: usize = pieces.iter().map(|piece| piece.block.bytes.len()).sum();
        let plays_bytes = if self.songs.is_some() { bytes / 2 } else { 0 };
        let staged_bytes = if self.staging { bytes } else { 0 };
        let mut plays = Rows::within(Table::Songplays, self.encoding, self.plays.take(plays_bytes));
        let mut staged =
            Rows::within(Table::StagingEvents, self.encoding, self.staged.take(staged_bytes));
        let mut outcome = each_record(pieces, &mut self.reader.arena(), |record, place, arena| {
            let text = self.reader.text(record)?;
            let event = self.reader.read(&text, arena)?;
            let mut taken = event.is_play();
            if let Some(songs) = &self.songs {
                listening.users.see(&event, place);
                let play = songplay(&event, place, songs, self.matched_only);
                taken = play.is_some();
                if let Some(play) = play {
                    listening.moments.insert(play.start_time);
                    plays.push(&play);
                }
            }
            if self.staging {
                let (object_id, record_no) = (place.object_id.into(), place.record_no.into());
                let rescued = arena.rescued();
                staged.push(&StagedEvent { event: &event, object_id, record_no, rescued });
            }
            Ok(if taken { Fate::Taken } else { Fate::Filtered })
        });
        outcome.close(self.staging);
        outcome.rows = vec![plays, staged];
        outcome
    }
}

/// What became of a record that is not rejected.
pub(crate) enum Fate {
    Taken,
    Filtered,
}

impl Outcome {
    /// Counts the staged records, which are all that were not rejected.
    fn close(&mut self, staging: bool) {
        for Counts { amounts, .. } in &mut self.counts {
            amounts.staged = if staging { amounts.taken + amounts.filtered } else { 0 };
        }
    }
}

/// Has every record read and collects those that can't be.
pub(crate) fn each_record(
    pieces: &[Piece],
    arena: &mut Arena,
    mut read: impl FnMut(&[u8], Place, &Arena) -> Result<Fate, Fault>,
) -> Outcome {
    let mut outcome = Outcome::default();
    for Piece { object, block, last } in pieces {
        let mut amounts = Amounts { records: block.frames.len() as u64, ..Amounts::default() };
        let mut line_of = block.lines();
        for (index, &frame) in block.frames.iter().enumerate() {
            let number = block.first_record + index as u64;
            let record = block.record(frame);
            let result = match (frame.kind, u32::try_from(number)) {
                (FrameKind::Record, Ok(record_no)) => {
                    arena.reset();
                    let place = Place { rank: object.rank, record_no, object_id: object.id };
                    read(record, place, arena)
                }
                (FrameKind::Record, Err(_)) => {
                    Err(Fault::record("the object has more than 4294967295 records"))
                }
                (FrameKind::TooLong, _) => {
                    Err(Fault::record("longer than a record may be (--max-record-bytes)"))
                }
                (FrameKind::OpenArray, _) => Err(Fault::record("the array is not closed")),
            };
            match result {
                Ok(Fate::Taken) => amounts.taken += 1,
                Ok(Fate::Filtered) => amounts.filtered += 1,
                Err(Fault { column, value, reason }) => {
                    amounts.rejected += 1;
                    outcome.rejects.push(Reject {
                        object_id: object.id,
                        object: object.name.clone(),
                        etag: object.etag.clone(),
                        record_no: number,
                        line: line_of(frame),
                        byte_offset: block.offset + u64::from(frame.start),
                        column,
                        value,
                        reason: reason.into_owned(),
                        record: record.to_vec(),
                    });
                }
            }
        }
        let end = last.then(|| block.first_record - 1 + amounts.records);
        outcome.counts.push(Counts { object: object.clone(), amounts, end });
    }
    outcome.unknown = arena.take_unknown();
    outcome
}
