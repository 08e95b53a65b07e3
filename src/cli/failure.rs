//! A failure: what ends the program early, how it is told, and its exit code.

use std::error::Error as _;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{ExitCode, ExitStatus};

use console::style;
use sparkload::bench::Subject;
use sparkload::{Error, ErrorKind};

use super::logging;

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
const INTERRUPTED: u8 = 130;

/// What ends the program early.
#[derive(Debug)]
pub enum Failure {
    /// A question about the usage or a mistake in it, and what clap has to say.
    Usage(clap::Error, Secrets),
    /// The system gives no threads or signals.
    Start(io::Error),
    /// What was asked for failed.
    Error(Error),
    /// A signal came; with what that means for the tables.
    Interrupted(&'static str),
    /// The job stopped when it was told to, and had nothing to let go of.
    Stopped,
    /// The process of a measurement ended so; it has said why.
    Measurement(Subject, ExitStatus),
    /// The results can't be written.
    Output(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

impl Failure {
    /// What clap says to the command `line`.
    pub fn usage(error: clap::Error, line: &[OsString]) -> Self {
        Self::Usage(error, Secrets::in_line(line))
    }

    /// Tells what happened, and gives the exit code.
    pub fn report(&self) -> ExitCode {
        let code = match self {
            Self::Usage(error, secrets) => return usage(error, secrets),
            // Nobody reads on, as after `| head`: that is no failure.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return ExitCode::SUCCESS;
            }
            Self::Error(error) if error.kind() == ErrorKind::Config => WRONG_USAGE,
            Self::Error(error) if error.kind() == ErrorKind::Interrupted => INTERRUPTED,
            Self::Measurement(_, status) => status
                .code()
                .and_then(|code| u8::try_from(code).ok())
                .filter(|code| *code != 0)
                .unwrap_or(FAILED),
            Self::Error(_) | Self::Output(_) | Self::Start(_) => FAILED,
            Self::Interrupted(_) | Self::Stopped => INTERRUPTED,
        };
        let (what, causes, help) = self.chain();
        if logging::is_json() {
            let because = (!causes.is_empty()).then(|| causes.join(": "));
            tracing::error!(because, help, "{what}");
        } else {
            // If stderr is gone there is nobody to tell.
            let _ = print(&what, &causes, help);
        }
        ExitCode::from(code)
    }

    /// What failed, why, and what to do about it.
    fn chain(&self) -> (String, Vec<String>, Option<&str>) {
        match self {
            Self::Usage(error, _) => (error.to_string(), Vec::new(), None),
            Self::Interrupted(what) => (format!("interrupted: {what}"), Vec::new(), None),
            Self::Stopped => ("interrupted".to_owned(), Vec::new(), None),
            Self::Start(error) => ("cannot start".to_owned(), vec![error.to_string()], None),
            Self::Measurement(subject, status) => {
                (format!("the measurement of {subject} failed ({status})"), Vec::new(), None)
            }
            Self::Output(error) => {
                ("cannot write the results".to_owned(), vec![error.to_string()], None)
            }
            Self::Error(error) => {
                let mut causes = Vec::new();
                let mut next = error.source();
                while let Some(cause) = next {
                    let text = cause.to_string();
                    // Many an error's text ends with its cause's.
                    if !causes.last().is_some_and(|last: &String| last.ends_with(&text)) {
                        causes.push(text);
                    }
                    next = cause.source();
                }
                (error.to_string(), causes, error.help())
            }
        }
    }
}

fn print(what: &str, causes: &[String], help: Option<&str>) -> io::Result<()> {
    let mut out = io::stderr().lock();
    writeln!(out, "{} {}", style("error:").for_stderr().red().bold(), indented(what))?;
    for cause in causes {
        writeln!(out, "  {} {}", style("because:").for_stderr().bold(), indented(cause))?;
    }
    if let Some(help) = help {
        writeln!(out, "  {} {}", style("help:").for_stderr().green().bold(), indented(help))?;
    }
    Ok(())
}

/// Puts the lines after the first under it.
fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

/// Clap repeats what it doesn't know, and that may be a URL with a password in the wrong place.
fn usage(error: &clap::Error, secrets: &Secrets) -> ExitCode {
    let code = ExitCode::from(if error.use_stderr() { WRONG_USAGE } else { 0 });
    let text = error.to_string();
    let masked = secrets.mask(&text);
    let _ = match masked == text {
        true => error.print(),
        false => io::stderr().lock().write_all(masked.as_bytes()),
    };
    code
}

/// The passwords in a command line.
#[derive(Debug, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    fn in_line(line: &[OsString]) -> Self {
        let args = line.iter().map(|arg| arg.to_string_lossy());
        Self(args.flat_map(|arg| passwords(&arg).map(str::to_owned).collect::<Vec<_>>()).collect())
    }

    fn mask(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

/// The passwords in a URL, or in keywords and values.
fn passwords(arg: &str) -> impl Iterator<Item = &str> {
    let in_url = arg
        .split_once("://")
        .and_then(|(_, rest)| rest.rsplit_once('@'))
        .and_then(|(user, _)| user.split_once(':'))
        .map(|(_, password)| password);
    let keywords = arg.match_indices("password").filter_map(|(at, keyword)| {
        let value = arg[at + keyword.len()..].trim_start().strip_prefix('=')?.trim_start();
        match value.strip_prefix('\'') {
            Some(quoted) => quoted.split('\'').next(),
            None => value.split([' ', '&']).next(),
        }
    });
    in_url.into_iter().chain(keywords).filter(|found| !found.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_found_wherever_they_are_written() {
        let cases = [
            ("postgres://u:s3cret@h/d", Some("s3cret")),
            ("--targt=postgres://u:s3:c@ret@h/d", Some("s3:c@ret")),
            ("postgres://u@h/d", None),
            ("s3://bucket/prefix", None),
            ("host=h password=s3cret user=u", Some("s3cret")),
            ("host=h password = 's3 cret' user=u", Some("s3 cret")),
            ("postgres://h/d?user=u&password=s3cret&x=y", Some("s3cret")),
            ("postgres://u@h/d?password=s3cret", Some("s3cret")),
            ("--no-password", None),
            ("load", None),
        ];
        for (arg, expected) in cases {
            assert_eq!(passwords(arg).next(), expected, "{arg}");
        }
    }

    #[test]
    fn a_cause_of_several_lines_stays_under_its_head() {
        assert_eq!(indented("a\nb\nc\n"), "a\n    b\n    c");
    }
}
