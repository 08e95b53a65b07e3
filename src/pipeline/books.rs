//! The books: what became of every object and record, kept while the outcomes come in.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use super::reading::WasRead;
use crate::config::Config;
use crate::encode::{Encoding, Rows};
use crate::error::{Error, Result};
use crate::ledger::{Amounts, Plan, Published, Run, Version, Way};
use crate::record::{Reject, Unknown};
use crate::report::{EventBooks, Progress, Report, RowCounts, SongBooks, Stage, UnknownMembers};
use crate::source::{Kind, Object};
use crate::table::Table;
use crate::table::load_errors::LoadError;
use crate::table::load_objects::LoadObject;
use crate::table::time::Moment;
use crate::transform::{Counts, Outcome};

/// What became of the objects and records so far.
pub(super) struct Books {
    run: i64,
    encoding: Encoding,
    max_errors: u64,
    rejects_file: Option<(PathBuf, BufWriter<File>)>,
    first_rejects: Vec<Reject>,
    /// By the objects' ranks.
    pages: Vec<Page>,
    finished: u64,
    songs: Amounts,
    logs: Amounts,
    /// What of that was read by an unfinished load before this one.
    kept: Amounts,
    /// What this load has read of songs and of logs.
    read: [Strange; 2],
    progress: Arc<Progress>,
}

/// How many records were read, and what is unknown about them.
#[derive(Debug, Default)]
struct Strange {
    records: u64,
    unknown: Unknown,
}

/// The page of one object.
#[derive(Debug, Clone, Copy, Default)]
struct Page {
    amounts: Amounts,
    /// How many records the object has, once its last piece was seen.
    end: Option<u64>,
}

/// How many rejects a report or an error names.
const SHOWN_REJECTS: usize = 10;

/// How many members a warning names.
const NAMED: usize = 10;

impl Books {
    /// Opens the books of the load `run` on what is to be done, and the file for rejects.
    pub fn open(config: &Config, run: i64, plan: &Plan, encoding: Encoding) -> Result<Self> {
        let rejects_file = match &config.rejects {
            None => None,
            Some(path) => {
                let file =
                    File::create(path).map_err(|cause| rejects_error(path.clone(), cause))?;
                Some((path.clone(), BufWriter::new(file)))
            }
        };
        let mut books = Self {
            run,
            encoding,
            max_errors: config.max_errors,
            rejects_file,
            first_rejects: Vec::new(),
            pages: vec![Page::default(); plan.objects().count()],
            finished: 0,
            songs: Amounts::default(),
            logs: Amounts::default(),
            kept: Amounts::default(),
            read: Default::default(),
            progress: config.progress.clone(),
        };
        for (kind, Version { amounts, .. }) in &plan.kept {
            books.add(*kind, *amounts);
            books.kept = books.kept.plus(*amounts);
        }
        if books.rejected() > books.max_errors {
            return Err(books.too_many());
        }
        Ok(books)
    }

    fn add(&mut self, kind: Kind, amounts: Amounts) {
        let sum = match kind {
            Kind::Songs => &mut self.songs,
            Kind::Logs => &mut self.logs,
        };
        *sum = sum.plus(amounts);
    }

    fn rejected(&self) -> u64 {
        self.songs.rejected + self.logs.rejected
    }

    /// Enters an outcome; returns its rows, and those that its rejects and its finished objects make.
    ///
    /// # Errors
    ///
    /// There are more rejects than are tolerated, or an object's books don't balance.
    pub fn enter(&mut self, outcome: Outcome) -> Result<Vec<Rows>> {
        let Outcome { mut rows, rejects, counts, unknown } = outcome;
        if let Some(Counts { object, .. }) = counts.first() {
            // Pieces that are worked on together are all of one kind.
            let read = &mut self.read[object.kind as usize];
            read.records += counts.iter().map(|counts| counts.amounts.records).sum::<u64>();
            read.unknown.merge(unknown);
        }
        let mut finished = Rows::new(Table::LoadObjects, self.encoding);
        for Counts { object, amounts, end } in counts {
            self.add(object.kind, amounts);
            self.progress.records.add(amounts.records);
            self.progress.rejects.add(amounts.rejected);
            let page = &mut self.pages[object.rank as usize];
            page.amounts = page.amounts.plus(amounts);
            page.end = page.end.or(end);
            if page.end == Some(page.amounts.records) {
                if !page.amounts.balance() {
                    return Err(unbalanced(&object.name, page.amounts));
                }
                finished.push(&self.ledger_row(&object));
                self.finished += 1;
            }
        }
        if !rejects.is_empty() {
            rows.push(self.enter_rejects(rejects)?);
        }
        rows.push(finished);
        rows.retain(|rows| rows.count > 0);
        Ok(rows)
    }

