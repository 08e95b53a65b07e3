//! `sparkload cluster delete`: removes a cluster and all that was made with it, if that is really meant.

use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use sparkload::Error;
use sparkload::cluster::{self, Cluster, Deleted, Snapshot};
use tokio::task::spawn_blocking;

use super::super::args::Output;
use super::super::failure::Failure;
use super::super::output;
use super::settings::Delete;

pub async fn run(job: Delete) -> Result<ExitCode, Failure> {
    let Delete { cluster, snapshot, yes, output } = job;
    let terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
    if !yes && !terminal {
        return Err(Error::config(format!(
            "nobody is here to ask whether to remove {}",
            cluster.name
        ))
        .with_help("pass --yes, and --final-snapshot NAME or --skip-final-snapshot")
        .into());
    }
    if snapshot.is_none() && !terminal {
        return Err(Error::config("nothing says what becomes of the data")
            .with_help("pass --final-snapshot NAME to keep it, or --skip-final-snapshot")
            .into());
    }
    let there = cluster::status(&cluster).await?;
    let snapshot = match (there.is_nothing(), yes, snapshot) {
        (true, _, _) => Snapshot::Skip,
        (false, true, Some(snapshot)) => snapshot,
        (false, _, snapshot) => {
            let question = Question { name: cluster.name.clone(), snapshot, sure: yes };
            let asked = spawn_blocking(move || {
                question.ask(&mut io::stdin().lock(), &mut io::stderr().lock())
            });
            match asked.await.map_err(io::Error::other)?? {
                Some(snapshot) => snapshot,
                None => {
                    writeln!(io::stdout(), "Nothing was removed.")?;
                    return Ok(ExitCode::SUCCESS);
                }
            }
        }
    };
    let deleted = cluster::delete(&cluster, &snapshot).await?;
    match output {
        Output::Json => output::json(&deleted)?,
        Output::Table => tell(&cluster, &snapshot, &deleted)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What is asked before anything is removed.
struct Question {
    name: String,
    /// What becomes of the data, if that was said.
    snapshot: Option<Snapshot>,
    /// Whether it was said that it is meant.
    sure: bool,
}

impl Question {
    /// Asks, and gives what becomes of the data; `None` where nothing is to be removed.
    fn ask(self, input: &mut impl BufRead, out: &mut impl Write) -> io::Result<Option<Snapshot>> {
        let mut answer = |question: &str| {
            write!(out, "{question} ")?;
            out.flush()?;
            let mut line = String::new();
            match input.read_line(&mut line)? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => io::Result::Ok(line.trim().to_owned()),
            }
        };
        let Self { name, snapshot, sure } = self;
        let snapshot = match snapshot {
            Some(snapshot) => snapshot,
            None => match answer("Name of a last snapshot of the data (empty: keep nothing):")? {
                name if name.is_empty() => Snapshot::Skip,
                name => Snapshot::Take(name),
            },
        };
        if sure {
            return Ok(Some(snapshot));
        }
        let data = match &snapshot {
            Snapshot::Skip => "with all its data".to_owned(),
            Snapshot::Take(snapshot) => format!("keeping its data as the snapshot {snapshot}"),
        };
        let typed = answer(&format!("To remove {name}, {data}, type its name:"))?;
        Ok((typed == name).then_some(snapshot))
    }
}

fn tell(cluster: &Cluster, snapshot: &Snapshot, deleted: &Deleted) -> io::Result<()> {
    let Deleted { removed, left } = deleted;
    let mut out = io::stdout().lock();
    if removed.is_empty() {
        writeln!(out, "Nothing is there of {} that sparkload has made.", cluster.name)?;
    } else {
        writeln!(out, "Removed:")?;
        for change in removed {
            writeln!(out, "  {:<16}{}", change.part.to_string(), change.name)?;
        }
        if let Snapshot::Take(name) = snapshot {
            writeln!(
                out,
                "The snapshot {name} has its data; it costs money as long as it is there."
            )?;
        }
        writeln!(out, "The settings file and the password file are as they were.")?;
    }
    for what in left {
        writeln!(out, "Left alone, as sparkload has not made it: {what}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_removed_unless_the_name_is_typed() {
        let take = || Some(Snapshot::Take("last".to_owned()));
        for (snapshot, sure, typed, expected) in [
            (None, false, "last\ndwh\n", take()),
            (None, false, "\ndwh\n", Some(Snapshot::Skip)),
            (take(), false, "dwh\n", take()),
            (None, true, "last\n", take()),
            (None, false, "last\nyes\n", None),
            (Some(Snapshot::Skip), false, "\n", None),
        ] {
            let question = Question { name: "dwh".to_owned(), snapshot, sure };
            let mut said = Vec::new();
            assert_eq!(
                question.ask(&mut typed.as_bytes(), &mut said).unwrap(),
                expected,
                "{typed:?}"
            );
        }
        let question = Question { name: "dwh".to_owned(), snapshot: None, sure: false };
        assert!(question.ask(&mut "".as_bytes(), &mut Vec::new()).is_err());
    }
}
