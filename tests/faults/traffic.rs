//! What is on the topics: flows with failures and re-runs, repeated and out of order, and now and then something odd.

use std::{
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use flowtrail::{
    proto::v1::{AppEvent, FlowDeleted, HistoryEvent, Snapshot, VariableEvent, history_event::Event},
    publish::{Record, Synthetic, SyntheticOptions, disorder},
};
use pbjson_types::Timestamp;
use prost::Message as _;

/// A name that Postgres is told to refuse. It is greater than any other, so that no merge hides it.
pub const MARK: &str = "~refused";
/// A payload field above this is cut, and its message kept as a dead letter too.
pub const MAX_PAYLOAD: usize = 2_000;

/// A record as it is put on a topic.
#[derive(Debug, Clone)]
pub struct Raw {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
}

/// Which traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Some of everything that the contract knows.
    Plain,
    /// One record in a hundred is none, or is refused by Postgres. No flow is deleted: whether an event of a deleted
    /// flow is refused depends on what came first.
    Poisoned,
    /// No row depends on another, and no flow is on two partitions.
    Alone,
}

/// What traffic is like.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub seed: u64,
    pub records: usize,
    pub kind: Kind,
    pub payload_bytes: usize,
}

/// The records, in the order in which they are sent.
pub fn records(shape: Shape) -> impl Iterator<Item = Raw> {
    let Shape { seed, records, kind, payload_bytes } = shape;
    let options = SyntheticOptions {
        seed,
        rerun_percent: if kind == Kind::Alone { 0.0 } else { 3.0 },
        payload_bytes,
        flows_in_flight: 64,
        ..SyntheticOptions::default()
    };
    let events = disorder::duplicate(Synthetic::new(options), 3.0, seed);
    let events = disorder::shuffle_window(events, 200, seed);
    events.enumerate().map(move |(number, record)| odd(number, record, kind)).take(records)
}

/// Most are as they are. The odd ones have primes for periods, so that they meet in all ways.
fn odd(number: usize, record: Record, kind: Kind) -> Raw {
    let is = |period: usize| number % period == period / 2;
    let flow = record.key.clone();
    match number {
        _ if kind == Kind::Poisoned && is(115) => broken(&record),
        _ if kind == Kind::Poisoned && is(797) => whole(marked(record)),
        _ if is(997) => broken(&record),
        _ if kind == Kind::Alone => whole(record),
        _ if is(101) => whole(variable(number, flow)),
        _ if is(1_999) => Raw { value: None, ..whole(record) },
        // Field 31 of the envelope: an event of a later version.
        _ if is(2_999) => Raw { value: Some(vec![0xfa, 0x01, 0x02, b'h', b'i']), ..whole(record) },
        // Framed as Confluent's serializers do.
        _ if is(2_503) => {
            let message = record.event.encode_to_vec();
            Raw { value: Some([&[0, 0, 0, 0, 7, 0], &message[..]].concat()), ..whole(record) }
        }
        _ if is(3_989) => whole(switch(number)),
        _ if is(3_001) => {
            let data = Bytes::from(format!("{{\"state\":{}}}", number % 30_000));
            whole(of(Event::Snapshot(Snapshot { flow_instance_id: flow, step_id: String::new(), data })))
        }
        _ if kind == Kind::Plain && is(4_999) => {
            whole(of(Event::FlowDeleted(FlowDeleted { flow_instance_id: flow, before: None })))
        }
        // No key: any partition.
        _ if is(5_987) => Raw { key: None, ..whole(record) },
        _ if is(6_997) => Raw { key: Some(b"another key".to_vec()), ..whole(record) },
        _ if is(7_001) => without_id(record, true),
        _ if is(8_009) => without_id(record, false),
        _ if is(3_499) => whole(changed(record, |text, _| text.insert(1, '\0'))),
        _ if is(4_507) => whole(changed(record, |_, payload| *payload = vec![b'x'; MAX_PAYLOAD + 1].into())),
        _ if is(9_001) => whole(of(Event::FlowDeleted(FlowDeleted {
            flow_instance_id: "i".repeat(1_025),
            before: Some(1),
        }))),
        _ => whole(record),
    }
}

fn whole(record: Record) -> Raw {
    Raw { key: Some(record.key.into_bytes()), value: Some(record.event.encode_to_vec()) }
}

fn of(event: Event) -> Record {
    HistoryEvent { event: Some(event) }.into()
}

