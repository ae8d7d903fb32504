//! What this process costs, from `/proc`. What is not there is absent.

use std::{fmt::Write as _, fs};

use super::{
    Metric, PROCESS_CPU, PROCESS_MEMORY, PROCESS_MOST_FILES, PROCESS_OPEN_FILES, PROCESS_STARTED,
    PROCESS_VIRTUAL_MEMORY, write_head,
};

/// Clock ticks a second in `/proc/self/stat`: 100 on every Linux since 2.6 (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Appends the metrics of this process in Prometheus' text format.
pub(super) fn render(text: &mut String) {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let [stat, status, limits] = ["/proc/self/stat", "/proc/self/status", "/proc/self/limits"].map(read);
    let values: [(&Metric, Option<f64>); 6] = [
        (&PROCESS_CPU, cpu_seconds(&stat)),
        (&PROCESS_MEMORY, bytes(&status, "VmRSS:")),
        (&PROCESS_VIRTUAL_MEMORY, bytes(&status, "VmSize:")),
        (&PROCESS_OPEN_FILES, open_files()),
        (&PROCESS_MOST_FILES, most_files(&limits)),
        (&PROCESS_STARTED, started(&stat, &read("/proc/stat"))),
    ];
    for (metric, value) in values {
        if let Some(value) = value {
            write_head(text, metric);
            let _ = writeln!(text, "{} {value}", metric.name);
        }
    }
}

/// A field by its number in `proc(5)`, from 3 on. The second is a name in brackets that may hold anything, brackets too.
fn field(stat: &str, number: usize) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

/// User and system time.
fn cpu_seconds(stat: &str) -> Option<f64> {
    Some((field(stat, 14)? + field(stat, 15)?) / TICKS_PER_SECOND)
}

/// When the machine was started, and how long after that the process was.
fn started(stat: &str, of_machine: &str) -> Option<f64> {
    let boot = of_machine.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(boot.trim().parse::<f64>().ok()? + field(stat, 22)? / TICKS_PER_SECOND)
}

fn bytes(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// The look itself has the folder open, which does not count.
fn open_files() -> Option<f64> {
    let open = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(open).ok().map(f64::from)
}

/// The soft limit, which is the one that holds.
fn most_files(limits: &str) -> Option<f64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft: u32 = line.split_whitespace().next()?.parse().ok()?;
    Some(soft.into())
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    const STAT: &str = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 500 1 1";

    fn same(found: Option<f64>, wanted: f64) {
        assert!(found.is_some_and(|found| (found - wanted).abs() < 1e-6), "{found:?}, not {wanted}");
    }

    #[test]
    fn times_are_found_behind_any_name() {
        same(cpu_seconds(STAT), 3.0);
        same(started(STAT, "cpu 1 2\nbtime 1700000000\n"), 1_700_000_005.0);
        assert_eq!(cpu_seconds("nothing"), None);
    }

    #[test]
    fn memory_is_in_bytes_and_limits_are_soft() {
        same(bytes("Name:\tx\nVmSize:\t 40 kB\nVmRSS:\t    12 kB\n", "VmRSS:"), 12.0 * 1024.0);
        let line = |soft| {
            format!("Limit  Soft Limit  Hard Limit  Units\nMax open files   {soft}   1048576   files\n")
        };
        same(most_files(&line("1024")), 1024.0);
        assert_eq!(most_files(&line("unlimited")), None);
    }

    #[test]
    fn a_file_that_is_opened_is_counted() {
        let held: Vec<File> = (0..64).map(|_| File::open("/proc/self/stat").unwrap()).collect();
        let open = open_files().unwrap();
        assert!(open >= 64.0, "{open} beside {} that are held", held.len());
    }
}