    fn ledger_row<'o>(&self, object: &'o Object) -> LoadObject<'o> {
        let Amounts { records, taken, filtered, rejected, staged } =
            self.pages[object.rank as usize].amounts;
        LoadObject {
            object_id: object.id.into(),
            run: self.run,
            kind: object.kind.name(),
            object: &object.name,
            bytes: object.size,
            etag: &object.etag,
            records,
            taken,
            filtered,
            rejected,
            staged,
            loaded_at: Moment::at(SystemTime::now()),
        }
    }

    fn enter_rejects(&mut self, rejects: Vec<Reject>) -> Result<Rows> {
        let mut rows = Rows::new(Table::LoadErrors, self.encoding);
        for reject in &rejects {
            rows.push(&LoadError { run: self.run, reject });
            if let Some((path, file)) = &mut self.rejects_file {
                write_line(file, reject).map_err(|cause| rejects_error(path.clone(), cause))?;
            }
        }
        let room = SHOWN_REJECTS - self.first_rejects.len();
        self.first_rejects.extend(rejects.into_iter().take(room));
        if self.rejected() > self.max_errors {
            self.flush()?;
            return Err(self.too_many());
        }
        Ok(rows)
    }

    fn too_many(&self) -> Error {
        let shown: Vec<String> = self.first_rejects.iter().map(Reject::to_string).collect();
        let found = match self.rejected() {
            1 => "a record was rejected".to_owned(),
            count => format!("{count} records were rejected"),
        };
        let what =
            format!("{found}, --max-errors tolerates {}; nothing was loaded", self.max_errors);
        let strange = [Kind::Songs, Kind::Logs].into_iter().filter_map(|kind| self.strange(kind));
        let because: Vec<_> = shown.into_iter().chain(strange).collect();
        Error::data(what).because(because.join("\n")).with_help(
            "mend the records, or raise --max-errors; --rejects FILE writes them all to a file",
        )
    }

    /// What to say where hardly any record of `kind` has a member that is known: what they have instead.
    fn strange(&self, kind: Kind) -> Option<String> {
        let Strange { records, unknown } = &self.read[kind as usize];
        // More than nine of ten.
        if unknown.strangers * 10 <= records * 9 {
            return None;
        }
        let (names, _) = unknown.clone().counts();
        let names: Vec<_> =
            names.iter().take(NAMED).map(|(name, _)| name.escape_debug().to_string()).collect();
        let what = match kind {
            Kind::Songs => "song records",
            Kind::Logs => "events",
        };
        let instead = match &*names.join(", ") {
            "" => "they have no members at all".to_owned(),
            names => format!("they have {names} instead"),
        };
        Some(format!(
            "{} of {records} {what} have no member that is known, {instead} \
             (--ignore-case compares names without case, --jsonpaths says where the members of events are)",
            unknown.strangers
        ))
    }

    /// How many records of `kind` there are so far.
    pub fn records(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Songs => self.songs.records,
            Kind::Logs => self.logs.records,
        }
    }

    /// Closes the books, when all of `was_read` is worked on and the target has taken the `written` rows.
    ///
    /// # Errors
    ///
    /// What was written is not what was read.
    pub fn close(mut self, written: RowCounts, was_read: &WasRead, way: Way) -> Result<Closed> {
        self.flush()?;
        let Self { songs, logs, kept, pages, finished, .. } = &self;
        let rejected = self.rejected() - kept.rejected;
        let staged = songs.staged + logs.staged - kept.staged;
        let staged_written = written.rows(Table::StagingSongs) + written.rows(Table::StagingEvents);
        let plays = match way {
            Way::Direct => logs.taken,
            Way::Rebuild | Way::Merge => 0,
        };
        let pairs = [
            ("objects", pages.len() as u64, was_read.objects + was_read.unread()),
            ("objects", was_read.objects, *finished),
            ("ledger entries", *finished, written.rows(Table::LoadObjects)),
            ("rejects", rejected, written.rows(Table::LoadErrors)),
            ("staged records", staged, staged_written),
            ("plays", plays, written.rows(Table::Songplays)),
        ];
        for (what, read, found) in pairs {
            if read != found {
                let what =
                    format!("the books don't balance: {read} {what} were read, {found} loaded");
                return Err(
                    Error::data(what).with_help("nothing was published; please report this")
                );
            }
        }
        for kind in [Kind::Songs, Kind::Logs] {
            if let Some(strange) = self.strange(kind) {
                tracing::warn!("{strange}");
            }
        }
        let Self { songs, logs, first_rejects: rejects, read, .. } = self;
        let [logs_read, songs_read] = read.map(|read| read.unknown);
        let unknown = UnknownMembers::new(songs_read, logs_read);
        Ok(Closed { songs, logs, rejects, unknown })
    }

    fn flush(&mut self) -> Result<()> {
        let Some((path, file)) = &mut self.rejects_file else { return Ok(()) };
        file.flush().map_err(|cause| rejects_error(path.clone(), cause))
    }
}

/// What became of the records of a load.
pub(super) struct Closed {
    songs: Amounts,
    logs: Amounts,
    /// The first ones.
    rejects: Vec<Reject>,
    pub unknown: UnknownMembers,
}

