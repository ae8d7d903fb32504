//! `POST /v1/instances/steps`: one execution of a step, with both of its times.
//!
//! A step's body says what changed: in which flows (0 is the instance's main flow, 1, 2, … its subflows), and there
//! in which tasks. A row of history names one flow and one task, so one of each is chosen:
//!
//! - **the flow**: the one that changed. Where several did, the step starts a subflow or ends one. If the innermost
//!   (the greatest number) is new, the step belongs to the outermost, whose task now waits; otherwise to the
//!   innermost, which ended.
//! - **the task**: the one that ended, which counts Waiting, Completed, Failed and Cancelled. Where several ended,
//!   the one that the change is about (`taskId`); where that one did not end, the worst (Failed, Cancelled,
//!   Completed, Waiting), then the least name. An error handler's first step is about the handler, but what ended
//!   is the task that failed.
//! - where no task ended (step 0, a round of a loop), the task that the change is about, with its status there.
//! - nothing changed (a subflow failed and its caller does not know yet): `Unknown`, without a task.
//!
//! Skipped tasks are seen in the step's data only.

use std::{cmp::Reverse, collections::BTreeMap};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Error, event,
    json::{self, Members},
    present, time,
};
use crate::proto::v1::{HistoryEvent, Phase, StepEvent, StepStatus, history_event::Event};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Step<'a> {
    id: Option<i64>,
    #[serde(default, deserialize_with = "json::null_as_default")]
    flow_id: String,
    /// By number of the flow; what the change itself says in `subflowId` is 0 in most steps.
    #[serde(borrow, default, deserialize_with = "json::null_as_default")]
    flow_changes: BTreeMap<i64, FlowChange<'a>>,
    starttime: Option<String>,
    endtime: Option<String>,
    #[serde(default, deserialize_with = "json::null_as_default")]
    rerun: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FlowChange<'a> {
    #[serde(default, deserialize_with = "json::null_as_default")]
    new_flow: bool,
    #[serde(rename = "flowURI", default, deserialize_with = "json::null_as_default")]
    flow_uri: String,
    #[serde(default, deserialize_with = "json::null_as_default")]
    task_id: String,
    #[serde(borrow, default, deserialize_with = "json::null_as_default")]
    attrs: Members<'a>,
    #[serde(borrow, default, deserialize_with = "json::null_as_default")]
    tasks: BTreeMap<String, TaskChange<'a>>,
    #[serde(borrow)]
    return_data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct TaskChange<'a> {
    #[serde(default, deserialize_with = "json::null_as_default")]
    status: i64,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
}

/// `POST /v1/instances/steps`; the event's data are the bytes of the body.
pub fn step(body: &Bytes) -> Result<HistoryEvent, Error> {
    let posted: Step<'_> = json::parse("step", body)?;
    let started_at = time::parse("starttime", posted.starttime.as_deref())?;
    let ended_at = time::parse("endtime", posted.endtime.as_deref())?;
    let mut step = StepEvent {
        flow_instance_id: present("flowId", &posted.flow_id)?,
        step_id: posted.id.ok_or(Error::Missing { field: "id" })?.to_string(),
        execution: time::number(started_at),
        started_at: started_at.map(time::to_proto),
        ended_at: ended_at.map(time::to_proto),
        rerun: posted.rerun,
        data: body.clone(),
        ..StepEvent::default()
    };
    step.set_phase(Phase::Closed);
    match chosen(&posted.flow_changes) {
        Some((number, change)) => describe(&mut step, number, change),
        None => step.set_status(StepStatus::Unknown),
    }
    Ok(event(Event::Step(step)))
}

/// The flow that the step belongs to.
fn chosen<'m, 'a>(changes: &'m BTreeMap<i64, FlowChange<'a>>) -> Option<(i64, &'m FlowChange<'a>)> {
    let (innermost, outermost) = (changes.last_key_value()?, changes.first_key_value()?);
    let (number, change) = if innermost.1.new_flow { outermost } else { innermost };
    Some((*number, change))
}

