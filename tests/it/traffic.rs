//! Made-up traffic, and what Postgres has to hold of it.

use bytes::Bytes;
use flowtrail::{
    config::Config,
    kafka::producer::{Partitioner, Producer},
    pipeline::{decode::decode, merge::Fold},
    publish::{self, Options, Record, Sent, Synthetic, SyntheticOptions, disorder},
};
use prost::Message as _;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use crate::{
    law::{assert_same, of_database, of_fold},
    servers::{self, PATIENCE},
};

/// Flows with failures and re-runs, a few events twice, none far from its place.
pub fn traffic(seed: u64, count: usize) -> Vec<Record> {
    let events = Synthetic::new(SyntheticOptions { seed, rerun_percent: 3.0, ..SyntheticOptions::default() });
    disorder::shuffle_window(disorder::duplicate(events.take(count), 5.0, seed), 50, seed).collect()
}

/// Puts records on the topic, so many a second; 0 is as fast as possible.
pub fn send(config: &Config, records: &[Record], rate: u32) -> JoinHandle<Sent> {
    let (config, records) = (config.clone(), records.to_vec());
    spawn_blocking(move || {
        let producer = Producer::new(&config.kafka, Partitioner::Murmur2, PATIENCE).unwrap();
        let options = Options {
            topic: config.kafka.topics[0].clone(),
            rate,
            timeout: PATIENCE,
            stop_at_failure: true,
            stop: CancellationToken::new(),
        };
        let count = u64::try_from(records.len()).unwrap();
        let sent = publish::send(&producer, records.into_iter(), &options, |_| {}).unwrap();
        assert_eq!(sent.deliveries.delivered, count);
        sent
    })
}

/// Every table holds what the law says of these records: no more, no less, no other.
pub async fn assert_stored(config: &Config, records: &[Record]) {
    let mut fold = Fold::default();
    for record in records {
        let payload = Bytes::from(record.event.encode_to_vec());
        fold.extend(decode(Some(record.key.as_bytes()), Some(&payload), 1 << 20, None).unwrap().events);
    }
    let stored = of_database(&servers::connect_to(config).await, "").await;
    assert_same(&stored, &of_fold(&fold.settle()), "Postgres beside the fold", &[]);
}
