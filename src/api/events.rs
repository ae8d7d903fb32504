//! What is posted, as it is posted: server-sent events from Kafka.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    ops::ControlFlow,
    sync::Arc,
    time::Duration,
};

use axum::{
    extract::{Query, State},
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use futures_util::stream;
use jiff::Timestamp;
use tokio::{
    sync::{OwnedSemaphorePermit, broadcast::error::RecvError},
    task::spawn_blocking,
    time::Interval,
};

use super::{
    Api, Shared,
    posted::{Posted, PostedFilter},
    trouble::{Problems, Trouble},
};
use crate::{
    gateway::caller::Scope,
    kafka::{
        block::Block,
        shared_tail::Listening,
        slice::{Slicer, Stretch},
    },
    model::Partition,
    pipeline::decode::{decode, foreign::Foreign},
};

/// How often a client hears that the connection is there, and how far it has been read.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Records that a client that comes back may catch up with, over all partitions: some 10 MB in memory.
const MOST_CAUGHT_UP: i64 = 10_000;

/// How long reading these may take.
const CATCH_UP: Duration = Duration::from_secs(5);

/// Bytes of a payload that are looked at before it is thrown away.
const MOST_BYTES: usize = 64 << 10;

/// Header in which a browser says what it got last.
const LAST_EVENT_ID: &str = "last-event-id";

/// Events as they come onto the topic, as `text/event-stream`: `event` is their kind, `data` is JSON.
#[utoipa::path(
    get, path = "/events", tag = "over many flows",
    params(PostedFilter, ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that the client has.")),
    responses((status = 200, content_type = "text/event-stream", body = Posted), Problems)
)]
pub(super) async fn events(
    State(api): State<Api>,
    Scope(only): Scope,
    Query(filter): Query<PostedFilter>,
    headers: HeaderMap,
) -> Result<Response, Trouble> {
    if only.is_some() {
        return Err(Trouble::NotForOneUser);
    }
    let place = api.shared.listeners.clone().try_acquire_owned();
    let place = place.map_err(|_| Trouble::Busy("as many listen as may; ask again later"))?;
    let mut listening = api.shared.tail.listen().await.map_err(Trouble::Kafka)?;
    let topic = api.shared.tail.topic();
    let last = headers.get(LAST_EVENT_ID).and_then(|last| last.to_str().ok());
    let known = last.map(|last| positions(last, topic)).filter(|known| !known.is_empty());
    let mut waiting = VecDeque::new();
    if let Some(known) = known {
        let caught_up = catch_up(&api.shared, known, &listening.positions).await?;
        if caught_up.missed > 0 {
            waiting.push_back(missed(caught_up.missed.unsigned_abs()));
        }
        // Their ids say how far each was read while the rest of the topic was where it is now.
        let mut read = caught_up.from;
        for posted in caught_up.posted {
            read.insert(posted.partition, posted.offset.saturating_add(1));
            if filter.takes(&posted) {
                waiting.push_back(event(&posted, topic, &read));
            }
        }
    }
    let mut heartbeat = tokio::time::interval(HEARTBEAT);
    heartbeat.reset();
    let read = std::mem::take(&mut listening.positions);
    let client = Client { api, filter, listening, read, waiting, heartbeat, _place: place };
    let stream = stream::unfold(client, |mut client| async move {
        client.next().await.map(|event| (Ok::<_, Infallible>(event), client))
    });
    Ok(Sse::new(stream).into_response())
}

/// Somebody who listens.
struct Client {
    api: Api,
    filter: PostedFilter,
    listening: Listening<Arc<Posted>>,
    /// By partition the offset of the next record.
    read: BTreeMap<i32, i64>,
    waiting: VecDeque<Event>,
    heartbeat: Interval,
    _place: OwnedSemaphorePermit,
}

impl Client {
    /// What the client is told next; nothing when the server stops.
    async fn next(&mut self) -> Option<Event> {
        if let Some(event) = self.waiting.pop_front() {
            return Some(event);
        }
        let tail = &self.api.shared.tail;
        loop {
            tokio::select! {
                came = self.listening.receiver.recv() => match came {
                    Ok(posted) => {
                        self.read.insert(posted.partition, posted.offset.saturating_add(1));
                        if self.filter.takes(&posted) {
                            return Some(event(&posted, tail.topic(), &self.read));
                        }
                    }
                    Err(RecvError::Lagged(count)) => return Some(missed(count)),
                    Err(RecvError::Closed) => return None,
                },
                // Without data it is no event, but the browser remembers how far it is.
                _ = self.heartbeat.tick() => return Some(Event::default().comment("").id(id(tail.topic(), &self.read))),
                () = tail.stop().cancelled() => return None,
            }
        }
    }
}

fn event(posted: &Posted, topic: &str, read: &BTreeMap<i32, i64>) -> Event {
    let kind = serde_json::to_value(posted.kind).ok();
    let kind = kind.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default();
    Event::default().id(id(topic, read)).event(kind).data(serde_json::json!(posted).to_string())
}

