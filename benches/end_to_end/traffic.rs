//! The topic: made-up traffic, and what the tables have to hold of it.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use flowtrail::{
    config,
    kafka::{
        admin::Admin,
        producer::{Partitioner, Producer},
    },
    model::Phase,
    pipeline::{
        decode::decode,
        merge::{FlowTables, Fold, Tables},
    },
    publish::{self, Options, Record, Synthetic, SyntheticOptions, disorder},
};
use prost::Message as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::say;

/// Its partitions: enough for two lanes to have three each.
pub(crate) const PARTITIONS: i32 = 6;
/// How long Kafka may take over anything.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(2);
/// More than any payload has: nothing is cut.
const MAX_PAYLOAD: usize = 4 << 20;

/// How events come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Order {
    /// As runtimes say them: start and end of a step some milliseconds and eight flows apart.
    First,
    /// So too, and one flow in a hundred is run again.
    Reruns,
    /// All that is not an end before all ends: every row is written twice.
    Twice,
    /// A tenth comes twice, a twentieth late, and all of it shuffled within ten thousand.
    Disorder,
    /// As `First`, on a topic that rivals read too. None of them could store a flow that is run again.
    Peers,
}

/// Events that come late come behind so many others.
const LATE: usize = 50_000;
/// Events are shuffled within so many.
const WINDOW: usize = 10_000;
const SEED: u64 = 7;

impl Order {
    pub(crate) fn topic(self) -> &'static str {
        match self {
            Self::First => "flow.history",
            Self::Reruns => "flow.history.reruns",
            Self::Twice => "flow.history.twice",
            Self::Disorder => "flow.history.disorder",
            Self::Peers => "flow.history.peers",
        }
    }

    /// What is measured, in a few words.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::First => "first delivery",
            Self::Reruns => "first delivery, 1 % of the flows run again",
            Self::Twice => "every row written twice",
            Self::Disorder => "10 % twice, 5 % late, shuffled within 10 000",
            Self::Peers => "first delivery, beside rivals",
        }
    }

    fn rerun_percent(self) -> f64 {
        if self == Self::Reruns { 1.0 } else { 0.0 }
    }

    fn arrange(self, records: impl Iterator<Item = Record> + 'static) -> Box<dyn Iterator<Item = Record>> {
        match self {
            Self::First | Self::Peers | Self::Reruns => Box::new(records),
            Self::Twice => {
                let (ends, rest): (Vec<Record>, Vec<Record>) = records.partition(is_end);
                Box::new(rest.into_iter().chain(ends))
            }
            Self::Disorder => {
                let records = disorder::duplicate(records, 10.0, SEED);
                let mut late = VecDeque::new();
                let mut number = 0_usize;
                // Every twentieth goes to the end of a queue that is as long as it is late; what is in it at last stays away.
                let records = records.filter_map(move |record| {
                    number += 1;
                    if number.is_multiple_of(20) {
                        late.push_back(record);
                        return (late.len() > LATE / 20).then(|| late.pop_front()).flatten();
                    }
                    Some(record)
                });
                Box::new(disorder::shuffle_window(records, WINDOW, SEED))
            }
        }
    }
}

fn is_end(record: &Record) -> bool {
    use flowtrail::proto::v1::{Phase, history_event::Event};
    match &record.event.event {
        Some(Event::Flow(flow)) => flow.phase == i32::from(Phase::Closed),
        Some(Event::Step(step)) => step.phase == i32::from(Phase::Closed),
        _ => false,
    }
}

/// What is on the topic.
#[derive(Debug)]
pub(crate) struct Traffic {
    /// How they come.
    pub(crate) order: Order,
    /// How many events.
    pub(crate) events: u64,
    /// What the tables hold once all of it is stored.
    pub(crate) expected: Contents,
}

impl Traffic {
    /// Nothing on any topic.
    pub(crate) fn none() -> Self {
        Self { order: Order::First, events: 0, expected: Contents::default() }
    }
}

