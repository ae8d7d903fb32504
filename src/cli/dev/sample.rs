//! Sample traffic: recorded runs of a real Flogo app, then made-up flows for as long as `dev` runs.

use std::time::Duration;

use anyhow::Context as _;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::{
    clock,
    config::Config,
    flogo::recording::Recording,
    kafka::producer::{Partitioner, Producer},
    publish::{self, Options, Record, Synthetic, SyntheticOptions},
};

/// 16 flow instances of a real app: `tests/fixtures/flogo/README.md`.
const RECORDED: &[u8] = include_bytes!("../../../tests/fixtures/flogo/recorded.jsonl");

/// How long a record may take to be acknowledged; a Kafka that is restarted by hand is back by then.
const TIMEOUT: Duration = Duration::from_mins(1);

/// Publishes until `stop`.
pub(super) fn start(
    config: &Config,
    topic: String,
    rate: u32,
    stop: CancellationToken,
) -> JoinHandle<anyhow::Result<()>> {
    let kafka = config.kafka.clone();
    spawn_blocking(move || {
        let producer = Producer::new(&kafka, Partitioner::Murmur2, TIMEOUT)?;
        let options =
            Options { topic, rate: 0, timeout: TIMEOUT, stop_at_failure: false, stop: stop.clone() };
        publish::send(&producer, recorded()?, &options, |_| {})?;
        if rate == 0 {
            return Ok(());
        }
        // Ids begin with the seed, so the clock keeps those of one start apart from those of the next.
        let start = clock::now();
        let seed = u64::try_from(start.as_microsecond()).unwrap_or_default();
        let synthetic = SyntheticOptions { seed, start, ..SyntheticOptions::default() }.paced(rate);
        publish::send(&producer, Synthetic::new(synthetic), &Options { rate, ..options }, |_| {})?;
        Ok(())
    })
}

fn recorded() -> anyhow::Result<impl Iterator<Item = Record>> {
    let events: Result<Vec<_>, _> = Recording::new(RECORDED).map(|(_, event)| event).collect();
    Ok(events.context("the recorded sample")?.into_iter().map(Record::from))
}
