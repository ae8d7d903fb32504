//! What Kafka has of a flow, read when it is asked for. Nothing of it is stored: the way of a batch stays short.

use std::{
    collections::{BTreeSet, HashSet},
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};

use axum::{
    Json,
    extract::{Path, Query, State},
};
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use utoipa::{IntoParams, ToSchema};

use super::{
    Answer, Api, asked, look_whose, no_flow,
    posted::{EventKind, Posted, oddities},
    trouble::{Problems, Trouble},
};
use crate::{
    clock, config,
    gateway::caller::Scope,
    kafka::{
        block::Block,
        broker::Record,
        client::Error,
        partitioner::Hash,
        slice::{Edge, SliceError, Slicer, Stretch, Wanted},
    },
    pipeline::decode::{decode, foreign::Foreign},
    postgres::read::{self, Shown},
    redaction::Rules,
};

/// How long the topic is read.
const PATIENCE: Duration = Duration::from_secs(5);

/// Records that are read: as many as that takes without haste.
const MOST_RECORDS: u64 = 200_000;

/// Messages of one answer.
const MOST_MESSAGES: usize = 1_000;

/// A record may bear a time a little before the start that its runtime tells, where clocks disagree. In minutes.
const MARGIN: i64 = 10;

/// Where messages are looked for.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Where {
    /// Topic; by itself the one that this server puts events on.
    topic: Option<String>,
    /// Look on all partitions: the flow's producers choose partitions in another way than Kafka's own clients.
    all_partitions: Option<bool>,
}

/// What Kafka has of a flow.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Messages)]
pub(super) struct Found {
    /// Stretches of partitions that were to be read.
    searched: Vec<Searched>,
    /// Records that were read.
    records: u64,
    /// What ended the reading before the end of these; null if nothing did.
    stopped: Option<Stopped>,
    /// Messages that speak of the flow, partition by partition in their order.
    messages: Vec<Message>,
}

/// A stretch of a partition.
#[derive(Debug, Serialize, ToSchema)]
struct Searched {
    topic: String,
    partition: i32,
    /// First offset.
    from: i64,
    /// First offset behind it.
    to: i64,
}

/// What ended the reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Stopped {
    /// Five seconds were over.
    Time,
    /// 200 000 records were read.
    Records,
    /// 1 000 messages were found.
    Messages,
}

/// One message.
#[derive(Debug, Serialize, ToSchema)]
struct Message {
    topic: String,
    partition: i32,
    offset: i64,
    /// Timestamp of the record.
    timestamp: Option<Timestamp>,
    /// Size of the value.
    bytes: usize,
    /// What it speaks of; null where it can't be told.
    kind: Option<EventKind>,
    /// Number of the run.
    run: Option<i64>,
    /// Step id.
    step: Option<String>,
    /// Number of the execution.
    execution: Option<i64>,
    /// 0 opened, 1 running, 2 closed.
    phase: Option<i16>,
    /// The runtime's own word.
    status: Option<String>,
    /// What was put right about it, by the reasons of `flowtrail_events_sanitized_total`.
    sanitised: Vec<&'static str>,
    /// What became of its run or execution, as far as it is stored; null where it is about neither.
    shown: Option<Became>,
    /// It came after the message that closed its run or execution.
    late: bool,
    /// Why it is a dead letter.
    rejected: Option<String>,
}

/// What became of a run or an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Became {
    /// It is what shows.
    Shown,
    /// A later one took its place.
    Superseded,
    /// It is not stored, or not yet.
    Absent,
}

/// What Kafka has of a flow.
#[utoipa::path(
    get, path = "/flows/{id}/messages", tag = "one flow",
    params(("id" = String, Path, description = "Flow instance id."), Where),
    responses((status = 200, body = Found), Problems)
)]
pub(super) async fn of_flow(
    State(api): State<Api>,
    Scope(only): Scope,
    Path(id): Path<String>,
    Query(place): Query<Where>,
) -> Answer<Found> {
    find(&api, only.as_deref(), id, None, place).await
}

/// What Kafka has of a step.
#[utoipa::path(
    get, path = "/flows/{id}/steps/{step}/messages", tag = "one flow",
    params(
        ("id" = String, Path, description = "Flow instance id."),
        ("step" = String, Path, description = "Step id."),
        Where
    ),
    responses((status = 200, body = Found), Problems)
)]
pub(super) async fn of_step(
    State(api): State<Api>,
    Scope(only): Scope,
    Path((id, step)): Path<(String, String)>,
    Query(place): Query<Where>,
) -> Answer<Found> {
    find(&api, only.as_deref(), id, Some(step), place).await
}