/// Fills in what the change says about the task that it is about.
fn describe(step: &mut StepEvent, number: i64, change: &FlowChange<'_>) {
    step.subflow_id = number.to_string();
    change.flow_uri.rsplit(':').next().unwrap_or_default().clone_into(&mut step.flow_name);
    let task = if let Some((name, task)) = task(change) {
        step.task_name.push_str(name);
        (step.status, step.status_word) = status(task.status);
        Some(task)
    } else {
        // It only says which task it is about: the start of a flow, or nothing that a status follows from.
        step.task_name.push_str(&change.task_id);
        step.set_status(if change.new_flow { StepStatus::Started } else { StepStatus::Unknown });
        None
    };
    step.input = task.and_then(|task| task.input).map(json::compact).unwrap_or_default();
    step.output = output(change, &step.task_name);
    step.error = error(step.status, change, &step.task_name);
}

/// The task that ended in the change, or else the one that the change is about.
fn task<'m, 'a>(change: &'m FlowChange<'a>) -> Option<(&'m str, &'m TaskChange<'a>)> {
    let statuses = change.tasks.iter().map(|(name, task)| (name.as_str(), task.status));
    let name = ended_task(statuses, &change.task_id).unwrap_or(&change.task_id);
    change.tasks.get_key_value(name).map(|(name, task)| (name.as_str(), task))
}

/// Of tasks by name and status the one that ended, in a change that is about one of them.
pub(super) fn ended_task<'m>(tasks: impl Iterator<Item = (&'m str, i64)>, about: &str) -> Option<&'m str> {
    let ended = tasks.filter(|(_, status)| badness(*status) > 0);
    // Of equal maxima the last is taken, so names are compared in reverse.
    let worst = ended.max_by_key(|(name, status)| (*name == about, badness(*status), Reverse(*name)));
    worst.map(|(name, _)| name)
}

/// How bad an end is; 0 is none.
fn badness(status: i64) -> u8 {
    match status {
        30 => 1,
        40 => 2,
        110 => 3,
        100 => 4,
        _ => 0,
    }
}

/// Flogo's number of a task status, as the contract has it: `Created` is 0 there, and a number that is not listed
/// stays its digits.
fn status(number: i64) -> (i32, String) {
    if number == 0 {
        return (StepStatus::Created.into(), String::new());
    }
    // 1 and 2 are Created and Unknown here, and nothing in Flogo.
    match i32::try_from(number).ok().and_then(|n| StepStatus::try_from(n).ok()) {
        Some(known) if number > 2 => (known.into(), String::new()),
        _ => (StepStatus::Unspecified.into(), number.to_string()),
    }
}

/// What the task gave: its output fields, which are posted as `_A.<task>.<field>`; where it has none, the list that
/// a loop gathers in `_A.<task>`; for a task that ends its flow, what the flow returned.
fn output(change: &FlowChange<'_>, task: &str) -> Bytes {
    if task.is_empty() {
        return Bytes::new();
    }
    let index = format!("_A.{task}");
    let field = |key: &str| key.strip_prefix(&index)?.strip_prefix('.').map(str::to_owned);
    let mut object = Vec::new();
    for (key, value) in &change.attrs.0 {
        if let Some(field) = field(key) {
            object.push(if object.is_empty() { b'{' } else { b',' });
            object.extend_from_slice(serde_json::Value::String(field).to_string().as_bytes());
            object.push(b':');
            json::compact_into(&mut object, value);
        }
    }
    if !object.is_empty() {
        object.push(b'}');
        return object.into();
    }
    let gathered = change.attrs.get(&index).filter(|list| list.get().starts_with('['));
    gathered.or(change.return_data).map(json::compact).unwrap_or_default()
}

/// The task's error, `_E.<task>`; of a task that failed also `_E`. A task that was tried again and completed has one.
fn error(status: i32, change: &FlowChange<'_>, task: &str) -> Bytes {
    let own = change.attrs.get(&format!("_E.{task}"));
    let any = || change.attrs.get("_E").filter(|_| status == i32::from(StepStatus::Failed));
    own.or_else(any).map(json::compact).unwrap_or_default()
}
