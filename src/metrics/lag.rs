//! Lag by partition, for as long as the partition is ours.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{LAG_RECORDS, LAG_SECONDS, write_head};

/// Lag of one partition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LagSample {
    /// Records that are not yet stored.
    pub records: u64,
    /// Age of the oldest of them in seconds; 0 where there is none, nothing where unknown.
    pub seconds: Option<f64>,
}

/// Lag of the partitions that this member owns. A series is there from [`set`](Self::set) to [`remove`](Self::remove).
#[derive(Debug, Default)]
pub struct LagTable {
    samples: Mutex<BTreeMap<(String, i32), LagSample>>,
}

impl LagTable {
    /// The lag of a partition is now this.
    pub fn set(&self, topic: &str, partition: i32, records: u64, seconds: Option<f64>) {
        self.lock().insert((topic.to_owned(), partition), LagSample { records, seconds });
    }

    /// The partition is not ours any more: its series vanish.
    pub fn remove(&self, topic: &str, partition: i32) {
        self.lock().remove(&(topic.to_owned(), partition));
    }

    /// Only these partitions are ours: the series of the others vanish.
    pub fn retain(&self, ours: impl Fn(&str, i32) -> bool) {
        self.lock().retain(|(topic, partition), _| ours(topic, *partition));
    }

    /// No partition is ours any more.
    pub fn clear(&self) {
        self.lock().clear();
    }

    /// Whether records of a partition wait to be stored, as far as is known.
    pub fn waits(&self, topic: &str, partition: i32) -> bool {
        self.lock().get(&(topic.to_owned(), partition)).is_some_and(|sample| sample.records > 0)
    }

    /// Records of all partitions together that are not yet stored; nothing where no partition is known.
    pub fn total_records(&self) -> Option<u64> {
        let samples = self.lock();
        (!samples.is_empty()).then(|| samples.values().map(|sample| sample.records).sum())
    }

    /// Appends both metrics in Prometheus' text format.
    pub(super) fn render(&self, text: &mut String) {
        let samples = self.lock();
        let labels = |topic: &str, partition: i32| {
            format!("{{topic=\"{}\",partition=\"{partition}\"}}", escaped(topic))
        };
        write_head(text, &LAG_RECORDS);
        for ((topic, partition), sample) in samples.iter() {
            let _ = writeln!(text, "{}{} {}", LAG_RECORDS.name, labels(topic, *partition), sample.records);
        }
        write_head(text, &LAG_SECONDS);
        for ((topic, partition), sample) in samples.iter() {
            if let Some(seconds) = sample.seconds {
                let _ = writeln!(text, "{}{} {seconds}", LAG_SECONDS.name, labels(topic, *partition));
            }
        }
    }

    /// A panic elsewhere leaves the table whole: every change to it is one call.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, i32), LagSample>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
