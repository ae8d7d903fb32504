//! Events as they come onto the topic, in the words of the API.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::asked;
use crate::{
    kafka::tail::Record,
    model::{Event, Micros, RunState, millis},
    pipeline::decode::{Decoded, Reject, decode, foreign::Foreign},
    redaction::Rules,
};

/// A payload is not shown, so it may be cut short before it is thrown away.
const MOST_BYTES: usize = 64 << 10;

/// What an event says, without its payloads.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(crate) struct Posted {
    /// What it speaks of.
    pub(crate) kind: EventKind,
    /// Flow instance id.
    pub(crate) id: String,
    /// Step id.
    pub(crate) step: Option<String>,
    /// Task name.
    pub(crate) task: Option<String>,
    /// Flow name; of a step, that of the flow that the task belongs to.
    pub(crate) flow: Option<String>,
    /// App that holds the flow; a step does not name it.
    pub(crate) app: Option<String>,
    /// Number of the run.
    pub(crate) run: Option<i64>,
    /// Number of the execution.
    pub(crate) execution: Option<i64>,
    /// 0 opened, 1 running, 2 closed.
    pub(crate) phase: Option<i16>,
    /// The runtime's own word.
    pub(crate) status: Option<String>,
    /// How it stands.
    pub(crate) state: Option<RunState>,
    /// Start, UTC.
    pub(crate) started: Option<Timestamp>,
    /// End, UTC.
    pub(crate) ended: Option<Timestamp>,
    /// From start to end in milliseconds.
    pub(crate) duration_ms: Option<f64>,
    /// Topic it came over.
    pub(crate) topic: String,
    /// Partition number.
    pub(crate) partition: i32,
    /// Offset of the record.
    pub(crate) offset: i64,
    /// Timestamp of the record.
    pub(crate) timestamp: Option<Timestamp>,
}

/// What an event speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum EventKind {
    /// A run of a flow.
    Flow,
    /// An execution of a step.
    Step,
    /// Executions that no longer count.
    Rewind,
    /// A flow whose history was deleted.
    Deleted,
    /// The state of a flow before a step.
    Snapshot,
    /// A variable.
    Variable,
}

impl Posted {
    /// What a record of this topic says; nothing where it is no event of a flow. With what `rules` name masked.
    pub(crate) fn of(topic: &str, record: &Record, rules: Option<&Rules>, foreign: &Foreign) -> Vec<Self> {
        let value = foreign.contract(record.value.clone(), || record.source.clone());
        let decoded = decode(record.key.as_deref(), value.as_ref(), MOST_BYTES, rules);
        let timestamp = record.time.and_then(|time| Timestamp::from_millisecond(time).ok());
        let place = (record.partition, record.offset);
        let events = decoded.into_iter().flat_map(|decoded| decoded.events);
        events.filter_map(|event| Self::of_event(&event, topic, place, timestamp)).collect()
    }

    /// What an event says; nothing of an app's switch, which speaks of no flow.
    pub(crate) fn of_event(
        event: &Event,
        topic: &str,
        (partition, offset): (i32, i64),
        timestamp: Option<Timestamp>,
    ) -> Option<Self> {
        let blank = Self {
            kind: EventKind::Flow,
            id: event.flow()?.as_str().to_owned(),
            step: None,
            task: None,
            flow: None,
            app: None,
            run: None,
            execution: None,
            phase: None,
            status: None,
            state: None,
            started: None,
            ended: None,
            duration_ms: None,
            topic: topic.to_owned(),
            partition,
            offset,
            timestamp,
        };
        Some(match event {
            Event::Flow { run, row, .. } => Self {
                flow: row.name.as_deref().map(str::to_owned),
                app: row.app.as_deref().map(str::to_owned),
                run: Some(*run),
                ..blank.with(
                    row.phase.number(),
                    row.status.as_deref(),
                    row.error.is_some(),
                    [row.start, row.end],
                )
            },
            Event::Step { step, execution, row, .. } => Self {
                kind: EventKind::Step,
                step: Some(step.as_str().to_owned()),
                task: row.task.as_deref().map(str::to_owned),
                flow: row.flow_name.as_deref().map(str::to_owned),
                execution: Some(*execution),
                ..blank.with(
                    row.phase.number(),
                    row.status.as_deref(),
                    row.error.is_some(),
                    [row.start, row.end],
                )
            },
            Event::Rewind { from, .. } => {
                Self { kind: EventKind::Rewind, step: from.map(|from| from.to_string()), ..blank }
            }
            Event::Deleted { .. } => Self { kind: EventKind::Deleted, ..blank },
            Event::Snapshot { step, .. } => {
                let step = step.as_ref().map(|step| step.as_str().to_owned());
                Self { kind: EventKind::Snapshot, step, ..blank }
            }
            Event::Variable { row, .. } => Self { kind: EventKind::Variable, run: Some(row.run), ..blank },
            Event::App(_) => return None,
        })
    }

