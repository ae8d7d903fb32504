//! From a producer's call to a row that another session sees, at a steady rate.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::ensure;
use flowtrail::{
    clock, config,
    kafka::{
        admin::Admin,
        producer::{self, Partitioner},
    },
};
use prost::Message as _;
use rdkafka::{
    ClientContext, Message as _,
    message::DeliveryResult,
    producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer},
};
use serde::Serialize;
use tokio_postgres::Client;

use crate::{
    connect,
    drain::{self, Drain},
    traffic::{self, PARTITIONS},
};

/// How often another session looks. What it sees was visible at most this, and a query, earlier.
const LOOK: Duration = Duration::from_millis(1);
/// How long it may take until everything is seen.
const PATIENCE: Duration = Duration::from_mins(1);

/// Latency at one rate.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Latency {
    /// Events a second.
    pub(crate) rate: u32,
    events: usize,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    greatest_ms: f64,
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, events, p50_ms, p99_ms, greatest_ms } = self;
        write!(
            f,
            "{rate} events/s, {events} events, call → visible to another session: \
             p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms, greatest {greatest_ms:.1} ms"
        )
    }
}

/// When which record was handed to the producer: partition, offset.
#[derive(Default)]
struct Calls(Mutex<Vec<(i32, i64, Instant)>>);

impl ClientContext for &'static Calls {}

impl ProducerContext for &'static Calls {
    type DeliveryOpaque = Box<Instant>;

    fn delivery(&self, result: &DeliveryResult<'_>, called: Box<Instant>) {
        if let Ok(record) = result {
            let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            calls.push((record.partition(), record.offset(), *called));
        }
    }
}

/// Runs a collector on a topic of its own, sends events at a rate, and watches offsets, which move in the transaction that
/// makes the rows visible.
pub(crate) async fn measure(
    drain: &Drain<'_>,
    url: &str,
    rate: u32,
    seconds: u32,
) -> anyhow::Result<Latency> {
    let (group, topic) = (format!("bench-latency-{rate}"), format!("flow.history.latency-{rate}"));
    let kafka =
        config::Kafka { bootstrap_servers: drain.bootstrap_servers.to_owned(), ..config::Kafka::default() };
    Admin::new(&kafka)?.ensure_topic(&topic, PARTITIONS, &[], PATIENCE).await?;
    let drain = Drain { topic: &topic, ..*drain };
    let collector = drain.start(url, &group)?;
    let client = connect(url).await?;
    assigned(&client).await?;

    let events = rate * seconds;
    // Kept until the process ends: librdkafka's threads point to it.
    let calls: &'static Calls = Box::leak(Box::default());
    let sending = tokio::task::spawn_blocking(move || send(&kafka, &topic, rate, events, calls));
    let seen = watch(&client, &group, i64::from(events)).await?;
    sending.await??;
    drain::end(collector).await?;

    let calls = std::mem::take(&mut *calls.0.lock().unwrap_or_else(PoisonError::into_inner));
    ensure!(calls.len() == usize::try_from(events)?, "{} of {events} were delivered", calls.len());
    let visible_after = |(partition, offset, called): &(i32, i64, Instant)| {
        let stored = seen.get(partition)?;
        let at = stored.partition_point(|(next, _)| next <= offset);
        Some(stored.get(at)?.1.saturating_duration_since(*called).as_secs_f64() * 1e3)
    };
    let mut latencies: Vec<f64> = calls.iter().filter_map(visible_after).collect();
    ensure!(latencies.len() == calls.len(), "some were never seen");
    latencies.sort_by(f64::total_cmp);
    let at = |percent: usize| latencies.get(latencies.len() * percent / 100).copied().unwrap_or(f64::NAN);
    let greatest_ms = latencies.last().copied().unwrap_or(f64::NAN);
    Ok(Latency { rate, events: latencies.len(), p50_ms: at(50), p99_ms: at(99), greatest_ms })
}

/// Waits until the collector has been told where its partitions begin.
async fn assigned(client: &Client) -> anyhow::Result<()> {
    let asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
        AND application_name = 'flowtrail-offsets' AND state = 'idle'";
    let began = clock::monotonic();
    while client.query_one(asked, &[]).await?.get::<_, i64>(0) == 0 {
        ensure!(began.elapsed() < PATIENCE, "the collector gets no partitions");
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// Sends events, each at its time.
fn send(
    kafka: &config::Kafka,
    topic: &str,
    rate: u32,
    events: u32,
    calls: &'static Calls,
) -> anyhow::Result<()> {
    let settings = producer::settings(kafka, Partitioner::Murmur2, PATIENCE);
    let producer: ThreadedProducer<&'static Calls> = settings.create_with_context(calls)?;
    let records: Vec<_> = traffic::synthetic(events, 0.0).map(|r| (r.key, r.event.encode_to_vec())).collect();
    let began = clock::monotonic();
    for (number, (key, value)) in (0_u32..).zip(&records) {
        let due = began + Duration::from_secs(1) * number / rate;
        std::thread::sleep(due.saturating_duration_since(clock::monotonic()));
        let record = BaseRecord::with_opaque_to(topic, Box::new(clock::monotonic())).key(key).payload(value);
        producer.send(record).map_err(|(error, _)| error)?;
    }
    Ok(producer.flush(PATIENCE)?)
}

/// By partition, what was stored when, as another session saw it.
type Seen = HashMap<i32, Vec<(i64, Instant)>>;

async fn watch(client: &Client, group: &str, goal: i64) -> anyhow::Result<Seen> {
    let look = client.prepare("SELECT partition, nextoffset FROM ft_offset WHERE consumergroup = $1").await?;
    let (mut seen, mut moved) = (Seen::new(), clock::monotonic());
    loop {
        let rows = client.query(&look, &[&group]).await?;
        let now = clock::monotonic();
        let mut stored = 0;
        for row in rows {
            let (partition, next): (i32, i64) = (row.get(0), row.get(1));
            stored += next;
            let of_partition = seen.entry(partition).or_default();
            if of_partition.last().is_none_or(|(last, _)| *last < next) {
                of_partition.push((next, now));
                moved = now;
            }
        }
        if stored >= goal {
            return Ok(seen);
        }
        ensure!(moved.elapsed() < PATIENCE, "{stored} of {goal} are stored, and no more come");
        tokio::time::sleep(LOOK).await;
    }
}
