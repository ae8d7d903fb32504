//! Runs of a flow beside each other. Pure.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    model::RunState,
    postgres::read::{GridStep, Summary},
};

/// Runs × places in the flow.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(in crate::api) struct Grid {
    /// The runs, newest first.
    runs: Vec<Summary>,
    /// Places in the flow, in the order in which the runs came to them.
    rows: Vec<GridRow>,
    /// For each row a cell for each run; null where the run did not come there.
    cells: Vec<Vec<Option<Cell>>>,
}

/// A place in the flow.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, ToSchema)]
struct GridRow {
    /// Task name.
    task: Option<String>,
    /// Flow that the task belongs to.
    flow: Option<String>,
    /// Subflow that it ran in.
    subflow: Option<String>,
    /// Which time its run came there, from 1.
    nth: u32,
}

/// A step.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
struct Cell {
    /// Step id.
    step: String,
    /// How it stands.
    state: RunState,
    /// From start to end in milliseconds.
    duration_ms: Option<f64>,
}

/// Runs with their steps, which come run by run in their order.
pub(super) fn grid(runs: Vec<Summary>, steps: Vec<GridStep>) -> Grid {
    let columns: HashMap<String, usize> =
        runs.iter().enumerate().map(|(column, run)| (run.id.clone(), column)).collect();
    let mut rows: Vec<GridRow> = Vec::new();
    let mut places: HashMap<GridRow, usize> = HashMap::new();
    let mut cells: Vec<Vec<Option<Cell>>> = Vec::new();
    let mut times: HashMap<(usize, GridRow), u32> = HashMap::new();
    for step in steps {
        let Some(&column) = columns.get(&step.instance) else { continue };
        let mut row = GridRow { task: step.task, flow: step.flow, subflow: step.subflow, nth: 0 };
        let nth = times.entry((column, row.clone())).or_default();
        *nth += 1;
        row.nth = *nth;
        let place = *places.entry(row.clone()).or_insert_with(|| {
            rows.push(row);
            cells.push(vec![None; runs.len()]);
            rows.len() - 1
        });
        if let Some(cell) = cells.get_mut(place).and_then(|cells| cells.get_mut(column)) {
            *cell = Some(Cell { step: step.id, state: step.state, duration_ms: step.duration_ms });
        }
    }
    Grid { runs, rows, cells }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str) -> Summary {
        Summary {
            id: id.to_owned(),
            flow: None,
            app: None,
            version: None,
            status: None,
            started: None,
            ended: None,
            duration_ms: None,
            reruns: 0,
            host: None,
            user: None,
            rerun_of: None,
            parent: None,
            parent_flow: None,
            state: RunState::Completed,
        }
    }

    fn step(instance: &str, id: &str, task: &str) -> GridStep {
        GridStep {
            instance: instance.to_owned(),
            id: id.to_owned(),
            task: Some(task.to_owned()),
            flow: None,
            subflow: None,
            state: RunState::Completed,
            duration_ms: None,
        }
    }

    #[test]
    fn a_task_that_a_run_came_to_twice_has_two_rows() {
        let steps = vec![
            step("new", "0", "log"),
            step("new", "1", "log"),
            step("old", "0", "mail"),
            step("old", "1", "log"),
            step("unknown", "0", "log"),
        ];
        let grid = grid(vec![run("new"), run("old")], steps);
        let rows: Vec<_> = grid.rows.iter().map(|row| (row.task.as_deref().unwrap(), row.nth)).collect();
        assert_eq!(rows, [("log", 1), ("log", 2), ("mail", 1)]);
        let cell = |cell: &Option<Cell>| cell.as_ref().map_or(String::new(), |cell| cell.step.clone());
        let cells: Vec<Vec<String>> = grid.cells.iter().map(|row| row.iter().map(cell).collect()).collect();
        assert_eq!(cells, [["0", "1"], ["1", ""], ["", "0"]]);
    }
}
