//! Whether the tables hold what events say of a flow. Pure.
//!
//! Rows only grow by the merge law, so there are two questions. *Is all stored that was said?* It is iff merging the
//! events into the tables changes nothing; this can be asked of any part of the events. *Was all said that is stored?*
//! It was iff merging the tables into the events changes nothing; this takes all events of the flow.

use std::{cmp::max, collections::BTreeMap};

use bytes::Bytes;
use serde::Serialize;

use super::columns::{self, ColumnDifference, Value};
use crate::{
    hex::hex,
    model::{AppRow, StepId},
    pipeline::merge::{Fact, FlowFold, FlowTables, ShownRun, Tombstone, VariableKey},
    postgres::Held,
};

/// How a row is not as it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Events say it, and it is not stored.
    Missing,
    /// Stored with other values than events say.
    Different,
    /// It is stored, and no event says it.
    Extra,
}

/// The rest of a row's key, beside its flow.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Key {
    /// Step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Number of the execution or run, or what a rewind or deletion reaches up to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// SHA-256 of a snapshot, in hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// Scope of a variable, empty for the instance itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Name of a variable.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A row that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RowDifference {
    /// Table.
    pub table: &'static str,
    /// The rest of its key.
    #[serde(flatten)]
    pub key: Key,
    /// How it is wrong.
    pub kind: Kind,
    /// What is wrong with it, if it is there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnDifference>,
}

/// What of a flow's events is not stored, or not as they say.
pub fn not_stored(said: &FlowFold, held: &Held) -> Vec<RowDifference> {
    let mut both = fold_of(&held.tables);
    both.join(heard(said.clone(), held));
    let wanted = settled(both, held);
    let mut found = Vec::new();
    compare(&held.tables, &wanted, &mut found);
    found
}

/// What is stored of a flow that no event says; `said` has to be all events of the flow.
pub fn not_said(said: FlowFold, held: &Held) -> Vec<RowDifference> {
    let said = heard(said, held);
    let mut both = said.clone();
    both.join(fold_of(&held.tables));
    let (stored, wanted) = (settled(both, held), settled(said, held));
    let mut found = Vec::new();
    compare(&stored, &wanted, &mut found);
    found
}

/// Whether the tables hold just what these events say.
pub fn is_just(said: &FlowFold, held: &Held) -> bool {
    settled(heard(said.clone(), held), held) == held.tables
}

/// What counts of what is stored: payloads that retention's next run takes are as good as gone.
pub fn as_it_counts(mut held: Held) -> Held {
    if let (Some(below), true) = (held.bare_below, held.bare_soon) {
        held.tables.strip_payloads_below(below);
    }
    held
}

/// What counts of events: retention's mark is there as if a runtime had said it, and takes the snapshots with it where
/// nothing newer is left of the flow. Payloads that are not kept any more are as if they had not been said.
fn heard(mut said: FlowFold, held: &Held) -> FlowFold {
    if held.removed {
        said.tombstone = max(said.tombstone, held.tables.tombstone);
        if held.tables.shown.is_none() && held.tables.snapshots.is_empty() {
            said.snapshots.clear();
        }
    }
    match held.bare_below {
        Some(below) => said.without_payloads_below(below),
        None => said,
    }
}

/// How many rows events make.
pub fn rows(said: &FlowFold) -> u64 {
    let rows =
        [said.runs.len(), said.steps.len(), said.rewinds.len(), said.snapshots.len(), said.variables.len()];
    let count = rows.into_iter().sum::<usize>();
    u64::try_from(count).unwrap_or(u64::MAX).saturating_add(said.tombstone.is_some().into())
}

