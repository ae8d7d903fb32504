//! What a Flogo app says, as events of the contract.
//!
//! A Flogo engine posts JSON to its state service: the start and the end of a flow, every step as one message with
//! both of its times, snapshots, and deletions that come before a re-run. There is a function here for each kind of
//! request; it takes the bytes of the body and gives a [`HistoryEvent`]. [`crate::publish::Record`] adds the key.
//! [`recording`] reads whole recordings of such traffic. [`answer`] is the way back: what is stored, as the answers of
//! Flogo's state service.
//!
//! What holds for all of them:
//!
//! - *run* and *execution* are the start time in µs, rounded half to even as Postgres does. A start time that is
//!   missing, empty or Go's zero time (`0001-01-01T00:00:00Z`) counts as 0.
//! - times keep the nanoseconds they were posted with; who stores them rounds them.
//! - JSON inside an event (inputs, outputs, errors) is what was posted, less the white space between tokens: key
//!   order, escapes and the spelling of numbers stay.

pub mod answer;
pub mod compare;
mod flow_state;
mod json;
pub mod recording;
mod step;
#[cfg(test)]
mod tests;
mod time;

use bytes::Bytes;
use serde::Deserialize;

use crate::proto::v1::{self, HistoryEvent, history_event::Event};

pub use flow_state::{end, start};
pub use step::step;

/// Why a request is no event.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The body is not JSON, or a field has another type than Flogo gives it.
    #[error("not the body that Flogo posts as a {what}")]
    Body {
        /// What the body should be.
        what: &'static str,
        /// Where it goes wrong.
        #[source]
        source: serde_json::Error,
    },
    /// A field that names the flow or the step is missing.
    #[error("`{field}` is missing or empty")]
    Missing {
        /// Name of the field.
        field: &'static str,
    },
    /// A time that cannot be read.
    #[error("`{field}` is not an RFC 3339 time: {value:?}")]
    Time {
        /// Name of the field.
        field: &'static str,
        /// What was posted.
        value: String,
        /// What is wrong with it.
        #[source]
        source: jiff::Error,
    },
    /// A step id in a path that is no number.
    #[error("the step to delete from is not a number: {value:?}")]
    StepNumber {
        /// What the path said.
        value: String,
    },
}

/// `DELETE /v1/instances/:id/step/:n`: a re-run from step `n` is about to begin.
///
/// `before` is 1 + the greatest execution of the flow that the caller has seen, 0 if it has seen none.
pub fn rewind(flow: &str, step: &str, before: i64) -> Result<HistoryEvent, Error> {
    let number = step.parse().ok().filter(|n: &i64| *n >= 0);
    let from_step = Some(number.ok_or_else(|| Error::StepNumber { value: step.to_owned() })?);
    let flow_instance_id = present("flow instance id", flow)?;
    Ok(event(Event::Rewind(v1::Rewind { flow_instance_id, from_step, before })))
}

/// `DELETE /v1/instances/:id`: the history of an instance goes, whatever run it is of.
pub fn deleted(flow: &str) -> Result<HistoryEvent, Error> {
    let flow_instance_id = present("flow instance id", flow)?;
    Ok(event(Event::FlowDeleted(v1::FlowDeleted { flow_instance_id, before: None })))
}

/// `POST /v1/instances/snapshot`: the state of an instance, posted before the step that it belongs to.
///
/// The body does not say which step that is, so the event's step id is empty.
pub fn snapshot(body: &Bytes) -> Result<HistoryEvent, Error> {
    #[derive(Deserialize)]
    struct Body {
        #[serde(default)]
        id: String,
    }
    let Body { id } = json::parse("snapshot", body)?;
    let flow_instance_id = present("id", &id)?;
    Ok(event(Event::Snapshot(v1::Snapshot { flow_instance_id, step_id: String::new(), data: body.clone() })))
}

/// `POST` (enabled) and `DELETE` (not enabled) of `/v1/app/state/:app`. Flogo gives neither version nor time.
pub fn app_state(user: &str, app: &str, enabled: bool, at: jiff::Timestamp) -> Result<HistoryEvent, Error> {
    Ok(event(Event::App(v1::AppEvent {
        user_id: user.to_owned(),
        app_name: present("app name", app)?,
        app_version: String::new(),
        persistence_enabled: enabled,
        at: Some(time::to_proto(at)),
    })))
}

fn event(event: Event) -> HistoryEvent {
    HistoryEvent { event: Some(event) }
}

fn present(field: &'static str, value: &str) -> Result<String, Error> {
    if value.is_empty() { Err(Error::Missing { field }) } else { Ok(value.to_owned()) }
}
