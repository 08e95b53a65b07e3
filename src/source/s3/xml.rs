//! XML, as S3 answers in it: elements within elements, the innermost with texts.

use aws_sdk_s3::error::BoxError;
use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::{BytesRef, Event};

/// Hands each element of a document, when it ends, to `each`: how many others it lies in, its name, and its text with
/// all blanks. Returns whether the document is a `root`; another one is not read.
///
/// # Errors
///
/// The document is broken or ends too early, or what `each` says.
pub(super) fn read(
    text: &[u8],
    root: &str,
    mut each: impl FnMut(usize, &[u8], &mut String) -> Result<(), BoxError>,
) -> Result<bool, BoxError> {
    let mut reader = Reader::from_str(str::from_utf8(text)?);
    reader.config_mut().expand_empty_elements = true;
    let mut depth = 0;
    let mut value = String::new();
    loop {
        match reader.read_event()? {
            Event::Start(tag) => {
                if depth == 0 && tag.local_name().as_ref() != root.as_bytes() {
                    return Ok(false);
                }
                depth += 1;
                value.clear();
            }
            Event::Text(text) => value += &text.decode()?,
            Event::CData(text) => value += &text.decode()?,
            Event::GeneralRef(reference) => value.push(character(&reference)?),
            Event::End(tag) => {
                depth -= 1;
                each(depth, tag.local_name().as_ref(), &mut value)?;
                value.clear();
                if depth == 0 {
                    return Ok(true);
                }
            }
            Event::Eof if depth > 0 => return Err(format!("the {root} has no end").into()),
            Event::Eof => return Ok(false),
            _ => {}
        }
    }
}

/// The character that a reference such as `&amp;` stands for.
fn character(reference: &BytesRef<'_>) -> Result<char, BoxError> {
    if let Some(character) = reference.resolve_char_ref()? {
        return Ok(character);
    }
    let name = reference.decode()?;
    let text = resolve_predefined_entity(&name).and_then(|text| text.chars().next());
    text.ok_or_else(|| format!("unknown entity &{name};").into())
}
