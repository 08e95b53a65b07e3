//! Digits: what plainly written numbers are worth, as nearly all of them are; anything else is left to a parser.

use wide::u8x16;

/// The bytes that a number is looked for in, the last ones of a text: all at once, since how many there are can't be
/// foretold.
const BYTES: usize = 16;

/// The value of the digits that are the last `length` bytes of `text`, as milliseconds are written often with `.0`
/// behind them.
#[inline]
pub(super) fn value_of_digits(text: &[u8], length: usize) -> Option<i64> {
    let (text, length) = match text {
        [whole @ .., b'.', b'0'] if length > 2 => (whole, length - 2),
        _ => (text, length),
    };
    sixteen_digits(last_bytes(text, length)?)
}

/// The value of the last `length` bytes of `text` if they are digits, perhaps with a point between them, and both they
/// and their power of ten are exact doubles: dividing rounds once, so it is the nearest one (Clinger, "How to read
/// floating point numbers accurately").
#[inline]
pub(super) fn double_of_digits(text: &[u8], length: usize) -> Option<f64> {
    const POWERS: [f64; BYTES] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    if length == BYTES {
        return None;
    }
    let number = last_bytes(text, length)?;
    let points = u8x16::new(number.to_le_bytes()).simd_eq(u8x16::splat(b'.' ^ b'0')).to_bitmask();
    if points == 0 {
        return sixteen_digits(number).map(|value| value as f64);
    }
    let point = points.trailing_zeros();
    let whole = number & !(u128::MAX << (8 * point));
    // All bits but those of what stands behind the point.
    let decimals = number & (u128::MAX << (8 * point) << 8);
    let digits = sixteen_digits(whole << 8 | decimals)?;
    Some(digits as f64 / POWERS[BYTES - 1 - point as usize])
}

/// What the last `length` bytes of `text` are worth if they are digits, with zeros before them; the first one is the
/// lowest.
#[inline]
fn last_bytes(text: &[u8], length: usize) -> Option<u128> {
    if length == 0 || length > BYTES {
        return None;
    }
    let digits = u128::from_le_bytes(*text.last_chunk()?) ^ u128::from_le_bytes([b'0'; BYTES]);
    Some(digits & (u128::MAX << (8 * (BYTES - length))))
}

#[inline]
fn sixteen_digits(digits: u128) -> Option<i64> {
    Some(eight_digits(digits as u64)? * 100_000_000 + eight_digits((digits >> 64) as u64)?)
}

/// The number that eight digits make: all pairs of them, then all pairs of those, then both fours at once.
#[inline]
fn eight_digits(ones: u64) -> Option<i64> {
    // More than nine has the highest bit, or gets it.
    if (ones | ones.wrapping_add(0x7676_7676_7676_7676)) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let twos = (ones * 10 + (ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos * 100 + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    let eight = (fours * 10_000 + (fours >> 32)) & 0xffff_ffff;
    Some(eight as i64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn digits_are_worth_what_a_parser_says(
            before in "[0-9.\"]{16}", digits in "[0-9]{1,17}", decimals in "(\\.[0-9]{1,12})?",
            other in "[0-9][0-9:/;.a]{0,16}"
        ) {
            let number = format!("{digits}{decimals}");
            let text = |number: &str| format!("{before}{number}").into_bytes();
            if let Some(value) = double_of_digits(&text(&number), number.len()) {
                prop_assert_eq!(value.to_bits(), number.parse::<f64>().unwrap().to_bits());
            }
            prop_assert_eq!(double_of_digits(&text(&number), number.len()).is_some(), number.len() < BYTES);
            if let Some(value) = double_of_digits(&text(&other), other.len()) {
                prop_assert_eq!(Ok(value), other.parse(), "{}", other);
            }
            let whole = |text: &str| text.parse().ok().filter(|_| text.len() <= BYTES);
            prop_assert_eq!(value_of_digits(&text(&digits), digits.len()), whole(&digits));
            let plain = other.strip_suffix(".0").filter(|whole| !whole.is_empty()).unwrap_or(&other);
            prop_assert_eq!(value_of_digits(&text(&other), other.len()), whole(plain));
        }
    }
}
