//! What holds of every event that was decoded, and an event as a producer would write it.

use bytes::Bytes;
use flowtrail::{
    model::{AppSwitch, Event, MAX_ID_BYTES, Micros, Phase, RunRow, StepRow, Text},
    proto::v1::{self, history_event::Event as Wire},
};

/// What a field above the limit gets behind it, with a number of up to 20 digits.
const MARKER_BYTES: usize = "…[cut by flowtrail, 18446744073709551615 bytes in all]".len();
const FIRST_MICROS: i64 = -62_135_596_800_000_000;
const LAST_MICROS: i64 = 253_402_300_799_999_999;

/// Panics unless the event is as `flowtrail::model` promises, with fields of at most `limit` bytes.
pub(crate) fn check(event: &Event, limit: usize) {
    let fields = Fields { limit: limit.saturating_add(MARKER_BYTES) };
    match event {
        Event::Flow { flow, row, .. } => {
            id(flow.as_str());
            fields.run(row);
        }
        Event::Step { flow, step, row, .. } => {
            id(flow.as_str());
            id(step.as_str());
            fields.step(row);
        }
        Event::Rewind { flow, .. } | Event::Deleted { flow, .. } => id(flow.as_str()),
        Event::Snapshot { flow, step, data } => {
            id(flow.as_str());
            if let Some(step) = step {
                id(step.as_str());
            }
            assert!(data.len() <= fields.limit);
        }
        Event::Variable { flow, scope, name, row } => {
            id(flow.as_str());
            id(&format!("{scope}{name}"));
            assert!(!name.is_empty());
            fields.texts(&[&row.kind, &row.id]);
            fields.payloads(&[&row.value, &row.misc]);
            times(&[row.created, row.updated]);
            assert!(!row.removed || row.value.is_none(), "{row:?}");
        }
        Event::App(AppSwitch { user, app, row }) => {
            id(app);
            if !user.is_empty() {
                id(user);
            }
            fields.texts(&[&row.version]);
            times(&[row.at]);
        }
    }
}

fn id(id: &str) {
    assert!((1..=MAX_ID_BYTES).contains(&id.len()) && !id.contains('\0'), "no id: {id:?}");
}

fn times(times: &[Option<Micros>]) {
    let within = |time: &Micros| (FIRST_MICROS..=LAST_MICROS).contains(&time.get());
    assert!(times.iter().flatten().all(within), "{times:?}");
}

struct Fields {
    limit: usize,
}

impl Fields {
    fn run(&self, row: &RunRow) {
        self.texts(&[&row.user, &row.app, &row.version, &row.name, &row.host, &row.parent_name, &row.trace]);
        self.texts(&[&row.status]);
        row.parent.iter().chain(&row.original).for_each(|text| id(text));
        self.payloads(&[&row.input, &row.output, &row.error]);
        times(&[row.start, row.end]);
        let over = row.end.is_some() || row.output.is_some() || row.error.is_some();
        assert!(row.phase == Phase::Closed || !over, "{row:?}");
    }

    fn step(&self, row: &StepRow) {
        self.texts(&[&row.task, &row.flow_name, &row.subflow, &row.parent_step, &row.status]);
        self.payloads(&[&row.misc, &row.input, &row.output, &row.error, &row.data]);
        times(&[row.start, row.end]);
        let over = row.end.is_some() || row.output.is_some() || row.error.is_some();
        assert!(row.phase == Phase::Closed || !over, "{row:?}");
    }

    fn texts(&self, texts: &[&Option<Text>]) {
        for text in texts.iter().copied().flatten() {
            assert!((1..=self.limit).contains(&text.len()) && !text.contains('\0'), "{text:?}");
        }
    }

    fn payloads(&self, payloads: &[&Option<Bytes>]) {
        for bytes in payloads.iter().copied().flatten() {
            assert!((1..=self.limit).contains(&bytes.len()), "{bytes:?}");
        }
    }
}

