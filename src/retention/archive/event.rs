//! Rows of a flow → the events that they stand for. Pure.

use bytes::Bytes;
use pbjson_types::Timestamp;

use crate::{
    model::{Micros, Phase, RunRow, StepRow, Text},
    pipeline::merge::FlowTables,
    proto::v1::{self, FlowEvent, HistoryEvent, Rewind, Snapshot, StepEvent, history_event::Event},
};

/// When the shown run of a flow started, or else the first of its steps.
pub(super) fn started(tables: &FlowTables) -> Option<Micros> {
    let shown = tables.shown.as_ref().and_then(|shown| shown.row.start);
    shown.or_else(|| tables.steps.values().filter_map(|(_, row)| row.start).min())
}

/// Events that make the same rows. Snapshots come as step and bytes.
pub(super) fn events(
    flow: &str,
    tables: &FlowTables,
    snapshots: Vec<(String, Vec<u8>)>,
) -> Vec<HistoryEvent> {
    let mut events: Vec<Event> = tables.runs.iter().map(|(run, row)| of_run(flow, *run, row)).collect();
    if let Some(shown) = tables.shown.as_ref().filter(|_| events.is_empty()) {
        events.push(of_run(flow, shown.run, &shown.row));
    }
    let shown = tables.steps.iter().map(|(step, (execution, row))| (step, *execution, row));
    let superseded = tables.superseded.iter().map(|((step, execution), row)| (step, *execution, row));
    let steps = shown.chain(superseded);
    events.extend(steps.map(|(step, execution, row)| of_step(flow, step.as_str(), execution, row)));
    events.extend(tables.facts.iter().map(|fact| {
        let flow_instance_id = flow.to_owned();
        Event::Rewind(Rewind { flow_instance_id, from_step: fact.from, before: fact.before })
    }));
    events.extend(snapshots.into_iter().map(|(step_id, data)| {
        Event::Snapshot(Snapshot { flow_instance_id: flow.to_owned(), step_id, data: data.into() })
    }));
    events.into_iter().map(|event| HistoryEvent { event: Some(event) }).collect()
}

fn of_run(flow: &str, run: i64, row: &RunRow) -> Event {
    Event::Flow(FlowEvent {
        flow_instance_id: flow.to_owned(),
        run,
        phase: phase(row.phase),
        status: 0,
        status_word: text(row.status.as_ref()),
        user_id: text(row.user.as_ref()),
        app_name: text(row.app.as_ref()),
        app_version: text(row.version.as_ref()),
        flow_name: text(row.name.as_ref()),
        host_id: text(row.host.as_ref()),
        started_at: time(row.start),
        ended_at: time(row.end),
        parent_flow_instance_id: text(row.parent.as_ref()),
        parent_flow_name: text(row.parent_name.as_ref()),
        rerun_of_flow_instance_id: text(row.original.as_ref()),
        input: bytes(row.input.as_ref()),
        output: bytes(row.output.as_ref()),
        error: bytes(row.error.as_ref()),
        trace_id: text(row.trace.as_ref()),
    })
}

fn of_step(flow: &str, step: &str, execution: i64, row: &StepRow) -> Event {
    Event::Step(StepEvent {
        flow_instance_id: flow.to_owned(),
        step_id: step.to_owned(),
        execution,
        phase: phase(row.phase),
        status: 0,
        status_word: text(row.status.as_ref()),
        task_name: text(row.task.as_ref()),
        flow_name: text(row.flow_name.as_ref()),
        subflow_id: text(row.subflow.as_ref()),
        parent_step_id: text(row.parent_step.as_ref()),
        started_at: time(row.start),
        ended_at: time(row.end),
        rerun: row.rerun,
        data: bytes(row.data.as_ref()),
        input: bytes(row.input.as_ref()),
        output: bytes(row.output.as_ref()),
        error: bytes(row.error.as_ref()),
        misc: bytes(row.misc.as_ref()),
    })
}

fn phase(phase: Phase) -> i32 {
    let phase = match phase {
        Phase::Opened => v1::Phase::Opened,
        Phase::Running => v1::Phase::Running,
        Phase::Closed => v1::Phase::Closed,
    };
    phase.into()
}

fn text(text: Option<&Text>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

fn bytes(bytes: Option<&Bytes>) -> Bytes {
    bytes.cloned().unwrap_or_default()
}

/// Exact: rows have whole microseconds.
fn time(time: Option<Micros>) -> Option<Timestamp> {
    const MICROS: i64 = 1_000_000;
    let micros = time?.get();
    let nanos = i32::try_from(micros.rem_euclid(MICROS) * 1_000).ok()?;
    Some(Timestamp { seconds: micros.div_euclid(MICROS), nanos })
}
