//! The process of one measurement: this program again, with the same arguments and a few more.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Stdio;

use indicatif::MultiProgress;
use sparkload::Target;
use sparkload::bench::{Measured, Subject};
use tokio::process::Command;
use tokio::select;
use tokio::sync::oneshot;

use super::Failure;
use super::Knob;

/// This program as it was called.
pub struct Program {
    path: PathBuf,
    arguments: Vec<OsString>,
}

impl Program {
    /// With a `target`, where none is named.
    pub fn new(target: Option<&Target>) -> Result<Self, Failure> {
        let path = env::current_exe().map_err(Failure::Start)?;
        let mut arguments: Vec<OsString> = env::args_os().skip(1).collect();
        if let Some(Target::Embedded(path)) = target {
            let mut target = OsString::from("--target=embedded:");
            target.push(path);
            arguments.push(target);
        }
        Ok(Self { path, arguments })
    }

    /// Measures `subject` in a process of its own, `with` an option that differs; ends it when `stop` completes. What it
    /// has to say is said beside the `bars`.
    pub async fn measure(
        &self,
        subject: Subject,
        with: Option<(Knob, usize)>,
        bars: &MultiProgress,
        stop: &mut oneshot::Receiver<()>,
    ) -> Result<Measured, Failure> {
        let with = with.map(|(knob, value)| format!("--{}={value}", knob.name()));
        let child = Command::new(&self.path)
            .args(&self.arguments)
            .args(with)
            .args([&format!("--only={subject}"), "--output=json"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(Failure::Start)?;
        let id = child.id();
        let mut ended = Box::pin(child.wait_with_output());
        let output = select! {
            ended = &mut ended => ended.map_err(Failure::Start)?,
            _ = stop => {
                if terminate(id) {
                    let _ = ended.await;
                }
                return Err(Failure::Stopped);
            }
        };
        let _ = bars.suspend(|| io::stderr().write_all(&output.stderr));
        if !output.status.success() {
            return Err(Failure::Measurement(subject, output.status));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|error| Failure::Start(io::Error::from(error)))
    }
}

/// Asks a process to clear away what it has begun; whether that can be.
fn terminate(id: Option<u32>) -> bool {
    #[cfg(unix)]
    {
        use rustix::process::{Pid, Signal, kill_process};
        let pid = id.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok())
    }
    #[cfg(not(unix))]
    {
        let _ = id;
        false
    }
}
