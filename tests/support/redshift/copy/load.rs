//! A COPY is carried out: the objects' records go into the table, or into the list of errors.

use bytes::{Bytes, BytesMut};
use futures::SinkExt;
use tokio_postgres::Client;

use super::super::columns::Kind;
use super::super::error::{Refusal, Result};
use super::super::settings::Settings;
use super::super::tokens::{literal, quoted};
use super::convert::{Column, Wrong, convert, wrong};
use super::csv::{Broken, Reader, Record};
use super::fetch::Fetcher;
use super::{Copy, Place};

/// How much goes to PostgreSQL at once.
const PIECE: usize = 64 << 10;

/// What a COPY did.
#[derive(Debug)]
pub struct Loaded {
    pub rows: u64,
    pub rejected: Vec<Rejected>,
    pub table: u32,
}

/// A record that was not loaded.
#[derive(Debug, Clone)]
pub struct Rejected {
    pub file: String,
    pub line: u64,
    pub column: Option<Column>,
    pub raw_line: String,
    pub raw_value: String,
    pub wrong: Wrong,
}

/// Why a COPY did nothing.
#[derive(Debug)]
pub enum Failed {
    /// Before anything was loaded.
    Early(Refusal),
    /// Data was wrong; these are the errors so far.
    Data { rejected: Vec<Rejected>, table: u32 },
    /// While it was loading, for another reason.
    Late(Refusal),
}

impl Copy {
    /// Loads within the transaction that is open.
    pub async fn run(
        &self,
        client: &Client,
        settings: &Settings,
        endpoint: &str,
        query: i64,
        fails: bool,
    ) -> Result<Loaded, Failed> {
        let (table, columns) = self.columns(client).await.map_err(Failed::Early)?;
        let fetcher = Fetcher::new(self, settings, endpoint, query).map_err(Failed::Early)?;
        let places = fetcher.places().await.map_err(Failed::Early)?;

        let mut rows =
            Rows { copy: self, columns, text: BytesMut::new(), loaded: 0, rejected: Vec::new() };
        for (place, mandatory) in places {
            let bytes = fetcher.object(&place, mandatory).await.map_err(Failed::Early)?;
            let Some(bytes) = bytes else { continue };
            rows.read(&bytes, &place);
        }
        let Rows { columns, text, loaded, rejected, .. } = rows;
        if rejected.len() as u64 > self.options.max_errors {
            return Err(Failed::Data { rejected, table });
        }
        let text = text.freeze();
        let half = text.slice(..text.len() / 2);
        let result = self.send(client, &columns, if fails { half } else { text }, fails).await;
        result.map_err(Failed::Late)?;
        Ok(Loaded { rows: loaded, rejected, table })
    }

    /// The table's number and the columns to load.
    async fn columns(&self, client: &Client) -> Result<(u32, Vec<Column>)> {
        let name = self.table.sql();
        let sql = format!(
            "SELECT attrelid, attname::text, atttypid::regtype::text, atttypmod, attnotnull FROM pg_attribute \
             WHERE attrelid = {}::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            literal(&name)
        );
        let rows = client.query(&sql, &[]).await?;
        let mut all = Vec::new();
        let mut table = 0;
        for row in rows {
            table = row.get(0);
            let (kind_name, modifier): (String, i32) = (row.get(2), row.get(3));
            let kind = match kind_name.as_str() {
                "smallint" => Kind::SmallInt,
                "integer" => Kind::Integer,
                "bigint" => Kind::BigInt,
                "real" => Kind::Real,
                "double precision" => Kind::Double,
                "numeric" => Kind::Numeric,
                "boolean" => Kind::Boolean,
                "character" => Kind::Char,
                "character varying" => Kind::Varchar,
                "date" => Kind::Date,
                "timestamp without time zone" => Kind::Timestamp,
                "timestamp with time zone" => Kind::TimestampTz,
                "jsonb" => Kind::Super,
                other => return Err(Refusal::unsupported(&format!("COPY into {other}"))),
            };
            let bytes = usize::try_from(modifier - 4)
                .ok()
                .filter(|_| matches!(kind, Kind::Char | Kind::Varchar));
            all.push(Column { name: row.get(1), kind, bytes, not_null: row.get(4) });
        }
        let Some(names) = &self.columns else { return Ok((table, all)) };
        let find = |name: &String| {
            all.iter().find(|it| it.name == *name).cloned().ok_or_else(|| {
                let text =
                    format!("column \"{name}\" of relation \"{}\" does not exist", self.table.name);
                Refusal::new("42703", text)
            })
        };
        Ok((table, names.iter().map(find).collect::<Result<_>>()?))
    }

