//! Copying: parts that are there together go to the server as one piece, in one transaction, as often as it takes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, pin_mut};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::{Client, CopyInSink};

use super::failed;
use super::load::Part;
use super::session::{Session, Work};
use crate::encode::{HEADER, TRAILER};
use crate::error::{Error, Result};
use crate::report::{Progress, RowCounts};
use crate::table::Table;

/// A piece is kept until it is committed, and sent again where its connection breaks: so large that its five round
/// trips don't matter (128 MiB in pieces of 8 take as long as in one), so small that a few of them fit into
/// the memory of a load (a million events peak at 193 MB with pieces of 4 MiB, at 202 MB with 8, in the same time).
const PIECE_BYTES: usize = 4 << 20;

/// How long a piece waits for more parts. It never waits for long: what is reserved for its parts may be what the
/// next ones need. But the parts of tiny objects come one by one, thousands in a second.
const LINGER: Duration = Duration::from_millis(20);

/// Writes parts as they come, until no more can; returns how many rows went where.
pub(super) async fn write(
    session: &Session,
    parts: async_channel::Receiver<Part>,
    progress: &Progress,
) -> Result<RowCounts> {
    let mut written = RowCounts::default();
    while let Some(piece) = Piece::collect(&parts).await {
        let what = format!("can't copy rows into {}", piece.tables());
        session.once(&what, &piece).await?;
        failpoint!("copied");
        for Rows { table, count, .. } in &piece.rows {
            progress.add_rows(*table, *count);
            written.add(*table, *count);
        }
    }
    Ok(written)
}

/// Rows that are written together, and the memory that is reserved for them.
#[derive(Default)]
struct Piece {
    rows: Vec<Rows>,
    bytes: usize,
    reserved: Vec<Arc<OwnedSemaphorePermit>>,
}

/// The rows of one table.
struct Rows {
    table: Table,
    encoded: Vec<Bytes>,
    count: u64,
}

impl Piece {
    /// Takes together what comes within a moment; `None` when no more can come.
    async fn collect(parts: &async_channel::Receiver<Part>) -> Option<Self> {
        let mut piece = Self::default();
        piece.push(parts.recv().await.ok()?);
        let deadline = Instant::now() + LINGER;
        while piece.bytes < PIECE_BYTES
            && let Ok(Ok(part)) = timeout_at(deadline, parts.recv()).await
        {
            piece.push(part);
        }
        Some(piece)
    }

    fn push(&mut self, Part { rows, reserved }: Part) {
        let table = rows.table;
        self.bytes += rows.bytes.len();
        self.reserved.extend(reserved);
        let same = match self.rows.iter_mut().position(|rows| rows.table == table) {
            Some(at) => &mut self.rows[at],
            None => {
                self.rows.push(Rows { table, encoded: Vec::new(), count: 0 });
                self.rows.last_mut().expect("it was just pushed")
            }
        };
        same.encoded.push(Bytes::from_owner(rows.bytes));
        same.count += rows.count;
    }

    fn tables(&self) -> String {
        let names: Vec<_> = self.rows.iter().map(|rows| rows.table.name()).collect();
        names.join(" and ")
    }
}

impl Work for Piece {
    async fn run(&self, client: &Client) -> Result<()> {
        for rows in &self.rows {
            rows.copy(client).await?;
        }
        Ok(())
    }
}

impl Rows {
    async fn copy(&self, client: &Client) -> Result<()> {
        let Self { table, encoded, count } = self;
        let what = |cause| failed(format!("can't copy rows into {table}"), cause);
        let columns: Vec<&str> = table.columns().iter().map(|column| column.name).collect();
        let copy = format!("COPY {table} ({}) FROM STDIN (FORMAT binary)", columns.join(", "));
        let sink = client.copy_in::<_, Bytes>(&copy).await.map_err(what)?;
        pin_mut!(sink);
        sink.feed(Bytes::from_static(HEADER)).await.map_err(what)?;
        for bytes in encoded {
            sink.feed(bytes.clone()).await.map_err(what)?;
        }
        sink.feed(Bytes::from_static(TRAILER)).await.map_err(what)?;
        let taken = CopyInSink::finish(sink.as_mut()).await.map_err(what)?;
        if taken == *count {
            return Ok(());
        }
        let what = format!("{table} took {taken} of the {count} rows that were sent");
        Err(Error::target(what).with_help("look for triggers or rules on the server"))
    }
}