async fn find(
    api: &Api,
    only: Option<&str>,
    id: String,
    step: Option<String>,
    place: Where,
) -> Answer<Found> {
    let topic = asked::given(place.topic).unwrap_or_else(|| api.shared.tail.topic().to_owned());
    let (start, shown) = {
        let mut reader = api.shared.pool.get().await?;
        let moment = reader.short_moment().await?;
        look_whose(&moment, only, &id).await?;
        if !read::is_known(&moment, &id).await? {
            return Err(no_flow(&id));
        }
        (read::first_start(&moment, &id).await?, read::shown(&moment, &id, step.as_deref()).await?)
    };
    let permit = api.shared.readers.clone().try_acquire_owned();
    let permit = permit.map_err(|_| Trouble::Busy("as many read the topic as may; ask again later"))?;
    let search = Search {
        kafka: api.shared.config.kafka.clone(),
        rules: api.shared.rules.clone(),
        foreign: Foreign::of(&api.shared.config.flowable),
        most_bytes: api.shared.config.collector.max_payload_bytes,
        topic,
        all_partitions: place.all_partitions.unwrap_or(false),
        since: start.and_then(|start| start.checked_sub(MARGIN.minutes()).ok()),
        flow: id,
        step,
    };
    let searching = spawn_blocking(move || {
        let _permit = permit;
        search.run()
    });
    // The thread may wait for Kafka longer than that; its place among the readers is taken for as long.
    let Ok(found) = tokio::time::timeout(3 * PATIENCE, searching).await else {
        return Err(Trouble::Kafka("it took too long".to_owned()));
    };
    let found = found.map_err(|error| Trouble::Own(error.to_string()))?;
    let mut found = found.map_err(|error| match error {
        SliceError::Kafka(Error::NoTopic { topic, .. }) => Trouble::NotThere(format!("topic {topic}")),
        error => Trouble::Kafka(error.to_string()),
    })?;
    for message in &mut found.messages {
        message.shown = became(message, &shown);
    }
    Ok(Json(found))
}

fn became(message: &Message, shown: &Shown) -> Option<Became> {
    let of = |number: i64, of_shown: Option<i64>, is_stored: bool| {
        if of_shown == Some(number) {
            Became::Shown
        } else if is_stored {
            Became::Superseded
        } else {
            Became::Absent
        }
    };
    match (message.kind?, message.run, &message.step, message.execution) {
        (EventKind::Flow, Some(run), ..) => Some(of(run, shown.run, shown.runs.contains(&run))),
        (EventKind::Step, _, Some(step), Some(execution)) => {
            let is_stored = shown.superseded.contains(&(step.clone(), execution));
            Some(of(execution, shown.executions.get(step).copied(), is_stored))
        }
        _ => None,
    }
}

/// What is looked for, and where.
struct Search {
    kafka: config::Kafka,
    rules: Option<Arc<Rules>>,
    foreign: Foreign,
    most_bytes: usize,
    topic: String,
    all_partitions: bool,
    since: Option<Timestamp>,
    flow: String,
    step: Option<String>,
}

