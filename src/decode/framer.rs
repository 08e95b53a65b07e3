//! Framing: where each record of a text starts and ends.
//!
//! Records are JSON objects separated by white space, or the elements of a top-level array. A text that is
//! neither is still cut into pieces, by three rules that never split a valid record: a line break inside a
//! string ends the record; so does a line that begins with `{` where JSON allows no `{`; and what follows a
//! record on its line, or stands between records, runs to the end of that line. The parser rejects such pieces.

use std::ops::Range;

use memchr::{memchr, memchr3, memchr3_iter};

/// One record's place in its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub start: u32,
    pub end: u32,
    pub kind: FrameKind,
}

impl Frame {
    /// Its bytes' places in the block.
    pub fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// Something to parse.
    Record,
    /// The beginning of a record that is longer than records may be.
    TooLong,
    /// The end of a text whose top-level array is not closed.
    OpenArray,
}

/// Finds the frames of a text that arrives in pieces; the frames do not depend on the pieces.
#[derive(Debug)]
pub(crate) struct Framer {
    max_record: usize,
    array: Option<Element>,
    open: Option<Open>,
    start_of_text: bool,
}

/// What a top-level array allows next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    First,
    Next,
    Separator,
    Any,
}

/// A record whose start was seen and whose end was not.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// How many of its bytes were scanned.
    scanned: usize,
    part: Part,
    /// It was reported as too long; the rest is dropped.
    dropped: bool,
    /// What was scanned of it ends with `]`.
    closes_array: bool,
}

impl Open {
    fn new(part: Part) -> Self {
        Self { scanned: 0, part, dropped: false, closes_array: false }
    }
}

/// Where in a record the scan stands.
#[derive(Debug, Clone, Copy)]
enum Part {
    Body(Body),
    /// Behind the closing brace, which ended the record after this many bytes.
    Tail(usize),
    /// In text that is no record.
    Junk,
}

#[derive(Debug, Clone, Copy)]
struct Body {
    depth: usize,
    in_string: bool,
    escaped: bool,
    line_start: bool,
    /// The last byte that was not white space.
    last: u8,
}

impl Framer {
    pub fn new(max_record: usize) -> Self {
        Self { max_record, array: None, open: None, start_of_text: true }
    }

    /// Finds the frames that are complete in `text`, but not many more than `limit`, and how many bytes they
    /// take up.
    ///
    /// The rest must stand at the start of the next call's `text`. With `end_of_text` and no limit all is framed.
    pub fn frame(&mut self, text: &[u8], end_of_text: bool, limit: usize) -> (Vec<Frame>, usize) {
        let mut frames = Vec::new();
        let length = self.frame_into(&mut frames, text, end_of_text, limit);
        (frames, length)
    }

    fn frame_into(
        &mut self,
        frames: &mut Vec<Frame>,
        text: &[u8],
        end_of_text: bool,
        limit: usize,
    ) -> usize {
        let mut at = 0;
        if self.start_of_text {
            const BOM: &[u8] = b"\xEF\xBB\xBF";
            if !end_of_text && text.len() < BOM.len() {
                return 0;
            }
            self.start_of_text = false;
            if text.starts_with(BOM) {
                at = BOM.len();
            }
        }
        loop {
            if self.open.is_none() {
                if frames.len() >= limit {
                    return at;
                }
                at = skip_space(text, at);
                if self.array.is_none()
                    && text.get(at) == Some(&b'{')
                    && let Some(end) = whole_line(text, at, self.max_record)
                {
                    self.push(frames, at, end, end);
                    at = end;
                    continue;
                }
                match self.begin(text, at, end_of_text) {
                    Begin::Record(part) => {
                        self.open = Some(Open::new(part));
                    }
                    Begin::Skip => {
                        at += 1;
                        continue;
                    }
                    Begin::More => return at,
                    Begin::End => {
                        if self.array.take().is_some() {
                            let end = at as u32;
                            frames.push(Frame { start: end, end, kind: FrameKind::OpenArray });
                        }
                        return at;
                    }
                }
            }
            match self.scan(&text[at..], end_of_text) {
                Some(length) => {
                    let open = self.open.take().expect("scan works on an open record");
                    let end = at + length;
                    if !open.dropped {
                        self.push(frames, at, end, at + trim_end(&text[at..end]));
                    }
                    at = end;
                }
                None => return self.pause(text, at, frames),
            }
        }
    }

