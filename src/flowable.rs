//! What a Flowable engine says of its history, as events of the contract.
//!
//! Flowable 6.1 to 6.8 write what happens as JSON where asynchronous history is on: elements `{"type":…,"data":{…}}`, alone or
//! in an array. [`element`] makes events of one, [`array`] takes an array apart. docs/flowable.md says what becomes of what.
//!
//! What holds for all of them:
//!
//! - a flow instance is named `engine:process instance`. An element that names no process instance gives events of the flow
//!   `engine:`, until [`identity`] knows which one is meant.
//! - what may change of an activity, a task or a process is a part of its record: a variable whose scope begins with `@`, whose
//!   revision is the time of the change. Of each field the part with the greatest revision counts.

mod activity;
mod data;
pub mod identity;
mod process;
mod task;
#[cfg(test)]
mod tests;
pub(crate) mod variable;

use std::fmt;

use serde::{
    Deserialize, Deserializer as _,
    de::{self, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

use self::data::Data;
use crate::{
    proto::v1::{HistoryEvent, history_event::Event},
    sentence::quotable,
};

/// Name of an engine where nothing says another.
pub const DEFAULT_SOURCE: &str = "flowable";

/// The engine that elements come from, and what is wanted of it.
#[derive(Debug, Clone, Copy)]
pub struct Engine<'a> {
    /// Its name, as [`is_source`] wants it: what tells its ids from those of others.
    pub source: &'a str,
    /// Whether sequence flows become steps.
    pub sequence_flows: bool,
}

impl Default for Engine<'_> {
    fn default() -> Self {
        Self { source: DEFAULT_SOURCE, sequence_flows: false }
    }
}

/// Whether a text can be the name of an engine: letters, digits, `-`, `_` and `.`, at most 64 of them.
pub fn is_source(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

/// Why an element is no event.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not JSON, or not `{"type":…,"data":{…}}`, or a field is neither text nor a number.
    #[error("not an element of Flowable's history: {0}")]
    Json(#[source] serde_json::Error),
    /// A type that no version of Flowable has written.
    #[error("no type of Flowable's history: {}", quotable(.0))]
    Type(String),
    /// A field that names something is missing.
    #[error("`{0}` is missing or empty")]
    Missing(&'static str),
    /// A field that can't be read.
    #[error("`{field}` is no {what}: {}", quotable(value))]
    Field {
        /// Name of the field.
        field: &'static str,
        /// What it should be.
        what: &'static str,
        /// What it is.
        value: String,
    },
}

impl Error {
    /// The same without anything that the element says.
    pub fn unquoted(&self) -> String {
        match self {
            Self::Json(error) => {
                format!(
                    "not an element of Flowable's history: {:?} error at line {} column {}",
                    error.classify(),
                    error.line(),
                    error.column()
                )
            }
            Self::Type(_) => "no type of Flowable's history".to_owned(),
            Self::Missing(_) => self.to_string(),
            Self::Field { field, what, .. } => format!("`{field}` is no {what}"),
        }
    }
}

#[derive(Deserialize)]
struct Element<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    data: Box<Data<'a>>,
}

/// The events of one element; none where it is of a kind that is not kept.
pub fn element(engine: Engine<'_>, json: &[u8]) -> Result<Vec<HistoryEvent>, Error> {
    let Element { kind, data } = serde_json::from_slice(json).map_err(Error::Json)?;
    let mut said = Said { engine, data: &data, events: Vec::new() };
    match kind.as_str() {
        "process-instance-start" | "subprocess-instance-start" => said.process_start()?,
        "process-instance-end" => said.process_end()?,
        "process-instance-property-changed" => said.process_property()?,
        "set-process-definition" | "update-process-definition-cascade" => said.process_definition()?,
        "process-instance-deleted" => said.process_deleted()?,
        "activity-start" => said.activity_start()?,
        "activity-end" | "activity-full" => said.activity_end()?,
        "activity-update" => said.activity_update()?,
        "task-created" => said.task("created")?,
        "task-ended" => said.task("ended")?,
        "task-property-changed" => said.task("changed")?,
        "task-assignee-changed" => said.task_assignee()?,
        "task-owner-changed" => said.task_owner()?,
        "task-deleted" => said.task_deleted()?,
        "variable-created" => said.variable_created()?,
        "variable-updated" => said.variable()?,
        "variable-removed" => said.variable_removed()?,
        kind if is_left_out(kind) => {}
        _ => return Err(Error::Type(kind)),
    }
    Ok(said.events)
}

/// Kinds of elements that are not kept. A definition whose instances are deleted does not say which they are.
fn is_left_out(kind: &str) -> bool {
    matches!(
        kind,
        "process-instance-deleted-by-process-definition-id"
            | "historic-detail-variable-update"
            | "historic-detail-variable-updated"
            | "form-properties-submitted"
            | "identitylink-created"
            | "identitylink-deleted"
            | "entitylink-created"
            | "entitylink-deleted"
            | "historic-user-task-log-record"
            | "historic-user-task-log-delete"
    )
}

/// Takes an array of elements apart, in its order. An error is about the array itself: what stands in it is not looked at.
pub fn array(json: &[u8], each: impl FnMut(&RawValue)) -> Result<(), serde_json::Error> {
    struct Elements<F>(F);
    impl<'de, F: FnMut(&RawValue)> Visitor<'de> for Elements<F> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array of elements")
        }

        fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
            while let Some(element) = elements.next_element::<&RawValue>()? {
                (self.0)(element);
            }
            Ok(())
        }
    }
    let mut reader = serde_json::Deserializer::from_slice(json);
    reader.deserialize_seq(Elements(each))?;
    reader.end()
}

/// Whether JSON has the shape of an element, whatever it says.
pub fn is_element(json: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Shape {
        #[serde(rename = "type")]
        _kind: de::IgnoredAny,
        #[serde(rename = "data")]
        _data: de::IgnoredAny,
    }
    serde_json::from_slice::<Shape>(json).is_ok()
}

/// What one element says.
struct Said<'a> {
    engine: Engine<'a>,
    data: &'a Data<'a>,
    events: Vec<HistoryEvent>,
}

impl Said<'_> {
    fn push(&mut self, event: Event) {
        self.events.push(HistoryEvent { event: Some(event) });
    }

    /// The flow instance of a process instance; without one, what stands for it.
    fn flow(&self, process_instance: &str) -> String {
        format!("{}:{process_instance}", self.engine.source)
    }
}
