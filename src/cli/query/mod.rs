//! `sparkload query`: an analytics query by its name, or any SQL.

mod grid;
mod out;
mod sheet;

use std::io::{self, ErrorKind};
use std::process::ExitCode;
use std::time::Duration;

use sparkload::{
    Access, Answer, Column, Error, Interrupt, Kind, NamedQuery, Piece, Rows, named_queries,
};
use tokio::sync::{oneshot, watch};

use self::out::Out;
use self::sheet::Sheet;
use super::args::RowsOutput;
use super::failure::Failure;
use super::nearest::nearest;
use super::output::{self, Align};
use super::settings::{Ask, Query};
use super::stopping::{Ended, PATIENCE, is_cancelled, until};
use super::target::Target;

/// How long the embedded PostgreSQL has to come to an end by itself with what may change something: it cancels nothing.
const EMBEDDED: Duration = Duration::from_millis(1_500);

pub async fn run(job: Query, stop: oneshot::Receiver<()>) -> Result<ExitCode, Failure> {
    match job {
        Query::List(output) => list(output)?,
        Query::Run(ask) => self::ask(*ask, stop).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(ask: Ask, mut stop: oneshot::Receiver<()>) -> Result<(), Failure> {
    let Ask { target, query, access, parameters, output } = ask;
    let named = find(&query)?;
    let Target { database, schema } = target.existing()?;
    let interrupt = Interrupt::default();
    let database = database.interruptible(&interrupt);
    let is_embedded = matches!(database, sparkload::Target::Embedded(_));
    let sql = named.map_or(query.as_str(), |named| named.sql).to_owned();
    let query = sparkload::Query { schema, sql, access, parameters };

    let begin = Box::pin(query.ask(&database));
    let begun = until(begin, &interrupt, &mut stop, || Duration::ZERO).await;
    let Ended::Undisturbed(answer) = begun else {
        return Err(Failure::Interrupted("nothing was asked yet"));
    };
    let mut answer = answer?;

    let (stopping, stopped) = watch::channel(false);
    let sheet = Sheet::new(output);
    let mut out = Out::new(stopped.clone());
    if let Some(named) = named {
        sheet.title(named, out.buffer())?;
    }
    let patience = || {
        stopping.send_replace(true);
        match (is_embedded, access) {
            (true, Access::ReadOnly) => Duration::ZERO,
            (true, Access::ReadWrite) => EMBEDDED,
            (false, _) => PATIENCE,
        }
    };
    let written = write(&mut answer, sheet, &mut out, access, &stopped);
    match until(written, &interrupt, &mut stop, patience).await {
        Ended::Undisturbed(Err(failure @ Failure::Output(_))) => {
            // Nobody waits for what the server still does.
            interrupt.cancel().await;
            Err(failure)
        }
        Ended::Undisturbed(done) => done,
        ended => {
            let said = what_came_of_it(&ended, &answer, access, is_embedded);
            // Closing it would wait for what can't be cancelled; the end of the program is the end of it.
            std::mem::forget(answer);
            Err(Failure::Interrupted(said))
        }
    }
}

/// Writes all of the answer, or as much as has come when it is stopped.
async fn write(
    answer: &mut Answer,
    mut sheet: Sheet,
    out: &mut Out,
    access: Access,
    stopped: &watch::Receiver<bool>,
) -> Result<(), Failure> {
    loop {
        let Some(piece) = answer.next().await? else { break };
        let is_end = matches!(piece, Piece::Done(_));
        sheet.piece(piece, out.buffer())?;
        // A result is there for its reader when its statement is done.
        let written = if is_end { out.flush().await } else { out.spill().await };
        match written {
            // That nobody reads on is no reason to leave undone what was asked for.
            Err(error) if error.kind() == ErrorKind::BrokenPipe && access == Access::ReadWrite => {
                out.close();
            }
            written => written?,
        }
        if is_end && *stopped.borrow() {
            return Ok(());
        }
    }
    sheet.finish(out.buffer())?;
    Ok(out.flush().await?)
}

/// What is to be said of a query that was interrupted, as far as the server has said it.
fn what_came_of_it(
    ended: &Ended<Result<(), Failure>>,
    answer: &Answer,
    access: Access,
    is_embedded: bool,
) -> &'static str {
    if access == Access::ReadOnly {
        return match ended {
            Ended::Stopped(Err(Failure::Error(error))) if is_cancelled(error) => {
                "the query was cancelled at the server; it has changed nothing"
            }
            _ => "the query has changed nothing",
        };
    }
    match ended {
        Ended::Stopped(Ok(())) if answer.is_in_block() => {
            "the statement was done before it could be cancelled, and is rolled back with the transaction that it is in"
        }
        Ended::Stopped(Ok(())) if answer.is_last() => {
            "the statement was done before it could be cancelled: what it changed is committed"
        }
        Ended::Stopped(Ok(())) => {
            "the statement was done before it could be cancelled: what it changed is committed; those after it were not \
             run"
        }
        Ended::Stopped(Err(Failure::Error(error))) if is_cancelled(error) => {
            match (answer.is_in_block(), answer.may_commit_on_its_way(), answer.is_first()) {
                (true, ..) => {
                    "the statement was cancelled at the server; the transaction that it is in is rolled back"
                }
                (false, true, _) => {
                    "the statement was cancelled at the server; what it had committed by itself until then stays"
                }
                (false, false, true) => {
                    "the statement was cancelled at the server; it has changed nothing"
                }
                (false, false, false) => {
                    "the statement was cancelled at the server, and has changed nothing; those before it were done, and \
                     what they changed is committed"
                }
            }
        }
        _ if is_embedded => {
            "the embedded database is cut off, which undoes what was not committed: look what is there before you run it \
             again"
        }
        _ => {
            "the server was told to cancel the statement, and has not said what came of that: look what is there before \
             you run it again"
        }
    }
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