/// The event that decodes to this one with nothing to put right.
pub(crate) fn written(event: &Event) -> v1::HistoryEvent {
    let wire = match event {
        Event::Flow { flow, run, row } => Wire::Flow(flow_event(flow.as_str(), *run, row)),
        Event::Step { flow, step, execution, row } => {
            Wire::Step(step_event(flow.as_str(), step.as_str(), *execution, row))
        }
        Event::Rewind { flow, from, before } => {
            Wire::Rewind(v1::Rewind { flow_instance_id: flow.to_string(), from_step: *from, before: *before })
        }
        Event::Deleted { flow, before } => {
            Wire::FlowDeleted(v1::FlowDeleted { flow_instance_id: flow.to_string(), before: *before })
        }
        Event::Snapshot { flow, step, data } => Wire::Snapshot(v1::Snapshot {
            flow_instance_id: flow.to_string(),
            step_id: step.as_ref().map(ToString::to_string).unwrap_or_default(),
            data: data.clone(),
        }),
        Event::Variable { flow, scope, name, row } => Wire::Variable(v1::VariableEvent {
            flow_instance_id: flow.to_string(),
            run: row.run,
            scope: scope.to_string(),
            name: name.to_string(),
            r#type: text(row.kind.as_ref()),
            value: row.value.clone().unwrap_or_default(),
            revision: row.revision,
            removed: row.removed,
            variable_id: text(row.id.as_ref()),
            created_at: row.created.map(time),
            updated_at: row.updated.map(time),
            misc: row.misc.clone().unwrap_or_default(),
        }),
        Event::App(AppSwitch { user, app, row }) => Wire::App(v1::AppEvent {
            user_id: user.to_string(),
            app_name: app.to_string(),
            app_version: text(row.version.as_ref()),
            persistence_enabled: !row.off,
            at: row.at.map(time),
        }),
    };
    v1::HistoryEvent { event: Some(wire) }
}

fn flow_event(flow: &str, run: i64, row: &RunRow) -> v1::FlowEvent {
    v1::FlowEvent {
        flow_instance_id: flow.to_owned(),
        run,
        phase: phase(row.phase).into(),
        status: 0,
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
        input: row.input.clone().unwrap_or_default(),
        output: row.output.clone().unwrap_or_default(),
        error: row.error.clone().unwrap_or_default(),
        trace_id: text(row.trace.as_ref()),
    }
}

fn step_event(flow: &str, step: &str, execution: i64, row: &StepRow) -> v1::StepEvent {
    v1::StepEvent {
        flow_instance_id: flow.to_owned(),
        step_id: step.to_owned(),
        execution,
        phase: phase(row.phase).into(),
        status: 0,
        status_word: text(row.status.as_ref()),
        task_name: text(row.task.as_ref()),
        flow_name: text(row.flow_name.as_ref()),
        subflow_id: text(row.subflow.as_ref()),
        parent_step_id: text(row.parent_step.as_ref()),
        started_at: row.start.map(time),
        ended_at: row.end.map(time),
        rerun: row.rerun,
        data: row.data.clone().unwrap_or_default(),
        input: row.input.clone().unwrap_or_default(),
        output: row.output.clone().unwrap_or_default(),
        error: row.error.clone().unwrap_or_default(),
        misc: row.misc.clone().unwrap_or_default(),
    }
}

fn phase(phase: Phase) -> v1::Phase {
    match phase {
        Phase::Opened => v1::Phase::Opened,
        Phase::Running => v1::Phase::Running,
        Phase::Closed => v1::Phase::Closed,
    }
}

fn time(time: Micros) -> pbjson_types::Timestamp {
    let (seconds, micros) = (time.get().div_euclid(1_000_000), time.get().rem_euclid(1_000_000));
    pbjson_types::Timestamp { seconds, nanos: i32::try_from(micros * 1000).unwrap() }
}

fn text(text: Option<&Text>) -> String {
    text.map(ToString::to_string).unwrap_or_default()
}
