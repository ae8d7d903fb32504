//! The topic: made-up traffic, and what the tables have to hold of it.

use std::time::Duration;

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
    publish::{self, Options, Record, Synthetic, SyntheticOptions},
};
use prost::Message as _;
use serde::Serialize;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::say;

/// The topic's name.
pub(crate) const TOPIC: &str = "flow.history";
/// Its partitions: enough for two lanes to have three each.
const PARTITIONS: i32 = 6;
/// How long Kafka may take over anything.
const TIMEOUT: Duration = Duration::from_mins(2);
/// More than any payload has: nothing is cut.
const MAX_PAYLOAD: usize = 4 << 20;

/// What is on the topic.
#[derive(Debug)]
pub(crate) struct Traffic {
    /// How many events.
    pub(crate) events: u64,
    /// What the tables hold once all of it is stored.
    pub(crate) expected: Contents,
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

/// Fills the topic, and works out with the merge law what the tables have to hold.
pub(crate) async fn publish(
    bootstrap_servers: &str,
    events: u32,
    rerun_percent: f64,
) -> anyhow::Result<Traffic> {
    say(&format!("publishing {events} events"));
    let kafka = config::Kafka { bootstrap_servers: bootstrap_servers.to_owned(), ..config::Kafka::default() };
    Admin::new(&kafka)?.ensure_topic(TOPIC, PARTITIONS, &[], TIMEOUT).await?;
    let blocking = tokio::task::spawn_blocking(move || {
        let producer = Producer::new(&kafka, Partitioner::Murmur2, TIMEOUT)?;
        let options = Options {
            topic: TOPIC.to_owned(),
            rate: 0,
            timeout: TIMEOUT,
            stop_at_failure: true,
            stop: CancellationToken::new(),
        };
        let mut fold = Fold::default();
        let mut broken = None;
        let records = synthetic(events, rerun_percent).inspect(|record| {
            if let Err(error) = add(&mut fold, record) {
                broken.get_or_insert(error);
            }
        });
        let sent = publish::send(&producer, records, &options, |_| {})?;
        ensure!(sent.deliveries.delivered == u64::from(events), "not all was delivered: {sent:?}");
        if let Some(error) = broken {
            return Err(error);
        }
        Ok(Traffic { events: u64::from(events), expected: Contents::expected(&fold.settle()) })
    });
    blocking.await?
}

/// 10 steps a flow, payloads of 200 bytes, start and end of a step some milliseconds and eight flows apart.
fn synthetic(events: u32, rerun_percent: f64) -> impl Iterator<Item = Record> {
    let options = SyntheticOptions {
        steps_per_flow: 10,
        payload_bytes: 200,
        rerun_percent,
        ..SyntheticOptions::default()
    };
    Synthetic::new(options).take(usize::try_from(events).unwrap_or(usize::MAX))
}

fn add(fold: &mut Fold, record: &Record) -> anyhow::Result<()> {
    let payload = Bytes::from(record.event.encode_to_vec());
    fold.add(decode(Some(record.key.as_bytes()), Some(&payload), MAX_PAYLOAD)?.event);
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
