//! `GET /v1/instances/:id/steps/tasks` and `…/step/:n/taskdata`: what happened in a step, by task.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    StepData,
    change::{self, FlowChange, Unreadable, Values, filled},
    words,
};

/// What happened to a task in a step.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Task<'a> {
    /// Name of the task; empty for the start of a subflow.
    pub id: String,
    /// Step id.
    pub step_id: i64,
    /// Number of the flow that the task belongs to; 0 is the main flow.
    pub subflow_id: i64,
    /// What it was given; of a task that ends its flow, what the flow returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<&'a RawValue>,
    /// What it gave, by field.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub output: Values<'a>,
    /// The ways that go from it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<Link>,
    /// How it ended; empty for a round of a loop.
    pub status: &'static str,
    /// Status of its flow; `Created` where the step did not change it.
    #[serde(rename = "flow_status")]
    pub flow_status: &'static str,
    /// The step begins a flow.
    pub start_task: bool,
    /// The step begins a subflow.
    pub new_subflow: bool,
    /// `res://flow:` and the name.
    pub flowname: String,
}

/// A way from one task to another.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// Where it begins.
    pub from: String,
    /// Where it ends.
    pub to: String,
    /// Status of the task where it ends; empty where the step did not change that.
    pub to_task_stutus: &'static str,
    /// Status of the task where it begins.
    pub from_task_stutus: &'static str,
    /// `false`, `ture`, `skipped` or `unknow`.
    pub status: &'static str,
}

/// The tasks of a step: none where nothing changed, two where a subflow begins or ends, one otherwise.
///
/// The task that calls a subflow comes before the subflow's start, and after its end.
pub fn tasks(step: &StepData) -> Result<Vec<Task<'_>>, Unreadable> {
    let posted = change::read(step)?;
    let mut tasks: Vec<_> = posted
        .flow_changes
        .into_iter()
        .take(2)
        .map(|(number, change)| Task::of(posted.id, number, change))
        .collect();
    if let [_, subflow] = tasks.as_mut_slice() {
        subflow.new_subflow = subflow.start_task;
        if subflow.new_subflow {
            subflow.id.clear();
        } else {
            tasks.reverse();
        }
    }
    Ok(tasks)
}

/// Of a step that begins a subflow, the task that waits for it and the number of its flow.
pub fn waits_for<'t>(tasks: &'t [Task<'_>]) -> Option<(&'t str, i64)> {
    match tasks {
        [caller, _] if caller.status == words::of_task(30) => Some((&caller.id, caller.subflow_id)),
        _ => None,
    }
}

impl<'a> Task<'a> {
    fn of(step_id: i64, subflow_id: i64, change: FlowChange<'a>) -> Self {
        let ended = change.ended().map(|(name, task)| (name.to_owned(), task.status, filled(task.input)));
        let (id, status, input) = match ended {
            Some((name, status, input)) => (name, words::of_task(status), input),
            None => (change.task_id.clone(), if change.new_flow { "Started" } else { "" }, None),
        };
        let returned = if change.new_flow { None } else { filled(change.return_data) };
        let links = if change.new_flow { Vec::new() } else { links(&change, &id) };
        Self {
            id,
            step_id,
            subflow_id,
            input: input.or(returned),
            links,
            status,
            flow_status: words::of_flow(change.status),
            start_task: change.new_flow,
            new_subflow: false,
            flowname: change.flow_uri,
            output: output(change.attrs),
        }
    }
}

/// Attributes without `_A.<task>.` before them; the index of a task's fields, `_A.<task>`, goes by the task's name.
fn output(attrs: Values<'_>) -> Values<'_> {
    let mut output = Values::new();
    let mut fields = Values::new();
    for (name, value) in attrs {
        let Some(rest) = name.strip_prefix("_A.") else {
            output.insert(name, value);
            continue;
        };
        match rest.split_once('.') {
            Some((task, field)) if !task.is_empty() => fields.insert(field.to_owned(), value),
            _ => output.insert(rest.to_owned(), value),
        };
    }
    // A field may be named like a flow input or like the task: what the task gave is what is asked for.
    output.extend(fields);
    output
}

fn links(change: &FlowChange<'_>, task: &str) -> Vec<Link> {
    let status = |name: &str| change.tasks.get(name).map_or("", |task| words::of_task(task.status));
    let from_task = change.links.values().filter(|link| link.from == task);
    // One without ends and status only says that it is done with.
    let told = from_task.filter(|link| link.status != 0 || (!link.from.is_empty() && !link.to.is_empty()));
    let link = told.map(|link| Link {
        from: link.from.clone(),
        to: link.to.clone(),
        to_task_stutus: status(&link.to),
        from_task_stutus: status(&link.from),
        status: words::of_link(link.status),
    });
    link.collect()
}
