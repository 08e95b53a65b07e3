//! Patience: how often something that failed is tried again, and how long that may take.

use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// When to give up on what may get better by itself: a server that is busy or restarts, a connection that breaks.
///
/// The policy is one for requests to S3 and for statements to PostgreSQL. Each of them counts for itself, and a body
/// that goes on where it broke off counts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// How often it is tried in all; 1 never tries again.
    pub attempts: u32,
    /// The longest pause before an attempt. Pauses double from 100 ms on, and chance takes up to a half off each.
    pub max_delay: Duration,
    /// How long after the first failure another attempt may still begin.
    pub max_time: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        let (max_delay, max_time) = (Duration::from_secs(20), Duration::from_secs(300));
        Self { attempts: 10, max_delay, max_time }
    }
}

/// The first pause, before chance shortens it.
const FIRST_DELAY: Duration = Duration::from_millis(100);

impl Retry {
    /// Begins to count the attempts at something.
    pub(crate) fn attempts(self) -> Attempts {
        Attempts { retry: self, failed: 0, since: None }
    }
}

/// The attempts at one thing.
#[derive(Debug, Clone)]
pub(crate) struct Attempts {
    retry: Retry,
    failed: u32,
    since: Option<Instant>,
}

impl Attempts {
    /// Waits before the next attempt, if there is to be one.
    pub async fn again(&mut self) -> bool {
        let Some(delay) = self.next_delay() else { return false };
        sleep(delay).await;
        true
    }

    /// How long to wait before the next attempt, if there is to be one.
    pub fn next_delay(&mut self) -> Option<Duration> {
        let Retry { attempts, max_delay, max_time } = self.retry;
        let since = *self.since.get_or_insert_with(Instant::now);
        self.failed += 1;
        let whole = FIRST_DELAY.saturating_mul(1 << (self.failed - 1).min(20)).min(max_delay);
        let delay = whole.mul_f64(1.0 - fastrand::f64() / 2.0);
        (self.failed < attempts && since.elapsed() + delay <= max_time).then_some(delay)
    }

    /// How many attempts have failed.
    #[cfg_attr(not(feature = "s3"), allow(dead_code, reason = "only S3 asks"))]
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// Adds to the `cause` of the last failure how often it was tried, if it was more than once.
    pub fn explain(&self, cause: impl fmt::Display) -> String {
        match (self.failed, self.since) {
            (2.., Some(since)) => {
                let seconds = since.elapsed().as_secs_f64();
                format!("{cause} ({} attempts in {seconds:.1} s)", self.failed)
            }
            _ => cause.to_string(),
        }
    }

    /// Forgets the failures: it went on.
    #[cfg_attr(not(feature = "s3"), allow(dead_code, reason = "only bodies from S3 go on"))]
    pub fn succeeded(&mut self) {
        (self.failed, self.since) = (0, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_to_the_cap_and_end_with_the_attempts_or_the_time() {
        let seconds = Duration::from_secs;
        let retry = Retry { attempts: 8, max_delay: seconds(2), max_time: seconds(60) };
        let mut attempts = retry.attempts();
        let mut pauses = Vec::new();
        while let Some(delay) = attempts.next_delay() {
            pauses.push(delay.as_millis());
        }
        assert_eq!(pauses.len(), 7);
        for (pause, whole) in pauses.into_iter().zip([100, 200, 400, 800, 1600, 2000, 2000]) {
            assert!((whole / 2..=whole).contains(&pause), "{pause} of {whole}");
        }

        let retry = Retry { attempts: 1000, max_delay: seconds(1), max_time: seconds(60) };
        let (mut attempts, started) = (retry.attempts(), Instant::now());
        while attempts.again().await {}
        assert!((58..=60).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
        let explained = attempts.explain("too busy");
        assert!(explained.starts_with(&format!("too busy ({} attempts in ", attempts.failed())));

        let mut once = Retry { attempts: 1, ..retry }.attempts();
        assert_eq!((once.next_delay(), once.explain("too busy")), (None, "too busy".to_owned()));
    }
}
