//! Results on stdout: tables, JSON, and how wide a table may be.

use std::io::{self, IsTerminal, Write};

use comfy_table::{
    Attribute, Cell, CellAlignment, ContentArrangement, LineStyle, Table, TableStyle,
};
use console::Term;
use serde::Serialize;

/// How the text of a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// An empty table with a rule under its header; on a terminal it folds long text to fit.
pub fn table<'a>(header: impl IntoIterator<Item = (&'a str, Align)>) -> Table {
    let rule = LineStyle::none().fill('─').junction('─');
    let mut table = Table::new();
    table.load_style(TableStyle::new().header_separator(rule));
    if io::stdout().is_terminal() {
        let (_, width) = Term::stdout().size();
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    if !console::colors_enabled() {
        table.force_no_tty();
    }
    let (names, aligns): (Vec<_>, Vec<_>) = header.into_iter().unzip();
    table.set_header(names.into_iter().map(|name| Cell::new(name).add_attribute(Attribute::Bold)));
    for (column, align) in table.column_iter_mut().zip(aligns) {
        column.set_cell_alignment(match align {
            Align::Left => CellAlignment::Left,
            Align::Right => CellAlignment::Right,
        });
    }
    table
}

/// The lines of a paragraph, none longer than is easy to read or than the terminal is wide.
pub fn folded(text: &str) -> Vec<String> {
    const EASY: usize = 80;
    let width = Term::stdout().size_checked().map_or(EASY, |(_, width)| EASY.min(width.into()));
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Writes a table, a line ending included.
pub fn write_table(out: &mut impl Write, table: &Table) -> io::Result<()> {
    for line in table.lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Writes `value` as JSON to stdout.
pub fn json(value: &impl Serialize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)
}
