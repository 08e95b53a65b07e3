//! Interrupting: what a program holds to stop what servers do for it.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

/// How long a request to cancel may take; it is a connection of its own.
const REQUEST: Duration = Duration::from_secs(3);

/// Stops what is done over the connections of a [`Target`](crate::Target) that was made
/// [interruptible](crate::Target::interruptible).
///
/// A future that is dropped stops waiting, and the server goes on with the statement until it has something to send. This
/// has the server stop.
#[derive(Clone, Default)]
pub struct Interrupt(Arc<Mutex<Vec<Cancel>>>);

/// Asks a server to cancel what one of its sessions does.
type Cancel = Arc<dyn Fn() -> Request + Send + Sync>;

type Request = Pin<Box<dyn Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send>>;

impl Interrupt {
    /// Whether there was a connection whose work could be stopped.
    pub fn is_connected(&self) -> bool {
        !self.sessions().is_empty()
    }

    /// Asks each server to cancel the statement that runs there, if one does. What it answers to that is the answer to
    /// the statement.
    pub async fn cancel(&self) {
        let sessions = self.sessions().clone();
        join_all(sessions.into_iter().map(|cancel| async move {
            match timeout(REQUEST, cancel()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::debug!(%error, "a statement can't be cancelled"),
                Err(_) => tracing::debug!("a statement can't be cancelled in time"),
            }
        }))
        .await;
    }

    /// Has it stop the session that `cancel` is about.
    pub(super) fn add<F>(&self, cancel: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        self.sessions().push(Arc::new(move || Box::pin(cancel())));
    }

    fn sessions(&self) -> MutexGuard<'_, Vec<Cancel>> {
        // Nothing is left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Interrupt({} connections)", self.sessions().len())
    }
}
