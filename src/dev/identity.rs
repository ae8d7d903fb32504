//! Tells one process from another that got the same number later.

use std::fs;
use std::io;
use std::path::Path;

use rustix::process::{Pid, Signal};

/// A process, for certain: its number, and when it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) pid: u32,
    began: String,
}

impl Identity {
    /// The process that has this number now; none if there is none, or if it has ended and only waits to be noticed.
    pub(super) fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, began: began(pid)? })
    }

    /// Whether that very process still runs.
    pub(super) fn is_alive(&self) -> bool {
        began(self.pid).as_ref() == Some(&self.began)
    }

    /// Keeps it in a file, for `read` in a later run.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        fs::write(path, format!("{}\n{}\n", self.pid, self.began))
    }

    /// What `write` kept; none if the file is missing or cut short.
    pub(super) fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let (pid, began) = text.strip_suffix('\n')?.split_once('\n')?;
        Some(Self { pid: pid.parse().ok()?, began: began.to_owned() })
    }

    /// Sends a signal, unless that very process is gone.
    pub(super) fn signal(&self, signal: Signal) {
        if self.is_alive() {
            send(self.pid, signal);
        }
    }
}

/// Sends a signal to a process that the caller knows to be the right one. That it has just ended is no error.
pub(super) fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// The processes that `pid` started, as far as they still run. None can be known where there is no `/proc`.
pub(super) fn children(pid: u32) -> Vec<u32> {
    all().filter(|child| parent(*child) == Some(pid)).collect()
}

/// The numbers of all processes; none where there is no `/proc`.
pub(super) fn all() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn parent(pid: u32) -> Option<u32> {
    stat_field(pid, 1)?.parse().ok()
}

/// When the process began, in words that no other process of that number shares: the boot, and clock ticks since.
#[cfg(target_os = "linux")]
fn began(pid: u32) -> Option<String> {
    if matches!(stat_field(pid, 0)?.as_str(), "Z" | "X") {
        return None;
    }
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Some(format!("{} {}", boot.trim(), stat_field(pid, 19)?))
}

/// When the process began, to the second.
#[cfg(not(target_os = "linux"))]
fn began(pid: u32) -> Option<String> {
    let output =
        std::process::Command::new("ps").args(["-o", "stat=,lstart=", "-p", &pid.to_string()]).output();
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    let (state, began) = text.trim().split_once(' ')?;
    (!state.starts_with('Z')).then(|| began.trim().to_owned())
}

/// A field of `/proc/PID/stat`, counted from the process's state.
fn stat_field(pid: u32, index: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name comes before, in parentheses, and may hold any of these characters itself.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(index).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::process;

    use super::*;

    #[test]
    fn a_process_is_itself_and_no_other_of_its_number() {
        let own = Identity::of(process::id()).unwrap();
        assert!(own.is_alive());
        let earlier = Identity { pid: own.pid, began: "another boot 1".to_owned() };
        assert!(!earlier.is_alive(), "a stranger with the number of a server that has ended");
    }

    #[test]
    fn an_identity_survives_its_file_and_a_cut_off_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kafka.pid");
        assert_eq!(Identity::read(&path), None);
        let own = Identity::of(process::id()).unwrap();
        own.write(&path).unwrap();
        assert_eq!(Identity::read(&path), Some(own));
        fs::write(&path, "12").unwrap();
        assert_eq!(Identity::read(&path), None);
    }

    #[test]
    fn a_process_that_has_ended_but_was_not_waited_for_is_not_alive() {
        let mut child = process::Command::new("true").spawn().unwrap();
        let deadline = crate::clock::monotonic() + std::time::Duration::from_secs(10);
        while Identity::of(child.id()).is_some() {
            assert!(crate::clock::monotonic() < deadline, "`true` still runs");
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }
}