/// What tables hold, in numbers that a wrong result would hardly have too.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Contents {
    /// Rows of `steps`.
    pub(crate) steps: i64,
    /// Rows of `flowstate`.
    pub(crate) flows: i64,
    /// Rows of `ft_superseded_step`.
    pub(crate) superseded: i64,
    /// Rows of `ft_run`.
    pub(crate) runs: i64,
    /// Rows of `ft_rewind`.
    pub(crate) rewinds: i64,
    /// Steps and flows that are closed.
    pub(crate) closed: i64,
    /// Re-runs that flows count.
    pub(crate) reruns: i64,
    /// Bytes of payload in steps and flows.
    pub(crate) payload_bytes: i64,
    /// Rows of `ft_dead_letter`.
    pub(crate) dead_letters: i64,
}

/// Fills the topic of an order.
pub(crate) async fn publish(bootstrap_servers: &str, order: Order, events: u32) -> anyhow::Result<Traffic> {
    say(&format!("publishing {events} events: {}", order.title()));
    let records = move || order.arrange(synthetic(events, order.rerun_percent()));
    let traffic = send(bootstrap_servers, order.topic(), records).await?;
    Ok(Traffic { order, ..traffic })
}

/// Fills a topic, and works out with the merge law what the tables have to hold.
pub(crate) async fn send<R: Iterator<Item = Record>>(
    bootstrap_servers: &str,
    topic: &'static str,
    records: impl FnOnce() -> R + Send + 'static,
) -> anyhow::Result<Traffic> {
    let kafka = config::Kafka { bootstrap_servers: bootstrap_servers.to_owned(), ..config::Kafka::default() };
    Admin::new(&kafka)?.ensure_topic(topic, PARTITIONS, &[], TIMEOUT).await?;
    let blocking = tokio::task::spawn_blocking(move || {
        let producer = Producer::new(&kafka, Partitioner::Murmur2, TIMEOUT)?;
        let options = Options {
            topic: topic.to_owned(),
            rate: 0,
            timeout: TIMEOUT,
            stop_at_failure: true,
            stop: CancellationToken::new(),
        };
        let mut fold = Fold::default();
        let mut broken = None;
        let records = records().inspect(|record| {
            if let Err(error) = add(&mut fold, record) {
                broken.get_or_insert(error);
            }
        });
        let sent = publish::send(&producer, records, &options, |_| {})?;
        ensure!(sent.deliveries.delivered == sent.queued, "not all was delivered: {sent:?}");
        if let Some(error) = broken {
            return Err(error);
        }
        let expected = Contents::expected(&fold.settle());
        Ok(Traffic { order: Order::First, events: sent.queued, expected })
    });
    blocking.await?
}

/// 10 steps a flow, payloads of 200 bytes, start and end of a step some milliseconds and eight flows apart.
pub(crate) fn synthetic(events: u32, rerun_percent: f64) -> impl Iterator<Item = Record> + 'static {
    let options = SyntheticOptions {
        steps_per_flow: 10,
        payload_bytes: 200,
        rerun_percent,
        ..SyntheticOptions::default()
    };
    Synthetic::new(options).take(usize::try_from(events).unwrap_or(usize::MAX))
}

/// The same under a flow id that says nothing of its neighbours, as UUIDs do.
pub(crate) fn scatter(mut record: Record) -> Record {
    use flowtrail::proto::v1::history_event::Event;
    match &mut record.event.event {
        Some(Event::Flow(flow)) => {
            scatter_id(&mut flow.flow_instance_id);
            scatter_id(&mut flow.rerun_of_flow_instance_id);
        }
        Some(Event::Step(step)) => scatter_id(&mut step.flow_instance_id),
        Some(Event::Rewind(rewind)) => scatter_id(&mut rewind.flow_instance_id),
        _ => {}
    }
    Record::from(record.event)
}

fn scatter_id(id: &mut String) {
    if !id.is_empty() {
        let digest: [u8; 32] = Sha256::digest(&*id).into();
        *id = format!("{:032x}", digest.first_chunk().copied().map_or(0, u128::from_be_bytes));
    }
}

