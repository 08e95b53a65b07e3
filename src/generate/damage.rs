//! Damage: a good record of a play made one that no load takes.

use memchr::memmem;

use super::random::Random;

/// What is wrong with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Damage {
    /// The line ends in the midst of the record.
    CutShort,
    /// The user is not a number.
    UserIsNoNumber,
    /// The user's number is larger than the column.
    HugeUser,
    /// A play without a user.
    NoUser,
    /// A play without a time.
    NoTime,
    /// The length is larger than any float.
    HugeLength,
    /// A session that is not whole.
    HalfSession,
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// One half of a pair of UTF-16 surrogates.
    UnpairedSurrogate,
    /// A character that no text column holds.
    Nul,
}

impl Damage {
    const ALL: [Self; 10] = [
        Self::CutShort,
        Self::UserIsNoNumber,
        Self::HugeUser,
        Self::NoUser,
        Self::NoTime,
        Self::HugeLength,
        Self::HalfSession,
        Self::NotUtf8,
        Self::UnpairedSurrogate,
        Self::Nul,
    ];

    pub fn any(random: &mut Random) -> Self {
        *random.pick(&Self::ALL)
    }

    /// Damages the record that begins at `start` of `out` and goes on to its end.
    pub fn apply(self, out: &mut Vec<u8>, start: usize) {
        match self {
            Self::CutShort => {
                let (value, _) = field(out, start, "location");
                out.truncate(value + "\"Al".len());
            }
            Self::UserIsNoNumber => replace(out, start, "userId", b"\"guest\""),
            Self::HugeUser => replace(out, start, "userId", b"\"99999999999\""),
            Self::NoUser => replace(out, start, "userId", b"\"\""),
            Self::NoTime => replace(out, start, "ts", b"null"),
            Self::HugeLength => replace(out, start, "length", b"1e999"),
            Self::HalfSession => replace(out, start, "sessionId", b"7.5"),
            Self::NotUtf8 => replace(out, start, "artist", b"\"\xC3\x28\""),
            Self::UnpairedSurrogate => replace(out, start, "song", br#""\ud83d""#),
            Self::Nul => replace(out, start, "location", br#""\u0000""#),
        }
    }
}

/// Where the value of a key stands, up to the next key.
fn field(out: &[u8], start: usize, key: &str) -> (usize, usize) {
    let key = format!("\"{key}\":");
    let at = memmem::find(&out[start..], key.as_bytes()).expect("records of plays have all keys");
    let value = start + at + key.len();
    // No value has a quote behind a comma.
    let length = memmem::find(&out[value..], b",\"").unwrap_or(out.len() - value - "}".len());
    (value, value + length)
}

fn replace(out: &mut Vec<u8>, start: usize, key: &str, value: &[u8]) {
    let (from, to) = field(out, start, key);
    out.splice(from..to, value.iter().copied());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_damage_changes_one_value() {
        let record = br#"{"artist":"A","length":1.5,"location":"Alder Falls, OR","sessionId":7,"song":"S","ts":1,"userId":"2"}"#;
        let cases: [(Damage, &[u8]); 4] = [
            (Damage::CutShort, br#"{"artist":"A","length":1.5,"location":"Al"#),
            (Damage::NoUser, br#"{"artist":"A","length":1.5,"location":"Alder Falls, OR","sessionId":7,"song":"S","ts":1,"userId":""}"#),
            (Damage::NoTime, br#"{"artist":"A","length":1.5,"location":"Alder Falls, OR","sessionId":7,"song":"S","ts":null,"userId":"2"}"#),
            (Damage::HugeLength, br#"{"artist":"A","length":1e999,"location":"Alder Falls, OR","sessionId":7,"song":"S","ts":1,"userId":"2"}"#),
        ];
        for (damage, expected) in cases {
            let mut out = b"before\n".to_vec();
            out.extend_from_slice(record);
            damage.apply(&mut out, "before\n".len());
            let (kept, damaged) = out.split_at("before\n".len());
            assert_eq!(kept, b"before\n");
            assert_eq!(damaged, expected, "{damage:?}");
        }
    }
}
