//! What a re-run did not record of its tasks, from the executions before it.
//!
//! After a restart from a step the engine does not track what activities give: the steps of the re-run have no
//! attributes. A later re-run that begins behind them would start without, so they are taken from the greatest earlier
//! execution in which the same task of the same flow came to the same status: of the same step, where there is one (rounds
//! of a loop differ by nothing else), otherwise of any step (the re-run may have taken another branch).

use std::collections::{BTreeMap, HashMap};

use super::{
    StepData,
    change::{self, FlowChange, Step, Values},
};

/// A task and the status that it came to, in a step or in any.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    step: Option<i64>,
    flow: i64,
    task: String,
    status: i64,
}

impl Key {
    /// The task that ended in a change; where none did, as in a round of a loop, the one that it is about.
    fn of(step: Option<i64>, flow: i64, change: &FlowChange<'_>) -> Self {
        let about = change.tasks.get(&change.task_id).map_or(0, |task| task.status);
        let (task, status) = match change.ended() {
            Some((task, ended)) => (task.to_owned(), ended.status),
            None => (change.task_id.clone(), about),
        };
        Self { step, flow, task, status }
    }
}

/// Attributes that superseded executions recorded.
#[derive(Debug, Default)]
pub(super) struct Earlier<'a> {
    /// By execution.
    recorded: HashMap<Key, BTreeMap<i64, Values<'a>>>,
}

impl<'a> Earlier<'a> {
    /// Of superseded executions, in any order. What is no step of Flogo is passed over: nothing rests on it.
    pub(super) fn of(executions: &'a [StepData]) -> Self {
        let mut earlier = Self::default();
        for execution in executions {
            let Ok(step) = change::read(execution) else { continue };
            for (flow, change) in step.flow_changes {
                if change.attrs.is_empty() {
                    continue;
                }
                for step in [Some(step.id), None] {
                    let by_execution = earlier.recorded.entry(Key::of(step, flow, &change)).or_default();
                    by_execution.insert(execution.execution, change.attrs.clone());
                }
            }
        }
        earlier
    }

    /// Fills in the attributes that a step of a re-run lacks; what it has stays.
    pub(super) fn fill(&self, step: &mut Step<'a>, execution: i64) {
        if !step.rerun {
            return;
        }
        for (flow, change) in &mut step.flow_changes {
            let before = |step| {
                let recorded = self.recorded.get(&Key::of(step, *flow, change))?;
                recorded.range(..execution).next_back().map(|(_, attrs)| attrs)
            };
            let Some(attrs) = before(Some(step.id)).or_else(|| before(None)) else { continue };
            for (name, value) in attrs {
                change.attrs.entry(name.clone()).or_insert(value);
            }
        }
    }
}
