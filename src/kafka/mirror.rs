//! Dead letters once more, on a topic, for those who watch topics. `ft_dead_letter` is what counts.

use std::{fmt, time::Duration};

use futures_util::future::try_join_all;
use rdkafka::{
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};

use super::{
    client::{Context, Error},
    producer::{self, Partitioner},
};
use crate::{config, postgres::DeadLetter};

/// How long a letter may take from the queue to its acknowledgement.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Puts dead letters on a topic: at least once, before they are stored.
///
/// Key, value, headers and timestamp are those of the record; headers that begin with `flowtrail_` say where it came from
/// and why it is there, which is enough to know a letter that comes twice.
pub(crate) struct Mirror {
    producer: FutureProducer<Context>,
    topic: String,
}

impl fmt::Debug for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mirror").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl Mirror {
    /// For the topic that is configured, if one is. It connects when it is first used.
    pub(crate) fn new(config: &config::Config) -> Result<Option<Self>, Error> {
        let topic = config.collector.dead_letter_topic.clone();
        if topic.is_empty() {
            return Ok(None);
        }
        let settings = producer::settings(&config.kafka, Partitioner::Murmur2, TIMEOUT);
        let producer = settings.create_with_context(Context::new(&config.kafka)).map_err(Error::creating)?;
        Ok(Some(Self { producer, topic }))
    }

    /// Puts them there, and waits until Kafka has all of them. Sent again, what was delivered comes twice.
    pub(crate) async fn send(&self, letters: &[DeadLetter]) -> Result<(), String> {
        let sending = letters.iter().map(|letter| self.send_one(letter));
        try_join_all(sending).await.map(drop)
    }

    async fn send_one(&self, letter: &DeadLetter) -> Result<(), String> {
        let mut record = FutureRecord::to(&self.topic).headers(headers(letter));
        record.key = letter.key.as_deref();
        record.payload = letter.payload.as_deref();
        record.timestamp = letter.time;
        match self.producer.send::<[u8], [u8], _>(record, TIMEOUT).await {
            Ok(_) => Ok(()),
            Err((error, _)) => Err(format!("dead letters can't be put on topic {}: {error}", self.topic)),
        }
    }
}

fn headers(letter: &DeadLetter) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new();
    for (key, value) in &letter.headers {
        headers = headers.insert(Header { key, value: value.as_deref() });
    }
    let said = [
        ("flowtrail_reason", letter.reason.to_owned()),
        ("flowtrail_detail", letter.detail.clone()),
        ("flowtrail_topic", letter.partition.topic.to_string()),
        ("flowtrail_partition", letter.partition.number.to_string()),
        ("flowtrail_offset", letter.offset.to_string()),
    ];
    said.iter().fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}
