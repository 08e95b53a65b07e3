//! The books: what became of every object and record, kept while the outcomes come in.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::Config;
use crate::encode::Rows;
use crate::error::{Error, Result};
use crate::record::Reject;
use crate::report::{EventBooks, Objects, Progress, Report, SongBooks, Stage, TableRows};
use crate::source::Object;
use crate::table::Table;
use crate::table::load_errors::LoadError;
use crate::table::load_objects::LoadObject;
use crate::transform::{Counts, Outcome};

/// What became of the records so far.
pub(super) struct Books {
    run: i64,
    max_errors: u64,
    rejects_file: Option<(PathBuf, BufWriter<File>)>,
    first_rejects: Vec<Reject>,
    /// Records and rejects by object id.
    counts: Vec<(u64, u64)>,
    records: u64,
    rejected: u64,
    plays: u64,
    songs: SongBooks,
    progress: Arc<Progress>,
}

/// How many rejects a report or an error names.
const SHOWN_REJECTS: usize = 10;

impl Books {
    /// Opens the books of the load `run`, and the file for rejects.
    pub fn open(config: &Config, run: i64, objects: usize) -> Result<Self> {
        let rejects_file = match &config.rejects {
            None => None,
            Some(path) => {
                let file =
                    File::create(path).map_err(|cause| rejects_error(path.clone(), cause))?;
                Some((path.clone(), BufWriter::new(file)))
            }
        };
        Ok(Self {
            run,
            max_errors: config.max_errors,
            rejects_file,
            first_rejects: Vec::new(),
            counts: vec![(0, 0); objects + 1],
            records: 0,
            rejected: 0,
            plays: 0,
            songs: SongBooks::default(),
            progress: config.progress.clone(),
        })
    }

    /// Enters an outcome; returns its rows, and those that its rejects make.
    ///
    /// # Errors
    ///
    /// There are more rejects than are tolerated.
    pub fn enter(&mut self, outcome: Outcome) -> Result<Vec<Rows>> {
        let Outcome { mut rows, rejects, counts, plays } = outcome;
        self.plays += plays;
        for Counts { object_id, records, rejects } in counts {
            let entry = &mut self.counts[object_id as usize];
            entry.0 += records;
            entry.1 += rejects;
            self.records += records;
            self.rejected += rejects;
            self.progress.records.add(records);
            self.progress.rejects.add(rejects);
        }
        if !rejects.is_empty() {
            rows.push(self.enter_rejects(rejects)?);
        }
        rows.retain(|rows| rows.count > 0);
        Ok(rows)
    }

    fn enter_rejects(&mut self, rejects: Vec<Reject>) -> Result<Rows> {
        let mut rows = Rows::new(Table::LoadErrors);
        for reject in &rejects {
            rows.push(&LoadError { run: self.run, reject });
            if let Some((path, file)) = &mut self.rejects_file {
                write_line(file, reject).map_err(|cause| rejects_error(path.clone(), cause))?;
            }
        }
        let room = SHOWN_REJECTS - self.first_rejects.len();
        self.first_rejects.extend(rejects.into_iter().take(room));
        if self.rejected > self.max_errors {
            self.flush()?;
            return Err(self.too_many());
        }
        Ok(rows)
    }

    fn too_many(&self) -> Error {
        let shown: Vec<String> = self.first_rejects.iter().map(Reject::to_string).collect();
        let found = match self.rejected {
            1 => "a record was rejected".to_owned(),
            count => format!("{count} records were rejected"),
        };
        let what =
            format!("{found}, --max-errors tolerates {}; nothing was loaded", self.max_errors);
        Error::data(what).because(shown.join("\n")).with_help(
            "mend the records, or raise --max-errors; --rejects FILE writes them all to a file",
        )
    }

    /// Closes the books on songs; what comes from now on are events.
    pub fn close_songs(&mut self) -> SongBooks {
        let Self { records, rejected, .. } = *self;
        self.songs = SongBooks { records, rows: records - rejected, rejected };
        self.songs
    }

    /// What became of the events.
    pub fn events(&self) -> EventBooks {
        let records = self.records - self.songs.records;
        let rejected = self.rejected - self.songs.rejected;
        let plays = self.plays;
        EventBooks { records, plays, filtered: records - rejected - plays, rejected }
    }

    /// The rows of `load_objects`.
    pub fn objects<'o>(
        &self,
        objects: impl Iterator<Item = &'o Arc<Object>>,
    ) -> impl Iterator<Item = LoadObject<'o>> {
        objects.map(|object| {
            let (records, rejects) = self.counts[object.id as usize];
            LoadObject {
                object_id: object.id.into(),
                object: &object.name,
                bytes: object.size,
                etag: &object.etag,
                records,
                rejects,
                run: self.run,
            }
        })
    }

    /// The report of the finished load; its publishing is still to be added.
    pub fn report(
        mut self,
        objects: Objects,
        tables: Vec<TableRows>,
        stages: Vec<Stage>,
    ) -> Result<Report> {
        self.flush()?;
        Ok(Report {
            run: self.run,
            objects,
            songs: self.songs,
            events: self.events(),
            tables,
            stages,
            rejects: self.first_rejects,
            seconds: 0.0,
            dry_run: false,
        })
    }

    fn flush(&mut self) -> Result<()> {
        let Some((path, file)) = &mut self.rejects_file else { return Ok(()) };
        file.flush().map_err(|cause| rejects_error(path.clone(), cause))
    }
}

fn write_line(file: &mut impl Write, reject: &Reject) -> io::Result<()> {
    serde_json::to_writer(&mut *file, reject)?;
    file.write_all(b"\n")
}

fn rejects_error(path: PathBuf, cause: io::Error) -> Error {
    let what = format!("can't write the rejects to {}", path.display());
    Error::config(what).because(cause).with_help("give --rejects a file that can be written")
}