    /// Leaves an unfinished record for the next call, unless it is already too long.
    fn pause(&mut self, text: &[u8], at: usize, frames: &mut Vec<Frame>) -> usize {
        let Some(open) = &mut self.open else { return at };
        let length = match open.part {
            Part::Tail(length) => length,
            Part::Body(_) | Part::Junk => text.len() - at,
        };
        if !open.dropped && length <= self.max_record {
            return at;
        }
        if let Part::Tail(length) = &mut open.part {
            *length = 0;
        }
        open.scanned = 0;
        let reported = std::mem::replace(&mut open.dropped, true);
        if !reported {
            self.push(frames, at, at + length, at + length);
        }
        text.len()
    }

    /// Adds the record from `start` to `end`, without the white space behind `trimmed`.
    ///
    /// That space counts for its length: where it has not arrived yet, what follows it could be more record.
    fn push(&self, frames: &mut Vec<Frame>, start: usize, end: usize, trimmed: usize) {
        let (kind, end) = if end - start > self.max_record {
            (FrameKind::TooLong, start + self.max_record)
        } else {
            (FrameKind::Record, trimmed)
        };
        frames.push(Frame { start: start as u32, end: end as u32, kind });
    }

    /// Decides what begins at `at`, which is no white space.
    fn begin(&mut self, text: &[u8], at: usize, end_of_text: bool) -> Begin {
        let nothing = if end_of_text { Begin::End } else { Begin::More };
        let Some(&byte) = text.get(at) else { return nothing };
        let record = Begin::Record(Part::Body(Body::new()));
        match (self.array, byte) {
            (None, b'{') => record,
            (None, b'[') => {
                let next = skip_space(text, at + 1);
                match text.get(next) {
                    _ if next - at > self.max_record => Begin::Record(Part::Junk),
                    Some(b'{' | b']') => {
                        self.array = Some(Element::First);
                        Begin::Skip
                    }
                    None if !end_of_text => Begin::More,
                    _ => Begin::Record(Part::Junk),
                }
            }
            (Some(Element::First | Element::Next | Element::Any), b'{') => {
                self.array = Some(Element::Separator);
                record
            }
            (Some(Element::Separator | Element::Any), b',') => {
                self.array = Some(Element::Next);
                Begin::Skip
            }
            (Some(Element::First | Element::Separator | Element::Any), b']') => {
                self.array = None;
                Begin::Skip
            }
            (Some(_), _) => {
                self.array = Some(Element::Any);
                Begin::Record(Part::Junk)
            }
            (None, _) => Begin::Record(Part::Junk),
        }
    }

    /// Scans on in the open record that starts `text`; returns its length when its end is reached.
    fn scan(&mut self, text: &[u8], end_of_text: bool) -> Option<usize> {
        let in_array = self.array.is_some();
        let open = self.open.as_mut().expect("scan works on an open record");
        if let Part::Body(body) = &mut open.part {
            match body.scan(text, &mut open.scanned) {
                Some(BodyEnd::Closed) if in_array => return Some(open.scanned),
                Some(BodyEnd::Closed) => open.part = Part::Tail(open.scanned),
                Some(BodyEnd::Broken) => {
                    self.array = self.array.map(|_| Element::Any);
                    return Some(open.scanned);
                }
                None if end_of_text => {
                    // The text ends inside this record: that its array stays open too goes without saying.
                    self.array = None;
                    return Some(text.len());
                }
                None => return None,
            }
        }
        if let Part::Tail(length) = open.part {
            let next = skip_blanks(text, open.scanned);
            open.scanned = next;
            match text.get(next) {
                // Not worth holding on to so much of nothing. A record that is too long holds on to nothing.
                _ if next > self.max_record && length <= self.max_record && !open.dropped => {
                    return Some(length);
                }
                Some(b'\n' | b'{') => return Some(length),
                None if end_of_text => return Some(length),
                None => return None,
                Some(_) => open.part = Part::Junk,
            }
        }
        let newline = memchr(b'\n', &text[open.scanned..]).map(|length| open.scanned + length);
        let end = newline.unwrap_or(text.len());
        if let Some(last) = text[..end].trim_ascii_end().last() {
            open.closes_array = *last == b']';
        }
        if newline.is_none() && !end_of_text {
            open.scanned = end;
            return None;
        }
        if open.closes_array {
            self.array = None;
        }
        Some(end)
    }
}

