//! Lag by partition, for as long as the partition is ours.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{CONSUMERGROUP_LAG, LAG_RECORDS, LAG_SECONDS, Metric, STORED_OFFSET, write_head};

/// Lag of one partition.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LagSample {
    /// Records that are not yet stored.
    pub records: u64,
    /// Age of the oldest of them in seconds; 0 where there is none, nothing where unknown.
    pub seconds: Option<f64>,
    /// Offset behind what is stored; nothing where nothing is.
    pub stored: Option<i64>,
}

/// Lag of the partitions that this member owns. A series is there from [`set`](Self::set) to [`remove`](Self::remove).
#[derive(Debug, Default)]
pub struct LagTable {
    samples: Mutex<BTreeMap<(String, i32), LagSample>>,
}

impl LagTable {
    /// The lag of a partition is now this.
    pub fn set(&self, topic: &str, partition: i32, lag: LagSample) {
        self.lock().insert((topic.to_owned(), partition), lag);
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

    /// Appends all metrics of the lag in Prometheus' text format; `group` is the one that an alias is for.
    pub(super) fn render(&self, text: &mut String, group: Option<&str>) {
        let samples = self.lock();
        let mut write = |metric: &Metric, more: &str, value: &dyn Fn(&LagSample) -> Option<f64>| {
            write_head(text, metric);
            for ((topic, partition), sample) in samples.iter() {
                if let Some(value) = value(sample) {
                    let (name, topic) = (metric.name, escaped(topic));
                    let _ =
                        writeln!(text, "{name}{{{more}topic=\"{topic}\",partition=\"{partition}\"}} {value}");
                }
            }
        };
        write(&LAG_RECORDS, "", &|sample| Some(exact(sample.records)));
        write(&LAG_SECONDS, "", &|sample| sample.seconds);
        write(&STORED_OFFSET, "", &|sample| Some(exact(u64::try_from(sample.stored?).ok()?)));
        if let Some(group) = group {
            let group = format!("consumergroup=\"{}\",", escaped(group));
            write(&CONSUMERGROUP_LAG, &group, &|sample| Some(exact(sample.records)));
        }
    }

    /// A panic elsewhere leaves the table whole: every change to it is one call.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, i32), LagSample>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "exact up to 2^53 records")]
fn exact(records: u64) -> f64 {
    records as f64
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
