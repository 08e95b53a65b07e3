//! Digits: what plainly written numbers are worth, as nearly all of them are; anything else is left to a parser.

use wide::u8x16;

/// The bytes that a number is looked for in: all at once, since how many there are can't be foretold.
const BYTES: usize = 16;

/// What all of them are where they are zeros.
const ZEROS: u128 = u128::from_le_bytes([b'0'; BYTES]);

/// A number written plainly, in less than 16 bytes: `digits` ÷ 10^`decimals`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decimal {
    digits: i64,
    decimals: u8,
}

impl Decimal {
    pub const ZERO: Self = Self { digits: 0, decimals: 0 };

    /// The number that `text` begins with, and where it ends; there is text behind it.
    #[inline(always)]
    pub fn at_start(text: &[u8]) -> Option<(Self, usize)> {
        let bytes: &[u8; BYTES] = text.first_chunk()?;
        let number = u128::from_le_bytes(*bytes) ^ ZEROS;
        let digit = u8x16::new(number.to_le_bytes());
        let are_digits = digit.min(u8x16::splat(9)).simd_eq(digit).to_bitmask();
        let whole = are_digits.trailing_ones() as usize;
        let behind = *bytes.get(whole)?;
        if whole == 0 || (whole > 1 && bytes[0] == b'0') {
            return None;
        }
        let (digits, decimals) = if behind == b'.' {
            let decimals = (are_digits >> whole >> 1).trailing_ones() as usize;
            if decimals == 0 {
                return None;
            }
            // The decimals take the place of the point.
            let below = u128::MAX << (8 * whole);
            ((number & !below) | ((number >> 8) & below), decimals)
        } else {
            (number, 0)
        };
        let end = if decimals == 0 { whole } else { whole + 1 + decimals };
        if matches!(bytes.get(end)?, b'e' | b'E') {
            return None;
        }
        let digits = first_digits(digits, whole + decimals);
        Some((Self { digits, decimals: decimals as u8 }, end))
    }

    /// The number, if it is whole.
    #[inline(always)]
    pub fn whole(self) -> Option<i64> {
        match self.decimals {
            0 => Some(self.digits),
            // Milliseconds are often written with `.0` behind them.
            1 if self.digits % 10 == 0 => Some(self.digits / 10),
            _ => None,
        }
    }

    /// The nearest double: both the digits and the power of ten are exact ones, so dividing rounds once (Clinger, "How to
    /// read floating point numbers accurately").
    #[inline(always)]
    pub fn double(self) -> f64 {
        const POWERS: [f64; BYTES] =
            [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
        self.digits as f64 / POWERS[usize::from(self.decimals)]
    }
}

/// The value of the digits that are the last `length` bytes of `text`, as milliseconds are written often with `.0`
/// behind them.
#[inline(always)]
pub(super) fn value_of_digits(text: &[u8], length: usize) -> Option<i64> {
    let (text, length) = match text {
        [whole @ .., b'.', b'0'] if length > 2 => (whole, length - 2),
        _ => (text, length),
    };
    if length == 0 || length > BYTES {
        return None;
    }
    let digits = u128::from_le_bytes(*text.last_chunk()?) ^ ZEROS;
    let digits = digits & (u128::MAX << (8 * (BYTES - length)));
    // More than nine has the highest bit, or gets it.
    const HIGHEST: u128 = u128::from_le_bytes([0x80; BYTES]);
    const UP_TO_NINE: u128 = u128::from_le_bytes([0x76; BYTES]);
    ((digits | ((digits & !HIGHEST) + UP_TO_NINE)) & HIGHEST == 0).then(|| worth(digits))
}

/// The number that the first `count` of `digits` make, of which there is at least one.
#[inline(always)]
fn first_digits(digits: u128, count: usize) -> i64 {
    if count <= 8 {
        worth_of_eight((digits as u64) << (64 - 8 * count))
    } else {
        worth(digits << (128 - 8 * count))
    }
}

/// The number that sixteen digits make, the first one of which is the lowest byte.
#[inline(always)]
fn worth(digits: u128) -> i64 {
    worth_of_eight(digits as u64) * 100_000_000 + worth_of_eight((digits >> 64) as u64)
}

/// All pairs of digits, then all pairs of those, then both fours at once.
#[inline(always)]
fn worth_of_eight(ones: u64) -> i64 {
    let twos = (ones * 10 + (ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos * 100 + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    let eight = (fours * 10_000 + (fours >> 32)) & 0xffff_ffff;
    eight as i64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn digits_are_worth_what_a_parser_says(
            before in "[0-9.\"]{16}", digits in "[0-9]{1,17}", other in "[0-9][0-9:/;.a]{0,16}"
        ) {
            let text = |number: &str| format!("{before}{number}").into_bytes();
            let whole = |text: &str| text.parse().ok().filter(|_| text.len() <= BYTES);
            prop_assert_eq!(value_of_digits(&text(&digits), digits.len()), whole(&digits));
            let plain = other.strip_suffix(".0").filter(|whole| !whole.is_empty()).unwrap_or(&other);
            prop_assert_eq!(value_of_digits(&text(&other), other.len()), whole(plain));
        }

        #[test]
        fn decimals_are_worth_what_a_parser_says(
            whole in "0|[1-9][0-9]{0,16}", decimals in "(\\.0|\\.[0-9]{1,12})?", behind in "[^0-9.eE].{15}"
        ) {
            let number = format!("{whole}{decimals}");
            let found = Decimal::at_start(format!("{number}{behind}").as_bytes());
            prop_assert_eq!(found.is_some(), number.len() < BYTES);
            if let Some((decimal, end)) = found {
                prop_assert_eq!(end, number.len());
                let double = number.parse::<f64>().unwrap();
                prop_assert_eq!(decimal.double().to_bits(), double.to_bits());
                let is_whole = decimals.is_empty() || decimals == ".0";
                prop_assert_eq!(decimal.whole(), is_whole.then(|| whole.parse().unwrap()));
            }
        }

        #[test]
        fn what_is_taken_for_a_number_is_one(text in "[0-9][0-9:/;.aeE]{0,16}.{16}") {
            if let Some((decimal, end)) = Decimal::at_start(text.as_bytes()) {
                prop_assert_eq!(text[..end].parse(), Ok(decimal.double()), "{}", text);
            }
        }

        #[test]
        fn what_json_knows_no_number_for_is_none(
            wrong in "0[0-9]{1,3}|\\.[0-9]|[0-9]\\.|1e5|1\\.5E-5|-1|[a-z]", behind in "[^0-9.]{16}"
        ) {
            let text = format!("{wrong}{behind}");
            prop_assert!(Decimal::at_start(text.as_bytes()).is_none());
        }
    }
}
