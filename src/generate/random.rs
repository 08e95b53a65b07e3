//! Chance that is the same everywhere: SplitMix64 (Steele, Lea and Flood, 2014), by integers alone.

/// Random numbers that follow from a seed, what they are for, and a number of the thing that they describe.
///
/// There is no sequence that runs through the data: what a thing is follows from its number, so that any part can be
/// made at any time on any thread.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

/// What random numbers are for; each purpose has its own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Purpose {
    Song,
    Artist,
    User,
    Row,
    Lane,
    Session,
    Event,
    Change,
}

/// The fraction of 2⁶⁴ that is the golden ratio's: SplitMix64's step.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Random {
    pub fn new(seed: u64, purpose: Purpose, number: u64) -> Self {
        let stream = mix(seed ^ mix((purpose as u64 + 1).wrapping_mul(STEP)));
        Self(mix(stream.wrapping_add(number.wrapping_mul(STEP))))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number below `bound`, which is not 0; uneven by less than 2⁻³² for bounds up to 2³².
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    pub fn happens(&mut self, share: Share) -> bool {
        self.next() >> 32 < share.0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

/// How often something happens: so often of 2³² times.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share(u64);

impl Share {
    /// `share` lies between 0 and 1.
    pub fn new(share: f64) -> Self {
        // A product with a power of two is exact.
        Self((share * (1_u64 << 32) as f64) as u64)
    }
}

/// Makes 64 bits of which each depends on all of `bits`; no two give the same.
fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_splitmix64s() {
        // The published implementation's for the seed 1234567.
        let mut random = Random(1_234_567);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973];
        assert_eq!([random.next(), random.next()], expected);
    }

    #[test]
    fn shares_are_kept_and_all_or_nothing_is_exact() {
        for (share, least, most) in [(0.0, 0, 0), (0.25, 2400, 2600), (1.0, 10_000, 10_000)] {
            let share = Share::new(share);
            let times =
                (0..10_000).filter(|it| Random::new(7, Purpose::Event, *it).happens(share)).count();
            assert!((least..=most).contains(&times), "{share:?}: {times}");
        }
    }
}
