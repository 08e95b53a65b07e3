//! The distinct moments at which plays start.

use std::collections::BTreeMap;
use std::mem;

use roaring::RoaringBitmap;

use super::Fold;
use crate::table::time::{self, Moment, Time};

/// A set of moments, a few bytes each: it grows with the plays, so it must be small.
///
/// Plays stand close to each other and mostly in their order, so the set comes in stretches of time, and the one that the
/// last moment lies in is at hand.
#[derive(Debug, Default)]
pub(crate) struct Moments {
    latest: i64,
    offsets: RoaringBitmap,
    /// All but the latest one.
    others: BTreeMap<i64, RoaringBitmap>,
}

/// A stretch has so many milliseconds, as a power of two: 70 minutes, in 64 containers of a bitmap.
const BITS: u32 = 22;

impl Moments {
    pub fn insert(&mut self, moment: Moment) {
        let (stretch, offset) = (moment.unix_ms() >> BITS, moment.unix_ms() & ((1 << BITS) - 1));
        self.turn_to(stretch);
        let offset = offset as u32;
        if self.offsets.try_push(offset).is_err() {
            self.offsets.insert(offset);
        }
    }

    fn turn_to(&mut self, stretch: i64) {
        if stretch == self.latest {
            return;
        }
        let offsets = self.others.remove(&stretch).unwrap_or_default();
        let left = mem::replace(&mut self.offsets, offsets);
        if !left.is_empty() {
            self.others.insert(self.latest, left);
        }
        self.latest = stretch;
    }

    /// The rows of `time`, in the order of their moments.
    pub fn rows(&self) -> impl Iterator<Item = Time> + '_ {
        time::rows(self.iter())
    }

    fn iter(&self) -> impl Iterator<Item = Moment> + '_ {
        let before = self.others.range(..self.latest);
        let after = self.others.range(self.latest..);
        let all = before.chain([(&self.latest, &self.offsets)]).chain(after);
        let ms = all.flat_map(|(stretch, offsets)| {
            offsets.iter().map(move |offset| (stretch << BITS) + i64::from(offset))
        });
        ms.filter_map(Moment::from_unix_ms)
    }
}

impl Fold for Moments {
    fn merged(mut self, other: Self) -> Self {
        for (stretch, offsets) in other.others.into_iter().chain([(other.latest, other.offsets)]) {
            self.turn_to(stretch);
            self.offsets |= offsets;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn moments_are_distinct_and_in_order(
            some in vec((-3_i64..3, 0_i64..9), 0..40),
            others in vec((-3_i64..3, 0_i64..9), 0..40),
        ) {
            // At both ends of a few stretches.
            let ms = |&(stretch, offset): &(i64, i64)| (stretch << BITS) + offset - 4;
            let moments = |of: &[(i64, i64)]| {
                let mut moments = Moments::default();
                of.iter().for_each(|it| moments.insert(Moment::from_unix_ms(ms(it)).unwrap()));
                moments
            };
            let found = moments(&some).merged(moments(&others));
            let expected: BTreeSet<_> = some.iter().chain(&others).map(ms).collect();
            prop_assert!(found.iter().map(Moment::unix_ms).eq(expected));
        }
    }

    #[test]
    fn the_ends_of_postgresql_s_range_are_moments_too() {
        let ends = [9_224_318_015_999_999, -210_866_803_200_000];
        let mut moments = Moments::default();
        ends.iter().for_each(|ms| moments.insert(Moment::from_unix_ms(*ms).unwrap()));
        assert!(moments.iter().map(Moment::unix_ms).eq([ends[1], ends[0]]));
    }
}
