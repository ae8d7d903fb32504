//! What is written in one go, and what became of it.

use std::{collections::HashSet, ops::AddAssign};

use serde::Serialize;

use super::{dead_letter::DeadLetter, offset::Progress};
use crate::{
    model::{FlowId, Offset, Partition},
    pipeline::merge::{FlowFold, Fold},
};

/// Flows of a batch, sorted by id.
pub(super) type Flows<'a> = Vec<(&'a FlowId, &'a FlowFold)>;

/// What is written in one go.
#[derive(Debug, Default)]
pub struct Batch {
    /// Rows.
    pub fold: Fold,
    /// Messages that could not become rows.
    pub dead_letters: Vec<DeadLetter>,
    /// How far it takes each of its partitions; sorted by partition.
    pub progress: Vec<Progress>,
    /// What of `fold` retention would take away at once.
    pub at_once: AtOnce,
}

/// What of a batch is not stored, as retention would take it away as soon as the flow has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AtOnce {
    /// Flows that leave no row, unless something of them is stored already.
    pub left_out: HashSet<FlowId>,
    /// Flows that come without payloads, and the number below which runs and executions are kept so; sorted by id.
    pub bare: Vec<(FlowId, i64)>,
}

/// How writing a batch ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Written {
    /// It is stored, and the offsets have moved.
    Stored(Tally),
    /// It is not stored: the offsets were not what was expected. This is what they are.
    Elsewhere(Vec<(Partition, Offset)>),
}

/// What became of the rows of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows of `steps`.
    pub steps: Ops,
    /// Rows of `flowstate`.
    pub flows: Ops,
    /// Rows of `ft_variable`.
    pub variables: Ops,
    /// Rows that came to `ft_superseded_step`.
    pub superseded: u64,
    /// Dead letters that were new.
    pub dead_letters: u64,
    /// How it was written.
    pub ways: Ways,
}

/// The ways that rows of a batch took, each 1 if it was taken.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ways {
    /// Straight into the tables.
    pub straight: u64,
    /// Straight, but a row of another lane was in the way; they were staged instead.
    pub conflict: u64,
    /// A few rows in the place of stored ones.
    pub replaced: u64,
    /// Through the temp tables.
    pub staged: u64,
    /// Under the exclusive lock.
    pub exclusive: u64,
}

/// Rows by what was done to them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Ops {
    /// They were not there.
    pub insert: u64,
    /// They were there and changed.
    pub update: u64,
    /// They were there and said all this already.
    pub unchanged: u64,
    /// They are of flows that were deleted or removed, and are not stored again.
    pub kept_out: u64,
    /// They are of flows that retention would remove at once, and are not stored at all.
    pub left_out: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.steps += more.steps;
        self.flows += more.flows;
        self.variables += more.variables;
        self.superseded += more.superseded;
        self.dead_letters += more.dead_letters;
        self.ways += more.ways;
    }
}

impl AddAssign for Ways {
    fn add_assign(&mut self, more: Self) {
        self.straight += more.straight;
        self.conflict += more.conflict;
        self.replaced += more.replaced;
        self.staged += more.staged;
        self.exclusive += more.exclusive;
    }
}

impl AddAssign for Ops {
    fn add_assign(&mut self, more: Self) {
        self.insert += more.insert;
        self.update += more.update;
        self.unchanged += more.unchanged;
        self.kept_out += more.kept_out;
        self.left_out += more.left_out;
    }
}
