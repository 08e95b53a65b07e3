//! The display: how far a job is, drawn live on a terminal or as a line every few seconds.

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::time::Duration;

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use sparkload::{Config, Phase, Progress};
use tokio::select;
use tokio::time::{MissedTickBehavior, interval};

use super::figures::{about, bytes, count, counted};
use super::options::LogFormat;
use super::pace::{Pace, Snapshot};
use super::settings::Front;

/// Often enough to look alive.
const DRAW: Duration = Duration::from_millis(100);
/// Seldom enough for a log.
const SAY: Duration = Duration::from_secs(5);

/// Whether progress can be drawn, and is wanted.
pub fn is_live(Front { quiet, verbose: _, log_format }: Front) -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    !quiet && log_format == LogFormat::Text && io::stderr().is_terminal() && !dumb
}

/// How progress is shown, as it suits where stderr goes.
pub enum View<L> {
    None,
    Lines(LogFormat),
    Live(L),
}

impl<L> View<L> {
    /// A `live` one on a terminal; elsewhere the first line is said at once.
    pub fn new(front: Front, begin: &str, live: impl FnOnce() -> L) -> Self {
        if is_live(front) {
            return Self::Live(live());
        }
        if front.quiet {
            return Self::None;
        }
        tracing::info!("{begin}");
        Self::Lines(front.log_format)
    }
}

/// What shows how far a job is.
pub trait Shown {
    /// Draws it, many times a second.
    fn draw(&mut self);

    /// Says it, every few seconds.
    fn say(&mut self);
}

/// Waits for a `job` and shows meanwhile how far it is.
pub async fn during<T>(shown: &mut impl Shown, job: impl Future<Output = T>) -> T {
    let mut job = std::pin::pin!(job);
    let mut draw = interval(DRAW);
    let mut say = interval(SAY);
    draw.set_missed_tick_behavior(MissedTickBehavior::Skip);
    say.set_missed_tick_behavior(MissedTickBehavior::Skip);
    say.reset();
    loop {
        select! {
            biased;
            done = &mut job => return done,
            _ = draw.tick() => shown.draw(),
            _ = say.tick() => shown.say(),
        }
    }
}

/// Shows a load's progress; dropped, it leaves no trace on the terminal.
pub struct Display {
    progress: Arc<Progress>,
    pace: Pace,
    view: View<Live>,
}

impl Display {
    pub fn new(front: Front, bars: MultiProgress, config: &Config) -> Self {
        let from = places(config);
        let begin = match config.dry_run {
            true => format!("reading {from}"),
            false => format!("loading {from} into {}", config.target),
        };
        let view = View::new(front, &begin, || Live::new(&bars, begin.clone()));
        Self { progress: config.progress.clone(), pace: Pace::default(), view }
    }
}

impl Shown for Display {
    fn draw(&mut self) {
        let now = self.pace.look(&self.progress);
        if let View::Live(live) = &self.view {
            live.draw(&now, &self.pace);
        }
    }

    fn say(&mut self) {
        let View::Lines(format) = self.view else { return };
        let now = self.pace.look(&self.progress);
        let doing = doing(&now);
        let records_per_second = self.pace.per_second(|seen| seen.records);
        let seconds_left = self.pace.seconds_left();
        if format == LogFormat::Json {
            let Snapshot { objects, objects_total, bytes, bytes_total, records, rejects, .. } = now;
            tracing::info!(
                objects,
                objects_total,
                bytes,
                bytes_total,
                records,
                rejects,
                records_per_second,
                seconds_left,
                "{doing}"
            );
            return;
        }
        if matches!(now.phase, Phase::Songs | Phase::Logs) {
            let left = seconds_left.map(|left| format!(", {} left", about(left)));
            let counts = counts(&now, records_per_second, ", ");
            tracing::info!("{doing}: {counts}{}", left.unwrap_or_default());
        } else {
            tracing::info!("{doing}");
        }
    }
}

/// What is loaded, in few words.
pub fn places(config: &Config) -> String {
    let (songs, logs) = (config.source.songs.to_string(), config.source.logs.to_string());
    let base = |place: &str, name: &str| {
        let place = place.trim_end_matches('/').strip_suffix(name)?;
        Some(place.trim_end_matches('/').to_owned())
    };
    match (base(&songs, "song_data"), base(&logs, "log_data")) {
        (Some(base), Some(other)) if base == other && !base.is_empty() => base,
        _ => format!("{songs} and {logs}"),
    }
}

fn doing(now: &Snapshot) -> &'static str {
    match now.phase {
        Phase::Preparing => "preparing",
        Phase::Songs => "reading songs",
        Phase::Logs if now.bytes < now.bytes_total => "reading logs",
        Phase::Logs => "writing rows",
        Phase::Keys => "building keys",
        Phase::Publishing => "publishing",
        _ => "loading",
    }
}

