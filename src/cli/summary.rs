//! The summary of a load: rows, stages, and books that balance.

use std::io::{self, IsTerminal, Write};

use console::style;
use sparkload::{
    Config, EventBooks, Mode, Objects, Reject, Report, SongBooks, Stage, Table, Target,
    UnknownMember,
};

use super::display::places;
use super::figures::{bytes, count, counted, duration, per_second};
use super::output::{self, Align};

/// The tables side by side: the star, and what it was made from.
const TABLES: [[Option<Table>; 2]; 5] = [
    [Some(Table::Songplays), Some(Table::StagingEvents)],
    [Some(Table::Users), Some(Table::StagingSongs)],
    [Some(Table::Songs), Some(Table::LoadErrors)],
    [Some(Table::Artists), None],
    [Some(Table::Time), None],
];

/// What stands behind the rows of a table that were not counted.
const BY_THE_BOOKS: &str = " *";

/// How many rejects are worth a look before one opens `load_errors`.
const SHOWN_REJECTS: usize = 5;

/// How many names of unknown members say what is going on.
const SHOWN_MEMBERS: usize = 10;

/// Writes the summary to stdout; `usual_target` says that queries find the tables without being told where.
pub fn write(report: &Report, config: &Config, usual_target: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    headline(&mut out, report, config)?;
    tables(&mut out, report)?;
    stages(&mut out, report)?;
    books(&mut out, report)?;
    unknown(&mut out, report)?;
    rejects(&mut out, report, config)?;
    if usual_target && !config.dry_run && io::stdout().is_terminal() {
        let next = "Next: sparkload query top-songs, sparkload query --list, sparkload check";
        writeln!(out, "\n{}", style(next).dim())?;
    }
    Ok(())
}

fn headline(out: &mut impl Write, report: &Report, config: &Config) -> io::Result<()> {
    let from = places(config);
    if config.dry_run {
        let what = style("Dry run:").yellow().bold();
        return writeln!(out, "{what} read {from}, wrote nothing. A load would give:\n");
    }
    let done = style(match (report.mode, report.objects.loaded) {
        (Mode::Full, _) => "Loaded",
        (Mode::Incremental, 0) => "Nothing is new in",
        (Mode::Incremental, _) => "Loaded what is new in",
    });
    let done = done.green().bold();
    let into = if report.objects.loaded == 0 { "for" } else { "into" };
    let kind = match &config.target {
        Target::Embedded(_) => " (embedded PostgreSQL)",
        Target::Postgres(_) => "",
    };
    let schema = match config.schema.as_str() {
        "public" => String::new(),
        schema => format!(", schema {schema}"),
    };
    writeln!(out, "{done} {from} {into} {}{kind}{schema}.\n", config.target)
}

fn tables(out: &mut impl Write, report: &Report) -> io::Result<()> {
    // Columns as wide as their longest entry and their title; what has changed is told where not all is new.
    let title = match report.mode {
        Mode::Full => ["table", "rows", ""],
        Mode::Incremental => ["table", "rows", "change"],
    };
    let shown = |table: Table| {
        let change = match report.mode {
            Mode::Full => String::new(),
            Mode::Incremental => change(report, table),
        };
        let rows = report.tables.iter().find(|rows| rows.table == table);
        let mark = if rows.is_some_and(|rows| !rows.counted) { BY_THE_BOOKS } else { "" };
        [table.name().to_owned(), count(report.rows(table)) + mark, change]
    };
    let widths = [0, 1].map(|side| {
        let cells = TABLES.iter().filter_map(|pair| pair[side]).map(shown);
        cells.chain([title.map(str::to_owned)]).fold([0; 3], |mut widths, cells| {
            for (width, cell) in widths.iter_mut().zip(&cells) {
                *width = cell.chars().count().max(*width);
            }
            widths
        })
    });
    let line = |side: usize, [name, rows, change]: [&str; 3]| {
        let [a, b, c] = widths[side];
        let gap = if c > 0 { "   " } else { "" };
        format!(" {name:<a$}   {rows:>b$}{gap}{change:<c$} ")
    };
    const GAP: &str = "    ";
    let titles = [0, 1].map(|side| line(side, title));
    let rules = [0, 1].map(|side| "─".repeat(titles[side].chars().count()));
    writeln!(out, "{}{GAP}{}", style(&titles[0]).bold(), style(titles[1].trim_end()).bold())?;
    writeln!(out, "{}", rules.join(GAP))?;
    for pair in TABLES {
        let cells = [0, 1].map(|side| match pair[side] {
            None => String::new(),
            Some(table) => {
                let [name, rows, change] = shown(table);
                line(side, [&name, &rows, &change])
            }
        });
        writeln!(out, "{}", cells.join(GAP).trim_end())?;
    }
    if report.tables.iter().any(|rows| !rows.counted) {
        let what =
            "too large to be counted: the rows of the load before, and what this one has changed";
        writeln!(out, "{BY_THE_BOOKS} {what}; sparkload check counts")?;
    }
    writeln!(out)
}

