//! The way of records onto a topic: at a rate, until the source ends or someone says stop.

use std::time::Duration;

use prost::Message as _;
use tokio_util::sync::CancellationToken;

use super::{Record, pace::Pace};
use crate::{
    clock,
    kafka::{
        client::Error,
        producer::{Deliveries, Outgoing, Producer},
    },
};

/// How records are sent.
#[derive(Debug, Clone)]
pub struct Options {
    /// The topic.
    pub topic: String,
    /// Records a second; 0 is as fast as possible.
    pub rate: u32,
    /// How long the last records may take to be acknowledged.
    pub timeout: Duration,
    /// Whether a record that is given up ends it.
    pub stop_at_failure: bool,
    /// Ends it before the source does; what is queued is delivered still.
    pub stop: CancellationToken,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// Records given to the producer.
    pub queued: u64,
    /// What became of them.
    pub deliveries: Deliveries,
    /// How long it took.
    pub took: Duration,
}

/// Sends records and waits until each is delivered or given up. `progress` is called after each with their number.
///
/// It blocks: call it from a thread of its own (`tokio::task::spawn_blocking`).
pub fn send(
    producer: &Producer,
    records: impl Iterator<Item = Record>,
    options: &Options,
    mut progress: impl FnMut(u64),
) -> Result<Sent, Error> {
    let start = clock::monotonic();
    let pace = Pace::new(options.rate, start);
    let before = producer.deliveries();
    let mut queued = 0_u64;
    for record in records {
        let gave_up = options.stop_at_failure && producer.has_failed();
        if gave_up || !pace.wait_for_turn(queued, &options.stop) {
            break;
        }
        let payload = record.event.encode_to_vec();
        let outgoing =
            Outgoing { key: record.key.as_bytes(), payload: &payload, partition: record.partition };
        producer.send(&options.topic, outgoing);
        queued += 1;
        progress(queued);
    }
    producer.flush(options.timeout)?;
    let mut deliveries = producer.deliveries();
    deliveries.delivered -= before.delivered;
    for (reason, count) in &mut deliveries.failed {
        *count -= before.failed.get(reason).copied().unwrap_or(0);
    }
    deliveries.failed.retain(|_, count| *count > 0);
    Ok(Sent { queued, deliveries, took: clock::monotonic() - start })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config,
        kafka::producer::Partitioner,
        publish::{Synthetic, SyntheticOptions},
    };

    fn options() -> Options {
        Options {
            topic: "t".to_owned(),
            rate: 0,
            timeout: Duration::from_secs(10),
            stop_at_failure: true,
            stop: CancellationToken::new(),
        }
    }

    /// Sends to a cluster that librdkafka plays within this process.
    fn sent(records: impl Iterator<Item = Record>, options: &Options, progress: impl FnMut(u64)) -> Sent {
        let mut kafka = config::Kafka::default();
        kafka.librdkafka.insert("test.mock.num.brokers".to_owned(), "1".into());
        let producer = Producer::new(&kafka, Partitioner::Murmur2, Duration::from_secs(5)).unwrap();
        send(&producer, records, options, progress).unwrap()
    }

    fn traffic() -> Synthetic {
        Synthetic::new(SyntheticOptions::default())
    }

    #[test]
    fn all_records_are_sent_and_counted() {
        let sent = sent(traffic().take(2_000), &options(), |_| {});
        assert_eq!(
            (sent.queued, sent.deliveries.delivered, sent.deliveries.failed_total()),
            (2_000, 2_000, 0)
        );
    }

    #[test]
    fn a_rate_is_kept() {
        let sent = sent(traffic().take(300), &Options { rate: 1_000, ..options() }, |_| {});
        assert!(sent.took >= Duration::from_millis(298), "{:?}", sent.took);
    }

    #[test]
    fn a_stop_ends_it_and_delivers_what_is_queued() {
        let options = options();
        let sent = sent(traffic(), &options, |count| {
            if count == 100 {
                options.stop.cancel();
            }
        });
        assert_eq!((sent.queued, sent.deliveries.delivered), (100, 100));
    }

    #[test]
    fn a_record_that_is_given_up_ends_it() {
        let nowhere = traffic().map(|record| Record { partition: Some(99), ..record });
        let sent = sent(nowhere, &Options { rate: 10_000, ..options() }, |_| {});
        assert_eq!((sent.deliveries.delivered, sent.deliveries.failed_total()), (0, sent.queued));
    }
}
