//! `sparkload generate`: writes made-up songs and logs, and says what a load of them must find.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar};
use sparkload::{Compression, Generated, Generating};

use super::args::Output;
use super::display::{Shown, View, during, style};
use super::failure::Failure;
use super::figures::{about, bytes, count, counted, duration, per_second};
use super::options::LogFormat;
use super::output;
use super::settings::{Front, Generate};

pub async fn run(
    job: Box<Generate>,
    front: Front,
    bars: MultiProgress,
) -> Result<ExitCode, Failure> {
    let Generate { settings, output } = *job;
    let mut display = Display::new(front, &bars, &settings);
    let generated = during(&mut display, Box::pin(sparkload::generate(&settings))).await?;
    drop(display);
    match output {
        Output::Json => output::json(&generated)?,
        Output::Table => summary(&settings, &generated)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows how far it is; dropped, it leaves no trace on the terminal.
struct Display {
    progress: Arc<Generating>,
    /// How many songs and events there are to be.
    songs: u64,
    events: u64,
    started: Instant,
    view: View<ProgressBar>,
}

impl Display {
    fn new(front: Front, bars: &MultiProgress, settings: &sparkload::Generate) -> Self {
        let sparkload::Generate { songs, events, progress, into, .. } = settings;
        let view = View::new(front, &format!("generating into {into}"), || {
            let bar = style("{spinner:.green} {prefix} {wide_bar:.green/dim} {msg}");
            bars.add(ProgressBar::new(0).with_style(bar))
        });
        let (progress, songs, events) = (progress.clone(), *songs, *events);
        Self { progress, songs, events, started: Instant::now(), view }
    }

    /// The kind of record that is written now, how many there are, and how many there are to be.
    fn now(&self) -> (&'static str, u64, u64) {
        let songs = self.progress.songs.get();
        match songs < self.songs {
            true => ("song", songs, self.songs),
            false => ("event", self.progress.events.get(), self.events),
        }
    }
}

impl Shown for Display {
    fn draw(&mut self) {
        let View::Live(bar) = &self.view else { return };
        let (kind, done, all) = self.now();
        if bar.length() != Some(all) {
            // Songs take another time than events.
            bar.reset();
            bar.set_length(all);
        }
        bar.set_position(done);
        let left = match bar.eta().as_secs_f64() {
            0.0 => String::new(),
            left => format!("  {} left", about(left)),
        };
        bar.set_prefix(format!("writing {kind}s"));
        bar.set_message(format!("{:>2} %{left}", done.saturating_mul(100) / all.max(1)));
        bar.tick();
    }

    fn say(&mut self) {
        let View::Lines(format) = self.view else { return };
        let written = self.progress.plain_bytes.get();
        if format == LogFormat::Json {
            let (songs, events) = (self.progress.songs.get(), self.progress.events.get());
            tracing::info!(songs, events, bytes = written, "generating");
            return;
        }
        let (kind, done, all) = self.now();
        let rate = per_second(written, self.started.elapsed().as_secs_f64()).unwrap_or_default();
        let (done, all) = (count(done), counted(all, kind));
        tracing::info!("{done} of {all}, {} in all ({}/s)", bytes(written), bytes(rate));
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let View::Live(bar) = &self.view {
            bar.finish_and_clear();
        }
    }
}

fn summary(settings: &sparkload::Generate, generated: &Generated) -> io::Result<()> {
    let Generated { objects, plain_bytes, songs, events, plays, matching, dirty, seconds, .. } =
        *generated;
    let into = &settings.into;
    let mut out = io::stdout().lock();
    let done = console::style("Generated").green().bold();
    let rate = per_second(plain_bytes, seconds);
    let rate = rate.map_or_else(String::new, |rate| format!(", {}/s", bytes(rate)));
    writeln!(out, "{done} {} in {into} in {}{rate}.\n", bytes(plain_bytes), duration(seconds))?;
    let packed = match settings.compression {
        Compression::Plain => String::new(),
        compression => format!(", {} as {compression}", bytes(generated.bytes)),
    };
    let other = events - plays - dirty;
    let plays = format!("{} ({} in the catalog)", counted(plays, "play"), count(matching));
    let others = format!("{} others + {} dirty", count(other), count(dirty));
    let events = format!("{} = {plays} + {others}", counted(events, "record"));
    let objects = format!("{} written{packed}", count(objects));
    let songs = counted(songs, "record");
    for (name, line) in [("objects", objects), ("songs", songs), ("events", events)] {
        writeln!(out, " {} {line}", console::style(format!("{name:<7}")).bold())?;
    }
    Ok(())
}
