//! The merge law: events → one row per key. Pure.
//!
//! Joining rows is commutative, associative and idempotent, so any order, duplication and split of the same events
//! ends in the same rows. The law is written twice: here, and as SQL in [`crate::postgres::law`] for what meets
//! rows that are stored already. Its rules are listed in ARCHITECTURE.md.

mod payload;
mod settle;

use std::{
    cmp::max,
    collections::{BTreeMap, BTreeSet, HashMap},
};

use bytes::Bytes;
use foldhash::fast::RandomState;
use sha2::{Digest, Sha256};

pub use self::settle::{FlowTables, ShownRun, Tables};
use crate::model::{AppRow, Event, FlowId, Micros, Phase, RunRow, StepId, StepRow, Text, VariableRow};

/// Key of an execution within its flow: step and execution number.
pub type ExecutionKey = (StepId, i64);

/// Key of a snapshot within its flow: step, if the runtime said, and SHA-256 of the bytes.
pub type SnapshotKey = (Option<StepId>, [u8; 32]);

/// Key of a variable within its flow: scope, empty for the instance itself, and name.
pub type VariableKey = (Text, Text);

/// Executions below `before` of the steps numbered `from` and up (`None`: of all steps) are superseded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    /// First step number it reaches; `None` reaches every step.
    pub from: Option<i64>,
    /// Executions below this are superseded.
    pub before: i64,
}

impl Fact {
    /// Whether this fact supersedes that execution.
    pub fn reaches(&self, step: &StepId, execution: i64) -> bool {
        let covers = self.from.is_none_or(|from| step.number().is_some_and(|number| from <= number));
        covers && execution < self.before
    }
}

/// How much of a flow was deleted. A greater one removes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tombstone {
    /// Runs and executions below this number, and facts up to it.
    Before(i64),
    /// Everything, for ever.
    Forever,
}

impl Tombstone {
    /// Whether a run or an execution of this number is gone.
    pub fn covers(self, number: i64) -> bool {
        match self {
            Self::Before(before) => number < before,
            Self::Forever => true,
        }
    }

    /// Whether a fact is gone: one up to the tombstone reaches nothing that is left.
    pub fn covers_fact(self, fact: &Fact) -> bool {
        match self {
            Self::Before(before) => fact.before <= before,
            Self::Forever => true,
        }
    }
}

/// What a set of events says of one flow instance: at most one row per key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowFold {
    /// Runs by number.
    pub runs: BTreeMap<i64, Box<RunRow>>,
    /// Executions by step and number.
    pub steps: BTreeMap<ExecutionKey, Box<StepRow>>,
    /// Rewinds.
    pub rewinds: BTreeSet<Fact>,
    /// The greatest deletion.
    pub tombstone: Option<Tombstone>,
    /// Distinct snapshots.
    pub snapshots: BTreeMap<SnapshotKey, Bytes>,
    /// Variables as they were last set or removed.
    pub variables: BTreeMap<VariableKey, Box<VariableRow>>,
}

impl FlowFold {
    /// Whether storing this flow can touch other rows than those of its own keys, by what the events alone say:
    /// a rewind, a deletion, a re-run step, a named original, or two runs or two executions of one step.
    pub fn reaches_beyond_its_keys(&self) -> bool {
        self.tombstone.is_some()
            || !self.rewinds.is_empty()
            || self.runs.len() > 1
            || self.runs.values().any(|run| run.original.is_some())
            || self.steps.values().any(|step| step.rerun)
            || self.steps.keys().zip(self.steps.keys().skip(1)).any(|(a, b)| a.0 == b.0)
    }

    /// Whether nothing of it is left beside such a deletion. A snapshot has no number, and is kept but by the greatest.
    pub fn is_covered_by(&self, tombstone: Tombstone) -> bool {
        self.tombstone <= Some(tombstone)
            && self.runs.keys().all(|run| tombstone.covers(*run))
            && self.steps.keys().all(|(_, execution)| tombstone.covers(*execution))
            && self.rewinds.iter().all(|fact| tombstone.covers_fact(fact))
            && (self.snapshots.is_empty() || tombstone == Tombstone::Forever)
            && self.variables.values().all(|variable| tombstone.covers(variable.run))
    }

    /// The least number above all of its runs, executions and runs of variables, and where a run's number is its start, as
    /// Flogo's are, above those of steps that began before its end.
    pub fn number_above(&self) -> i64 {
        let runs = self.runs.iter().map(|(&run, row)| match (row.start, row.end) {
            (Some(start), Some(end)) if start.get() == run => end.get().max(run),
            _ => run,
        });
        let executions = self.steps.keys().map(|(_, execution)| *execution);
        let variables = self.variables.values().map(|variable| variable.run);
        runs.chain(executions).chain(variables).max().unwrap_or(0).max(0).saturating_add(1)
    }

    /// Joins what two sets of events say of one flow.
    pub fn join(&mut self, other: Self) {
        for (run, row) in other.runs {
            put(&mut self.runs, run, row, |old, new| old.merge(*new));
        }
        for (execution, row) in other.steps {
            put(&mut self.steps, execution, row, |old, new| old.merge(*new));
        }
        self.rewinds.extend(other.rewinds);
        self.tombstone = max(self.tombstone, other.tombstone);
        self.snapshots.extend(other.snapshots);
        for (variable, row) in other.variables {
            put(&mut self.variables, variable, row, later);
        }
    }
}

