//! A posted step, with all that answers need of it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use thiserror::Error;

use super::StepData;
use crate::flogo::{json, step::ended_task};

/// Values by name, each as it was posted.
pub(super) type Values<'a> = BTreeMap<String, &'a RawValue>;

/// What is stored of a step is not a step that Flogo posted: another runtime's, or one too large to be kept whole.
#[derive(Debug, Error)]
#[error("step {id} holds no step of Flogo: {source}")]
pub struct Unreadable {
    /// Step id.
    pub id: String,
    /// Where it goes wrong.
    #[source]
    source: serde_json::Error,
}

/// `POST /v1/instances/steps`
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Step<'a> {
    pub(super) id: i64,
    /// By number of the flow: 0 is the main flow. What the change itself says in `subflowId` is 0 in most steps.
    #[serde(borrow, default, deserialize_with = "json::null_as_default")]
    pub(super) flow_changes: BTreeMap<i64, FlowChange<'a>>,
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub(super) queue_changes: BTreeMap<i64, QueueChange>,
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub(super) rerun: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct FlowChange<'a> {
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub(super) new_flow: bool,
    #[serde(rename = "flowURI", default, deserialize_with = "json::null_as_default")]
    pub(super) flow_uri: String,
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub(super) task_id: String,
    /// 0 says that it did not change.
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub(super) status: i64,
    #[serde(borrow, default, deserialize_with = "json::null_as_default")]
    pub(super) attrs: Values<'a>,
    #[serde(borrow, default, deserialize_with = "json::null_as_default")]
    pub(super) tasks: BTreeMap<String, TaskChange<'a>>,
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub(super) links: BTreeMap<i64, LinkChange>,
    #[serde(borrow)]
    pub(super) return_data: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TaskChange<'a> {
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub(super) status: i64,
    #[serde(borrow)]
    pub(super) input: Option<&'a RawValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct LinkChange {
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub(super) status: i64,
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub(super) from: String,
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub(super) to: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct QueueChange {
    /// 0 added, 1 changed, 2 taken away.
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub(super) change: i64,
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub(super) subflow_id: i64,
    #[serde(default, deserialize_with = "json::null_as_default")]
    pub(super) task_id: String,
}

impl<'a> FlowChange<'a> {
    /// The task that ended in this change: Waiting, Completed, Failed or Cancelled.
    pub(super) fn ended(&self) -> Option<(&str, &TaskChange<'a>)> {
        let statuses = self.tasks.iter().map(|(name, task)| (name.as_str(), task.status));
        let name = ended_task(statuses, &self.task_id)?;
        self.tasks.get(name).map(|task| (name, task))
    }
}

/// Reads what was posted.
pub(super) fn read(step: &StepData) -> Result<Step<'_>, Unreadable> {
    serde_json::from_slice(&step.data).map_err(|source| Unreadable { id: step.id.clone(), source })
}

/// What was posted, if it is JSON at all.
pub(super) fn posted(step: &StepData) -> Result<&RawValue, Unreadable> {
    serde_json::from_slice(&step.data).map_err(|source| Unreadable { id: step.id.clone(), source })
}

/// An object that has members.
pub(super) fn filled(value: Option<&RawValue>) -> Option<&RawValue> {
    value.filter(|value| {
        let inner = value.get().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        inner.is_some_and(|members| !members.trim().is_empty())
    })
}
