//! From the rows of a whole set of events to what the tables show of it.

use std::{
    cmp::max,
    collections::{BTreeMap, BTreeSet},
};

use bytes::Bytes;

use super::{ExecutionKey, Fact, FlowFold, Fold, SnapshotKey, Tombstone, VariableKey};
use crate::model::{AppRow, FlowId, RunRow, StepId, StepRow, Text, VariableRow};

/// What the tables hold of a set of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// By flow instance.
    pub flows: BTreeMap<FlowId, FlowTables>,
    /// `appstate`, by user and app.
    pub apps: BTreeMap<(Text, Text), AppRow>,
}

/// What the tables hold of one flow instance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowTables {
    /// `steps`: per step the shown execution, with its number.
    pub steps: BTreeMap<StepId, (i64, Box<StepRow>)>,
    /// `ft_superseded_step`: all other executions.
    pub superseded: BTreeMap<ExecutionKey, Box<StepRow>>,
    /// `flowstate`, if any run is known.
    pub shown: Option<ShownRun>,
    /// `ft_run`: every run, once there are two.
    pub runs: BTreeMap<i64, Box<RunRow>>,
    /// `ft_rewind`: facts that were said and those that re-runs imply.
    pub facts: BTreeSet<Fact>,
    /// `ft_tombstone`.
    pub tombstone: Option<Tombstone>,
    /// `ft_snapshot`.
    pub snapshots: BTreeMap<SnapshotKey, Bytes>,
    /// `ft_variable`: also those that were removed.
    pub variables: BTreeMap<VariableKey, Box<VariableRow>>,
}

/// A row of `flowstate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownRun {
    /// Number of the shown run, the greatest one.
    pub run: i64,
    /// That run, with names filled in from lower runs and lineage from all; its input is the least run's.
    pub row: Box<RunRow>,
    /// Milliseconds from its start to its end, if both are known.
    pub execution_time: Option<String>,
    /// How many other living instances name this one as their original.
    pub rerun_count: i32,
}

impl Fold {
    /// What the tables hold once this fold is all there is.
    pub fn settle(self) -> Tables {
        let mut flows: BTreeMap<_, _> =
            self.flows.into_iter().map(|(flow, fold)| (flow, fold.settle())).collect();
        let originals: Vec<(FlowId, Text)> = flows
            .iter()
            .filter_map(|(flow, tables)| Some((flow.clone(), tables.shown.as_ref()?.row.original.clone()?)))
            .collect();
        for (flow, original) in originals {
            if *flow.as_str() == *original {
                continue;
            }
            if let Some(shown) = flows.get_mut(&*original).and_then(|tables| tables.shown.as_mut()) {
                shown.rerun_count += 1;
            }
        }
        Tables { flows, apps: self.apps }
    }
}

impl FlowFold {
    /// What the tables hold of the flow once this is all there is of it; other instances may name it as their original,
    /// which is not counted here.
    pub fn settle(mut self) -> FlowTables {
        if let Some(dead) = self.tombstone {
            self.runs.retain(|run, _| !dead.covers(*run));
            self.steps.retain(|(_, execution), _| !dead.covers(*execution));
            self.variables.retain(|_, variable| !dead.covers(variable.run));
            if dead == Tombstone::Forever {
                self.snapshots.clear();
            }
        }
        let facts = self.facts();
        let mut tables = FlowTables {
            shown: show(&self.runs),
            tombstone: self.tombstone,
            snapshots: self.snapshots,
            variables: self.variables,
            ..FlowTables::default()
        };
        // In order of execution, so that the greatest that no fact reaches comes last and stays.
        for ((step, execution), row) in self.steps {
            let earlier = if facts.iter().any(|fact| fact.reaches(&step, execution)) {
                Some((execution, row))
            } else {
                tables.steps.insert(step.clone(), (execution, row))
            };
            if let Some((execution, row)) = earlier {
                tables.superseded.insert((step, execution), row);
            }
        }
        if self.runs.len() > 1 {
            tables.runs = self.runs;
        }
        tables.facts = facts;
        tables
    }

    /// Facts that were said, and those that re-run steps imply: every run R and every re-run step j whose
    /// execution is R or greater give (j, R).
    fn facts(&self) -> BTreeSet<Fact> {
        let mut facts = self.rewinds.clone();
        for ((step, execution), row) in &self.steps {
            let Some(number) = step.number().filter(|_| row.rerun) else { continue };
            facts.extend(
                self.runs.range(..=execution).map(|(run, _)| Fact { from: Some(number), before: *run }),
            );
        }
        facts.retain(|fact| self.tombstone.is_none_or(|dead| !dead.covers_fact(fact)));
        facts
    }
}

fn show(runs: &BTreeMap<i64, Box<RunRow>>) -> Option<ShownRun> {
    let (&run, top) = runs.last_key_value()?;
    let mut row = top.clone();
    row.input = runs.first_key_value().and_then(|(_, first)| first.input.clone());
    for lower in runs.values().rev().skip(1) {
        fill(&mut row.user, lower.user.as_ref());
        fill(&mut row.app, lower.app.as_ref());
        fill(&mut row.version, lower.version.as_ref());
        fill(&mut row.name, lower.name.as_ref());
        row.parent = max(row.parent.take(), lower.parent.clone());
        row.parent_name = max(row.parent_name.take(), lower.parent_name.clone());
        row.original = max(row.original.take(), lower.original.clone());
    }
    let execution_time = row.start.zip(row.end).map(|(start, end)| start.millis_until(end));
    Some(ShownRun { run, row, execution_time, rerun_count: 0 })
}

fn fill(name: &mut Option<Text>, from: Option<&Text>) {
    if name.is_none() {
        *name = from.cloned();
    }
}