/// What a set of events says: at most one row per key. The unit that [`crate::pipeline::store`] writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fold {
    /// By flow instance.
    pub flows: HashMap<FlowId, FlowFold, RandomState>,
    /// By user and app.
    pub apps: BTreeMap<(Text, Text), AppRow>,
}

impl Fold {
    /// Takes an event in; says whether it made a row of its own, or was merged into one that was there.
    pub fn add(&mut self, event: Event) -> bool {
        match event {
            Event::Flow { flow, run, row } => {
                put(&mut self.flows.entry(flow).or_default().runs, run, row, |old, new| old.merge(*new))
            }
            Event::Step { flow, step, execution, row } => {
                let steps = &mut self.flows.entry(flow).or_default().steps;
                put(steps, (step, execution), row, |old, new| old.merge(*new))
            }
            Event::Rewind { flow, from, before } => {
                self.flows.entry(flow).or_default().rewinds.insert(Fact { from, before })
            }
            Event::Deleted { flow, before } => {
                let tombstone = &mut self.flows.entry(flow).or_default().tombstone;
                let first = tombstone.is_none();
                *tombstone = max(*tombstone, Some(before.map_or(Tombstone::Forever, Tombstone::Before)));
                first
            }
            Event::Snapshot { flow, step, data } => {
                let key = (step, Sha256::digest(&data).into());
                self.flows.entry(flow).or_default().snapshots.insert(key, data).is_none()
            }
            Event::Variable { flow, scope, name, row } => {
                put(&mut self.flows.entry(flow).or_default().variables, (scope, name), row, later)
            }
            Event::App(switch) => put(&mut self.apps, (switch.user, switch.app), switch.row, later),
        }
    }
}

impl Extend<Event> for Fold {
    fn extend<T: IntoIterator<Item = Event>>(&mut self, events: T) {
        for event in events {
            self.add(event);
        }
    }
}

/// Inserts a row, or merges it into the one that is there; says whether it was inserted.
fn put<K: Ord, V>(rows: &mut BTreeMap<K, V>, key: K, row: V, merge: impl FnOnce(&mut V, V)) -> bool {
    match rows.entry(key) {
        std::collections::btree_map::Entry::Vacant(free) => {
            free.insert(row);
            true
        }
        std::collections::btree_map::Entry::Occupied(mut taken) => {
            merge(taken.get_mut(), row);
            false
        }
    }
}

/// Takes the other in its place if that is the later one.
fn later<T: Ord>(mine: &mut T, other: T) {
    if *mine < other {
        *mine = other;
    }
}

impl RunRow {
    /// What is taken whole, in the order in which it is compared: `None` is lowest, text and bytes go by bytes.
    fn piece(&self) -> (Phase, Option<Micros>, &Option<Text>, [&Option<Bytes>; 2]) {
        (self.phase, self.end, &self.status, [&self.output, &self.error])
    }

    /// Joins what two sets of events say of one run.
    pub fn merge(&mut self, other: Self) {
        if self.piece() < other.piece() {
            self.phase = other.phase;
            self.end = other.end;
            self.status = other.status;
            self.output = other.output;
            self.error = other.error;
        }
        greatest(&mut self.user, other.user);
        greatest(&mut self.app, other.app);
        greatest(&mut self.version, other.version);
        greatest(&mut self.name, other.name);
        greatest(&mut self.host, other.host);
        greatest(&mut self.parent, other.parent);
        greatest(&mut self.parent_name, other.parent_name);
        greatest(&mut self.original, other.original);
        greatest(&mut self.trace, other.trace);
        least(&mut self.start, other.start);
        longest(&mut self.input, other.input);
    }
}

impl StepRow {
    fn piece(&self) -> (Phase, Option<Micros>, &Option<Text>, [&Option<Bytes>; 3]) {
        (self.phase, self.end, &self.status, [&self.output, &self.error, &self.data])
    }

    /// Joins what two sets of events say of one execution.
    pub fn merge(&mut self, other: Self) {
        if max(self.phase, other.phase) != Phase::Closed {
            // Data of an open execution is taken by itself, whichever of the two has the later status.
            if (self.phase, &self.status) < (other.phase, &other.status) {
                (self.phase, self.status) = (other.phase, other.status);
            }
            greatest(&mut self.data, other.data);
        } else if self.piece() < other.piece() {
            self.phase = other.phase;
            self.end = other.end;
            self.status = other.status;
            self.output = other.output;
            self.error = other.error;
            self.data = other.data;
        }
        greatest(&mut self.task, other.task);
        greatest(&mut self.flow_name, other.flow_name);
        greatest(&mut self.subflow, other.subflow);
        greatest(&mut self.parent_step, other.parent_step);
        greatest(&mut self.misc, other.misc);
        least(&mut self.start, other.start);
        longest(&mut self.input, other.input);
        self.rerun |= other.rerun;
    }
}

/// A name: fills in when missing, is never blanked; where two disagree, the greater bytes.
fn greatest<T: Ord>(mine: &mut Option<T>, other: Option<T>) {
    later(mine, other);
}

/// A start: the least that is known.
fn least<T: Ord>(mine: &mut Option<T>, other: Option<T>) {
    if mine.is_none() || other.as_ref().is_some_and(|other| Some(other) < mine.as_ref()) {
        *mine = other.or_else(|| mine.take());
    }
}

/// An input: the longer one, then the greater bytes.
fn longest(mine: &mut Option<Bytes>, other: Option<Bytes>) {
    let size = |bytes: &Option<Bytes>| bytes.as_ref().map(Bytes::len);
    if (size(mine), &*mine) < (size(&other), &other) {
        *mine = other;
    }
}

#[cfg(test)]
mod tests;