    fn with(self, phase: i16, status: Option<&str>, has_error: bool, times: [Option<Micros>; 2]) -> Self {
        let [started, ended] = times;
        let time = |micros: Option<Micros>| Timestamp::from_microsecond(micros?.get()).ok();
        let duration = started.zip(ended).map(|(started, ended)| millis(ended.get() - started.get()));
        Self {
            phase: Some(phase),
            status: status.map(str::to_owned),
            state: Some(RunState::of(status, Some(phase), has_error)),
            started: time(started),
            ended: time(ended),
            duration_ms: duration,
            ..self
        }
    }
}

/// What is odd about a record, by the reasons that metrics have.
pub(super) fn oddities(decoded: &Result<Decoded, Reject>) -> Vec<&'static str> {
    match decoded {
        Ok(decoded) => decoded.sanitized.iter().map(|oddity| oddity.name()).collect(),
        Err(_) => Vec::new(),
    }
}

/// Events that match all of what is given.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct PostedFilter {
    /// Flow instance id.
    pub(crate) id: Option<String>,
    /// What they speak of: flow, step, rewind, deleted, snapshot, variable.
    #[param(inline)]
    pub(crate) kind: Option<EventKind>,
    /// Flow name.
    pub(crate) flow: Option<String>,
    /// App that holds the flow. Steps don't name it, so there are none.
    pub(crate) app: Option<String>,
    /// Statuses in the runtime's own words, with commas between; letters of any case.
    pub(crate) status: Option<String>,
    /// Only what failed.
    pub(crate) failed: Option<bool>,
}

impl PostedFilter {
    /// Whether an event is wanted.
    pub(crate) fn takes(&self, posted: &Posted) -> bool {
        let equal = |wanted: &Option<String>, said: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| wanted.is_empty() || said == Some(wanted))
        };
        let statuses = asked::list(self.status.as_deref());
        let said = posted.status.as_deref().unwrap_or_default();
        equal(&self.id, Some(&posted.id))
            && equal(&self.flow, posted.flow.as_deref())
            && equal(&self.app, posted.app.as_deref())
            && self.kind.is_none_or(|kind| kind == posted.kind)
            && (statuses.is_empty() || statuses.iter().any(|status| status.eq_ignore_ascii_case(said)))
            && (!self.failed.unwrap_or(false) || posted.state == Some(RunState::Failed))
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::v1::{FlowEvent, HistoryEvent, StepEvent, history_event};

    fn posted(event: history_event::Event) -> Posted {
        let value = HistoryEvent { event: Some(event) }.encode_to_vec().into();
        let record = Record {
            key: None,
            value: Some(value),
            partition: 3,
            offset: 7,
            time: Some(1_500),
            source: None,
        };
        Posted::of("t", &record, None, &Foreign::default()).remove(0)
    }

    #[test]
    fn an_event_is_told_and_taken_by_all_that_is_asked() {
        let flow = posted(history_event::Event::Flow(FlowEvent {
            flow_instance_id: "f".into(),
            run: 5,
            app_name: "shop".into(),
            flow_name: "order".into(),
            phase: 3,
            status: 700,
            ..FlowEvent::default()
        }));
        assert_eq!((flow.kind, flow.run, flow.state), (EventKind::Flow, Some(5), Some(RunState::Failed)));
        assert_eq!((flow.partition, flow.offset), (3, 7));
        assert_eq!(flow.timestamp.unwrap().to_string(), "1970-01-01T00:00:01.5Z");
        let step = posted(history_event::Event::Step(StepEvent {
            flow_instance_id: "f".into(),
            step_id: "1".into(),
            status: 40,
            phase: 3,
            ..StepEvent::default()
        }));
        let text = |text: &str| Some(text.to_owned());
        for (filter, wanted) in [
            (PostedFilter::default(), [true, true]),
            (PostedFilter { id: text("f"), ..PostedFilter::default() }, [true, true]),
            (PostedFilter { id: text("g"), ..PostedFilter::default() }, [false, false]),
            (PostedFilter { app: text("shop"), ..PostedFilter::default() }, [true, false]),
            (PostedFilter { kind: Some(EventKind::Step), ..PostedFilter::default() }, [false, true]),
            (PostedFilter { status: text("x,COMPLETED"), ..PostedFilter::default() }, [false, true]),
            (PostedFilter { failed: Some(true), ..PostedFilter::default() }, [true, false]),
            (
                PostedFilter { flow: text("order"), failed: Some(false), ..PostedFilter::default() },
                [true, false],
            ),
        ] {
            assert_eq!([filter.takes(&flow), filter.takes(&step)], wanted, "{filter:?}");
        }
    }
}
