//! Digits: what plainly written numbers are worth, as nearly all of them are; anything else is left to a parser.

/// The value of digits that a 64-bit number is sure to hold, as milliseconds are written often with `.0` behind them.
#[inline]
pub(super) fn value_of_digits(text: &str) -> Option<i64> {
    const MAX_DIGITS: usize = 18;
    let digits = text.strip_suffix(".0").unwrap_or(text).as_bytes();
    if digits.is_empty() || digits.len() > MAX_DIGITS {
        return None;
    }
    let (eights, rest) = digits.as_chunks::<8>();
    let mut value = 0;
    for eight in eights {
        value = value * 100_000_000 + eight_digits(*eight)?;
    }
    for digit in rest {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(value)
}

/// The value of eight digits: all pairs of them, then all pairs of those, then both fours at once.
#[inline]
fn eight_digits(text: [u8; 8]) -> Option<i64> {
    const ZEROS: u64 = u64::from_le_bytes(*b"00000000");
    const HIGH: u64 = 0xf0f0_f0f0_f0f0_f0f0;
    let text = u64::from_le_bytes(text);
    // What is no digit has another high half, or gets one with six more.
    let with_six = text.wrapping_add(0x0606_0606_0606_0606);
    if text & HIGH != ZEROS || with_six & HIGH != ZEROS {
        return None;
    }
    let ones = text - ZEROS;
    let twos = (ones * 10 + (ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos * 100 + (twos >> 16)) & 0x0000_ffff_0000_ffff;
    let eight = (fours * 10_000 + (fours >> 32)) & 0xffff_ffff;
    Some(eight as i64)
}

/// The value of a JSON number that is digits, perhaps with a point between them, where both they and their power of ten
/// are exact doubles: dividing rounds once, so it is the nearest one (Clinger, "How to read floating point numbers
/// accurately").
#[inline]
pub(super) fn double_of_digits(text: &str) -> Option<f64> {
    const MAX_DIGITS: usize = 15;
    const POWERS: [f64; MAX_DIGITS + 1] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let text = text.as_bytes();
    if text.len() > MAX_DIGITS {
        return None;
    }
    let mut digits = 0_i64;
    let mut point = None;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => digits = digits * 10 + i64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    let decimals = point.map_or(0, |point| text.len() - point - 1);
    Some(digits as f64 / POWERS[decimals])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn digits_are_worth_what_a_parser_says(
            digits in "[0-9]{1,17}", decimals in "(\\.[0-9]{1,12})?", other in "[0-9:/;.a]{8,18}"
        ) {
            let number = format!("{digits}{decimals}");
            if let Some(value) = double_of_digits(&number) {
                prop_assert_eq!(value.to_bits(), number.parse::<f64>().unwrap().to_bits());
            }
            prop_assert_eq!(value_of_digits(&digits), digits.parse().ok());
            let whole = other.strip_suffix(".0").unwrap_or(&other);
            prop_assert_eq!(value_of_digits(&other), whole.parse().ok());
        }
    }
}