/// What has changed about a table: `+12` rows are new, `~3` have other values, `-1` is gone.
fn change(report: &Report, table: Table) -> String {
    let Some(rows) = report.tables.iter().find(|rows| rows.table == table) else {
        return String::new();
    };
    let parts = [("+", rows.inserted), ("~", rows.updated), ("-", rows.deleted)];
    let parts = parts.into_iter().filter(|(_, number)| *number > 0);
    parts.map(|(sign, number)| format!("{sign}{}", count(number))).collect::<Vec<_>>().join(" ")
}

fn stages(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let header = ["stage", "time", "objects", "size", "amount", "per second"];
    let aligns = [Align::Left; 1].into_iter().chain([Align::Right; 5]);
    let mut table = output::table(header.into_iter().zip(aligns));
    for Stage { name, seconds, amounts, .. } in &report.stages {
        let of = |unit: &str| amounts.iter().find(|it| it.unit == unit).map(|it| it.count);
        // What the stage is about; the rate is that of it.
        let amount = ["rows", "records", "objects"].into_iter().find_map(|it| Some((of(it)?, it)));
        let objects = of("objects").filter(|_| !matches!(amount, Some((_, "objects"))));
        let rate = amount.and_then(|(number, _)| per_second(number, *seconds));
        table.add_row([
            (*name).to_owned(),
            duration(*seconds),
            objects.map_or_else(String::new, count),
            of("bytes").map_or_else(String::new, bytes),
            amount.map_or_else(String::new, |(number, of)| format!("{} {of}", count(number))),
            rate.map_or_else(String::new, count),
        ]);
    }
    output::write_table(out, &table)?;

    let Report { objects, songs, events, seconds, .. } = report;
    let records = songs.records + events.records;
    let mut total = duration(*seconds);
    if let (Some(size), Some(rate)) =
        (per_second(objects.bytes, *seconds), per_second(records, *seconds))
    {
        total += &format!(": {} at {}/s, ", bytes(objects.bytes), bytes(size));
        total += &format!("{} at {}/s", counted(records, "record"), count(rate));
    }
    writeln!(out, "\n {} {total}", style("total  ").bold())
}

fn books(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let Objects { listed, loaded, resumed, unchanged, gone, skipped, bytes: _, .. } =
        report.objects;
    let reasons = [
        (skipped.hidden, "hidden"),
        (skipped.other_suffix, "of another suffix"),
        (skipped.excluded, "excluded"),
        (skipped.empty, "empty"),
        (skipped.folders, "folder markers"),
        (skipped.repeated, "other names of the same file"),
        (skipped.no_files, "no files"),
        (skipped.archived, "archived"),
        (skipped.gone, "deleted since they were listed"),
    ];
    let reasons = reasons.iter().filter(|(number, _)| *number > 0);
    let reasons: Vec<_> =
        reasons.map(|(number, why)| format!("{} {why}", count(*number))).collect();
    let mut objects = format!("{} listed = {} loaded", count(listed), count(loaded));
    if resumed > 0 {
        objects += &format!(" ({} by an unfinished load before)", count(resumed));
    }
    if unchanged > 0 {
        objects += &format!(" + {} unchanged", count(unchanged));
    }
    if skipped.total() > 0 {
        objects += &format!(" + {} skipped", count(skipped.total()));
    }
    let rejected = |number: u64| match number {
        0 => String::new(),
        number => format!(" + {} rejected", style(count(number)).yellow()),
    };
    let SongBooks { records, rows, rejected: refused, .. } = report.songs;
    let songs = format!("{} = {}", counted(records, "record"), counted(rows, "row"));
    let songs = songs + &rejected(refused);
    let EventBooks { records, plays, filtered, rejected: refused, .. } = report.events;
    let events = format!("{} = {}", counted(records, "record"), counted(plays, "play"));
    let events = format!("{events} + {} filtered{}", count(filtered), rejected(refused));
    let skipped = listed_in_lines(String::new(), reasons);
    let lines = [("objects", objects), ("skipped", skipped), ("songs", songs), ("events", events)];
    for (name, line) in lines.iter().filter(|(_, line)| !line.is_empty()) {
        writeln!(out, " {} {line}", style(format!("{name:<7}")).bold())?;
    }
    if gone > 0 {
        let then = match report.mode {
            Mode::Full => "dropped",
            Mode::Incremental => "kept until --full-refresh",
        };
        let are = if gone == 1 { "is" } else { "are" };
        let gone = counted(gone, "loaded object");
        let gone = format!("{gone} {are} not there any more; the rows are {then}");
        writeln!(out, " {} {gone}", style("gone   ").yellow().bold())?;
    }
    Ok(())
}

