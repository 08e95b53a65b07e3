//! Popularity: few songs and users are in much demand, most in little.

use super::random::Random;

/// The largest skew: the first of many gets nine of ten.
pub(super) const MAX_SKEW: f64 = 4.0;

/// Picks ranks: 0 most often, and rank `r` about `(r + 1)^-skew` as often.
///
/// The ranks fall into octaves (1, 2–3, 4–7, …), all of an octave equally popular. It needs no more than 33 numbers
/// for any count, and no power function, whose last bits differ between platforms.
#[derive(Debug, Clone)]
pub(super) struct Popularity {
    count: u64,
    /// Where each octave but the last ends, of 2⁵³.
    ends: Vec<u64>,
}

const WHOLE: f64 = (1_u64 << 53) as f64;

impl Popularity {
    /// Of `count` ranks, at least one.
    pub fn new(count: u64, skew: f64) -> Self {
        let fall = 1.0 / power_of_two(skew);
        let (mut first, mut each, mut sum) = (1_u64, 1.0, 0.0);
        let mut sums = Vec::new();
        while first <= count {
            sum += first.min(count - first + 1) as f64 * each;
            sums.push(sum);
            first *= 2;
            each *= fall;
        }
        sums.pop();
        Self { count, ends: sums.into_iter().map(|end| (end / sum * WHOLE) as u64).collect() }
    }

    pub fn pick(&self, random: &mut Random) -> u64 {
        let point = random.next() >> 11;
        let octave = self.ends.partition_point(|end| *end <= point);
        let first = 1_u64 << octave;
        first - 1 + random.below(first.min(self.count - first + 1))
    }
}

/// 2 to the power of an exponent between 0 and [`MAX_SKEW`], by what IEEE 754 rounds the same everywhere.
fn power_of_two(exponent: f64) -> f64 {
    let whole = exponent as u32;
    let (mut power, mut rest) = ((1_u64 << whole) as f64, exponent - f64::from(whole));
    let mut root = 2.0_f64;
    // Each bit of the fraction stands for a square root of the bit's before.
    for _ in 0..30 {
        (root, rest) = (root.sqrt(), rest * 2.0);
        if rest >= 1.0 {
            (power, rest) = (power * root, rest - 1.0);
        }
    }
    power
}

#[cfg(test)]
mod tests {
    use super::super::random::Purpose;
    use super::*;

    fn picks(count: u64, skew: f64) -> Vec<u64> {
        let popularity = Popularity::new(count, skew);
        let mut random = Random::new(1, Purpose::Event, 0);
        let mut picks = vec![0; count as usize];
        for _ in 0..100_000 {
            picks[popularity.pick(&mut random) as usize] += 1;
        }
        picks
    }

    #[test]
    fn powers_are_close() {
        for (exponent, power) in [(0.0, 1.0), (1.0, 2.0), (0.25, 1.189_207_1), (2.25, 4.756_828_5)]
        {
            assert!((power_of_two(exponent) - power).abs() < 1e-6, "{exponent}");
        }
    }

    #[test]
    fn without_skew_all_are_equal_and_with_it_octaves_are() {
        let even = picks(10, 0.0);
        assert!(even.iter().all(|picks| (9_500..10_500).contains(picks)), "{even:?}");
        let zipf = picks(15, 1.0);
        let octaves = [&zipf[..1], &zipf[1..3], &zipf[3..7], &zipf[7..]];
        for octave in octaves.map(|octave| octave.iter().sum::<u64>()) {
            assert!((24_000..26_000).contains(&octave), "{zipf:?}");
        }
        assert_eq!(picks(1, 1.0), [100_000]);
        assert!(picks(1000, 4.0)[0] > 85_000);
    }
}
