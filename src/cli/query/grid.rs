//! A table on the terminal that may be longer than memory: its first rows say how wide its columns are.

use std::io::{self, Write};

use comfy_table::{Attribute, Cell, ColumnConstraint, LineStyle, Row, Table, TableStyle, Width};
use console::style;
use sparkload::{Column, Kind};

use crate::cli::figures::counted;
use crate::cli::output::{self, Align};

/// So many rows are laid out at once, or fewer if they are long.
const ROWS: usize = 1_000;
const BYTES: usize = 1 << 20;

/// Stands where two columns meet in the rule under the header, until the rule is written.
const JUNCTION: char = '┬';

/// A result set while it comes.
pub struct Grid {
    columns: Vec<Column>,
    rows: Vec<Row>,
    bytes: usize,
    /// How wide the columns are, once that is settled; what is wider is folded.
    widths: Option<Vec<u16>>,
    count: u64,
}

impl Grid {
    pub fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new(), bytes: 0, widths: None, count: 0 }
    }

    pub fn row(&mut self, out: impl Write, values: &[Option<&str>]) -> io::Result<()> {
        self.count += 1;
        // A row takes as much room as the columns do.
        let width: usize = self.widths.iter().flatten().copied().map(usize::from).sum();
        self.bytes += values.iter().flatten().map(|value| value.len()).sum::<usize>().max(width);
        self.rows.push(Row::from(values.iter().map(|value| match value {
            Some(text) => Cell::new(printable(text)),
            None => Cell::new("<null>").add_attribute(Attribute::Dim),
        })));
        if self.rows.len() >= ROWS || self.bytes >= BYTES {
            self.lay_out(out)?;
        }
        Ok(())
    }

    /// Writes what is left, and how many rows there were.
    pub fn end(mut self, mut out: impl Write) -> io::Result<()> {
        if self.widths.is_none() || !self.rows.is_empty() {
            self.lay_out(&mut out)?;
        }
        writeln!(out, "\n{}", style(counted(self.count, "row")).dim())
    }

    fn lay_out(&mut self, mut out: impl Write) -> io::Result<()> {
        let mut table = output::table(self.columns.iter().map(|Column { name, kind }| {
            let align = if *kind == Kind::Number { Align::Right } else { Align::Left };
            (name.as_str(), align)
        }));
        table.add_rows(self.rows.drain(..));
        self.bytes = 0;
        let Some(widths) = &self.widths else {
            self.widths = Some(first(&mut table, &mut out)?);
            return Ok(());
        };
        for (column, width) in table.column_iter_mut().zip(widths) {
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(*width)));
        }
        let rule = LineStyle::none().fill('─').junction(JUNCTION);
        table.load_style(TableStyle::new().header_separator(rule));
        // The header is there for the alignment, and was written with the first rows.
        for line in table.lines().skip_while(|line| !is_rule(line)).skip(1) {
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Writes the header and the first rows; returns how wide the columns are.
fn first(table: &mut Table, out: &mut impl Write) -> io::Result<Vec<u16>> {
    let rule = LineStyle::none().fill('─').junction(JUNCTION);
    table.load_style(TableStyle::new().header_separator(rule));
    let mut widths = Vec::new();
    for line in table.lines() {
        if widths.is_empty() && is_rule(&line) {
            let columns = line.split(JUNCTION).map(|part| part.chars().count());
            widths = columns.map(|width| u16::try_from(width).unwrap_or(u16::MAX)).collect();
            writeln!(out, "{}", line.replace(JUNCTION, "─"))?;
        } else {
            writeln!(out, "{}", line.trim_end())?;
        }
    }
    Ok(widths)
}

fn is_rule(line: &str) -> bool {
    !line.is_empty() && line.chars().all(|char| char == '─' || char == JUNCTION)
}

/// Keeps data from steering the terminal; line breaks stay.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\t' => shown.push_str("    "),
            char if char.is_control() && char != '\n' => shown.extend(char.escape_default()),
            char => shown.push(char),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_table_is_laid_out_by_its_first_rows() {
        let column = |(name, kind): (&str, Kind)| Column { name: name.to_owned(), kind };
        let mut grid = Grid::new([("n", Kind::Number), ("text", Kind::Text)].map(column).into());
        let mut out = Vec::new();
        for number in 1..=1_002 {
            let long = if number == 1_001 { "four and more" } else { "four" };
            grid.row(&mut out, &[Some(&number.to_string()), Some(long)]).unwrap();
        }
        grid.end(&mut out).unwrap();
        let out = String::from_utf8(out).unwrap();
        let lines: Vec<_> = out.lines().collect();
        assert_eq!(lines[..3], ["    n   text", "─────────────", "    1   four"]);
        assert_eq!(
            lines[1_000..],
            [
                "  999   four",
                " 1000   four",
                " 1001   four",
                "        and",
                "        more",
                " 1002   four",
                "",
                "1,002 rows"
            ]
        );
    }
}
