//! `GET /v1/instances/:id/steps/status` and `…/failedtask`: how each task ended.

use std::collections::{HashMap, VecDeque};

use jiff::Timestamp;
use serde::Serialize;

use super::{sort_by_id, time};

/// A step as the table shows it, without its payloads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepRow {
    /// Step id.
    pub id: String,
    /// Task that ended in it.
    pub task: Option<String>,
    /// The runtime's own word.
    pub status: Option<String>,
    /// Flow that the task belongs to.
    pub flow: Option<String>,
    /// Number of that flow within the instance.
    pub subflow: Option<String>,
    /// It belongs to a re-run.
    pub rerun: Option<bool>,
    /// Start, UTC.
    pub started: Option<Timestamp>,
    /// Nothing more is to come of it.
    pub closed: bool,
}

/// How a task ended; every field is text, empty where it is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepStatus {
    /// Flow that the task belongs to.
    pub flowname: String,
    /// `true` or `false`.
    pub rerun: String,
    /// Start.
    pub starttime: String,
    /// The runtime's own word; empty for a round of a loop.
    pub status: String,
    /// Step id.
    #[serde(rename = "stepId")]
    pub step_id: String,
    /// Number of that flow within the instance.
    pub subflowid: String,
    /// Task that ended.
    #[serde(rename = "taskName")]
    pub task_name: String,
}

/// `GET /v1/instances/:id/failedtask`; step and task are empty where nothing failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedTask {
    /// Flow instance id.
    pub flow_instance_id: String,
    /// Step id.
    pub step_id: String,
    /// Task that failed.
    pub task_name: String,
}

/// How each task ended, by step id.
///
/// Step 0, which begins the flow, is left out, and so is a step in which nothing changed. A task that waited for its
/// subflow is shown once, at the step where it began to wait, with the status it ended with.
pub fn statuses(mut steps: Vec<StepRow>) -> Vec<StepStatus> {
    sort_by_id(&mut steps, |step| &step.id);
    let mut shown: Vec<StepStatus> = Vec::new();
    // Where in `shown` a task waits, by task and flow; the one that has waited longest ends first.
    let mut waiting: HashMap<(String, String), VecDeque<usize>> = HashMap::new();
    for step in steps {
        if step.id == "0" || step.task.is_none() {
            continue;
        }
        let step = StepStatus::of(step);
        let key = (step.task_name.clone(), step.subflowid.clone());
        match step.status.as_str() {
            "Waiting" => waiting.entry(key).or_default().push_back(shown.len()),
            "Completed" | "Failed" | "Cancelled" => {
                let waits = waiting.get_mut(&key).and_then(VecDeque::pop_front);
                if let Some(begun) = waits.and_then(|place| shown.get_mut(place)) {
                    begun.status = step.status;
                    continue;
                }
            }
            _ => {}
        }
        shown.push(step);
    }
    shown
}

/// The last of the tasks that failed.
pub fn failed_task(flow: &str, steps: Vec<StepRow>) -> FailedTask {
    let last = statuses(steps).into_iter().rfind(|step| step.status == "Failed");
    let (step_id, task_name) = last.map(|step| (step.step_id, step.task_name)).unwrap_or_default();
    FailedTask { flow_instance_id: flow.to_owned(), step_id, task_name }
}

impl StepStatus {
    fn of(step: StepRow) -> Self {
        // A closed step whose task is `Started` is a round of a loop: shown as started it would seem to run for ever.
        let round = step.closed && step.status.as_deref() == Some("Started");
        Self {
            flowname: step.flow.unwrap_or_default(),
            rerun: step.rerun.map(|rerun| rerun.to_string()).unwrap_or_default(),
            starttime: step.started.map(time).unwrap_or_default(),
            status: if round { String::new() } else { step.status.unwrap_or_default() },
            step_id: step.id,
            subflowid: step.subflow.unwrap_or_default(),
            task_name: step.task.unwrap_or_default(),
        }
    }
}
