//! What came out of a comparison.

use serde::Serialize;

use super::{
    comparing::Compared,
    judge::{Kind, RowDifference},
};

/// A row that is not as it should be, with all of its key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// Flow instance; of `appstate` user and app, of `ft_dead_letter` the record.
    pub of: String,
    /// The row.
    #[serde(flatten)]
    pub row: RowDifference,
    /// First and last record of the slice that speak of it, as `topic[partition]@offset`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<(String, String)>,
}

/// A partition's part.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// Topic.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// First offset that was read.
    pub from: i64,
    /// First offset that was not read any more.
    pub to: i64,
    /// Offsets up to the end of the slice that the group has not stored yet, and which were left out.
    pub not_yet_stored: u64,
}

/// What was compared, and what was found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// What was read.
    pub partitions: Vec<Part>,
    /// Records that were read.
    pub records: u64,
    /// Records that can't become rows, and have to be dead letters.
    pub rejected: u64,
    /// Records that Postgres refused, and which count for nothing.
    pub refused: u64,
    /// Flows that were compared.
    pub flows: u64,
    /// Rows that the records make.
    pub rows: u64,
    /// Rows that are not stored.
    pub missing: u64,
    /// Rows that are stored with other values.
    pub different: u64,
    /// Rows that no record speaks of.
    pub extra: u64,
    /// Flows that retention removed.
    pub removed_by_retention: u64,
    /// Flows whose whole story is in the slice: only of these an extra row can be told.
    pub flows_told_whole: u64,
    /// Flows that changed too fast to say whether a row of theirs is extra.
    pub flows_in_motion: u64,
    /// Bytes that were written to files.
    pub spilled_bytes: u64,
}

impl Report {
    /// Whether any row is not as it should be.
    pub fn differs(&self) -> bool {
        self.missing + self.different + self.extra > 0
    }

    pub(super) fn count(&mut self, kind: Kind) {
        let counter = match kind {
            Kind::Missing => &mut self.missing,
            Kind::Different => &mut self.different,
            Kind::Extra => &mut self.extra,
        };
        *counter += 1;
    }

    pub(super) fn add(&mut self, compared: &Compared) {
        self.flows += compared.flows;
        self.rows += compared.rows;
        self.removed_by_retention += compared.removed;
        self.flows_told_whole += compared.told_whole;
        self.flows_in_motion += compared.in_motion;
    }
}
