//! The meter: what this process, and this machine, have used between two moments.

use std::fs;
use std::time::{Duration, Instant};

use super::Took;

/// Runs from its start to its stop.
pub(super) struct Meter {
    started: Instant,
    cpu: Option<Duration>,
    machine_ticks: Option<u64>,
}

impl Meter {
    pub fn start() -> Self {
        Self { machine_ticks: machine_ticks(), cpu: cpu(), started: Instant::now() }
    }

    pub fn stop(self) -> Took {
        let seconds = self.started.elapsed().as_secs_f64();
        let used = || Some(cpu()?.saturating_sub(self.cpu?).as_secs_f64());
        let ticks = || Some(machine_ticks()?.saturating_sub(self.machine_ticks?));
        Took {
            seconds,
            cpu_seconds: used(),
            machine_cpu_seconds: ticks().map(|ticks| ticks as f64 / ticks_per_second()),
            peak_bytes: peak_bytes(),
        }
    }
}

/// What this process has used of its processors, in user and system mode.
fn cpu() -> Option<Duration> {
    #[cfg(unix)]
    {
        use rustix::time::{ClockId, clock_gettime};
        let used = clock_gettime(ClockId::ProcessCPUTime);
        Some(Duration::new(used.tv_sec.try_into().ok()?, used.tv_nsec.try_into().ok()?))
    }
    #[cfg(not(unix))]
    None
}

/// How long all processors together have worked since the machine has started.
fn machine_ticks() -> Option<u64> {
    #[cfg(target_os = "linux")]
    return busy_ticks(&fs::read_to_string("/proc/stat").ok()?);
    #[cfg(not(target_os = "linux"))]
    None
}

fn ticks_per_second() -> f64 {
    #[cfg(target_os = "linux")]
    return rustix::param::clock_ticks_per_second() as f64;
    #[cfg(not(target_os = "linux"))]
    1.0
}

/// The ticks in which a processor was neither idle nor waiting, of the first line of `/proc/stat` (proc_stat(5)): user,
/// nice, system, idle, iowait, irq, softirq, steal. What guests use is in user.
#[cfg(any(target_os = "linux", test))]
fn busy_ticks(stat: &str) -> Option<u64> {
    let fields = stat.lines().next()?.strip_prefix("cpu ")?.split_whitespace();
    let ticks: Vec<u64> = fields.map(str::parse).collect::<Result<_, _>>().ok()?;
    let [user, nice, system, _idle, _iowait, irq, softirq, ..] = ticks[..] else { return None };
    Some(user + nice + system + irq + softirq)
}

/// The most memory that this process has held at once; proc(5) calls it VmHWM. `getrusage` would say no less than what
/// the process that started this one held then.
fn peak_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_busy_while_it_is_not_idle_and_does_not_wait() {
        let stat = "cpu  10 2 30 4000 500 6 7 80 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(busy_ticks(stat), Some(10 + 2 + 30 + 6 + 7));
        assert_eq!(busy_ticks("intr 1 2 3"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn work_shows_on_every_meter() {
        let meter = Meter::start();
        let start = Instant::now();
        while start.elapsed().as_millis() < 50 {
            std::hint::spin_loop();
        }
        let Took { seconds, cpu_seconds, machine_cpu_seconds, peak_bytes } = meter.stop();
        assert!(seconds >= 0.05);
        assert!(cpu_seconds.unwrap() > 0.0 && machine_cpu_seconds.unwrap() >= 0.0);
        assert!(peak_bytes.unwrap() > 1 << 20);
    }
}