fn add(fold: &mut Fold, record: &Record) -> anyhow::Result<()> {
    let payload = Bytes::from(record.event.encode_to_vec());
    fold.extend(decode(Some(record.key.as_bytes()), Some(&payload), MAX_PAYLOAD, None)?.events);
    Ok(())
}

const STORED: &str = "
SELECT s.rows, f.rows, (SELECT count(*) FROM ft_superseded_step), (SELECT count(*) FROM ft_run),
    (SELECT count(*) FROM ft_rewind), s.closed + f.closed, f.reruns, s.bytes + f.bytes,
    (SELECT count(*) FROM ft_dead_letter)
FROM (SELECT count(*) AS rows, count(*) FILTER (WHERE phase = 2) AS closed,
        COALESCE(sum(COALESCE(octet_length(input), 0) + COALESCE(octet_length(output), 0)
            + COALESCE(octet_length(error), 0) + COALESCE(octet_length(stepdata), 0)), 0)::bigint AS bytes FROM steps) s,
    (SELECT count(*) AS rows, count(*) FILTER (WHERE phase = 2) AS closed,
        COALESCE(sum(reruncount), 0)::bigint AS reruns,
        COALESCE(sum(COALESCE(octet_length(flowinput), 0) + COALESCE(octet_length(flowoutput), 0)
            + COALESCE(octet_length(error), 0)), 0)::bigint AS bytes FROM flowstate) f";

impl Contents {
    /// Rows that a raw COPY brings into the tables.
    pub(crate) fn rows(&self) -> i64 {
        self.steps + self.flows
    }

    fn expected(tables: &Tables) -> Self {
        tables.flows.values().fold(Self::default(), |mut sum, flow| {
            sum.add(flow);
            sum
        })
    }

    fn add(&mut self, flow: &FlowTables) {
        self.steps += number(flow.steps.len());
        self.flows += number(usize::from(flow.shown.is_some()));
        self.superseded += number(flow.superseded.len());
        self.runs += number(flow.runs.len());
        self.rewinds += number(flow.facts.len());
        for (_, row) in flow.steps.values() {
            self.closed += i64::from(row.phase == Phase::Closed);
            self.payload_bytes += bytes([&row.input, &row.output, &row.error, &row.data]);
        }
        if let Some(shown) = &flow.shown {
            self.closed += i64::from(shown.row.phase == Phase::Closed);
            self.reruns += i64::from(shown.rerun_count);
            self.payload_bytes += bytes([&shown.row.input, &shown.row.output, &shown.row.error]);
        }
    }

    /// What a database holds.
    pub(crate) async fn stored(client: &Client) -> anyhow::Result<Self> {
        let row = client.query_one(STORED, &[]).await.context("counting what is stored")?;
        Ok(Self {
            steps: row.get(0),
            flows: row.get(1),
            superseded: row.get(2),
            runs: row.get(3),
            rewinds: row.get(4),
            closed: row.get(5),
            reruns: row.get(6),
            payload_bytes: row.get(7),
            dead_letters: row.get(8),
        })
    }

    /// Of two that share no flow, together.
    pub(crate) fn plus(&self, other: &Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            flows: self.flows + other.flows,
            superseded: self.superseded + other.superseded,
            runs: self.runs + other.runs,
            rewinds: self.rewinds + other.rewinds,
            closed: self.closed + other.closed,
            reruns: self.reruns + other.reruns,
            payload_bytes: self.payload_bytes + other.payload_bytes,
            dead_letters: self.dead_letters + other.dead_letters,
        }
    }

    /// An error that names both, if what is stored is something else.
    pub(crate) fn compare(&self, stored: &Self) -> anyhow::Result<()> {
        ensure!(self == stored, "the tables are wrong\n  expected {self:?}\n  stored   {stored:?}");
        Ok(())
    }
}

fn bytes<const N: usize>(payloads: [&Option<Bytes>; N]) -> i64 {
    payloads.into_iter().flatten().map(|bytes| number(bytes.len())).sum()
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
