//! Redshift's attributes of tables and columns: they come in any order, so they are read by hand.

use sqlparser::tokenizer::{Token, TokenWithSpan};

use super::columns::Kind;
use super::error::{Refusal, Result};
use super::tokens::Cursor;

/// What stands in a CREATE TABLE for Redshift alone.
#[derive(Debug, Default)]
pub struct Attributes {
    pub style: Option<String>,
    pub dist_keys: Vec<String>,
    pub sort_keys: Vec<String>,
    /// Encodings by the columns' names.
    pub encodings: Vec<(String, String)>,
    pub any: bool,
}

/// Takes Redshift's attributes out of the statement.
pub fn separate(tokens: &[TokenWithSpan]) -> Result<(Vec<TokenWithSpan>, Attributes)> {
    let mut kept = Vec::new();
    let mut attributes = Attributes::default();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let is_end = Cursor::new(&tokens[at..]).peek_word().is_some_and(|word| {
            ["AS", "BACKUP", "DISTSTYLE", "DISTKEY", "COMPOUND", "INTERLEAVED", "SORTKEY", "ENCODE"]
                .contains(&word.as_str())
        });
        if is_end {
            break;
        }
        at += 1;
        // `LOCAL` means nothing, and the parser does not know it.
        if Cursor::new(&tokens[at - 1..at]).word("LOCAL") {
            continue;
        }
        kept.push(token.clone());
        if token.token == Token::LParen {
            at = columns_of(tokens, at, &mut kept, &mut attributes)?;
            break;
        }
    }
    let mut cursor = Cursor::new(&tokens[at..]);
    while !cursor.is_done() && cursor.peek_word().as_deref() != Some("AS") {
        table_attribute(&mut cursor, &mut attributes)?;
    }
    kept.extend_from_slice(cursor.rest());
    match (attributes.style.as_deref(), attributes.dist_keys.len()) {
        (Some("KEY"), 0) => Err(Refusal::new("42601", "DISTSTYLE KEY requires a DISTKEY column")),
        (Some(style @ ("ALL" | "EVEN" | "AUTO")), 1..) => {
            let text = format!("Cannot specify DISTKEY with DISTSTYLE {style}");
            Err(Refusal::new("42601", text))
        }
        (_, 2..) => Err(Refusal::new("42601", "Only one DISTKEY column is allowed")),
        _ => Ok((kept, attributes)),
    }
}

/// Goes through the columns in parentheses, and gives where they end.
fn columns_of(
    tokens: &[TokenWithSpan],
    mut at: usize,
    kept: &mut Vec<TokenWithSpan>,
    attributes: &mut Attributes,
) -> Result<usize> {
    let mut depth = 1;
    let mut column: Option<String> = None;
    while let Some(token) = tokens.get(at) {
        let mut cursor = Cursor::new(&tokens[at..]);
        if depth == 1 && column.is_none() {
            column = Some(cursor.clone().name()?);
        } else if depth == 1 {
            let name = column.clone().unwrap_or_default();
            let found = if cursor.word("ENCODE") {
                attributes.encodings.push((name, cursor.name()?));
                true
            } else if cursor.word("DISTKEY") {
                attributes.dist_keys.push(name);
                true
            } else if cursor.word("SORTKEY") {
                attributes.sort_keys.push(name);
                true
            } else {
                false
            };
            if found {
                attributes.any = true;
                at = tokens.len() - cursor.rest().len();
                continue;
            }
        }
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => depth -= 1,
            Token::Comma if depth == 1 => column = None,
            _ => {}
        }
        kept.push(token.clone());
        at += 1;
        if depth == 0 {
            return Ok(at);
        }
    }
    Err(Refusal::new("42601", "syntax error at end of input"))
}

fn table_attribute(cursor: &mut Cursor<'_>, attributes: &mut Attributes) -> Result<()> {
    attributes.any = true;
    if cursor.word("BACKUP") {
        return if cursor.word("YES") || cursor.word("NO") { Ok(()) } else { Err(cursor.wrong()) };
    }
    if cursor.word("DISTSTYLE") {
        let style = cursor.peek_word().unwrap_or_default();
        if !["ALL", "EVEN", "KEY", "AUTO"].contains(&style.as_str()) {
            return Err(cursor.wrong());
        }
        cursor.next();
        attributes.style = Some(style);
        return Ok(());
    }
    if cursor.word("DISTKEY") {
        let names = cursor.names()?.ok_or_else(|| cursor.wrong())?;
        attributes.dist_keys.extend(names);
        return Ok(());
    }
    if cursor.words(&["SORTKEY", "AUTO"]) || cursor.words(&["ENCODE", "AUTO"]) {
        return Ok(());
    }
    let _ = cursor.word("COMPOUND") || cursor.word("INTERLEAVED");
    cursor.expect_word("SORTKEY")?;
    let names = cursor.names()?.ok_or_else(|| cursor.wrong())?;
    attributes.sort_keys.extend(names);
    Ok(())
}

/// Checks that values of a kind can be encoded so, as AWS's table of encodings says.
pub fn encode(encoding: &str, kind: Kind, column: &str) -> Result<()> {
    use Kind::*;
    let fits = match encoding {
        "raw" | "zstd" | "runlength" => true,
        "az64" => {
            matches!(kind, SmallInt | Integer | BigInt | Numeric | Date | Timestamp | TimestampTz)
        }
        "bytedict" => kind != Boolean,
        "delta" => {
            matches!(kind, SmallInt | Integer | BigInt | Numeric | Date | Timestamp | TimestampTz)
        }
        "delta32k" => {
            matches!(kind, Integer | BigInt | Numeric | Date | Timestamp | TimestampTz)
        }
        "lzo" => !matches!(kind, Boolean | Real | Double),
        "mostly8" => matches!(kind, SmallInt | Integer | BigInt | Numeric),
        "mostly16" => matches!(kind, Integer | BigInt | Numeric),
        "mostly32" => matches!(kind, BigInt | Numeric),
        "text255" | "text32k" => kind == Varchar,
        _ => {
            let text = format!("encoding type \"{encoding}\" does not exist");
            return Err(Refusal::new("42704", text));
        }
    };
    if fits {
        return Ok(());
    }
    let text = format!("invalid encoding type specified for column \"{column}\"");
    Err(Refusal::new("0A000", text))
}
