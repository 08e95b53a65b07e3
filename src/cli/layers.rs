//! Layers: what was not typed comes from the environment, or else from the settings file.
//!
//! Both give values to the long options by their names, so that they are read and checked just as typed ones
//! are: to clap they are defaults.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory, FromArgMatches};

use super::args::Arguments;
use super::failure::Failure;
use super::file::{self, Values};

/// Variables of other programs' that win over the settings file.
const FOREIGN: [(&str, &[&str]); 6] = [
    ("target", &["PGHOST", "PGHOSTADDR", "PGSERVICE", "PGDATABASE"]),
    ("region", &["AWS_REGION", "AWS_DEFAULT_REGION"]),
    ("profile", &["AWS_PROFILE"]),
    ("access-key-id", &["AWS_ACCESS_KEY_ID", "AWS_PROFILE"]),
    ("secret-access-key", &["AWS_ACCESS_KEY_ID", "AWS_PROFILE"]),
    ("endpoint-url", &["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"]),
];

/// Options for one call alone: a standing `drop` would be a trap.
const TYPED_ONLY: [&str; 9] = [
    "drop",
    "write",
    "list",
    "only",
    "help",
    "version",
    "final-snapshot",
    "skip-final-snapshot",
    "yes",
];

/// The options whose names mean something else, or could, where no command is named.
const SHADOWED: [(&str, &[&str]); 2] =
    [("generate", &["songs", "match"]), ("cluster", &["database", "user", "port", "password"])];

/// What a command's long option is called in the environment and in the settings file.
fn layered_name(command: &str, option: &str) -> String {
    match SHADOWED.iter().any(|(of, options)| *of == command && options.contains(&option)) {
        true => format!("{command}-{option}"),
        false => option.to_owned(),
    }
}

/// The environment's variables by name; an empty one counts as not set.
pub type Environment = BTreeMap<String, String>;

/// The variables that mean something here.
pub fn environment() -> Environment {
    let all = std::env::vars_os().map(|(name, value)| {
        (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
    });
    all.filter(|(name, _)| ["SPARKLOAD_", "PG", "AWS_"].iter().any(|it| name.starts_with(it)))
        .collect()
}

/// Reads the command line and lays the environment and the settings file under it.
pub fn arguments(line: &[OsString], environment: &Environment) -> Result<Arguments, Failure> {
    let usage = |error| Failure::usage(error, line);
    let typed = Arguments::command().try_get_matches_from(line).map_err(usage)?;
    let options = Options::of(&Arguments::command());

    let mut layers = Layers::default();
    layers.add_variables(&options, environment, is_typed(&typed, "source"));
    let mut file = None;
    let mut unread = None;
    if let Some((path, read)) = file::read(config(&typed, environment), &options)? {
        let based = is_typed(&typed, "source") || layers.0.contains_key("source");
        if let Some(missing) = read.nameless
            && layers.needs_target(&typed, environment)
        {
            return Err(nameless(&path, &missing).into());
        }
        if !read.unread.is_empty() {
            let place = path.display();
            unread = Some(format!("{place}: nothing is made of {}", read.unread.join(", ")));
        }
        layers.add_file(&path, read.values, environment, based);
        file = Some(path);
    }
    if !is_typed(&typed, "stage") {
        layers.drop_idle_role();
    }

    let command = Arguments::command().mut_args(|arg| layers.under("", arg));
    let command = command.mut_subcommands(|sub| {
        let name = sub.get_name().to_owned();
        let sub = sub.mut_args(|arg| layers.under(&name, arg));
        sub.mut_subcommands(|action| action.mut_args(|arg| layers.under(&name, arg)))
    });
    let name = typed.subcommand_name().unwrap_or_default();
    let matches =
        command.try_get_matches_from(line).map_err(|error| layers.misplaced(name, &error))?;
    let mut arguments = Arguments::from_arg_matches(&matches).map_err(usage)?;
    arguments.front.config = file;
    arguments.front.unread = unread;
    Ok(arguments)
}

/// Says that a file means a server, so that the embedded database is not meant.
fn nameless(path: &Path, missing: &str) -> sparkload::Error {
    let place = path.display();
    sparkload::Error::config(format!("{place} means a server and names none: {missing} is not set"))
        .with_help(
            "set it, make a cluster with `sparkload cluster create`, or name a target: --target ./sparkload.db is the \
             embedded PostgreSQL",
        )
}

/// The settings file that is named.
fn config(typed: &ArgMatches, environment: &Environment) -> Option<PathBuf> {
    let named = |matches: &ArgMatches| matches.get_one::<PathBuf>("config").cloned();
    named(typed)
        .or_else(|| named(innermost(typed)))
        .or_else(|| set(environment, "SPARKLOAD_CONFIG").map(PathBuf::from))
}

fn set<'a>(environment: &'a Environment, name: &str) -> Option<&'a String> {
    environment.get(name).filter(|value| !value.is_empty())
}

/// What was typed behind the last command, of `cluster create` that of `create`.
fn innermost(mut matches: &ArgMatches) -> &ArgMatches {
    while let Some((_, inner)) = matches.subcommand() {
        matches = inner;
    }
    matches
}

