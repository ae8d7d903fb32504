//! Rows: what is known of one run of a flow, of one execution of a step, of a variable, of an app.
//!
//! An event is the row that it alone would make; [`crate::pipeline::merge`] joins rows of one key.

use bytes::Bytes;

use super::{Micros, Text};

/// Where in its life a run or an execution is. The greater one is the later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It was opened.
    Opened,
    /// It goes on.
    Running,
    /// It ended.
    Closed,
}

impl Phase {
    /// As the columns named `phase` hold it.
    pub fn number(self) -> i16 {
        match self {
            Self::Opened => 0,
            Self::Running => 1,
            Self::Closed => 2,
        }
    }
}

/// One run of a flow instance. `None` is "not known"; text and bytes are never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRow {
    /// Phase; while it is not closed there is no end, output or error.
    pub phase: Phase,
    /// Who ran it.
    pub user: Option<Text>,
    /// App that holds the flow.
    pub app: Option<Text>,
    /// Version of that app.
    pub version: Option<Text>,
    /// Flow name.
    pub name: Option<Text>,
    /// Host it ran on.
    pub host: Option<Text>,
    /// Flow instance that called it.
    pub parent: Option<Text>,
    /// Flow name of that instance.
    pub parent_name: Option<Text>,
    /// Flow instance whose re-run it is.
    pub original: Option<Text>,
    /// Trace id.
    pub trace: Option<Text>,
    /// Start.
    pub start: Option<Micros>,
    /// Input.
    pub input: Option<Bytes>,
    /// End.
    pub end: Option<Micros>,
    /// The runtime's word for the status.
    pub status: Option<Text>,
    /// Output.
    pub output: Option<Bytes>,
    /// Error.
    pub error: Option<Bytes>,
}

/// One execution of a step. `None` is "not known"; text and bytes are never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRow {
    /// Phase; while it is not closed there is no end, output or error.
    pub phase: Phase,
    /// Task name.
    pub task: Option<Text>,
    /// Flow the task belongs to.
    pub flow_name: Option<Text>,
    /// Subflow the task ran in.
    pub subflow: Option<Text>,
    /// Step this one belongs to.
    pub parent_step: Option<Text>,
    /// What else the runtime said.
    pub misc: Option<Bytes>,
    /// It belongs to a re-run of the instance.
    pub rerun: bool,
    /// Start.
    pub start: Option<Micros>,
    /// Input.
    pub input: Option<Bytes>,
    /// End.
    pub end: Option<Micros>,
    /// The runtime's word for the status.
    pub status: Option<Text>,
    /// Output.
    pub output: Option<Bytes>,
    /// Error.
    pub error: Option<Bytes>,
    /// The runtime's own record of the step.
    pub data: Option<Bytes>,
}

/// A variable as it was last set or removed. Ordered as the merge law picks the last: the fields in this order, `None` lowest,
/// text and bytes by bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VariableRow {
    /// Run that set it.
    pub run: i64,
    /// Revision; a greater one is a later one.
    pub revision: i64,
    /// It is gone; then it has no value.
    pub removed: bool,
    /// The runtime's word for what the value is.
    pub kind: Option<Text>,
    /// Value.
    pub value: Option<Bytes>,
    /// The runtime's own id of it.
    pub id: Option<Text>,
    /// When it was created.
    pub created: Option<Micros>,
    /// When it was changed.
    pub updated: Option<Micros>,
    /// What else the runtime said.
    pub misc: Option<Bytes>,
}

/// Whether an app's history is to be kept, as last switched. Ordered as the merge law picks the last:
/// by time, then off over on, then by version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AppRow {
    /// When it was switched.
    pub at: Option<Micros>,
    /// It was switched off.
    pub off: bool,
    /// Version of the app that was switched.
    pub version: Option<Text>,
}