    async fn send(
        &self,
        client: &Client,
        columns: &[Column],
        text: Bytes,
        fails: bool,
    ) -> Result<()> {
        let table = self.table.sql();
        let names: Vec<_> = columns.iter().map(|it| quoted(&it.name)).collect();
        let names = names.join(", ");
        // Whoever may not insert is told so here: a COPY that PostgreSQL refuses costs the connection.
        let nothing = vec!["NULL"; columns.len()].join(", ");
        let sql = format!("EXPLAIN INSERT INTO {table} ({names}) SELECT {nothing}");
        client.batch_execute(&sql).await?;
        let sql = format!("COPY {table} ({names}) FROM STDIN");
        let sink = client.copy_in::<_, Bytes>(sql.as_str()).await?;
        let mut sink = std::pin::pin!(sink);
        for at in (0..text.len()).step_by(PIECE) {
            sink.send(text.slice(at..text.len().min(at + PIECE))).await?;
        }
        if fails {
            // Dropped, the sink tells PostgreSQL that nothing more comes.
            let text = "S3ServiceException:Please reduce your request rate.,Status 503,Error SlowDown,Rid \
                        0000000000000000,ExtRid 0000,CanRetry 1";
            return Err(Refusal::engine(text, 8001, "S3 key being read", 0));
        }
        sink.finish().await?;
        Ok(())
    }
}

/// The rows so far, as PostgreSQL reads them.
struct Rows<'a> {
    copy: &'a Copy,
    columns: Vec<Column>,
    text: BytesMut,
    loaded: u64,
    rejected: Vec<Rejected>,
}

impl Rows<'_> {
    fn read(&mut self, bytes: &[u8], place: &Place) {
        let options = &self.copy.options;
        let mut reader = Reader::new(bytes, options.quote, options.delimiter);
        reader.pass_over(options.ignore_header);
        for record in reader {
            if let Err((column, value, wrong)) = self.row(&record) {
                self.rejected.push(Rejected {
                    file: place.to_string(),
                    line: record.line,
                    column,
                    raw_line: shown(record.raw),
                    raw_value: shown(&value),
                    wrong,
                });
                if self.rejected.len() as u64 > options.max_errors {
                    return;
                }
            }
        }
    }

    fn row(&mut self, record: &Record<'_>) -> Result<(), (Option<Column>, Vec<u8>, Wrong)> {
        let broken = |wrong| (None, Vec::new(), wrong);
        let fields = match &record.fields {
            Ok(fields) => fields,
            Err(Broken::Quotes) => {
                return Err(broken(wrong(1216, "Invalid quote formatting for CSV")));
            }
            Err(Broken::TooLong) => {
                return Err(broken(wrong(1216, "Input line exceeds the limit of 4194304 bytes")));
            }
        };
        if fields.len() > self.columns.len() {
            return Err(broken(wrong(1202, "Extra column(s) found")));
        }
        let mut line = String::new();
        for (at, column) in self.columns.iter().enumerate() {
            let Some(field) = fields.get(at) else {
                // A column that a line has no field for.
                let wrong = if column.not_null {
                    wrong(1213, "Missing data for not-null field")
                } else {
                    wrong(1203, "Delimiter not found")
                };
                return Err((Some(column.clone()), Vec::new(), wrong));
            };
            let value = convert(field, column, &self.copy.options)
                .map_err(|wrong| (Some(column.clone()), field.bytes.to_vec(), wrong))?;
            if at > 0 {
                line.push('\t');
            }
            match value {
                None => line.push_str("\\N"),
                Some(value) => escape(&value, &mut line),
            }
        }
        line.push('\n');
        self.text.extend_from_slice(line.as_bytes());
        self.loaded += 1;
        Ok(())
    }
}

/// Writes a value as PostgreSQL's COPY reads it.
fn escape(value: &str, line: &mut String) {
    for character in value.chars() {
        match character {
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            other => line.push(other),
        }
    }
}

/// The beginning, as the tables of load errors keep it.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace('\0', " ");
    text[..text.floor_char_boundary(1024)].to_owned()
}
