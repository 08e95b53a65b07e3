//! Framing: where each record of a text starts and ends.
//!
//! Records are JSON objects separated by white space, or the elements of a top-level array. Whatever else stands where one
//! should is junk, a frame of its own that the parser rejects: it ends before the next object, at the end of its line, and
//! in an array before the comma or the bracket; strings and arrays in it are gone past as a whole.

use std::ops::Range;

use memchr::memchr2;

use super::whole::{End, Whole};

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
    /// An object stood outside of an array. An array behind it is no array of records any more.
    bare: bool,
}

/// What a top-level array allows next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Element {
    /// An element or the end.
    First,
    /// An element: the last one was followed by a comma.
    Next,
    /// A comma or the end.
    Separator,
}

/// A frame whose start was seen and whose end was not.
#[derive(Debug)]
struct Open {
    /// How many of its bytes were scanned.
    scanned: usize,
    part: Part,
    /// It was reported as too long; the rest is dropped.
    dropped: bool,
}

/// Where in a frame the scan stands.
#[derive(Debug)]
enum Part {
    Object(Whole),
    Junk,
    /// In a string or an array that is part of junk.
    JunkValue(Whole),
}

impl Framer {
    pub fn new(max_record: usize) -> Self {
        Self { max_record, array: None, open: None, start_of_text: true, bare: false }
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
                    self.bare = true;
                    self.push(frames, at, end);
                    at = end;
                    continue;
                }
                match self.begin(text, at, end_of_text) {
                    Begin::Frame(part) => {
                        self.open = Some(Open { scanned: 0, part, dropped: false });
                    }
                    Begin::Stray => {
                        self.push(frames, at, at + 1);
                        at += 1;
                        continue;
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
                    let open = self.open.take().expect("scan works on an open frame");
                    if !open.dropped {
                        self.push_trimmed(frames, text, at, at + length);
                    }
                    at += length;
                }
                None => return self.pause(at, frames),
            }
        }
    }

    /// Leaves an unfinished frame for the next call, unless it is already too long.
    fn pause(&mut self, at: usize, frames: &mut Vec<Frame>) -> usize {
        let Some(open) = &mut self.open else { return at };
        if !open.dropped && open.scanned <= self.max_record {
            return at;
        }
        let end = at + std::mem::take(&mut open.scanned);
        let reported = std::mem::replace(&mut open.dropped, true);
        if !reported {
            self.push(frames, at, end);
        }
        end
    }

    /// Adds the frame from `start` to `end`, without the white space at its end.
    ///
    /// That space counts for its length: where it has not arrived yet, what follows it could be more of the frame.
    fn push_trimmed(&self, frames: &mut Vec<Frame>, text: &[u8], start: usize, end: usize) {
        let is_too_long = end - start > self.max_record;
        let end = if is_too_long { end } else { start + without_last_space(&text[start..end]) };
        self.push(frames, start, end);
    }

    /// Adds the frame from `start` to `end`.
    fn push(&self, frames: &mut Vec<Frame>, start: usize, end: usize) {
        let (kind, end) = if end - start > self.max_record {
            (FrameKind::TooLong, start + self.max_record)
        } else {
            (FrameKind::Record, end)
        };
        frames.push(Frame { start: start as u32, end: end as u32, kind });
    }

    /// Decides what begins at `at`, which is no white space.
    fn begin(&mut self, text: &[u8], at: usize, end_of_text: bool) -> Begin {
        let nothing = if end_of_text { Begin::End } else { Begin::More };
        let Some(&byte) = text.get(at) else { return nothing };
        match (self.array, byte) {
            (array, b'{') => {
                self.bare |= array.is_none();
                self.array = array.map(|_| Element::Separator);
                Begin::Frame(Part::Object(Whole::default()))
            }
            (None, b'[') if !self.bare => match self.holds_objects(&text[at..], end_of_text) {
                Some(true) => {
                    self.array = Some(Element::First);
                    Begin::Skip
                }
                Some(false) => Begin::Frame(Part::JunkValue(Whole::default())),
                None => Begin::More,
            },
            (Some(Element::Separator), b',') => {
                self.array = Some(Element::Next);
                Begin::Skip
            }
            (Some(Element::First | Element::Next), b',') => {
                self.array = Some(Element::First);
                Begin::Stray
            }
            (Some(element), b']') => {
                self.array = None;
                if element == Element::Next { Begin::Stray } else { Begin::Skip }
            }
            (array, _) => {
                self.array = array.map(|_| Element::Separator);
                Begin::Frame(Part::Junk)
            }
        }
    }

    /// Whether the array that `text` starts with is one of records: it is empty, or an object is among its elements. `None`
    /// where that isn't known yet. One that goes on for longer than records may be without an object is one, since it
    /// can't be held.
    fn holds_objects(&self, text: &[u8], end_of_text: bool) -> Option<bool> {
        let known = &text[..text.len().min(self.max_record)];
        let undecided = match text.len() > self.max_record {
            true => Some(true),
            false => end_of_text.then_some(false),
        };
        let mut at = 1;
        let mut is_empty = true;
        loop {
            at = skip_space(known, at);
            match known.get(at) {
                None => return undecided,
                Some(b'{') => return Some(true),
                Some(b']') => return Some(is_empty),
                Some(b'"' | b'[') => match Whole::default().scan(known, &mut at) {
                    Some(End::Closed) => {}
                    Some(End::Broken) => return Some(false),
                    None => return undecided,
                },
                Some(_) => at += 1,
            }
            is_empty = false;
        }
    }

    /// Scans on in the open frame that starts `text`; returns its length when its end is reached.
    fn scan(&mut self, text: &[u8], end_of_text: bool) -> Option<usize> {
        let (in_array, bare) = (self.array.is_some(), self.bare);
        let ends_junk = |byte| match byte {
            b'\n' => true,
            b',' | b']' => in_array,
            // It may be an array of records.
            b'[' => !in_array && !bare,
            _ => false,
        };
        let Open { scanned, part, dropped: _ } = self.open.as_mut().expect("a frame is open");
        loop {
            match part {
                Part::Object(object) => {
                    if object.scan(text, scanned).is_some() {
                        return Some(*scanned);
                    }
                    if end_of_text {
                        // That the array of an unfinished record stays open too goes without saying.
                        self.array = None;
                    }
                    break;
                }
                Part::JunkValue(value) => match value.scan(text, scanned) {
                    Some(End::Closed) => *part = Part::Junk,
                    Some(End::Broken) => return Some(*scanned),
                    None => break,
                },
                Part::Junk => match junk_end(text, scanned, ends_junk) {
                    Some(JunkEnd::End) => return Some(*scanned),
                    Some(JunkEnd::Value) => *part = Part::JunkValue(Whole::default()),
                    None => break,
                },
            }
        }
        end_of_text.then_some(text.len())
    }
}

