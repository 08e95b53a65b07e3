//! Logs: what the library and the display have to say, on stderr.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use indicatif::{MultiProgress, ProgressDrawTarget};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

use super::options::LogFormat;
use super::settings::Front;

static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Whether everything on stderr is JSON.
pub fn is_json() -> bool {
    FORMAT.get() == Some(&LogFormat::Json)
}

/// Starts logging; what is drawn in the bars stays out of the logs' way.
pub fn start(front: Front) -> MultiProgress {
    let Front { quiet, verbose, log_format } = front;
    let _ = FORMAT.set(log_format);
    let (ours, others) = match (quiet, verbose) {
        (true, _) => (LevelFilter::ERROR, LevelFilter::ERROR),
        // What goes wrong in the others comes back as our own error, so that their warnings only repeat it.
        (false, false) => (LevelFilter::INFO, LevelFilter::ERROR),
        // More of the others would show SQL, and headers with tokens.
        (false, true) => (LevelFilter::DEBUG, LevelFilter::WARN),
    };
    let filter = Targets::new().with_default(others).with_target("sparkload", ours);

    let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
    let stderr = tracing_subscriber::fmt::layer().with_writer(Beside(bars.clone()));
    let registry = tracing_subscriber::registry();
    let terminal = io::stderr().is_terminal();
    let stderr = stderr.with_target(false).with_ansi(terminal && console::colors_enabled_stderr());
    let started = match log_format {
        LogFormat::Json => registry.with(stderr.json().with_filter(filter)).try_init(),
        LogFormat::Text if terminal => {
            registry.with(stderr.without_time().with_filter(filter)).try_init()
        }
        LogFormat::Text => registry.with(stderr.with_filter(filter)).try_init(),
    };
    debug_assert!(started.is_ok(), "logging is started once");
    bars
}

/// Writes to stderr while nothing is drawn there.
#[derive(Clone)]
struct Beside(MultiProgress);

impl<'a> MakeWriter<'a> for Beside {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Beside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}
