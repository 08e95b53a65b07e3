//! COPY … FROM 's3://…': its words, and which of them go together.

mod convert;
mod csv;
mod fetch;
mod load;

use sqlparser::tokenizer::Token;

use super::error::{Refusal, Result};
use super::tokens::{Cursor, TableName};

pub use self::load::{Failed, Rejected};

/// A COPY as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    pub table: TableName,
    /// The columns that the fields are for, where they are named.
    pub columns: Option<Vec<String>>,
    pub from: Place,
    pub access: Access,
    pub options: Options,
}

/// A bucket and a key, or the beginning of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub bucket: String,
    pub key: String,
}

impl Place {
    pub fn parse(url: &str) -> Option<Place> {
        let (bucket, key) = url.strip_prefix("s3://")?.split_once('/')?;
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        (!bucket.is_empty()).then_some(Place { bucket, key })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// In whose name the objects are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    Role(String),
    DefaultRole,
    Keys { id: String, secret: String, token: Option<String> },
}

/// How the objects are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compression {
    #[default]
    None,
    Gzip,
    Zstd,
    Bzip2,
}

/// What a COPY says of the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub quote: u8,
    pub delimiter: u8,
    pub null: String,
    pub compression: Compression,
    pub manifest: bool,
    pub region: Option<String>,
    pub max_errors: u64,
    pub ignore_header: u64,
    pub empty_as_null: bool,
    pub blanks_as_null: bool,
    pub truncate: bool,
    /// What stands for invalid UTF-8.
    pub replacement: Option<char>,
    /// TIMEFORMAT 'auto': more than the one format is understood.
    pub any_time: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            quote: b'"',
            delimiter: b',',
            null: "\\N".to_owned(),
            compression: Compression::None,
            manifest: false,
            region: None,
            max_errors: 0,
            ignore_header: 0,
            empty_as_null: false,
            blanks_as_null: false,
            truncate: false,
            replacement: None,
            any_time: false,
        }
    }
}

/// The parts of the credentials, as they come.
#[derive(Default)]
struct Parts {
    access: Option<Access>,
    id: Option<String>,
    secret: Option<String>,
    token: Option<String>,
}

impl Copy {
    /// Reads what follows the word COPY.
    pub fn parse(mut cursor: Cursor<'_>) -> Result<Copy> {
        let table = cursor.table()?;
        let columns = cursor.names()?;
        // Neither COPY FROM STDIN nor COPY TO.
        cursor.expect_word("FROM")?;
        let source = cursor.string()?;
        let from = Place::parse(&source).ok_or_else(|| {
            Refusal::new("0A000", format!("COPY from '{source}' is not supported"))
        })?;
        let mut options = Options::default();
        let mut parts = Parts::default();
        let mut seen: Vec<String> = Vec::new();
        while !cursor.is_done() {
            let _ = cursor.words(&["WITH"]);
            let word = cursor.peek_word().ok_or_else(|| cursor.wrong())?;
            let name = option(&mut cursor, &word, &mut options, &mut parts)?;
            if seen.contains(&name) {
                return Err(Refusal::new("42601", "conflicting or redundant options"));
            }
            seen.push(name);
        }
        if !seen.iter().any(|name| name == "CSV") {
            return Err(Refusal::unsupported("COPY in another format than CSV"));
        }
        let conflict = ["FIXEDWIDTH", "REMOVEQUOTES", "ESCAPE", "JSON", "AVRO", "PARQUET"]
            .into_iter()
            .find(|it| seen.iter().any(|name| name == it));
        if let Some(conflict) = conflict {
            return Err(Refusal::new("42601", format!("CSV is not supported with {conflict}")));
        }
        if options.quote == options.delimiter {
            return Err(Refusal::new("42601", "COPY delimiter must be different from the quote"));
        }
        Ok(Copy { table, columns, from, access: parts.finish()?, options })
    }
}

impl Parts {
    fn finish(self) -> Result<Access> {
        match self {
            Parts { access: Some(access), id: None, secret: None, token: None } => Ok(access),
            Parts { access: None, id: Some(id), secret: Some(secret), token } => {
                Ok(Access::Keys { id, secret, token })
            }
            Parts { access: None, id: None, secret: None, token: None } => {
                Err(Refusal::new("42601", "COPY requires credentials"))
            }
            _ => Err(Refusal::new("42601", "COPY has conflicting or incomplete credentials")),
        }
    }
}

