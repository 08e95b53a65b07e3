//! The report of a bench: every figure, and what it depends on.

use std::collections::BTreeMap;
use std::fs;
use std::thread::available_parallelism;

use serde::Serialize;
use sparkload::bench::{self, Floor, Measured, Subject, Summary, TableSum};
use sparkload::{Config, Error, Matching};

use super::super::display::places;
use super::super::settings::Bench;
use super::super::sweep::Knob;
use super::Step;

#[derive(Debug, Serialize)]
pub struct Report {
    /// The version of this program.
    pub version: &'static str,
    pub machine: Machine,
    /// The version of the server, and its settings that count.
    pub server: BTreeMap<String, String>,
    pub settings: Settings,
    /// What every load has made of the source.
    pub result: Vec<TableSum>,
    pub stages: Vec<Summary>,
    pub floor: Option<Floor>,
    pub sweeps: Vec<Swept>,
}

#[derive(Debug, Serialize)]
pub struct Machine {
    pub cores: usize,
    pub cpu: Option<String>,
    pub system: &'static str,
}

/// The settings that make a load faster or slower; the target shows no password.
#[derive(Debug, Serialize)]
pub struct Settings {
    pub source: String,
    pub include: Vec<String>,
    pub exclude: Vec<String>,
    pub target: String,
    pub schema: String,
    pub runs: u32,
    pub staging: bool,
    #[serde(rename = "match")]
    pub matching: Matching,
    pub matched_only: bool,
    pub memory: usize,
    pub fetches: usize,
    pub connections: usize,
    pub threads: usize,
    pub block_bytes: usize,
}

/// An option and what each of its values has come to.
#[derive(Debug, Serialize)]
pub struct Swept {
    pub option: &'static str,
    #[serde(skip)]
    pub knob: Knob,
    pub values: Vec<SweptValue>,
}

#[derive(Debug, Serialize)]
pub struct SweptValue {
    pub value: usize,
    pub load: Summary,
    /// Where the option has a say in it.
    pub null: Option<Summary>,
}

impl Report {
    /// # Errors
    ///
    /// Two loads have had different results.
    pub fn new(
        job: &Bench,
        server: BTreeMap<String, String>,
        measured: Vec<(Step, Vec<Measured>)>,
    ) -> Result<Self, Error> {
        let all = measured.iter().flat_map(|(_, measured)| measured);
        let result = bench::same_result(all)?;
        let with = |with| {
            let of = measured.iter().filter(move |(step, _)| step.with == with);
            Summary::all(of.flat_map(|(_, measured)| measured.clone()).collect())
        };
        let swept = job.sweeps.iter().map(|sweep| {
            let values = sweep.values.iter().filter_map(|&value| {
                let mut summaries = with(Some((sweep.knob, value)));
                let load = summaries.pop().filter(|it| it.stage == Subject::Load)?;
                Some(SweptValue { value, load, null: summaries.pop() })
            });
            Swept { option: sweep.knob.name(), knob: sweep.knob, values: values.collect() }
        });
        let sweeps = swept.collect();
        let machine = Machine::this();
        let settings = Settings::of(&job.config, job.runs, machine.cores);
        let stages = with(None);
        let floor = Floor::of(&stages, machine.cores, settings.threads);
        let version = env!("CARGO_PKG_VERSION");
        Ok(Self { version, machine, server, settings, result, stages, floor, sweeps })
    }

    pub fn stage(&self, subject: Subject) -> Option<&Summary> {
        self.stages.iter().find(|summary| summary.stage == subject)
    }
}

impl Machine {
    fn this() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = info.lines().find_map(|line| line.strip_prefix("model name"));
        let cpu =
            model.and_then(|rest| rest.split_once(':')).map(|(_, name)| name.trim().to_owned());
        let cores = available_parallelism().map_or(1, usize::from);
        Self { cores, cpu, system: std::env::consts::OS }
    }
}

impl Settings {
    fn of(config: &Config, runs: u32, cores: usize) -> Self {
        Self {
            source: places(config),
            include: config.source.include.clone(),
            exclude: config.source.exclude.clone(),
            target: config.target.to_string(),
            schema: config.schema.clone(),
            runs,
            staging: config.staging,
            matching: config.matching,
            matched_only: config.matched_only,
            memory: config.memory,
            fetches: config.fetches,
            connections: config.target.connections(config.connections),
            threads: config.threads.unwrap_or(cores),
            block_bytes: config.block_bytes,
        }
    }
}
