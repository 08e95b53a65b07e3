//! The work on blocks: records are parsed, folded into the dimensions, and encoded as rows.

use std::sync::Arc;

use crate::decode::{Block, FrameKind};
use crate::encode::Rows;
use crate::record::{EventReader, Fault, Reject, SongReader};
use crate::source::Object;
use crate::star::{Catalog, Fold, MatchIndex, Moments, Place, Users, songplay};
use crate::table::Table;
use crate::table::staging_events::StagedEvent;
use crate::table::staging_songs::StagedSong;

/// A block and the object that it was cut from.
pub(crate) struct Piece {
    pub object: Arc<Object>,
    pub block: Block,
}

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
    /// Rows that went into `songplays`.
    pub plays: u64,
}

/// How many records a piece of an object has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub object_id: u32,
    pub records: u64,
    pub rejects: u64,
}

/// Reads song records into the catalog.
pub(crate) struct Songs {
    pub reader: SongReader,
    pub staging: bool,
}

impl Songs {
    pub fn transform(&self, pieces: &[Piece], catalog: &mut Catalog) -> Outcome {
        let mut staged = Rows::new(Table::StagingSongs);
        let mut outcome = each_record(pieces, |record, place| {
            let text = self.reader.text(record)?;
            let song = self.reader.read(&text)?;
            catalog.add(&song, place);
            if self.staging {
                let Place { object_id, record_no } = place;
                let (object_id, record_no) = (object_id.into(), record_no.into());
                staged.push(&StagedSong { song: &song, object_id, record_no });
            }
            Ok(())
        });
        outcome.rows = vec![staged];
        outcome
    }
}

/// Reads events into plays, users and moments.
pub(crate) struct Logs {
    pub reader: EventReader,
    pub songs: MatchIndex,
    pub staging: bool,
    pub matched_only: bool,
}

impl Logs {
    pub fn transform(&self, pieces: &[Piece], listening: &mut Listening) -> Outcome {
        let mut staged = Rows::new(Table::StagingEvents);
        let mut plays = Rows::new(Table::Songplays);
        // What the rows take of real events: room for it at once keeps the allocator without holes.
        let bytes: usize = pieces.iter().map(|piece| piece.block.bytes.len()).sum();
        plays.bytes.reserve(bytes / 2);
        if self.staging {
            staged.bytes.reserve(bytes);
        }
        let mut outcome = each_record(pieces, |record, place| {
            let text = self.reader.text(record)?;
            let event = self.reader.read(&text)?;
            listening.users.see(&event, place);
            let play = songplay(&event, place, &self.songs)
                .filter(|play| play.song_id.is_some() || !self.matched_only);
            if let Some(play) = play {
                listening.moments.insert(play.start_time);
                plays.push(&play);
            }
            if self.staging {
                let Place { object_id, record_no } = place;
                let (object_id, record_no) = (object_id.into(), record_no.into());
                staged.push(&StagedEvent { event: &event, object_id, record_no });
            }
            Ok(())
        });
        outcome.plays = plays.count;
        outcome.rows = vec![plays, staged];
        outcome
    }
}

/// Has every record read and collects those that can't be.
fn each_record(
    pieces: &[Piece],
    mut read: impl FnMut(&[u8], Place) -> Result<(), Fault>,
) -> Outcome {
    let mut outcome = Outcome::default();
    for Piece { object, block } in pieces {
        let before = outcome.rejects.len();
        let mut line_of = block.lines();
        for (index, &frame) in block.frames.iter().enumerate() {
            let number = block.first_record + index as u64;
            let record = block.record(frame);
            let result = match (frame.kind, u32::try_from(number)) {
                (FrameKind::Record, Ok(record_no)) => {
                    read(record, Place { object_id: object.id, record_no })
                }
                (FrameKind::Record, Err(_)) => {
                    Err(Fault::record("the object has more than 4294967295 records"))
                }
                (FrameKind::TooLong, _) => {
                    Err(Fault::record("longer than a record may be (--max-record-bytes)"))
                }
                (FrameKind::OpenArray, _) => Err(Fault::record("the array is not closed")),
            };
            if let Err(Fault { column, value, reason }) = result {
                outcome.rejects.push(Reject {
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
        outcome.counts.push(Counts {
            object_id: object.id,
            records: block.frames.len() as u64,
            rejects: (outcome.rejects.len() - before) as u64,
        });
    }
    outcome
}
