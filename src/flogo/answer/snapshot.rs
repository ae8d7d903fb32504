//! `GET /v1/instances/:id/snapshot[/:n]`: the state of an instance after a step.
//!
//! It is folded from the steps, in the order of their ids; what a later one says wins. A snapshot that an engine posted
//! is the better source only where there are no steps (recording mode `snapshot`): it does not say after which step it was
//! taken, nor in which run, and it lacks the work queue and the subflows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    StepData,
    change::{self, FlowChange, QueueChange, Unreadable, Values},
    earlier::Earlier,
    number,
};
use crate::flogo::json;

/// The state of an instance.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot<'a> {
    #[serde(flatten)]
    main: Flow<'a>,
    id: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    work_queue: Vec<WorkItem>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    subflows: Vec<Subflow<'a>>,
}

/// A subflow, also one that has ended: its status says so.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Subflow<'a> {
    #[serde(flatten)]
    flow: Flow<'a>,
    id: i64,
    /// The task that called it.
    task_id: String,
}

#[derive(Debug, Default, Serialize)]
struct Flow<'a> {
    #[serde(rename = "flowURI")]
    uri: String,
    status: i64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attrs: Values<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", serialize_with = "as_list")]
    tasks: BTreeMap<String, i64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty", serialize_with = "as_list")]
    links: BTreeMap<i64, i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct WorkItem {
    id: i64,
    subflow_id: i64,
    task_id: String,
}

/// A task or a link in a list, with its status.
#[derive(Serialize)]
struct Member<'m, I> {
    id: &'m I,
    status: i64,
}

fn as_list<S: serde::Serializer, I: Serialize>(
    members: &BTreeMap<I, i64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(members.iter().map(|(id, status)| Member { id, status: *status }))
}

/// The state after step `until`, or after the last one. Steps come in the order of their ids.
///
/// `superseded` are executions that the shown steps took the place of, in any order: what a re-run did not record of
/// its tasks is taken from them. Without any step the state is empty.
pub fn snapshot<'a>(
    flow: &str,
    steps: &'a [StepData],
    superseded: &'a [StepData],
    until: Option<i64>,
) -> Result<Snapshot<'a>, Unreadable> {
    let earlier = Earlier::of(superseded);
    let mut state = Fold::default();
    let wanted = |step: &&StepData| until.is_none_or(|until| number(&step.id).is_some_and(|id| id <= until));
    for step in steps.iter().filter(wanted) {
        let mut posted = change::read(step)?;
        earlier.fill(&mut posted, step.execution);
        state.take(posted);
    }
    Ok(state.shown(flow))
}

/// Of snapshots that an engine posted for one instance, the one that seems to be the latest.
///
/// They carry no time: the furthest status wins, then most attributes, then most tasks, then the greater bytes. What is no
/// snapshot is passed over.
pub fn latest_posted(snapshots: &[Vec<u8>]) -> Option<&str> {
    #[derive(Deserialize)]
    struct Posted<'a> {
        #[serde(default, deserialize_with = "json::null_as_default")]
        status: i64,
        #[serde(borrow, default, deserialize_with = "json::null_as_default")]
        attrs: Values<'a>,
        #[serde(borrow, default, deserialize_with = "json::null_as_default")]
        tasks: Vec<&'a RawValue>,
    }
    let readable = snapshots.iter().filter_map(|bytes| {
        let text = std::str::from_utf8(bytes).ok()?;
        let posted: Posted<'_> = serde_json::from_str(text).ok()?;
        Some((posted.status, posted.attrs.len(), posted.tasks.len(), text))
    });
    readable.max().map(|(.., text)| text)
}

#[derive(Default)]
struct Fold<'a> {
    /// By number, 0 is the main flow, with the task that called it.
    flows: BTreeMap<i64, (String, Flow<'a>)>,
    queue: BTreeMap<i64, QueueChange>,
}

impl<'a> Fold<'a> {
    fn take(&mut self, step: change::Step<'a>) {
        // A step that begins a subflow is about the task that calls it, in the flow around it.
        let mut caller = String::new();
        for (number, change) in step.flow_changes {
            let about = change.task_id.clone();
            if change.new_flow {
                // A re-run gives the numbers of subflows again.
                self.flows.insert(number, (caller, Flow::default()));
            }
            self.flows.entry(number).or_default().1.take(change);
            caller = about;
        }
        for (id, change) in step.queue_changes {
            if change.change == 2 {
                self.queue.remove(&id);
            } else {
                self.queue.insert(id, change);
            }
        }
    }

    fn shown(mut self, id: &str) -> Snapshot<'a> {
        let (_, main) = self.flows.remove(&0).unwrap_or_default();
        let item = |(id, item): (i64, QueueChange)| WorkItem {
            id,
            subflow_id: item.subflow_id,
            task_id: item.task_id,
        };
        let subflows = self.flows.into_iter().map(|(id, (task_id, flow))| Subflow { flow, id, task_id });
        Snapshot {
            main,
            id: id.to_owned(),
            work_queue: self.queue.into_iter().map(item).collect(),
            subflows: subflows.collect(),
        }
    }
}

impl<'a> Flow<'a> {
    fn take(&mut self, change: FlowChange<'a>) {
        if !change.flow_uri.is_empty() {
            self.uri = change.flow_uri;
        }
        later(&mut self.status, change.status);
        self.attrs.extend(change.attrs);
        for (name, task) in change.tasks {
            later(self.tasks.entry(name).or_default(), task.status);
        }
        for (number, link) in change.links {
            later(self.links.entry(number).or_default(), link.status);
        }
    }
}

/// 0 says that the status did not change, or that a link is done with.
fn later(status: &mut i64, said: i64) {
    if said != 0 {
        *status = said;
    }
}