fn is_typed(matches: &ArgMatches, id: &str) -> bool {
    let matches = innermost(matches);
    matches.try_contains_id(id).unwrap_or(false)
        && matches.value_source(id) == Some(ValueSource::CommandLine)
}

/// The values that were not typed, by option.
#[derive(Debug, Default)]
struct Layers(BTreeMap<String, (Vec<String>, Origin)>);

/// Where an option's value is from.
#[derive(Debug)]
enum Origin {
    Variable(String),
    File(PathBuf),
}

/// A base that is named closer to the user is not meant to be combined with parts from farther away.
fn is_part(name: &str) -> bool {
    ["songs", "logs"].contains(&name)
}

impl Layers {
    /// Adds the `SPARKLOAD_*` variables; `based` says that a base was typed.
    fn add_variables(&mut self, options: &Options, environment: &Environment, based: bool) {
        for (name, _) in options.iter().filter(|(name, _)| !(based && is_part(name))) {
            let variable = format!("SPARKLOAD_{}", name.to_uppercase().replace('-', "_"));
            if let Some(value) = set(environment, &variable) {
                self.0.insert(name.to_owned(), (vec![value.clone()], Origin::Variable(variable)));
            }
        }
    }

    /// Whether the command has a target, and nothing before the file names it.
    fn needs_target(&self, typed: &ArgMatches, environment: &Environment) -> bool {
        let innermost = innermost(typed);
        let has_one = innermost.try_contains_id("target").is_ok();
        let lists = innermost.try_get_one("list").ok().flatten() == Some(&true);
        let foreign = FOREIGN.iter().filter(|(name, _)| *name == "target").flat_map(|(_, it)| *it);
        has_one
            && !lists
            && !is_typed(typed, "target")
            && !self.0.contains_key("target")
            && !foreign.into_iter().any(|variable| set(environment, variable).is_some())
    }

    /// Adds what the file at `path` sets and the environment doesn't.
    fn add_file(&mut self, path: &Path, values: Values, environment: &Environment, based: bool) {
        for (name, values) in values {
            let foreign = FOREIGN.iter().find(|(of, _)| *of == name).map_or(&[][..], |(_, it)| it);
            let is_set = foreign.iter().any(|variable| set(environment, variable).is_some());
            if is_set || based && is_part(&name) {
                continue;
            }
            self.0.entry(name).or_insert((values, Origin::File(path.to_owned())));
        }
    }

    /// Takes away the role that a file names where there is no stage: `dwh.cfg` names it always.
    fn drop_idle_role(&mut self) {
        if !self.0.contains_key("stage") {
            self.0.retain(|name, (_, origin)| {
                name != "iam-role" || !matches!(origin, Origin::File(_))
            });
        }
    }

    /// Lays the value of a command's option, where there is one, under what was typed.
    fn under(&self, command: &str, arg: Arg) -> Arg {
        match arg.get_long().and_then(|name| self.0.get(&layered_name(command, name))) {
            Some((values, _)) => arg.default_values(values.iter().map(OsString::from)),
            None => arg,
        }
    }

    /// Says where the value is from; clap knows what is wrong with it, but takes it for a default.
    fn misplaced(&self, command: &str, error: &clap::Error) -> Failure {
        let option = match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(option)) => option.as_str(),
            _ => "",
        };
        let name = option.trim_start_matches("--").split([' ', '[', '=']).next();
        let layer = name.and_then(|name| self.0.get(&layered_name(command, name)));
        let place = match layer {
            Some((_, Origin::Variable(variable))) => variable.clone(),
            Some((_, Origin::File(path))) => path.display().to_string(),
            None => "the settings".to_owned(),
        };
        let text = error.to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let what = text.split("\n\nFor more").next().unwrap_or(text).trim_end();
        sparkload::Error::config(format!("in {place}: {what}")).into()
    }
}

/// The long options that the environment and the settings file may give, of all commands.
#[derive(Debug)]
pub struct Options(BTreeMap<String, Takes>);

/// What an option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    One,
    Many,
}

impl Options {
    pub fn of(command: &clap::Command) -> Self {
        let commands = command.get_subcommands().chain([command]);
        let args = commands.flat_map(|command| {
            let actions = command.get_subcommands().filter(|_| command.get_name() == "cluster");
            let parts = actions.chain([command]);
            parts.flat_map(|part| part.get_arguments()).map(|arg| (command.get_name(), arg))
        });
        let options = args.filter_map(|(command, arg)| {
            let takes = match arg.get_action() {
                ArgAction::Append => Takes::Many,
                _ => Takes::One,
            };
            Some((layered_name(command, arg.get_long()?), takes))
        });
        let layered = options.filter(|(name, _)| !TYPED_ONLY.contains(&name.as_str()));
        // Which file to read is settled before one is read.
        Self(layered.filter(|(name, _)| name != "config").collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, Takes)> {
        self.0.iter().map(|(name, takes)| (name.as_str(), *takes))
    }

    pub fn get(&self, name: &str) -> Option<Takes> {
        self.0.get(name).copied()
    }
}
