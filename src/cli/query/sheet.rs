//! What an answer is written on: a table, JSON or CSV, piece by piece as it comes.

use std::io::{self, Write};

use console::style;
use sparkload::{Column, CsvWriter, Done, JsonWriter, NamedQuery, Piece};

use super::grid::Grid;
use crate::cli::args::RowsOutput;
use crate::cli::failure::Failure;
use crate::cli::figures::count;
use crate::cli::output;

pub struct Sheet {
    format: RowsOutput,
    result: Option<Result>,
    /// Whether something is written already, from which the next result is to stand apart.
    begun: bool,
}

/// A result set that is being written.
enum Result {
    Table(Grid),
    Json(JsonWriter),
    Csv(CsvWriter),
}

impl Sheet {
    pub fn new(format: RowsOutput) -> Self {
        Self { format, result: None, begun: false }
    }

    /// Writes what a named query is about, where people read it.
    pub fn title(&self, named: &NamedQuery, mut out: impl Write) -> io::Result<()> {
        if self.format != RowsOutput::Table {
            return Ok(());
        }
        let NamedQuery { title, description, .. } = named;
        writeln!(out, "{}", style(title).bold())?;
        for line in output::folded(description) {
            writeln!(out, "{}", style(line).dim())?;
        }
        writeln!(out)
    }

    pub fn piece(&mut self, piece: Piece, mut out: impl Write) -> std::result::Result<(), Failure> {
        match piece {
            Piece::Columns(columns) => self.begin(columns, out)?,
            Piece::Row(row) => {
                let values = row.values()?;
                match &mut self.result {
                    Some(Result::Table(grid)) => grid.row(out, &values)?,
                    Some(Result::Json(json)) => json.row(out, values)?,
                    Some(Result::Csv(csv)) => csv.row(out, values)?,
                    None => {}
                }
            }
            Piece::Copied(bytes) => {
                self.begun = true;
                out.write_all(&bytes)?;
            }
            Piece::Done(done) => self.end(&done, out)?,
        }
        Ok(())
    }

    fn begin(&mut self, columns: Vec<Column>, mut out: impl Write) -> io::Result<()> {
        // JSON texts need nothing between them.
        if self.begun && self.format != RowsOutput::Json {
            writeln!(out)?;
        }
        self.begun = true;
        self.result = Some(match self.format {
            RowsOutput::Table => Result::Table(Grid::new(columns)),
            RowsOutput::Json => Result::Json(JsonWriter::new(&columns)),
            RowsOutput::Csv => {
                CsvWriter.header(out, &columns)?;
                Result::Csv(CsvWriter)
            }
        });
        Ok(())
    }

    fn end(&mut self, done: &Done, mut out: impl Write) -> io::Result<()> {
        let Done { verb, rows, changed } = done;
        let gave_rows = self.result.is_some();
        match self.result.take() {
            Some(Result::Table(grid)) => grid.end(&mut out)?,
            Some(Result::Json(json)) => json.end(&mut out)?,
            Some(Result::Csv(_)) | None => {}
        }
        if gave_rows && !changed {
            return Ok(());
        }
        let said = match rows {
            Some(1) => format!("{verb}: 1 row"),
            Some(rows) => format!("{verb}: {} rows", count(*rows)),
            None => format!("{verb}: done"),
        };
        match self.format {
            RowsOutput::Table if verb != "COPY" => {
                self.begun = true;
                writeln!(out, "{said}")
            }
            // What others read holds rows alone.
            _ if *changed || rows.is_some() => {
                tracing::info!("{said}");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Ends what has had no result at all.
    pub fn finish(self, mut out: impl Write) -> io::Result<()> {
        match self.format {
            RowsOutput::Json if !self.begun => out.write_all(b"[]\n"),
            _ => Ok(()),
        }
    }
}
