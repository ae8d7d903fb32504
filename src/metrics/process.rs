//! What this process costs, from `/proc/self`. Where there is none, the metrics are absent.

use std::{fmt::Write as _, fs};

use super::{PROCESS_CPU, PROCESS_MEMORY, write_head};

/// Clock ticks a second in `/proc/self/stat`: 100 on every Linux since 2.6 (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Appends both metrics in Prometheus' text format.
pub(super) fn render(text: &mut String) {
    if let Some(seconds) = fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(cpu_seconds) {
        write_head(text, &PROCESS_CPU);
        let _ = writeln!(text, "{} {seconds}", PROCESS_CPU.name);
    }
    if let Some(bytes) = fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident_bytes) {
        write_head(text, &PROCESS_MEMORY);
        let _ = writeln!(text, "{} {bytes}", PROCESS_MEMORY.name);
    }
}

/// User and system time. The second field is a name in brackets that may hold anything, brackets too.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut times = after_name.split_whitespace().skip(11);
    let user: u32 = times.next()?.parse().ok()?;
    let system: u32 = times.next()?.parse().ok()?;
    Some((f64::from(user) + f64::from(system)) / TICKS_PER_SECOND)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 5 1 1";
        assert_eq!(cpu_seconds(stat), Some(3.0));
        assert_eq!(cpu_seconds("nothing"), None);
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    12 kB\n"), Some(12 * 1024));
    }
}
