//! `sparkload query`: an analytics query by its name, or any SQL.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use comfy_table::{Attribute, Cell};
use console::style;
use sparkload::{Column, Error, Kind, NamedQuery, Rows, named_queries};

use super::args::RowsOutput;
use super::failure::Failure;
use super::figures::counted;
use super::nearest::nearest;
use super::output::{self, Align};
use super::settings::Query;
use super::target::Target;

pub async fn run(job: Query) -> Result<ExitCode, Failure> {
    match job {
        Query::List(output) => list(output)?,
        Query::Run { target, query, output } => {
            let named = find(&query)?;
            let Target { database, schema } = target.existing()?;
            let sql = named.map_or(query.as_str(), |named| named.sql);
            let rows = sparkload::query(&database, &schema, sql).await?;
            let mut out = BufWriter::new(io::stdout().lock());
            match output {
                RowsOutput::Table => table(&mut out, named, &rows)?,
                RowsOutput::Json => rows.write_json(&mut out)?,
                RowsOutput::Csv => rows.write_csv(&mut out)?,
            }
            out.flush()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The query that is called `text`; none if it is SQL.
fn find(text: &str) -> Result<Option<&'static NamedQuery>, Error> {
    let name = text.trim().to_lowercase().replace('_', "-");
    if let Some(named) = named_queries().iter().find(|named| named.name == name) {
        return Ok(Some(named));
    }
    let is_word = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if !is_word {
        return Ok(None);
    }
    let names = nearest(&name, named_queries().iter().map(|named| named.name.as_str()));
    let help = match names.as_slice() {
        [] => "see `sparkload query --list`; SQL of a single word needs a semicolon".to_owned(),
        names => {
            format!("did you mean {}? all are in `sparkload query --list`", names.join(" or "))
        }
    };
    Err(Error::config(format!("there is no query called {}", text.trim())).with_help(help))
}

fn list(output: RowsOutput) -> io::Result<()> {
    let rows = Rows {
        columns: ["name", "title", "description"]
            .map(|name| Column { name: name.to_owned(), kind: Kind::Text })
            .into(),
        rows: named_queries()
            .iter()
            .map(|NamedQuery { name, title, description, sql: _ }| {
                [name, title, description].map(|text| Some(text.clone())).into()
            })
            .collect(),
        affected: named_queries().len() as u64,
    };
    let mut out = io::stdout().lock();
    match output {
        RowsOutput::Json => rows.write_json(out),
        RowsOutput::Csv => rows.write_csv(out),
        RowsOutput::Table => {
            let mut table = output::table([("query", Align::Left), ("what it tells", Align::Left)]);
            for NamedQuery { name, title, description, sql: _ } in named_queries() {
                // A description's first sentence tells it, the others how.
                let tells = description.split_inclusive(". ").next().unwrap_or(title);
                table.add_row([name, tells.trim_end()]);
            }
            output::write_table(&mut out, &table)
        }
    }
}

fn table(out: &mut impl Write, named: Option<&NamedQuery>, rows: &Rows) -> io::Result<()> {
    if let Some(NamedQuery { title, description, .. }) = named {
        writeln!(out, "{}", style(title).bold())?;
        for line in output::folded(description) {
            writeln!(out, "{}", style(line).dim())?;
        }
        writeln!(out)?;
    }
    let Rows { columns, rows, affected } = rows;
    if columns.is_empty() {
        return writeln!(out, "Done, {}.", counted(*affected, "row"));
    }
    let mut table = output::table(columns.iter().map(|Column { name, kind }| {
        let align = if *kind == Kind::Number { Align::Right } else { Align::Left };
        (name.as_str(), align)
    }));
    for row in rows {
        table.add_row(row.iter().map(|value| match value {
            Some(text) => Cell::new(printable(text)),
            None => Cell::new("<null>").add_attribute(Attribute::Dim),
        }));
    }
    output::write_table(out, &table)?;
    writeln!(out, "\n{}", style(counted(rows.len() as u64, "row")).dim())
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
