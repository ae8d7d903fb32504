//! Events that decode has checked.

use bytes::Bytes;

use super::{AppRow, FlowId, RunRow, StepId, StepRow, Text, VariableRow};

/// What a runtime said, checked and cleaned: ids are there, text has no NUL, times fit, a phase is set.
///
/// Rows are boxed: they are large, and an event changes hands a few times before its row has found its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// One run of a flow was opened, goes on, or was closed.
    Flow {
        /// Flow instance.
        flow: FlowId,
        /// Run number; a greater one is a later one.
        run: i64,
        /// What this event alone says of the run.
        row: Box<RunRow>,
    },
    /// One execution of a step was opened, goes on, or was closed.
    Step {
        /// Flow instance.
        flow: FlowId,
        /// Step.
        step: StepId,
        /// Execution number; a greater one is a later one.
        execution: i64,
        /// What this event alone says of the execution.
        row: Box<StepRow>,
    },
    /// Executions below `before` of steps numbered `from` and up no longer count.
    Rewind {
        /// Flow instance.
        flow: FlowId,
        /// First step number it reaches; `None` reaches every step.
        from: Option<i64>,
        /// Executions below this are superseded.
        before: i64,
    },
    /// The history of the instance was deleted.
    Deleted {
        /// Flow instance.
        flow: FlowId,
        /// Runs and executions below this go; `None`: all, for ever.
        before: Option<i64>,
    },
    /// The state of an instance before a step.
    Snapshot {
        /// Flow instance.
        flow: FlowId,
        /// Step it was taken before; Flogo does not say.
        step: Option<StepId>,
        /// The runtime's own bytes.
        data: Bytes,
    },
    /// A variable was set or removed.
    Variable {
        /// Flow instance.
        flow: FlowId,
        /// What has it, by the runtime's own id; empty if that is the instance.
        scope: Text,
        /// Name, never empty.
        name: Text,
        /// How it was left.
        row: Box<VariableRow>,
    },
    /// An app's history was switched on or off.
    App(AppSwitch),
}

impl Event {
    /// The flow instance that it speaks of; of an app's switch there is none.
    pub fn flow(&self) -> Option<&FlowId> {
        match self {
            Self::Flow { flow, .. }
            | Self::Step { flow, .. }
            | Self::Rewind { flow, .. }
            | Self::Deleted { flow, .. }
            | Self::Snapshot { flow, .. }
            | Self::Variable { flow, .. } => Some(flow),
            Self::App(_) => None,
        }
    }
}

/// An app's history was switched on or off. User and app may be empty, as the table's key has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppSwitch {
    /// User.
    pub user: Text,
    /// App.
    pub app: Text,
    /// How it was switched.
    pub row: AppRow,
}