/// Reads one option, and gives its name.
fn option(
    cursor: &mut Cursor<'_>,
    word: &str,
    options: &mut Options,
    parts: &mut Parts,
) -> Result<String> {
    let mut name = word.to_owned();
    let wrong = cursor.wrong();
    cursor.next();
    match word {
        "FORMAT" => {
            cursor.word("AS");
            cursor.expect_word("CSV")?;
            name = "CSV".to_owned();
        }
        "CSV" | "FIXEDWIDTH" | "REMOVEQUOTES" | "ESCAPE" => {}
        "JSON" | "AVRO" => {
            cursor.word("AS");
            cursor.string()?;
        }
        "QUOTE" => options.quote = byte(cursor)?,
        "DELIMITER" => options.delimiter = byte(cursor)?,
        "NULL" => {
            cursor.word("AS");
            options.null = cursor.string()?;
            if options.null == "\0" || options.null.contains('\n') {
                return Err(Refusal::unsupported("NULL AS with a line break or a NUL"));
            }
        }
        "GZIP" | "ZSTD" | "BZIP2" => {
            options.compression = match word {
                "GZIP" => Compression::Gzip,
                "ZSTD" => Compression::Zstd,
                _ => Compression::Bzip2,
            };
            name = "compression".to_owned();
        }
        "MANIFEST" => options.manifest = true,
        "REGION" => {
            cursor.word("AS");
            options.region = Some(cursor.string()?);
        }
        "IAM_ROLE" => {
            parts.access = Some(if cursor.word("DEFAULT") {
                Access::DefaultRole
            } else {
                Access::Role(cursor.string()?)
            });
        }
        "ACCESS_KEY_ID" => parts.id = Some(cursor.string()?),
        "SECRET_ACCESS_KEY" => parts.secret = Some(cursor.string()?),
        "SESSION_TOKEN" => parts.token = Some(cursor.string()?),
        "CREDENTIALS" => {
            cursor.word("AS");
            credentials(&cursor.string()?, parts)?;
        }
        "TIMEFORMAT" | "DATEFORMAT" => {
            cursor.word("AS");
            if cursor.string()? != "auto" {
                return Err(Refusal::unsupported(&format!("{word} other than 'auto'")));
            }
            options.any_time |= word == "TIMEFORMAT";
        }
        "ENCODING" => {
            cursor.word("AS");
            cursor.expect_word("UTF8")?;
        }
        "EMPTYASNULL" => options.empty_as_null = true,
        "BLANKSASNULL" => options.blanks_as_null = true,
        "TRUNCATECOLUMNS" => options.truncate = true,
        "ACCEPTINVCHARS" => {
            cursor.word("AS");
            options.replacement = Some('?');
            if let Some(Token::SingleQuotedString(_)) = cursor.peek() {
                let mut text = cursor.string()?;
                let character = text.pop().filter(|it| it.is_ascii() && *it != '\0');
                options.replacement = Some(character.filter(|_| text.is_empty()).ok_or(wrong)?);
            }
        }
        "MAXERROR" | "MAXERRORS" => {
            cursor.word("AS");
            options.max_errors = cursor.number()?;
            if options.max_errors > 100_000 {
                return Err(Refusal::new("42601", "MAXERROR must be between 0 and 100000"));
            }
        }
        "IGNOREHEADER" => {
            cursor.word("AS");
            options.ignore_header = cursor.number()?;
        }
        "COMPUPDATE" | "STATUPDATE" => {
            let known = ["ON", "OFF", "TRUE", "FALSE", "PRESET"];
            if let Some(value) = cursor.peek_word().filter(|it| known.contains(&it.as_str())) {
                if value == "PRESET" && word == "STATUPDATE" {
                    return Err(cursor.wrong());
                }
                cursor.next();
            }
        }
        _ => return Err(wrong),
    }
    Ok(name)
}

/// A literal of one byte, with `AS` before it or not.
fn byte(cursor: &mut Cursor<'_>) -> Result<u8> {
    cursor.word("AS");
    match cursor.string()?.as_bytes() {
        [byte] if byte.is_ascii() && !b"\r\n\0".contains(byte) => Ok(*byte),
        _ => Err(Refusal::new("42601", "it must be a single ASCII character")),
    }
}

/// The one literal that holds all of the credentials.
fn credentials(text: &str, parts: &mut Parts) -> Result<()> {
    for pair in text.split(';') {
        let wrong = || {
            Refusal::new(
                "42601",
                "Invalid credentials. Must be of the format: credentials 'aws_iam_role=...' \
             or 'aws_access_key_id=...;aws_secret_access_key=...[;token=...]'",
            )
        };
        let (name, value) = pair.split_once('=').ok_or_else(wrong)?;
        let value = value.to_owned();
        match name.trim() {
            "aws_iam_role" => parts.access = Some(Access::Role(value)),
            "aws_access_key_id" => parts.id = Some(value),
            "aws_secret_access_key" => parts.secret = Some(value),
            "token" => parts.token = Some(value),
            _ => return Err(wrong()),
        }
    }
    Ok(())
}
