//! How much memory and how many open files a process has, again and again, and whether that grows.

use std::{fs, time::Duration};

use anyhow::Context as _;

/// What a process had at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Since the beginning.
    pub at: Duration,
    /// Resident memory, in kB.
    pub memory: u64,
    /// Open files, connections among them.
    pub files: u64,
}

impl Sample {
    /// Looks at a process.
    pub fn of(pid: u32, at: Duration) -> anyhow::Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        let memory = line.trim().trim_end_matches(" kB").parse()?;
        let files = u64::try_from(fs::read_dir(format!("/proc/{pid}/fd"))?.count())?;
        Ok(Self { at, memory, files })
    }
}

/// The medians of the first and of the last third of what is left behind the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thirds {
    pub first: u64,
    pub last: u64,
}

impl Thirds {
    /// Nothing where there are fewer than three samples behind the warm-up.
    pub fn of(samples: &[Sample], warm_up: Duration, value: fn(&Sample) -> u64) -> Option<Self> {
        let behind: Vec<u64> = samples.iter().filter(|sample| sample.at >= warm_up).map(value).collect();
        let third = behind.len() / 3;
        let first = median(behind.get(..third)?)?;
        Some(Self { first, last: median(behind.get(behind.len() - third..)?)? })
    }

    /// Whether the last is at most 1.05 times the first, or as much more as is allowed.
    pub fn is_flat(self, slack: u64) -> bool {
        self.last * 100 <= self.first * 105 || self.last <= self.first + slack
    }
}

fn median(values: &[u64]) -> Option<u64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}
