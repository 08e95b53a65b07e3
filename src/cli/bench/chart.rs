//! The chart of a bench, as SVG: the rate of each stage, and how loads scale with the options that were swept.
//!
//! It is bars and lines of known sizes, so that writing it takes less than a library's set-up would; only text needs care.

use std::fmt::Write;

use sparkload::bench::{Spread, Subject, Summary};

use super::super::figures::counted;
use super::report::{Report, Swept};
use super::table::{megabytes, rate};

const WIDTH: f64 = 860.0;
/// Where the plots begin and end; names stand to the left, figures to the right.
const LEFT: f64 = 96.0;
const RIGHT: f64 = 600.0;
const BAR: f64 = 26.0;
const PLOT: f64 = 190.0;
const PART: &str = "#4c78a8";
const WHOLE: &str = "#e07b28";
const QUIET: &str = "#6b7280";

/// Draws everything in `report`.
pub fn draw(report: &Report) -> String {
    let mut svg = Svg { body: String::new(), y: 30.0 };
    svg.text(16.0, svg.y, "start", "font-size='17' font-weight='600'", "sparkload bench");
    let about = format!(
        "{}, {} on {}; medians, the lines reach from the slowest to the fastest",
        report.settings.source,
        counted(u64::from(report.settings.runs), "run"),
        counted(report.machine.cores as u64, "core"),
    );
    svg.y += 20.0;
    svg.text(16.0, svg.y, "start", &grey(), &about);
    svg.y += 34.0;
    let source = report.stage(Subject::Fetch).map_or(0, |fetch| fetch.handled.bytes) as f64;
    bars(&mut svg, report, source);
    for swept in &report.sweeps {
        lines(&mut svg, swept, source);
    }
    svg.finish()
}

/// Bytes of the source that pass a second, in millions: the slowest, the median and the fastest.
fn rates(summary: &Summary, source: f64) -> [f64; 3] {
    let Spread { median, min, max, .. } = summary.seconds;
    [max, median, min].map(|seconds| source * summary.share / seconds.max(1e-6) / 1e6)
}

fn bars(svg: &mut Svg, report: &Report, source: f64) {
    svg.title("MB of the source that each stage handles in a second");
    let all: Vec<_> = report.stages.iter().map(|it| (it, rates(it, source))).collect();
    let flat = || all.iter().flat_map(|(_, rates)| rates).map(|rate| rate.max(1e-6).log10());
    let low = flat().fold(f64::MAX, f64::min).floor();
    let high = flat().fold(f64::MIN, f64::max).ceil().max(low + 1.0);
    let x = |rate: f64| LEFT + (rate.max(1e-6).log10() - low) / (high - low) * (RIGHT - LEFT);
    let (top, bottom) = (svg.y, svg.y + BAR * all.len() as f64);
    for decade in low as i32..=high as i32 {
        let at = x(10f64.powi(decade));
        svg.line(at, top, at, bottom, "stroke='#d8dce2'");
        svg.text(at, bottom + 16.0, "middle", &grey(), &format!("{}", 10f64.powi(decade)));
    }
    svg.text(RIGHT + 48.0, bottom + 16.0, "start", &grey(), "logarithmic");
    for (summary, [slow, median, fast]) in &all {
        let colour = match summary.stage {
            Subject::Null | Subject::Load => WHOLE,
            _ => PART,
        };
        let middle = svg.y + BAR / 2.0;
        let included = if summary.stage.includes().is_some() { "+ " } else { "" };
        let name = format!("{included}{}", summary.stage);
        svg.text(LEFT - 10.0, middle + 4.0, "end", "", &name);
        let bar = format!("fill='{colour}'");
        svg.rect(LEFT, svg.y + 5.0, x(*median) - LEFT, BAR - 10.0, &bar);
        svg.line(x(*slow), middle, x(*fast), middle, "stroke='#1f2937' stroke-width='1.5'");
        let figures = [format!("{} MB/s", megabytes(median * 1e6)), rate(summary)];
        let figures = figures.iter().filter(|it| !it.is_empty()).cloned().collect::<Vec<_>>();
        svg.text(RIGHT + 18.0, middle + 4.0, "start", "", &figures.join(", "));
        svg.y += BAR;
    }
    if let Some(floor) = &report.floor {
        let at = x(source / floor.seconds / 1e6);
        svg.line(at, top, at, bottom, "stroke='#b91c1c' stroke-dasharray='4 3'");
        svg.text(at, top - 4.0, "middle", "fill='#b91c1c' font-size='11'", "floor");
    }
    svg.y += 62.0;
}

