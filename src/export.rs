//! Stored rows → the events that make them. Pure.
//!
//! A row is what an event that closes, or goes on, would say by itself; so the events of all rows of a flow, with what
//! superseded some of them, make the same rows again.

use bytes::Bytes;

use crate::{
    model::{Micros, Phase, RunRow, StepId, StepRow, Text, VariableRow},
    pipeline::merge::{FlowTables, Tombstone, VariableKey},
    proto::v1::{
        self, FlowDeleted, FlowEvent, HistoryEvent, Rewind, Snapshot, StepEvent, VariableEvent,
        history_event::Event,
    },
};

/// The events of a flow as `flowtrail publish --from json` reads them: one a line in proto3 JSON.
pub fn lines(flow: &str, tables: &FlowTables) -> Result<Vec<u8>, serde_json::Error> {
    let mut lines = Vec::new();
    for event in events(flow, tables) {
        serde_json::to_writer(&mut lines, &event)?;
        lines.push(b'\n');
    }
    Ok(lines)
}

/// The events of a flow: its runs, its executions of steps, what superseded some of them, what was deleted, its snapshots,
/// its variables.
pub fn events(flow: &str, tables: &FlowTables) -> Vec<HistoryEvent> {
    let mut events = Vec::new();
    if tables.runs.is_empty() {
        events.extend(tables.shown.iter().map(|shown| run(flow, shown.run, &shown.row)));
    } else {
        events.extend(tables.runs.iter().map(|(number, row)| run(flow, *number, row)));
    }
    let shown = tables.steps.iter().map(|(id, (execution, row))| step(flow, id, *execution, row));
    events.extend(shown);
    let superseded = tables.superseded.iter();
    events.extend(superseded.map(|((id, execution), row)| step(flow, id, *execution, row)));
    events.extend(tables.facts.iter().map(|fact| {
        Event::Rewind(Rewind { flow_instance_id: flow.to_owned(), from_step: fact.from, before: fact.before })
    }));
    events.extend(tables.tombstone.map(|tombstone| {
        let before = match tombstone {
            Tombstone::Before(before) => Some(before),
            Tombstone::Forever => None,
        };
        Event::FlowDeleted(FlowDeleted { flow_instance_id: flow.to_owned(), before })
    }));
    events.extend(tables.snapshots.iter().map(|((step, _), data)| {
        let step_id = step.as_ref().map(|step| step.as_str().to_owned()).unwrap_or_default();
        Event::Snapshot(Snapshot { flow_instance_id: flow.to_owned(), step_id, data: data.clone() })
    }));
    events.extend(tables.variables.iter().map(|(key, row)| variable(flow, key, row)));
    events.into_iter().map(|event| HistoryEvent { event: Some(event) }).collect()
}

fn run(flow: &str, run: i64, row: &RunRow) -> Event {
    let mut event = FlowEvent {
        flow_instance_id: flow.to_owned(),
        run,
        status_word: text(row.status.as_ref()),
        user_id: text(row.user.as_ref()),
        app_name: text(row.app.as_ref()),
        app_version: text(row.version.as_ref()),
        flow_name: text(row.name.as_ref()),
        host_id: text(row.host.as_ref()),
        started_at: row.start.map(time),
        ended_at: row.end.map(time),
        parent_flow_instance_id: text(row.parent.as_ref()),
        parent_flow_name: text(row.parent_name.as_ref()),
        rerun_of_flow_instance_id: text(row.original.as_ref()),
        input: bytes(row.input.as_ref()),
        output: bytes(row.output.as_ref()),
        error: bytes(row.error.as_ref()),
        trace_id: text(row.trace.as_ref()),
        ..FlowEvent::default()
    };
    event.set_phase(phase(row.phase));
    Event::Flow(event)
}

fn step(flow: &str, id: &StepId, execution: i64, row: &StepRow) -> Event {
    let mut event = StepEvent {
        flow_instance_id: flow.to_owned(),
        step_id: id.as_str().to_owned(),
        execution,
        status_word: text(row.status.as_ref()),
        task_name: text(row.task.as_ref()),
        flow_name: text(row.flow_name.as_ref()),
        subflow_id: text(row.subflow.as_ref()),
        parent_step_id: text(row.parent_step.as_ref()),
        started_at: row.start.map(time),
        ended_at: row.end.map(time),
        rerun: row.rerun,
        data: bytes(row.data.as_ref()),
        input: bytes(row.input.as_ref()),
        output: bytes(row.output.as_ref()),
        error: bytes(row.error.as_ref()),
        misc: bytes(row.misc.as_ref()),
        ..StepEvent::default()
    };
    event.set_phase(phase(row.phase));
    Event::Step(event)
}

fn variable(flow: &str, (scope, name): &VariableKey, row: &VariableRow) -> Event {
    Event::Variable(VariableEvent {
        flow_instance_id: flow.to_owned(),
        run: row.run,
        scope: scope.to_string(),
        name: name.to_string(),
        r#type: text(row.kind.as_ref()),
        value: bytes(row.value.as_ref()),
        revision: row.revision,
        removed: row.removed,
        variable_id: text(row.id.as_ref()),
        created_at: row.created.map(time),
        updated_at: row.updated.map(time),
        misc: bytes(row.misc.as_ref()),
    })
}

fn phase(phase: Phase) -> v1::Phase {
    match phase {
        Phase::Opened => v1::Phase::Opened,
        Phase::Running => v1::Phase::Running,
        Phase::Closed => v1::Phase::Closed,
    }
}

fn text(text: Option<&Text>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}

fn bytes(bytes: Option<&Bytes>) -> Bytes {
    bytes.cloned().unwrap_or_default()
}

fn time(micros: Micros) -> pbjson_types::Timestamp {
    let (seconds, micros) = (micros.get().div_euclid(1_000_000), micros.get().rem_euclid(1_000_000));
    // Below a million, so a thousand times as much fits.
    pbjson_types::Timestamp { seconds, nanos: i32::try_from(micros * 1_000).unwrap_or(0) }
}
