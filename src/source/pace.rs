//! Pace: how many requests may be out at once, fewer of them when the server asks to slow down.

use std::sync::{Mutex, MutexGuard};

use tokio::sync::{Semaphore, SemaphorePermit};

/// Turns at asking a server.
///
/// The number of turns is halved when the server is too busy, at most once for all the requests that were out
/// together, and grows by one each time that as many requests as there are turns were answered.
#[derive(Debug)]
pub(crate) struct Pace {
    free: Semaphore,
    most: usize,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    /// How many requests may be out.
    turns: usize,
    /// How many of the turns that were given out are not to come back.
    surplus: usize,
    /// Requests that were answered since the number of turns last changed.
    answered: usize,
    /// How often the number of turns was halved.
    round: u64,
}

impl Pace {
    /// Begins with `most` turns, which are never exceeded.
    pub fn new(most: usize) -> Self {
        let now = Now { turns: most, surplus: 0, answered: 0, round: 0 };
        Self { free: Semaphore::new(most), most, now: Mutex::new(now) }
    }

    /// Waits for a turn, in the order of asking.
    pub async fn turn(&self) -> Turn<'_> {
        let permit = self.free.acquire().await.expect("the turns are never closed");
        Turn { pace: self, permit: Some(permit), round: self.now().round }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().expect("counting does not panic")
    }
}

/// The right to have one request out; dropping it gives the turn to the next.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    pace: &'a Pace,
    permit: Option<SemaphorePermit<'a>>,
    round: u64,
}

impl Turn<'_> {
    /// The request was answered.
    pub fn answered(self) {
        let Pace { free, most, .. } = self.pace;
        let mut now = self.pace.now();
        if self.round != now.round || now.turns == *most {
            return;
        }
        now.answered += 1;
        if now.answered == now.turns {
            now.answered = 0;
            now.turns += 1;
            free.add_permits(1);
        }
    }

    /// The server is too busy. A request that keeps its turn while it waits slows the others down too.
    pub fn refused(&self) {
        let mut now = self.pace.now();
        if self.round != now.round {
            return;
        }
        let turns = (now.turns / 2).max(1);
        now.surplus += now.turns - turns;
        now.surplus -= self.pace.free.forget_permits(now.surplus);
        now.turns = turns;
        now.answered = 0;
        now.round += 1;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut now = self.pace.now();
        if now.surplus > 0
            && let Some(permit) = self.permit.take()
        {
            now.surplus -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// Takes all the turns that there are now.
    fn all(pace: &Pace) -> Vec<Turn<'_>> {
        std::iter::from_fn(|| pace.turn().now_or_never()).collect()
    }

    #[test]
    fn a_round_of_refusals_halves_the_turns_once() {
        let pace = Pace::new(32);
        for expected in [32, 16, 8, 4, 2, 1, 1, 1] {
            let turns = all(&pace);
            assert_eq!(turns.len(), expected);
            turns.iter().for_each(Turn::refused);
            assert!(pace.turn().now_or_never().is_none(), "none is free while all are out");
        }
    }

    #[test]
    fn turns_that_are_free_go_first() {
        let pace = Pace::new(8);
        let mut turns = all(&pace);
        let (first, second) = (turns.pop().unwrap(), turns.pop().unwrap());
        drop(turns);
        first.refused();
        assert_eq!(all(&pace).len(), 2);
        second.refused();
        drop((first, second));
        assert_eq!(all(&pace).len(), 4);
    }

    #[test]
    fn answers_bring_the_turns_back_one_by_one() {
        let pace = Pace::new(5);
        all(&pace).iter().for_each(Turn::refused);
        let mut seen = Vec::new();
        for _ in 0..6 {
            let turns = all(&pace);
            seen.push(turns.len());
            turns.into_iter().for_each(Turn::answered);
        }
        assert_eq!(seen, [2, 3, 4, 5, 5, 5]);
    }

    #[test]
    fn answers_to_requests_from_before_a_refusal_change_nothing() {
        let pace = Pace::new(4);
        let mut turns = all(&pace);
        turns.pop().unwrap().refused();
        turns.into_iter().for_each(Turn::answered);
        assert_eq!(all(&pace).len(), 2);
    }

    #[test]
    fn turns_that_were_out_make_no_room_until_few_enough_are_left() {
        let pace = Pace::new(4);
        let mut turns = all(&pace);
        turns[0].refused();
        for expected in [0, 0, 1, 2] {
            drop(turns.pop());
            assert_eq!(all(&pace).len(), expected);
        }
    }
}