enum Begin {
    Record(Part),
    Skip,
    More,
    End,
}

enum BodyEnd {
    /// Behind the brace that closes the record.
    Closed,
    /// Before a byte that can't belong to the record.
    Broken,
}

impl Body {
    fn new() -> Self {
        Self { depth: 0, in_string: false, escaped: false, line_start: false, last: 0 }
    }

    fn scan(&mut self, text: &[u8], at: &mut usize) -> Option<BodyEnd> {
        while *at < text.len() {
            if self.escaped {
                self.escaped = false;
                if text[*at] != b'\n' {
                    *at += 1;
                    continue;
                }
            }
            if self.in_string {
                let Some(length) = memchr3(b'"', b'\\', b'\n', &text[*at..]) else {
                    *at = text.len();
                    return None;
                };
                *at += length;
                match text[*at] {
                    b'"' => self.in_string = false,
                    b'\\' => self.escaped = true,
                    _ => return Some(BodyEnd::Broken),
                }
                *at += 1;
                continue;
            }
            let byte = text[*at];
            match byte {
                b'\n' => self.line_start = true,
                b' ' | b'\t' | b'\r' => {}
                b'{' if self.line_start && !matches!(self.last, b',' | b':' | b'[') => {
                    return Some(BodyEnd::Broken);
                }
                _ => {
                    match byte {
                        b'"' => self.in_string = true,
                        b'{' | b'[' => self.depth += 1,
                        b'}' | b']' => self.depth -= 1,
                        _ => {}
                    }
                    self.line_start = false;
                    self.last = byte;
                    if self.depth == 0 {
                        *at += 1;
                        return Some(BodyEnd::Closed);
                    }
                }
            }
            *at += 1;
        }
        None
    }
}

/// The end of the record that starts at `start`, when a glance proves that it fills its line.
///
/// This is the common case and takes one `memchr` pass. The line ends with `}` and the next one starts with
/// `{`, so the record ends here by the rules above; and nowhere in the line does a `{` follow a closing brace
/// or bracket, so no second record starts in it. Long lines are left to the scan, which counts what it takes.
fn whole_line(text: &[u8], start: usize, max_record: usize) -> Option<usize> {
    for place in memchr3_iter(b'\n', b'}', b']', &text[start..]) {
        let at = start + place;
        if place >= max_record {
            return None;
        }
        if text[at] != b'\n' {
            if text.get(skip_blanks(text, at + 1)) == Some(&b'{') {
                return None;
            }
            continue;
        }
        if text.get(at + 1) != Some(&b'{') {
            return None;
        }
        let end = start + trim_end(&text[start..at]);
        return (text[end - 1] == b'}').then_some(end);
    }
    None
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn skip_space(text: &[u8], at: usize) -> usize {
    text[at..].iter().position(|&byte| !is_space(byte)).map_or(text.len(), |space| at + space)
}

fn skip_blanks(text: &[u8], at: usize) -> usize {
    let is_blank = |&byte: &u8| is_space(byte) && byte != b'\n';
    at + text[at..].iter().take_while(|byte| is_blank(byte)).count()
}

fn trim_end(text: &[u8]) -> usize {
    text.iter().rposition(|&byte| !is_space(byte)).map_or(0, |last| last + 1)
}