fn lines(svg: &mut Svg, swept: &Swept, source: f64) {
    let Swept { option, knob, values } = swept;
    svg.title(&format!("MB of the source that are loaded in a second, by {option}"));
    let load = values.iter().map(|value| Some(rates(&value.load, source)));
    let null = values.iter().map(|value| Some(rates(value.null.as_ref()?, source)));
    let lines: [(_, _, Vec<_>); 2] =
        [("null", PART, null.collect()), ("load", WHOLE, load.collect())];
    let fastest = lines.iter().flat_map(|(_, _, points)| points).flatten().map(|rates| rates[2]);
    let fastest = fastest.fold(0.0, f64::max);
    let unit = step(fastest / 4.0);
    let units = (fastest / unit).ceil().max(1.0);
    let (bottom, per_value) = (svg.y + PLOT, (RIGHT - LEFT) / values.len() as f64);
    let y = |rate: f64| bottom - rate / (unit * units) * PLOT;
    let x = |index: usize| LEFT + (index as f64 + 0.5) * per_value;
    for tick in 0..=units as u32 {
        let rate = unit * f64::from(tick);
        svg.line(LEFT, y(rate), RIGHT, y(rate), "stroke='#d8dce2'");
        svg.text(LEFT - 10.0, y(rate) + 4.0, "end", &grey(), &format!("{}", rate as f32));
    }
    for (index, value) in values.iter().enumerate() {
        svg.text(x(index), bottom + 18.0, "middle", "", &knob.shown(value.value));
    }
    let mut below = f64::MIN;
    for (name, colour, points) in &lines {
        let points: Vec<_> =
            points.iter().enumerate().filter_map(|(index, it)| Some((x(index), (*it)?))).collect();
        for pair in points.windows(2) {
            let [(from, [_, a, _]), (to, [_, b, _])] = pair else { continue };
            let stroke = format!("stroke='{colour}' stroke-width='2'");
            svg.line(*from, y(*a), *to, y(*b), &stroke);
        }
        for (at, [slow, median, fast]) in &points {
            svg.line(*at, y(*slow), *at, y(*fast), "stroke='#1f2937' stroke-width='1.5'");
            svg.dot(*at, y(*median), colour);
        }
        if let Some((_, [_, last, _])) = points.last() {
            let figure = format!("{name}, {} MB/s", megabytes(last * 1e6));
            let fill = format!("fill='{colour}'");
            // The names of lines that end near each other stand one above the other.
            below = (y(*last) + 4.0).max(below + 16.0);
            svg.text(RIGHT + 18.0, below, "start", &fill, &figure);
        }
    }
    svg.y = bottom + 62.0;
}

/// A round number that is no smaller: 1, 2 or 5 times a power of ten.
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-6).log10().floor());
    [1.0, 2.0, 5.0]
        .map(|digit| digit * power)
        .into_iter()
        .find(|it| *it >= least)
        .unwrap_or(power * 10.0)
}

fn grey() -> String {
    format!("fill='{QUIET}' font-size='12'")
}

/// Shapes that follow each other down a page.
struct Svg {
    body: String,
    /// Where the next one goes.
    y: f64,
}

impl Svg {
    fn title(&mut self, text: &str) {
        self.text(16.0, self.y, "start", "font-size='14' font-weight='600'", text);
        self.y += 24.0;
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, style: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        self.push(&format!(
            "<text x='{x:.1}' y='{y:.1}' text-anchor='{anchor}' {style}>{text}</text>"
        ));
    }

    fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, style: &str) {
        let size = format!("width='{:.1}' height='{height:.1}'", width.max(1.0));
        self.push(&format!("<rect x='{x:.1}' y='{y:.1}' {size} {style}/>"));
    }

    fn line(&mut self, x1: f64, y1: f64, x2: f64, y2: f64, style: &str) {
        self.push(&format!("<line x1='{x1:.1}' y1='{y1:.1}' x2='{x2:.1}' y2='{y2:.1}' {style}/>"));
    }

    fn dot(&mut self, x: f64, y: f64, colour: &str) {
        self.push(&format!("<circle cx='{x:.1}' cy='{y:.1}' r='4' fill='{colour}'/>"));
    }

    fn push(&mut self, shape: &str) {
        writeln!(self.body, "{shape}").expect("a string takes everything");
    }

    fn finish(self) -> String {
        let Self { body, y } = self;
        format!(
            "<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{y:.0}' viewBox='0 0 {WIDTH} {y:.0}' \
             font-family='system-ui, sans-serif' font-size='13' fill='#1f2937'>\n\
             <rect width='100%' height='100%' fill='white'/>\n{body}</svg>\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_marked_at_round_numbers() {
        for (least, expected) in [(0.9, 1.0), (1.0, 1.0), (1.1, 2.0), (3.0, 5.0), (7.0, 10.0)] {
            assert_eq!(step(least), expected, "{least}");
        }
    }

    #[test]
    fn text_is_escaped() {
        let mut svg = Svg { body: String::new(), y: 0.0 };
        svg.text(1.0, 2.0, "start", "", "a<b & c");
        assert!(svg.body.contains(">a&lt;b &amp; c</text>"), "{}", svg.body);
    }
}