impl Closed {
    pub fn amounts(&self) -> Amounts {
        self.songs.plus(self.logs)
    }

    /// The report of the load, but for how long it took.
    pub fn report(self, run: Run, published: Published, stages: Vec<Stage>) -> Report {
        let Self { songs, logs, rejects, unknown } = self;
        let Published { tables, amounts: Amounts { taken, filtered, .. } } = published;
        let Amounts { records, taken: rows, rejected, .. } = songs;
        let songs = SongBooks { records, rows, rejected };
        let Amounts { records, rejected, .. } = logs;
        let events = EventBooks { records, plays: taken - songs.rows, filtered, rejected };
        let Run { number: run, mode, objects, .. } = run;
        let (seconds, dry_run) = (0.0, false);
        Report {
            run,
            mode,
            objects,
            songs,
            events,
            tables,
            stages,
            rejects,
            unknown,
            seconds,
            dry_run,
        }
    }
}

fn unbalanced(object: &str, amounts: Amounts) -> Error {
    Error::data(format!("the books of {object} don't balance: {amounts:?}"))
        .with_help("nothing was published; please report this")
}

fn write_line(file: &mut impl Write, reject: &Reject) -> io::Result<()> {
    serde_json::to_writer(&mut *file, reject)?;
    file.write_all(b"\n")
}

fn rejects_error(path: PathBuf, cause: io::Error) -> Error {
    let what = format!("can't write the rejects to {}", path.display());
    Error::config(what).because(cause).with_help("give --rejects a file that can be written")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::RowCounts;
    use crate::source::Source;
    use crate::target::Target;

    fn object(rank: u32) -> Arc<Object> {
        let (name, etag) = (format!("{rank}.json").into(), "v1".into());
        Arc::new(Object { id: rank + 7, rank, kind: Kind::Logs, name, size: 10, etag })
    }

    fn books(objects: u32) -> Books {
        let source = Source::new("songs".parse().unwrap(), "logs".parse().unwrap());
        let config = Config::new(source, Target::Embedded("unused".into()));
        let plan = Plan { logs: (0..objects).map(object).collect(), ..Plan::default() };
        Books::open(&config, 1, &plan, Encoding::Binary).unwrap()
    }

    fn outcome(rank: u32, taken: u64, filtered: u64, end: Option<u64>) -> Outcome {
        let records = taken + filtered;
        let amounts = Amounts { records, taken, filtered, rejected: 0, staged: records };
        let counts = vec![Counts { object: object(rank), amounts, end }];
        Outcome { counts, ..Outcome::default() }
    }

    /// The rows of the ledger among those that an outcome comes to.
    fn entered(rows: Vec<Rows>) -> u64 {
        rows.iter().filter(|rows| rows.table == Table::LoadObjects).map(|rows| rows.count).sum()
    }

    #[test]
    fn an_object_is_entered_when_its_last_record_was_whatever_the_order() {
        let mut books = books(2);
        assert_eq!(entered(books.enter(outcome(0, 2, 1, Some(5))).unwrap()), 0);
        assert_eq!(entered(books.enter(outcome(1, 0, 0, Some(0))).unwrap()), 1);
        assert_eq!(entered(books.enter(outcome(0, 1, 0, None)).unwrap()), 0);
        assert_eq!(entered(books.enter(outcome(0, 0, 1, None)).unwrap()), 1);
    }

    #[test]
    fn books_that_do_not_balance_fail_the_load() {
        let close = |damage: fn(&mut WasRead, &mut RowCounts)| {
            let mut books = books(1);
            books.enter(outcome(0, 2, 1, Some(3))).unwrap();
            let mut was_read = WasRead { objects: 1, ..WasRead::default() };
            let mut written = RowCounts::default();
            for (table, rows) in
                [(Table::StagingEvents, 3), (Table::Songplays, 2), (Table::LoadObjects, 1)]
            {
                written.add(table, rows);
            }
            damage(&mut was_read, &mut written);
            books.close(written, &was_read, Way::Direct).map(drop)
        };
        close(|_, _| {}).unwrap();
        let damages: [fn(&mut WasRead, &mut RowCounts); 5] = [
            |was_read, _| was_read.objects += 1,
            |was_read, _| was_read.gone.push(object(0)),
            |_, written| written.add(Table::StagingEvents, 1),
            |_, written| written.add(Table::Songplays, 1),
            |_, written| written.add(Table::LoadErrors, 1),
        ];
        for damage in damages {
            let error = close(damage).unwrap_err();
            assert!(error.to_string().starts_with("the books don't balance: "), "{error}");
        }

        let mut wrong = outcome(0, 2, 1, Some(4));
        wrong.counts[0].amounts.records += 1;
        let error = books(1).enter(wrong).unwrap_err();
        assert!(error.to_string().starts_with("the books of 0.json don't balance"), "{error}");
    }
}
