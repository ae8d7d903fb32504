//! What a timeline is made of.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::RunState;

/// A flow as it is drawn.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(in crate::api) struct Timeline {
    /// Flow instance id.
    pub(super) id: String,
    /// What all bars are counted from: the flow's start, or that of its first step.
    pub(super) start: Option<Timestamp>,
    /// From there to the last end that is known.
    pub(super) duration_ms: f64,
    /// Something goes on.
    pub(super) open: bool,
    /// How many levels there are.
    pub(super) depth: u32,
    /// How many bars there are.
    pub(super) total: usize,
    /// Bars in the order to draw them.
    pub(super) bars: Vec<Bar>,
    /// Long stretches in which nothing ran.
    pub(super) gaps: Vec<Gap>,
    /// The place of the next piece; null at the end.
    pub(super) next: Option<String>,
}

/// A step, or a flow that was called.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(in crate::api) struct Bar {
    /// Which of them it is.
    pub(super) kind: Kind,
    /// Step id; of a flow, its instance id.
    pub(super) id: String,
    /// Task name.
    pub(super) task: Option<String>,
    /// Flow that the task belongs to; of a flow, its own name.
    pub(super) flow: Option<String>,
    /// Subflow that the task ran in.
    pub(super) subflow: Option<String>,
    /// Step that called it.
    pub(super) parent: Option<String>,
    /// How deep it lies below the main flow.
    pub(super) depth: u32,
    /// The least number that no overlapping bar of the same depth has.
    pub(super) lane: u32,
    /// The runtime's own word.
    pub(super) status: Option<String>,
    /// How it stands.
    pub(super) state: RunState,
    /// Where it begins, in milliseconds from the start.
    pub(super) start_ms: f64,
    /// Where it ends; null while it is open.
    pub(super) end_ms: Option<f64>,
    /// It is one of the chain that the end rests on.
    pub(super) critical: bool,
    /// It belongs to a re-run of the instance.
    pub(super) rerun: bool,
}

/// What a bar stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::api) enum Kind {
    /// A step of the flow.
    Step,
    /// An instance that the flow called.
    Flow,
}

/// A stretch in which nothing ran.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(in crate::api) struct Gap {
    /// Where it begins, in milliseconds from the start.
    pub(super) start_ms: f64,
    /// Where it ends.
    pub(super) end_ms: f64,
}

impl Bar {
    /// What names it among the bars of a timeline.
    pub(super) fn place(&self) -> String {
        let kind = match self.kind {
            Kind::Step => "step",
            Kind::Flow => "flow",
        };
        format!("{kind}~{}", self.id)
    }
}
