//! The life of one made-up flow, event by event.

use std::ops::Range;

use bytes::Bytes;
use pbjson_types::Timestamp;
use rand::{RngExt as _, seq::IndexedRandom as _};

use super::payload::Payloads;
use crate::proto::v1::{
    FlowEvent, FlowStatus, HistoryEvent, Phase, Rewind, StepEvent, StepStatus, history_event::Event,
};

const APPS: [(&str, &str); 4] =
    [("billing", "2.1.0"), ("fulfilment", "1.8.3"), ("onboarding", "3.0.1"), ("orders", "1.4.2")];
const FLOWS: [&str; 5] = ["approve", "create", "notify", "reconcile", "update"];
const USERS: [&str; 3] = ["ana", "flogo", "jo"];
const HOSTS: [&str; 4] = ["host-a", "host-b", "host-c", "host-d"];
const TASKS: [&str; 10] =
    ["Receive", "Validate", "Enrich", "Price", "Reserve", "Charge", "Pack", "Ship", "Notify", "Return"];
const SUBFLOW: &str = "lookup";
const ERROR: &[u8] = br#"{"code":"SYNTHETIC-1","message":"the step failed because it was told to"}"#;

/// What a flow is called and where it runs.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Names {
    app: (&'static str, &'static str),
    flow: &'static str,
    user: &'static str,
    host: &'static str,
}

impl Names {
    pub(super) fn any(random: &mut impl rand::Rng) -> Self {
        Self {
            app: APPS.choose(random).copied().unwrap_or_default(),
            flow: FLOWS.choose(random).copied().unwrap_or_default(),
            user: USERS.choose(random).copied().unwrap_or_default(),
            host: HOSTS.get(random.random_range(0..HOSTS.len())).copied().unwrap_or_default(),
        }
    }
}

/// What a flow says next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Turn {
    Rewind(u32),
    Open(u32),
    OpenStep(u32),
    /// The step that is under way, and when it began: its execution.
    CloseStep(u32, i64),
    Close(FlowStatus),
    #[default]
    Ended,
}

/// One flow instance, run once or more often.
#[derive(Debug, Default)]
pub(super) struct Flow {
    pub(super) id: String,
    pub(super) names: Names,
    pub(super) steps: u32,
    pub(super) fails_at: Option<u32>,
    /// Steps that belong to a subflow.
    pub(super) subflow: Range<u32>,
    original: String,
    /// When the run began, in µs: its number.
    run: i64,
    /// The greatest execution so far.
    greatest: i64,
    rerun: bool,
    turn: Turn,
}

impl Flow {
    pub(super) fn new(id: String, names: Names, original: String, steps: u32) -> Self {
        Self { id, names, steps, original, turn: Turn::Open(0), ..Self::default() }
    }

    pub(super) fn has_ended(&self) -> bool {
        self.turn == Turn::Ended
    }

    /// Has a flow that ended run again from a step on, under its own id.
    pub(super) fn run_again_from(&mut self, step: u32) {
        (self.turn, self.rerun, self.fails_at) = (Turn::Rewind(step), true, None);
    }

    /// What it says at this time, in µs. A flow that has ended says that it ended again.
    pub(super) fn next(&mut self, at: i64, payloads: &mut Payloads) -> HistoryEvent {
        let event = match self.turn {
            Turn::Rewind(step) => {
                self.turn = Turn::Open(step);
                Event::Rewind(Rewind {
                    flow_instance_id: self.id.clone(),
                    from_step: Some(step.into()),
                    before: self.greatest + 1,
                })
            }
            Turn::Open(step) => {
                (self.run, self.turn) = (at, Turn::OpenStep(step));
                let status = if self.rerun { FlowStatus::Started } else { FlowStatus::Created };
                let said = FlowEvent { input: payloads.next(), ..self.flow(Phase::Opened, status) };
                Event::Flow(FlowEvent { rerun_of_flow_instance_id: self.original.clone(), ..said })
            }
            Turn::OpenStep(step) => {
                (self.greatest, self.turn) = (at, Turn::CloseStep(step, at));
                let said = self.step(step, at, Phase::Opened, StepStatus::Started);
                Event::Step(StepEvent { input: payloads.next(), ..said })
            }
            Turn::CloseStep(step, began) => self.close_step(step, began, at, payloads),
            Turn::Close(status) => {
                self.turn = Turn::Ended;
                let said = self.flow(Phase::Closed, status);
                Event::Flow(FlowEvent { ended_at: Some(time(at)), output: payloads.next(), ..said })
            }
            Turn::Ended => Event::Flow(self.flow(Phase::Closed, FlowStatus::Completed)),
        };
        HistoryEvent { event: Some(event) }
    }

    fn close_step(&mut self, step: u32, began: i64, at: i64, payloads: &mut Payloads) -> Event {
        let failed = self.fails_at == Some(step);
        self.turn = match (failed, step + 1 < self.steps) {
            (true, _) => Turn::Close(FlowStatus::Failed),
            (false, true) => Turn::OpenStep(step + 1),
            (false, false) => Turn::Close(FlowStatus::Completed),
        };
        let status = if failed { StepStatus::Failed } else { StepStatus::Completed };
        let error = if failed { Bytes::from_static(ERROR) } else { Bytes::new() };
        let said = self.step(step, began, Phase::Closed, status);
        Event::Step(StepEvent { ended_at: Some(time(at)), data: payloads.next(), error, ..said })
    }

    fn flow(&self, phase: Phase, status: FlowStatus) -> FlowEvent {
        FlowEvent {
            flow_instance_id: self.id.clone(),
            run: self.run,
            phase: phase.into(),
            status: status.into(),
            user_id: self.names.user.to_owned(),
            app_name: self.names.app.0.to_owned(),
            app_version: self.names.app.1.to_owned(),
            flow_name: self.names.flow.to_owned(),
            host_id: self.names.host.to_owned(),
            started_at: Some(time(self.run)),
            ..FlowEvent::default()
        }
    }

    fn step(&self, step: u32, began: i64, phase: Phase, status: StepStatus) -> StepEvent {
        let in_subflow = self.subflow.contains(&step);
        let task = TASKS.iter().cycle().nth(usize::try_from(step).unwrap_or(0) % TASKS.len());
        StepEvent {
            flow_instance_id: self.id.clone(),
            step_id: step.to_string(),
            execution: began,
            phase: phase.into(),
            status: status.into(),
            task_name: task.copied().unwrap_or_default().to_owned(),
            flow_name: if in_subflow { SUBFLOW } else { self.names.flow }.to_owned(),
            subflow_id: if in_subflow { "1" } else { "0" }.to_owned(),
            started_at: Some(time(began)),
            rerun: self.rerun,
            ..StepEvent::default()
        }
    }
}

/// A time in µs since 1970.
fn time(micros: i64) -> Timestamp {
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).expect("less than a second");
    Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}
