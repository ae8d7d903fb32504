//! `POST /v1/instances/start` and `/end`: a run of a flow was opened, a run was closed.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Error, event, json, present, time};
use crate::proto::v1::{FlowEvent, FlowStatus, HistoryEvent, Phase, history_event::Event};

/// What both requests carry. `rerun_count` is always 0 and not looked at.
#[derive(Deserialize)]
struct FlowState<'a> {
    #[serde(default, deserialize_with = "json::null_as_default")]
    user_id: String,
    #[serde(default, deserialize_with = "json::null_as_default")]
    app_name: String,
    #[serde(default, deserialize_with = "json::null_as_default")]
    app_version: String,
    #[serde(default, deserialize_with = "json::null_as_default")]
    host_id: String,
    #[serde(default, deserialize_with = "json::null_as_default")]
    flow_name: String,
    #[serde(default, deserialize_with = "json::null_as_default")]
    flow_instance_id: String,
    #[serde(default, deserialize_with = "json::null_as_default")]
    flow_stats: String,
    #[serde(default, deserialize_with = "json::null_as_default")]
    original_instance_id: String,
    start_time: Option<String>,
    end_time: Option<String>,
    #[serde(borrow)]
    flow_inputs: Option<&'a RawValue>,
    #[serde(borrow)]
    flow_outputs: Option<&'a RawValue>,
}

/// `POST /v1/instances/start`: status `Created`, or `Started` where a re-run keeps the instance id.
///
/// The end time (2 µs after the start) and the outputs (the declared ones at zero) of this request mean nothing,
/// and the event has neither.
pub fn start(body: &Bytes) -> Result<HistoryEvent, Error> {
    flow_event(body, "start of a flow", Phase::Opened)
}

/// `POST /v1/instances/end`: `Completed`, `Failed` or `Cancelled`, with the outputs as they were posted.
pub fn end(body: &Bytes) -> Result<HistoryEvent, Error> {
    flow_event(body, "end of a flow", Phase::Closed)
}

fn flow_event(body: &Bytes, what: &'static str, phase: Phase) -> Result<HistoryEvent, Error> {
    let state: FlowState<'_> = json::parse(what, body)?;
    let flow_instance_id = present("flow_instance_id", &state.flow_instance_id)?;
    let started_at = time::parse("start_time", state.start_time.as_deref())?;
    let (status, status_word) = status(&state.flow_stats);
    let mut flow = FlowEvent {
        flow_instance_id,
        run: time::number(started_at),
        status: status.into(),
        status_word,
        user_id: state.user_id,
        app_name: state.app_name,
        app_version: state.app_version,
        flow_name: state.flow_name,
        host_id: state.host_id,
        started_at: started_at.map(time::to_proto),
        rerun_of_flow_instance_id: state.original_instance_id,
        // As the Go service stores it: no inputs are an empty object.
        input: state.flow_inputs.map_or(Bytes::from_static(b"{}"), json::compact),
        ..FlowEvent::default()
    };
    flow.set_phase(phase);
    if phase == Phase::Closed {
        flow.ended_at = time::parse("end_time", state.end_time.as_deref())?.map(time::to_proto);
        // And here no outputs are `null`.
        flow.output = state.flow_outputs.map_or(Bytes::from_static(b"null"), json::compact);
    }
    Ok(event(Event::Flow(flow)))
}

/// The status of a word; a word that is not known stays a word.
fn status(word: &str) -> (FlowStatus, String) {
    let known = match word {
        "" => FlowStatus::Unspecified,
        "Created" => FlowStatus::Created,
        "Started" => FlowStatus::Started,
        "Completed" => FlowStatus::Completed,
        "Cancelled" => FlowStatus::Cancelled,
        "Failed" => FlowStatus::Failed,
        other => return (FlowStatus::Unspecified, other.to_owned()),
    };
    (known, String::new())
}
