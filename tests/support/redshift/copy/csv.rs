//! Records out of CSV, as COPY cuts them.

/// The longest record that COPY takes, in bytes.
const LONGEST: usize = 4 << 20;

/// A field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field<'a> {
    pub bytes: std::borrow::Cow<'a, [u8]>,
    pub quoted: bool,
}

/// A record, and where it stands.
#[derive(Debug)]
pub struct Record<'a> {
    /// The line that it begins on, counted from 1.
    pub line: u64,
    pub raw: &'a [u8],
    pub fields: Result<Vec<Field<'a>>, Broken>,
}

/// Why a record cannot be told apart into fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// A quote where none can be, or none where one must be.
    Quotes,
    TooLong,
}

/// Reads the records of one object.
pub struct Reader<'a> {
    rest: &'a [u8],
    line: u64,
    quote: u8,
    delimiter: u8,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8], quote: u8, delimiter: u8) -> Reader<'a> {
        Reader { rest: bytes, line: 1, quote, delimiter }
    }

    /// Passes over so many lines.
    pub fn pass_over(&mut self, lines: u64) {
        for _ in 0..lines {
            let end = self.rest.iter().position(|byte| *byte == b'\n');
            self.rest = end.map_or(&[], |end| &self.rest[end + 1..]);
            self.line += 1;
        }
    }

    /// How many bytes belong to the next record, its line break among them. A line break between quotes is the
    /// record's own.
    fn length(&self) -> usize {
        let mut within = false;
        for (at, byte) in self.rest.iter().enumerate() {
            match *byte {
                byte if byte == self.quote => within = !within,
                b'\n' if !within => return at + 1,
                _ => {}
            }
        }
        self.rest.len()
    }

    fn fields(&self, record: &'a [u8]) -> Result<Vec<Field<'a>>, Broken> {
        if record.len() > LONGEST {
            return Err(Broken::TooLong);
        }
        let mut fields = Vec::new();
        let mut rest = record;
        loop {
            let field;
            if rest.first() == Some(&self.quote) {
                let mut bytes = Vec::new();
                let mut at = 1;
                loop {
                    match (rest.get(at), rest.get(at + 1)) {
                        (None, _) => return Err(Broken::Quotes),
                        (Some(a), Some(b)) if *a == self.quote && *b == self.quote => {
                            bytes.push(self.quote);
                            at += 2;
                        }
                        (Some(a), _) if *a == self.quote => break,
                        (Some(byte), _) => {
                            bytes.push(*byte);
                            at += 1;
                        }
                    }
                }
                field = Field { bytes: bytes.into(), quoted: true };
                rest = &rest[at + 1..];
            } else {
                let end = rest.iter().position(|byte| *byte == self.delimiter);
                let (bytes, after) = rest.split_at(end.unwrap_or(rest.len()));
                if bytes.contains(&self.quote) {
                    return Err(Broken::Quotes);
                }
                field = Field { bytes: bytes.into(), quoted: false };
                rest = after;
            }
            fields.push(field);
            match rest.split_first() {
                None => return Ok(fields),
                Some((byte, after)) if *byte == self.delimiter => rest = after,
                Some(_) => return Err(Broken::Quotes),
            }
        }
    }
}

impl<'a> Iterator for Reader<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let (record, rest) = self.rest.split_at(self.length());
        let line = self.line;
        self.line += record.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.rest = rest;
        let raw = record.strip_suffix(b"\n").unwrap_or(record);
        let raw = raw.strip_suffix(b"\r").unwrap_or(raw);
        Some(Record { line, raw, fields: self.fields(raw) })
    }
}