impl Search {
    /// Blocks.
    fn run(&self) -> Result<Found, SliceError> {
        let deadline = clock::monotonic() + PATIENCE;
        let slicer = Slicer::new(&self.kafka)?;
        let stretches = slicer.stretches(&self.wanted(&slicer)?)?;
        let (mut messages, mut block) = (Vec::new(), Block::default());
        let (mut records, mut stopped) = (0, None);
        let mut closed = HashSet::new();
        slicer.read(&stretches, |_, record| {
            records += 1;
            messages.extend(self.messages(record, &mut block, &mut closed));
            stopped = if messages.len() >= MOST_MESSAGES {
                Some(Stopped::Messages)
            } else if records >= MOST_RECORDS {
                Some(Stopped::Records)
            } else if clock::monotonic() > deadline {
                Some(Stopped::Time)
            } else {
                None
            };
            if stopped.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let searched = stretches.iter().map(searched).collect();
        messages.sort_by_key(|message| (message.partition, message.offset));
        Ok(Found { searched, records, stopped, messages })
    }

    fn wanted(&self, slicer: &Slicer) -> Result<Wanted, Error> {
        let numbers = slicer.partitions(&self.topic)?;
        let count = i32::try_from(numbers.len()).unwrap_or(i32::MAX);
        let own = Hash::Murmur2.partition(self.flow.as_bytes(), count);
        let partitions = own.filter(|_| !self.all_partitions).map(|own| BTreeSet::from([own]));
        let since = Edge { time: self.since, ..Edge::default() };
        Ok(Wanted { topics: vec![self.topic.clone()], partitions, since, until: Edge::default() })
    }

    /// The record's events as messages, as far as they speak of what is looked for.
    fn messages(
        &self,
        record: &dyn Record,
        block: &mut Block,
        closed: &mut HashSet<(Option<String>, i64)>,
    ) -> Vec<Message> {
        let [key, value] = self.foreign.copied(block, record);
        let decoded = decode(key.as_deref(), value.as_ref(), self.most_bytes, self.rules.as_deref());
        let place = (record.partition(), record.offset().0);
        let timestamp = record.time().and_then(|time| Timestamp::from_millisecond(time).ok());
        let sanitised = oddities(&decoded);
        let blank = || Message {
            topic: record.topic().to_owned(),
            partition: place.0,
            offset: place.1,
            timestamp,
            bytes: record.payload().map_or(0, <[u8]>::len),
            kind: None,
            run: None,
            step: None,
            execution: None,
            phase: None,
            status: None,
            sanitised: sanitised.clone(),
            shown: None,
            late: false,
            rejected: None,
        };
        let decoded = match decoded {
            Ok(decoded) => decoded,
            // What can't be decoded speaks of its key, and of no step.
            Err(reject) => {
                let is_wanted = key.as_deref() == Some(self.flow.as_bytes()) && self.step.is_none();
                let message = Message { rejected: Some(reject.to_string()), ..blank() };
                return is_wanted.then_some(message).into_iter().collect();
            }
        };
        let said = |event| Posted::of_event(event, record.topic(), place, timestamp);
        let mut messages = Vec::new();
        for posted in decoded.events.iter().filter_map(said) {
            if posted.id != self.flow || (self.step.is_some() && posted.step != self.step) {
                continue;
            }
            let mut late = false;
            if let Some(number) = posted.run.or(posted.execution) {
                let of = (posted.step.clone(), number);
                late = closed.contains(&of);
                if posted.phase == Some(2) {
                    closed.insert(of);
                }
            }
            messages.push(Message {
                kind: Some(posted.kind),
                run: posted.run,
                step: posted.step,
                execution: posted.execution,
                phase: posted.phase,
                status: posted.status,
                late,
                ..blank()
            });
        }
        messages
    }
}

fn searched(stretch: &Stretch) -> Searched {
    Searched {
        topic: stretch.partition.topic.to_string(),
        partition: stretch.partition.number,
        from: stretch.from,
        to: stretch.to,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn message(kind: EventKind, run: Option<i64>, step: Option<&str>, execution: Option<i64>) -> Message {
        Message {
            topic: String::new(),
            partition: 0,
            offset: 0,
            timestamp: None,
            bytes: 0,
            kind: Some(kind),
            run,
            step: step.map(str::to_owned),
            execution,
            phase: None,
            status: None,
            sanitised: Vec::new(),
            shown: None,
            late: false,
            rejected: None,
        }
    }

    #[test]
    fn what_became_of_a_message_is_what_the_tables_say_of_its_run_or_execution() {
        let shown = Shown {
            run: Some(20),
            runs: HashSet::from([10, 20]),
            executions: HashMap::from([("1".to_owned(), 21)]),
            superseded: HashSet::from([("1".to_owned(), 11), ("2".to_owned(), 12)]),
        };
        let of = |kind, run, step, execution| became(&message(kind, run, step, execution), &shown);
        assert_eq!(of(EventKind::Flow, Some(20), None, None), Some(Became::Shown));
        assert_eq!(of(EventKind::Flow, Some(10), None, None), Some(Became::Superseded));
        assert_eq!(of(EventKind::Flow, Some(5), None, None), Some(Became::Absent));
        assert_eq!(of(EventKind::Step, None, Some("1"), Some(21)), Some(Became::Shown));
        assert_eq!(of(EventKind::Step, None, Some("1"), Some(11)), Some(Became::Superseded));
        assert_eq!(of(EventKind::Step, None, Some("2"), Some(12)), Some(Became::Superseded));
        assert_eq!(of(EventKind::Step, None, Some("3"), Some(12)), Some(Became::Absent));
        assert_eq!(of(EventKind::Rewind, None, Some("1"), None), None);
    }
}
