//! `GET /v1/instances` and `…/:id/details`: flow instances.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::time;

/// A flow instance as the table shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instance {
    /// Flow instance id.
    pub id: String,
    /// Flow name.
    pub flow: Option<String>,
    /// The runtime's own word.
    pub status: Option<String>,
    /// Host it ran on.
    pub host: Option<String>,
    /// Start, UTC.
    pub started: Option<Timestamp>,
    /// End, UTC.
    pub ended: Option<Timestamp>,
    /// From start to end in milliseconds, as text.
    pub execution_time: Option<String>,
    /// How many other instances are re-runs of this one.
    pub rerun_count: i32,
    /// The instance that this one is a re-run of.
    pub original: Option<String>,
    /// What its first run was given, JSON; a list does without it.
    pub input: Option<Vec<u8>>,
}

/// `GET /v1/instances`
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Instances {
    /// How many there are, however many are shown.
    pub count: i64,
    /// Those that are shown; null where there is none.
    pub flow_data: Option<Vec<FlowInfo>>,
}

/// A flow instance as Flogo answers it.
#[derive(Debug, Serialize)]
pub struct FlowInfo {
    id: String,
    #[serde(rename = "flowURI", skip_serializing_if = "String::is_empty")]
    flow_uri: String,
    #[serde(rename = "flowName", skip_serializing_if = "String::is_empty")]
    flow_name: String,
    #[serde(rename = "hostid", skip_serializing_if = "String::is_empty")]
    host_id: String,
    #[serde(rename = "flowStatus", skip_serializing_if = "String::is_empty")]
    flow_status: String,
    #[serde(rename = "flowInputs")]
    flow_inputs: Option<Box<RawValue>>,
    #[serde(rename = "starttime", skip_serializing_if = "String::is_empty")]
    start_time: String,
    #[serde(rename = "endtime", skip_serializing_if = "String::is_empty")]
    end_time: String,
    #[serde(rename = "executiontime", skip_serializing_if = "String::is_empty")]
    execution_time: String,
    #[serde(rename = "rerunCount")]
    rerun_count: i32,
    #[serde(rename = "originalInstanceId")]
    original_instance_id: String,
}

impl Instances {
    /// A list, in the order in which it is given.
    pub fn new(count: i64, shown: Vec<Instance>) -> Self {
        let shown: Vec<_> = shown.into_iter().map(FlowInfo::in_list).collect();
        Self { count, flow_data: (!shown.is_empty()).then_some(shown) }
    }
}

impl FlowInfo {
    /// As in a list: without its inputs, in whose place there is always an empty object.
    fn in_list(instance: Instance) -> Self {
        Self {
            id: instance.id,
            flow_uri: String::new(),
            flow_name: instance.flow.unwrap_or_default(),
            host_id: instance.host.unwrap_or_default(),
            flow_status: instance.status.unwrap_or_default(),
            flow_inputs: object(b"{}"),
            start_time: instance.started.map(time).unwrap_or_default(),
            end_time: instance.ended.map(time).unwrap_or_default(),
            execution_time: instance.execution_time.unwrap_or_default(),
            rerun_count: instance.rerun_count,
            original_instance_id: instance.original.unwrap_or_default(),
        }
    }

    /// As a re-run from the beginning needs it: where the flow is, and what it was given.
    pub fn details(instance: Instance) -> Self {
        let flow_name = instance.flow.unwrap_or_default();
        Self {
            id: instance.id,
            flow_uri: format!("res://flow:{flow_name}"),
            flow_name,
            host_id: String::new(),
            flow_status: instance.status.unwrap_or_default(),
            flow_inputs: instance.input.as_deref().and_then(object),
            start_time: String::new(),
            end_time: String::new(),
            execution_time: String::new(),
            rerun_count: instance.rerun_count,
            original_instance_id: instance.original.unwrap_or_default(),
        }
    }
}

/// JSON that is an object; nothing for anything else.
fn object(json: &[u8]) -> Option<Box<RawValue>> {
    let value: Option<Box<RawValue>> = serde_json::from_slice(json).ok();
    value.filter(|value| value.get().starts_with('{'))
}
