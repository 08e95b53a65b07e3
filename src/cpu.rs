//! The bridge from Tokio, which moves bytes, to the threads that work on them.

use std::sync::Mutex;

use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;

use crate::error::{Error, Result};

/// The threads that parse and encode, or generate.
pub(crate) struct Cpu(ThreadPool);

impl Cpu {
    /// As many `threads` as asked for, or one for each core.
    pub fn new(threads: Option<usize>) -> Result<Self> {
        ThreadPoolBuilder::new()
            .num_threads(threads.unwrap_or_default())
            .thread_name(|index| format!("sparkload-cpu-{index}"))
            // Whoever waits for the work panics in its stead; the default would end the whole process.
            .panic_handler(|_| {})
            .build()
            .map(Self)
            .map_err(|cause| Error::config("can't start threads").because(cause))
    }

    pub fn threads(&self) -> usize {
        self.0.current_num_threads()
    }

    /// Does `work` on one of the threads.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, done) = oneshot::channel();
        self.0.spawn(move || {
            // Nobody waits any more when the load was dropped.
            let _ = sender.send(work());
        });
        done.await.expect("the work does not panic")
    }
}

/// State that work folds into: as many pieces as there are threads at work, to be merged in the end.
#[derive(Default)]
pub(crate) struct States<S>(Mutex<Vec<S>>);

impl<S: Default> States<S> {
    /// Lends one piece of the state to `work`.
    pub fn with<T>(&self, work: impl FnOnce(&mut S) -> T) -> T {
        let mut state = self.lock().pop().unwrap_or_default();
        let result = work(&mut state);
        self.lock().push(state);
        result
    }

    /// Every piece of the state.
    pub fn take(&self) -> Vec<S> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<S>> {
        self.0.lock().expect("no work panics while it holds the lock")
    }
}