/// Cut off in the middle.
fn broken(record: &Record) -> Raw {
    let mut value = record.event.encode_to_vec();
    value.truncate(value.len() - 3);
    Raw { key: Some(record.key.clone().into_bytes()), value: Some(value) }
}

/// An event whose row the constraints of [`crate::faults::poison`] refuse; one without a name stays as it is.
fn marked(mut record: Record) -> Record {
    match &mut record.event.event {
        Some(Event::Step(step)) => MARK.clone_into(&mut step.task_name),
        Some(Event::Flow(flow)) => MARK.clone_into(&mut flow.app_name),
        _ => {}
    }
    record
}

/// A switch of an app's history; a few apps are switched again and again, some at one and the same time.
fn switch(number: usize) -> Record {
    let seconds = i64::try_from(number / 9_000).unwrap_or(0);
    of(Event::App(AppEvent {
        user_id: ["", "ana", "jo"][number % 3].to_owned(),
        app_name: format!("app-{}", number % 4),
        app_version: format!("1.{}", number % 5),
        persistence_enabled: number.is_multiple_of(2),
        at: Some(Timestamp { seconds, nanos: 500 }),
    }))
}

/// A change of a variable: of the flow at hand, or of one of a few whose variables change again and again, now and then
/// at one revision.
fn variable(number: usize, flow: String) -> Record {
    let flow_instance_id = if number.is_multiple_of(2) { flow } else { format!("variables-{}", number % 30) };
    let revision = i64::try_from(number / 600).unwrap_or(0);
    of(Event::Variable(VariableEvent {
        flow_instance_id,
        run: i64::try_from(number % 7).unwrap_or(0) / 6,
        scope: ["", "execution:1", "@process"][number % 3].to_owned(),
        name: format!("name{}", number % 2),
        r#type: "json".to_owned(),
        value: format!("{{\"number\":{number}}}").into(),
        revision,
        removed: number.is_multiple_of(5),
        variable_id: format!("v{}", number % 4),
        created_at: Some(Timestamp { seconds: revision, nanos: 500 }),
        updated_at: None,
        misc: [&b""[..], b"{}"][number % 2].into(),
    }))
}

fn without_id(mut record: Record, keyed: bool) -> Raw {
    match &mut record.event.event {
        Some(Event::Step(step)) => step.flow_instance_id.clear(),
        Some(Event::Flow(flow)) => flow.flow_instance_id.clear(),
        Some(Event::Rewind(rewind)) => rewind.flow_instance_id.clear(),
        _ => {}
    }
    let raw = whole(record);
    if keyed { raw } else { Raw { key: None, ..raw } }
}

fn changed(mut record: Record, change: fn(&mut String, &mut Bytes)) -> Record {
    match &mut record.event.event {
        Some(Event::Step(step)) => change(&mut step.task_name, &mut step.input),
        Some(Event::Flow(flow)) => change(&mut flow.app_name, &mut flow.input),
        _ => {}
    }
    record
}

/// Lets records through up to a number that grows, and no faster than so many a second.
#[derive(Debug)]
pub struct Gate {
    open_to: Mutex<usize>,
    opened: Condvar,
}

impl Gate {
    pub fn new() -> Self {
        Self { open_to: Mutex::new(0), opened: Condvar::new() }
    }

    /// Lets records through up to this one.
    pub fn open_to(&self, number: usize) {
        let mut open_to = self.open_to.lock().unwrap();
        *open_to = number.max(*open_to);
        self.opened.notify_all();
    }

    /// Lets all through.
    pub fn open(&self) {
        self.open_to(usize::MAX);
    }

    fn pass(&self, number: usize) {
        let shut = |open_to: &mut usize| *open_to <= number;
        drop(self.opened.wait_while(self.open_to.lock().unwrap(), shut).unwrap());
    }
}

/// Records as a gate lets them through.
pub fn gated(records: impl Iterator<Item = Raw>, gate: Arc<Gate>, rate: u32) -> impl Iterator<Item = Raw> {
    let (pause, mut next) = (Duration::from_secs(1) / rate, Instant::now());
    records.enumerate().map(move |(number, record)| {
        gate.pass(number);
        let now = Instant::now();
        // Sleeping is not that exact, so a little is caught up with.
        next = (next + pause).max(now.checked_sub(Duration::from_millis(50)).unwrap_or(now));
        if let Some(ahead) = next.checked_duration_since(now)
            && ahead > Duration::from_millis(1)
        {
            std::thread::sleep(ahead);
        }
        record
    })
}