enum Begin {
    Frame(Part),
    /// A byte that should not be there.
    Stray,
    /// A byte that belongs there and to no frame.
    Skip,
    More,
    End,
}

enum JunkEnd {
    /// Before a byte that is not part of it.
    End,
    /// Before a string or an array.
    Value,
}

/// Goes on in junk up to its end, or to a value in it; `None` where the text ends before.
fn junk_end(text: &[u8], at: &mut usize, ends: impl Fn(u8) -> bool) -> Option<JunkEnd> {
    while let Some(&byte) = text.get(*at) {
        match byte {
            _ if ends(byte) => return Some(JunkEnd::End),
            b'"' | b'[' => return Some(JunkEnd::Value),
            // Other braces than those of an object are part of the text that they stand in.
            b'{' if matches!(text.get(*at + 1)?, b'"' | b'}' | b' ' | b'\t' | b'\r' | b'\n') => {
                return Some(JunkEnd::End);
            }
            _ => *at += 1,
        }
    }
    None
}

/// The end of the record that starts at `start`, when a glance proves that it fills its line.
///
/// This is the common case and takes one `memchr` pass. The first closing brace of the line is its last byte, so that the
/// record can't end before it, and the next line starts with `{`, so that it can't go on there.
fn whole_line(text: &[u8], start: usize, max_record: usize) -> Option<usize> {
    let brace = start + memchr2(b'\n', b'}', &text[start..])?;
    let end = brace + 1;
    let newline = skip_blanks(text, end);
    let is_whole = text[brace] == b'}'
        && text.get(newline..)?.starts_with(b"\n{")
        && newline + 1 - start <= max_record;
    is_whole.then_some(end)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// The length without white space at the end. Of JSON's four kinds alone: a form feed is junk.
fn without_last_space(text: &[u8]) -> usize {
    text.iter().rposition(|&byte| !is_space(byte)).map_or(0, |last| last + 1)
}

fn skip_space(text: &[u8], at: usize) -> usize {
    let space = text.get(at..).unwrap_or_default().iter().take_while(|&&byte| is_space(byte));
    at + space.count()
}

fn skip_blanks(text: &[u8], at: usize) -> usize {
    let is_blank = |&byte: &u8| is_space(byte) && byte != b'\n';
    at + text[at..].iter().take_while(|byte| is_blank(byte)).count()
}