fn missed(events: u64) -> Event {
    Event::default().event("missed").data(serde_json::json!({ "events": events }).to_string())
}

/// `topic:partition:offset` of each partition, with commas between; the offset is that of the next record.
fn id(topic: &str, read: &BTreeMap<i32, i64>) -> String {
    let places: Vec<String> =
        read.iter().map(|(number, offset)| format!("{topic}:{number}:{offset}")).collect();
    places.join(",")
}

/// What [`id`] says of a topic; what it can't have said is passed over.
fn positions(id: &str, topic: &str) -> BTreeMap<i32, i64> {
    let place = |place: &str| {
        let (rest, offset) = place.rsplit_once(':')?;
        let (of, number) = rest.rsplit_once(':')?;
        let (number, offset): (i32, i64) = (number.parse().ok()?, offset.parse().ok()?);
        (of == topic && number >= 0 && offset >= 0).then_some((number, offset))
    };
    id.split(',').filter_map(place).collect()
}

/// What a client that was away has missed.
#[derive(Debug)]
struct CaughtUp {
    /// Where it begins, by partition.
    from: BTreeMap<i32, i64>,
    posted: Vec<Posted>,
    /// Records that are too many, or that could not be read in time.
    missed: i64,
}

/// Reads on from where a client was to where it listens now. Partitions that it does not name were added since.
async fn catch_up(
    shared: &Arc<Shared>,
    known: BTreeMap<i32, i64>,
    until: &BTreeMap<i32, i64>,
) -> Result<CaughtUp, Trouble> {
    let share = MOST_CAUGHT_UP / i64::try_from(until.len().max(1)).unwrap_or(MOST_CAUGHT_UP);
    let topic = shared.tail.topic().to_owned();
    let (mut stretches, mut from, mut missed) = (Vec::new(), BTreeMap::new(), 0);
    for (number, to) in until {
        let was = known.get(number).copied().unwrap_or(0).min(*to);
        let begin = was.max(to.saturating_sub(share));
        missed += begin - was;
        from.insert(*number, begin);
        let partition = Partition { topic: topic.as_str().into(), number: *number };
        stretches.push(Stretch { partition, from: begin, to: *to });
    }
    if stretches.iter().all(Stretch::is_empty) {
        return Ok(CaughtUp { from, posted: Vec::new(), missed });
    }
    let wanted: u64 = stretches.iter().map(Stretch::len).sum();
    let place = shared.readers.clone().try_acquire_owned();
    let place = place.map_err(|_| Trouble::Busy("as many read the topic as may; ask again later"))?;
    let (kafka, rules) = (shared.config.kafka.clone(), shared.rules.clone());
    let foreign = Foreign::of(&shared.config.flowable);
    let reading = spawn_blocking(move || {
        let _place = place;
        let slicer = Slicer::new(&kafka).map_err(|error| error.to_string())?;
        let deadline = crate::clock::monotonic() + CATCH_UP;
        let (mut posted, mut block) = (Vec::new(), Block::default());
        let (mut seen, mut is_cut) = (0_u64, false);
        let read = slicer.read(&stretches, |_, record| {
            seen += 1;
            let [key, value] = foreign.copied(&mut block, record);
            if let Ok(decoded) = decode(key.as_deref(), value.as_ref(), MOST_BYTES, rules.as_deref()) {
                let time = record.time().and_then(|time| Timestamp::from_millisecond(time).ok());
                let place = (record.partition(), record.offset().0);
                let said = |event| Posted::of_event(event, record.topic(), place, time);
                posted.extend(decoded.events.iter().filter_map(said));
            }
            is_cut = crate::clock::monotonic() > deadline;
            if is_cut { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        // Offsets without a record, such as a transaction's marker, are not missed.
        let unread = if is_cut { wanted.saturating_sub(seen) } else { 0 };
        read.map_err(|error| error.to_string()).map(|()| (posted, unread))
    });
    // The thread may wait for Kafka longer than that; its place among the readers is taken for as long.
    let Ok(read) = tokio::time::timeout(2 * CATCH_UP, reading).await else {
        return Err(Trouble::Kafka("it took too long".to_owned()));
    };
    let (posted, unread) = read.map_err(|error| Trouble::Own(error.to_string()))?.map_err(Trouble::Kafka)?;
    missed += i64::try_from(unread).unwrap_or(MOST_CAUGHT_UP);
    Ok(CaughtUp { from, posted, missed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_says_how_far_each_partition_was_read() {
        let read = BTreeMap::from([(0, 431), (1, 88)]);
        assert_eq!(id("flow.history", &read), "flow.history:0:431,flow.history:1:88");
        assert_eq!(positions(&id("flow.history", &read), "flow.history"), read);
        assert_eq!(
            positions("other:0:1,flow.history:x:1,flow.history:0:-1,,", "flow.history"),
            BTreeMap::new()
        );
    }
}
