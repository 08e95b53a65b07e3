//! Stdout, written by a thread of its own, so that a reader who takes nothing holds up nobody but the answer.

use std::io::{self, Write};
use std::mem;

use tokio::select;
use tokio::sync::watch;
use tokio::task::spawn_blocking;

/// So much is written at once.
const BLOCK: usize = 64 << 10;

pub struct Out {
    buffer: Vec<u8>,
    /// Turns true when a signal has come: from then on nothing is written.
    stopped: watch::Receiver<bool>,
    is_closed: bool,
}

impl Out {
    pub fn new(stopped: watch::Receiver<bool>) -> Self {
        Self { buffer: Vec::new(), stopped, is_closed: false }
    }

    /// Where to write; [`Out::spill`] has it go on to stdout.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    /// Has what is not read from now on go nowhere.
    pub fn close(&mut self) {
        self.is_closed = true;
        self.buffer.clear();
    }

    /// Writes what is in the buffer, if it is much.
    pub async fn spill(&mut self) -> io::Result<()> {
        if self.buffer.len() < BLOCK { Ok(()) } else { self.flush().await }
    }

    /// Writes what is in the buffer.
    pub async fn flush(&mut self) -> io::Result<()> {
        if self.is_closed || *self.stopped.borrow() {
            self.buffer.clear();
            return Ok(());
        }
        let mut bytes = mem::take(&mut self.buffer);
        let written = spawn_blocking(move || {
            let mut out = io::stdout().lock();
            out.write_all(&bytes)?;
            out.flush()?;
            bytes.clear();
            Ok::<_, io::Error>(bytes)
        });
        select! {
            written = written => self.buffer = written.unwrap_or_else(|error| Err(error.into()))?,
            _ = self.stopped.wait_for(|stopped| *stopped) => {}
        }
        Ok(())
    }
}