/// The members that feed no column, the most frequent ones by name.
fn unknown(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let unknown = report.unknown.most_frequent(SHOWN_MEMBERS);
    for (of, members) in [("songs", &unknown.songs), ("events", &unknown.events)] {
        if members.is_empty() {
            continue;
        }
        let member = |UnknownMember { name, count: many, .. }: &UnknownMember| {
            let name = if name.is_empty() { "\"\"".to_owned() } else { short(name) };
            format!("{name} {}", count(*many))
        };
        let members = members.iter().map(member).collect();
        let lines = listed_in_lines(format!("members of {of}:"), members);
        let title = style("unknown").bold();
        writeln!(out, " {title} {lines}")?;
    }
    if unknown.others > 0 {
        let all = counted(report.unknown.total(), "unknown member");
        writeln!(out, "         and {} more of {all}", count(unknown.others))?;
    }
    Ok(())
}

fn rejects(out: &mut impl Write, report: &Report, config: &Config) -> io::Result<()> {
    let rejected = report.rejected();
    if rejected == 0 {
        return Ok(());
    }
    let all = if config.dry_run { "" } else { "; all are in the table load_errors" };
    let head = style(format!("{} rejected", counted(rejected, "record"))).yellow().bold();
    writeln!(out, "\n {head}{all}")?;
    let mut last = "";
    for reject in report.rejects.iter().take(SHOWN_REJECTS) {
        let Reject { object, record_no, line, byte_offset, column, value, reason, .. } = reject;
        if &**object != last {
            writeln!(out, "   {}", style(object).dim())?;
            last = object;
        }
        let [record, line, byte] = [*record_no, *line, *byte_offset].map(count);
        let column = column.map_or_else(String::new, |column| format!("{}: ", column.name));
        let value =
            value.as_deref().map_or_else(String::new, |value| format!(": {}", short(value)));
        writeln!(out, "     record {record}, line {line}, byte {byte}: {column}{reason}{value}")?;
    }
    let shown = report.rejects.len().min(SHOWN_REJECTS) as u64;
    if rejected > shown {
        writeln!(out, "   … and {} more", count(rejected - shown))?;
    }
    Ok(())
}

/// A value on one line that stays one.
fn short(value: &str) -> String {
    const MOST: usize = 40;
    let mut chars = value.chars();
    let mut shown: String = chars.by_ref().take(MOST).flat_map(char::escape_debug).collect();
    if chars.next().is_some() {
        shown.push('…');
    }
    shown
}

/// `head` and `items` with commas between them, in lines that fit 80 columns behind a title.
fn listed_in_lines(head: String, items: Vec<String>) -> String {
    const WIDTH: usize = 71;
    let mut lines = vec![head];
    let last = items.len().saturating_sub(1);
    for (number, item) in items.into_iter().enumerate() {
        let item = if number < last { item + "," } else { item };
        match lines.last_mut() {
            Some(line) if line.is_empty() => *line = item,
            Some(line) if line.chars().count() + item.chars().count() < WIDTH => {
                *line += " ";
                *line += &item;
            }
            _ => lines.push(item),
        }
    }
    lines.join("\n         ")
}