/// Both lists, each row once.
pub fn joined(one: Vec<RowDifference>, other: Vec<RowDifference>) -> Vec<RowDifference> {
    let mut all: BTreeMap<(&'static str, Key), RowDifference> = BTreeMap::new();
    for found in one.into_iter().chain(other) {
        match all.entry((found.table, found.key.clone())) {
            std::collections::btree_map::Entry::Vacant(free) => drop(free.insert(found)),
            std::collections::btree_map::Entry::Occupied(mut taken) => {
                let known = &mut taken.get_mut().columns;
                let new =
                    found.columns.into_iter().filter(|new| known.iter().all(|old| old.column != new.column));
                let new: Vec<_> = new.collect();
                known.extend(new);
            }
        }
    }
    all.into_values().collect()
}

/// Whether an app's row holds what was said last, or something later.
pub fn app_not_stored(said: &AppRow, held: Option<&AppRow>) -> Option<RowDifference> {
    let row = |kind, columns| RowDifference { table: "appstate", key: Key::default(), kind, columns };
    let Some(held) = held else { return Some(row(Kind::Missing, Vec::new())) };
    if said <= held {
        return None;
    }
    let mut differing = Vec::new();
    columns::compare(columns::of_app(held), columns::of_app(said), &mut differing);
    Some(row(Kind::Different, differing))
}

/// What the tables would hold. Which other instances name the flow is taken as it is stored: one that is missing is
/// said to be missing itself.
fn settled(fold: FlowFold, held: &Held) -> FlowTables {
    let mut tables = fold.settle();
    if let Some(shown) = &mut tables.shown {
        shown.rerun_count = held.named_by;
    }
    // Of snapshots only the keys are compared; that stored bytes have their hash was looked at.
    tables.snapshots.values_mut().for_each(|data| *data = Bytes::new());
    tables
}

/// The events that rows stand for.
fn fold_of(tables: &FlowTables) -> FlowFold {
    let mut fold = FlowFold {
        runs: tables.runs.clone(),
        rewinds: tables.facts.clone(),
        tombstone: tables.tombstone,
        snapshots: tables.snapshots.keys().map(|key| (key.clone(), Bytes::new())).collect(),
        steps: tables.superseded.clone(),
        variables: tables.variables.clone(),
    };
    if let Some(shown) = tables.shown.as_ref().filter(|_| fold.runs.is_empty()) {
        fold.runs.insert(shown.run, shown.row.clone());
    }
    let shown = tables.steps.iter().map(|(step, (execution, row))| ((step.clone(), *execution), row.clone()));
    fold.join(FlowFold { steps: shown.collect(), ..FlowFold::default() });
    fold
}

fn compare(stored: &FlowTables, wanted: &FlowTables, found: &mut Vec<RowDifference>) {
    if stored == wanted {
        return;
    }
    let step = |step: &StepId, number| Key { step: Some(step.to_string()), number, ..Key::default() };
    maps(
        "steps",
        &stored.steps,
        &wanted.steps,
        |id| step(id, None),
        found,
        |stored, wanted, into| {
            columns::compare(
                [("execution", Value::Number(stored.0))],
                [("execution", Value::Number(wanted.0))],
                into,
            );
            columns::compare(columns::of_step(&stored.1), columns::of_step(&wanted.1), into);
        },
    );
    let key = |(id, number): &(StepId, i64)| step(id, Some(*number));
    maps("ft_superseded_step", &stored.superseded, &wanted.superseded, key, found, |stored, wanted, into| {
        columns::compare(columns::of_step(stored), columns::of_step(wanted), into);
    });
    let shown = |row: &Option<ShownRun>| row.iter().map(|row| ((), row.clone())).collect::<BTreeMap<(), _>>();
    maps(
        "flowstate",
        &shown(&stored.shown),
        &shown(&wanted.shown),
        |()| Key::default(),
        found,
        |stored, wanted, into| {
            columns::compare(of_shown(stored), of_shown(wanted), into);
            columns::compare(columns::of_run(&stored.row), columns::of_run(&wanted.row), into);
        },
    );
    let number = |number: &i64| Key { number: Some(*number), ..Key::default() };
    maps("ft_run", &stored.runs, &wanted.runs, number, found, |stored, wanted, into| {
        columns::compare(columns::of_run(stored), columns::of_run(wanted), into);
    });
    let fact = |fact: &Fact, kind| {
        let from = fact.from.map(|from| from.to_string());
        let key = Key { step: from, number: Some(fact.before), ..Key::default() };
        RowDifference { table: "ft_rewind", key, kind, columns: Vec::new() }
    };
    found.extend(wanted.facts.difference(&stored.facts).map(|missing| fact(missing, Kind::Missing)));
    found.extend(stored.facts.difference(&wanted.facts).map(|extra| fact(extra, Kind::Extra)));
    let tombstone = |row: Option<Tombstone>| row.map(|row| ((), row)).into_iter().collect::<BTreeMap<_, _>>();
    let (held, said) = (tombstone(stored.tombstone), tombstone(wanted.tombstone));
    maps(
        "ft_tombstone",
        &held,
        &said,
        |()| Key::default(),
        found,
        |stored, wanted, into| {
            columns::compare([("before", of_tombstone(*stored))], [("before", of_tombstone(*wanted))], into);
        },
    );
    let key = |(id, hash): &(Option<StepId>, [u8; 32])| Key {
        step: id.as_ref().map(ToString::to_string),
        hash: Some(hex(hash)),
        ..Key::default()
    };
    maps("ft_snapshot", &stored.snapshots, &wanted.snapshots, key, found, |_, _, into| {
        let (stored, wanted) = ("bytes of another hash".to_owned(), "bytes of this hash".to_owned());
        into.push(ColumnDifference { column: "data", stored, wanted });
    });
    let key = |(scope, name): &VariableKey| Key {
        scope: Some(scope.to_string()),
        name: Some(name.to_string()),
        ..Key::default()
    };
    maps("ft_variable", &stored.variables, &wanted.variables, key, found, |stored, wanted, into| {
        columns::compare(columns::of_variable(stored), columns::of_variable(wanted), into);
    });
}

fn of_shown(row: &ShownRun) -> [(&'static str, Value<'_>); 3] {
    [
        ("run", Value::Number(row.run)),
        ("executiontime", row.execution_time.as_deref().map_or(Value::Null, Value::Text)),
        ("reruncount", Value::Number(row.rerun_count.into())),
    ]
}

fn of_tombstone<'a>(tombstone: Tombstone) -> Value<'a> {
    match tombstone {
        Tombstone::Before(before) => Value::Number(before),
        Tombstone::Forever => Value::Null,
    }
}

/// Compares the rows of one table by their keys.
fn maps<K: Ord, V: PartialEq>(
    table: &'static str,
    stored: &BTreeMap<K, V>,
    wanted: &BTreeMap<K, V>,
    key: impl Fn(&K) -> Key,
    found: &mut Vec<RowDifference>,
    compare: impl Fn(&V, &V, &mut Vec<ColumnDifference>),
) {
    let mut add = |id: &K, kind, columns| found.push(RowDifference { table, key: key(id), kind, columns });
    for (id, row) in wanted {
        match stored.get(id) {
            None => add(id, Kind::Missing, Vec::new()),
            Some(held) if held == row => {}
            Some(held) => {
                let mut columns = Vec::new();
                compare(held, row, &mut columns);
                add(id, Kind::Different, columns);
            }
        }
    }
    for id in stored.keys().filter(|id| !wanted.contains_key(id)) {
        add(id, Kind::Extra, Vec::new());
    }
}