fn counts(now: &Snapshot, records_per_second: u64, separator: &str) -> String {
    let mut records = counted(now.records, "record");
    if records_per_second > 0 {
        records += &format!(" ({}/s)", count(records_per_second));
    }
    let mut parts = vec![
        format!("{} of {}", count(now.objects), counted(now.objects_total, "object")),
        part_of(&bytes(now.bytes), &bytes(now.bytes_total)),
        records,
    ];
    if now.rejects > 0 {
        parts.push(format!("{} rejected", count(now.rejects)));
    }
    parts.join(separator)
}

/// `1.2 of 3.4 MiB`: the unit once, where both have the same.
fn part_of(done: &str, all: &str) -> String {
    let unit = &all[all.find(' ').unwrap_or(all.len())..];
    format!("{} of {all}", done.strip_suffix(unit).unwrap_or(done))
}

/// Three lines: what is done and how far it is, what was read, what is written.
///
/// Above them is a blank one. A terminal shows Ctrl-C as `^C` on a line of its own, and clearing then leaves one
/// line too many at the top.
struct Live {
    blank: ProgressBar,
    head: ProgressBar,
    counts: ProgressBar,
    tables: ProgressBar,
    begin: String,
}

impl Live {
    fn new(bars: &MultiProgress, begin: String) -> Self {
        let blank = bars.add(ProgressBar::new_spinner().with_style(style("{wide_msg}")));
        blank.tick();
        let head = bars.add(ProgressBar::new(1));
        let line = |bars: &MultiProgress| {
            bars.add(ProgressBar::new_spinner().with_style(style("  {wide_msg:.dim}")))
        };
        let (counts, tables) = (line(bars), line(bars));
        Self { blank, head, counts, tables, begin }
    }

    fn draw(&self, now: &Snapshot, pace: &Pace) {
        let doing = doing(now);
        if matches!(now.phase, Phase::Songs | Phase::Logs) && now.bytes < now.bytes_total {
            let percent = 100 * now.bytes / now.bytes_total;
            const NARROW: usize = 50;
            let left = pace.seconds_left().filter(|_| width() >= NARROW);
            let left = left.map_or_else(String::new, |left| format!("  {} left", about(left)));
            self.head.set_style(style("{spinner:.green} {prefix} {wide_bar:.green/dim} {msg}"));
            self.head.set_length(now.bytes_total);
            self.head.set_position(now.bytes);
            self.head.set_prefix(doing);
            self.head.set_message(format!("{percent:>2} %{left}"));
        } else {
            self.head.set_style(style("{spinner:.green} {wide_msg}"));
            let what = if now.phase == Phase::Preparing { &*self.begin } else { doing };
            self.head.set_message(what.to_owned());
        }
        self.head.tick();
        if now.objects_total > 0 {
            let counts = counts(now, pace.per_second(|seen| seen.records), " · ");
            self.counts.set_message(fitting(&counts));
        }
        let tables = pace.tables().into_iter();
        let tables = tables.map(|(table, rate)| format!("{table} {} rows/s", count(rate)));
        self.tables.set_message(fitting(&tables.collect::<Vec<_>>().join(" · ")));
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        for bar in [&self.tables, &self.counts, &self.head, &self.blank] {
            bar.finish_and_clear();
        }
    }
}

/// Cut to the terminal's width, behind the indent.
fn fitting(text: &str) -> String {
    console::truncate_str(text, width().saturating_sub(2), "…").into_owned()
}

fn width() -> usize {
    Term::stderr().size().1.into()
}

pub fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates are fixed").progress_chars("━╸─")
}

#[cfg(test)]
mod tests {
    use sparkload::{Source, Target};

    use super::*;

    #[test]
    fn places_are_named_by_their_base_where_they_have_one() {
        let config = |source| Config::new(source, Target::Embedded("db".into()));
        let of = |songs: &str, logs: &str| {
            places(&config(Source::new(songs.parse().unwrap(), logs.parse().unwrap())))
        };
        assert_eq!(places(&config(Source::at("s3://b/p").unwrap())), "s3://b/p");
        assert_eq!(places(&config(Source::at("s3://b").unwrap())), "s3://b");
        assert_eq!(places(&config(Source::at("./data").unwrap())), "./data");
        assert_eq!(
            of("s3://a/song_data", "s3://b/log_data"),
            "s3://a/song_data and s3://b/log_data"
        );
        assert_eq!(of("song_data", "log_data"), "song_data and log_data");
    }
}
