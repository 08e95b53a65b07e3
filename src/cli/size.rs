//! Sizes in bytes, as people write them: `128MiB`, `4MB`, `1048576`.

/// Reads a size; `KiB` and `K` are 1,024 bytes, `kB` are 1,000, and so on; case doesn't matter.
pub fn parse(text: &str) -> Result<usize, String> {
    let digits = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: usize = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        _ => return Err("write a size as 128MiB, 4MB or 1048576".to_owned()),
    };
    let number = number.parse::<usize>().ok();
    number
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(|| "write a size as 128MiB, 4MB or 1048576".to_owned())
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn units_are_binary_with_an_i_or_alone_and_decimal_with_a_b() {
        let cases = [
            ("0", Some(0)),
            ("1048576", Some(1 << 20)),
            ("7b", Some(7)),
            ("64K", Some(64 << 10)),
            ("128MiB", Some(128 << 20)),
            ("4MB", Some(4_000_000)),
            ("4mb", Some(4_000_000)),
            ("2 GiB", Some(2 << 30)),
            ("1gb", Some(1_000_000_000)),
            ("", None),
            ("MiB", None),
            ("-1", None),
            ("1.5GiB", None),
            ("12TiB", None),
            ("99999999999GiB", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).ok(), expected, "{text:?}");
        }
    }
}
