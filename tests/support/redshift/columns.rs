//! The types of columns: which there are, how long their values may be, and how PostgreSQL is held to that.
//!
//! Redshift counts bytes where PostgreSQL counts characters, so a column of characters gets a check of its bytes as well,
//! whose name tells the limit.

use sqlparser::ast::{CharacterLength, DataType, ExactNumberInfo, TimezoneInfo};

use super::error::{Refusal, Result};
use super::tokens::{literal, quoted};

/// The most bytes of a VARCHAR, which is also what `VARCHAR(MAX)` means.
const MOST_BYTES: u64 = 65_535;
/// The most bytes of a CHAR.
const MOST_BYTES_FIXED: u64 = 4_096;
/// The bytes of a VARCHAR without a length, and of TEXT.
const BYTES: u64 = 256;

/// How a column's values are converted and compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    SmallInt,
    Integer,
    BigInt,
    Real,
    Double,
    Numeric,
    Boolean,
    /// Single bytes, padded.
    Char,
    Varchar,
    Date,
    Timestamp,
    TimestampTz,
    /// Semi-structured: what JSON can say.
    Super,
}

/// A column's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnType {
    pub kind: Kind,
    /// As PostgreSQL reads it.
    pub sql: String,
    /// The most bytes of a value, where that is declared.
    pub bytes: Option<u64>,
}

/// Finds the type, if Redshift has it.
pub fn column_type(declared: &DataType) -> Result<ColumnType> {
    use DataType as D;
    let plain = |kind, sql: &str| Ok(ColumnType { kind, sql: sql.to_owned(), bytes: None });
    match declared {
        D::SmallInt(None) | D::Int2(None) => plain(Kind::SmallInt, "smallint"),
        D::Int(None) | D::Integer(None) | D::Int4(None) => plain(Kind::Integer, "integer"),
        D::BigInt(None) | D::Int8(None) => plain(Kind::BigInt, "bigint"),
        D::Real | D::Float4 => plain(Kind::Real, "real"),
        D::DoublePrecision | D::Float8 | D::Float(ExactNumberInfo::None) => {
            plain(Kind::Double, "double precision")
        }
        D::Numeric(size) | D::Decimal(size) | D::Dec(size) => {
            let (precision, scale) = match size {
                ExactNumberInfo::None => (18, 0),
                ExactNumberInfo::Precision(precision) => (*precision, 0),
                ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
            };
            if !(1..=38).contains(&precision) || !(0..=precision as i64).contains(&scale) {
                let text = format!("NUMERIC precision {precision} must be between 1 and 38");
                return Err(Refusal::new("22023", text));
            }
            plain(Kind::Numeric, &format!("numeric({precision},{scale})"))
        }
        D::Boolean | D::Bool => plain(Kind::Boolean, "boolean"),
        D::Date => plain(Kind::Date, "date"),
        D::Timestamp(None, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => {
            plain(Kind::Timestamp, "timestamp")
        }
        D::Timestamp(None, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            plain(Kind::TimestampTz, "timestamp with time zone")
        }
        D::Char(length) | D::Character(length) => {
            characters(Kind::Char, "character", length.as_ref(), 1, MOST_BYTES_FIXED)
        }
        D::Varchar(length)
        | D::CharacterVarying(length)
        | D::CharVarying(length)
        | D::Nvarchar(length) => {
            characters(Kind::Varchar, "character varying", length.as_ref(), BYTES, MOST_BYTES)
        }
        D::Custom(name, modifiers)
            if modifiers.is_empty() && name.to_string().eq_ignore_ascii_case("super") =>
        {
            plain(Kind::Super, "jsonb")
        }
        D::Text => characters(Kind::Varchar, "character varying", None, BYTES, MOST_BYTES),
        D::Custom(name, modifiers) if modifiers.is_empty() && name.to_string() == "bpchar" => {
            characters(Kind::Char, "character", None, BYTES, MOST_BYTES_FIXED)
        }
        other => {
            let name = other.to_string().to_lowercase();
            Err(Refusal::new("0A000", format!("Column type \"{name}\" is not supported.")))
        }
    }
}

fn characters(
    kind: Kind,
    name: &str,
    length: Option<&CharacterLength>,
    default: u64,
    most: u64,
) -> Result<ColumnType> {
    let bytes = match length {
        None => default,
        Some(CharacterLength::Max) => most,
        Some(CharacterLength::IntegerLength { length, unit: None }) => *length,
        Some(other) => return Err(Refusal::syntax(&other.to_string())),
    };
    if bytes > most {
        // Reported as such in sicarul/redshiftTools#28.
        let text =
            format!("Column length exceeds maximum allowed (maximum column length is {most})");
        return Err(Refusal::new("42601", text));
    }
    if bytes == 0 {
        return Err(Refusal::new("22023", format!("length for type {name} must be at least 1")));
    }
    Ok(ColumnType { kind, sql: format!("{name}({bytes})"), bytes: Some(bytes) })
}

/// The check that holds a column to so many bytes.
pub fn limit(column: &str, bytes: u64) -> String {
    let name = quoted(&format!("{bytes} bytes of {column}"));
    format!("CONSTRAINT {name} CHECK (octet_length({}) <= {bytes})", quoted(column))
}

/// The limit that a violated check stands for.
pub fn limit_of(constraint: &str) -> Option<&str> {
    constraint.split_once(" bytes of ").map(|(limit, _)| limit)
}

/// Gives the columns of a table that a query made the types and limits that they have in Redshift.
pub fn settle(table: &str) -> String {
    let table = literal(table);
    format!(
        "DO $$
         DECLARE it record; bytes int;
         BEGIN
             FOR it IN SELECT attname, atttypid, atttypmod FROM pg_attribute
                 WHERE attrelid = {table}::regclass AND attnum > 0 AND NOT attisdropped
             LOOP
                 IF it.atttypid NOT IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'float4'::regtype,
                     'float8'::regtype, 'numeric'::regtype, 'bool'::regtype, 'text'::regtype, 'varchar'::regtype,
                     'bpchar'::regtype, 'date'::regtype, 'timestamp'::regtype, 'timestamptz'::regtype,
                     'jsonb'::regtype)
                 THEN
                     RAISE 'Column \"%\" has unsupported type', it.attname USING ERRCODE = '0A000';
                 END IF;
                 IF it.atttypid IN ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype) THEN
                     bytes := CASE WHEN it.atttypmod > 4 THEN it.atttypmod - 4 ELSE {MOST_BYTES} END;
                     IF it.atttypmod <= 4 OR it.atttypid = 'text'::regtype THEN
                         EXECUTE format('ALTER TABLE %s ALTER %I TYPE varchar(%s)', {table}, it.attname, bytes);
                     END IF;
                     EXECUTE format('ALTER TABLE %s ADD CONSTRAINT %I CHECK (octet_length(%I) <= %s)',
                         {table}, left(bytes || ' bytes of ' || it.attname, 63), it.attname, bytes);
                 END IF;
             END LOOP;
         END $$"
    )
}
