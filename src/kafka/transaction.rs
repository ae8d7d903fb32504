//! Records, and how far their source was read, in one transaction of Kafka.
//!
//! Everything here blocks.

use std::time::{Duration, Instant};

use rdkafka::{
    Offset as Position, TopicPartitionList,
    consumer::ConsumerGroupMetadata,
    error::{KafkaError, KafkaResult, RDKafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{BaseRecord, Producer as _, ThreadedProducer},
};

use super::{
    client::{self, Context},
    producer::{self, Partitioner},
};
use crate::{
    clock, config,
    model::{Offset, Partition},
};

/// How long a record, or an answer about a transaction, may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a transaction may stay open before the broker ends it: longer than a record may take.
const OPEN_MS: &str = "60000";

/// As much fits in librdkafka's queue, whatever is configured: a transaction has to.
const QUEUE: [(&str, &str); 2] =
    [("queue.buffering.max.messages", "100000"), ("queue.buffering.max.kbytes", "65536")];

/// Why a transaction did not come to a good end. Nothing of it is seen by those who read what is committed.
#[derive(Debug, thiserror::Error)]
pub enum TransactionError {
    /// Kafka did not do what was asked.
    #[error(transparent)]
    Kafka(#[from] client::Error),
    /// Another process has taken over.
    #[error("another process runs {0} now; it goes on there")]
    TakenOver(String),
    /// Kafka does not take a record.
    #[error("Kafka does not take a record of {bytes} bytes on {topic}: {reason}")]
    Record {
        /// The topic that it was to go to.
        topic: String,
        /// Bytes of its key and value.
        bytes: usize,
        /// What librdkafka said.
        reason: String,
    },
}

/// A record on its way to a topic.
#[derive(Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) payload: Option<&'a [u8]>,
    /// Milliseconds since 1970.
    pub(crate) time: Option<i64>,
    pub(crate) headers: &'a [(String, Option<bytes::Bytes>)],
}

/// A producer whose name only one process has at a time.
pub(crate) struct Transactions {
    producer: ThreadedProducer<Context>,
    context: Context,
    name: String,
}

impl Transactions {
    /// Takes the name over: what an earlier process of this name had under way is undone, and it can write no more. Returns
    /// once that is so.
    pub(crate) fn take_over(kafka: &config::Kafka, name: &str) -> Result<Self, TransactionError> {
        let mut settings = producer::settings(kafka, Partitioner::Murmur2, PATIENCE);
        for (key, value) in
            [("transactional.id", name), ("transaction.timeout.ms", OPEN_MS)].iter().chain(&QUEUE)
        {
            settings.set(*key, *value);
        }
        let context = Context::new(kafka);
        let producer: ThreadedProducer<Context> =
            settings.create_with_context(context.clone()).map_err(client::Error::creating)?;
        let taken = Self { producer, context, name: name.to_owned() };
        taken.repeat("begin with transactions", || taken.producer.init_transactions(PATIENCE))?;
        Ok(taken)
    }

    /// Opens a transaction.
    pub(crate) fn begin(&self) -> Result<(), TransactionError> {
        self.repeat("begin a transaction", || self.producer.begin_transaction())
    }

    /// Queues a record within the transaction; its key says the partition, by murmur2. What becomes of it, the commit says.
    ///
    /// librdkafka's queue has room for 100 000 records and 64 MiB: whoever sends commits before that.
    pub(crate) fn send(&self, topic: &str, record: &Outgoing<'_>) -> Result<(), TransactionError> {
        let headers = OwnedHeaders::new_with_capacity(record.headers.len());
        let headers = record
            .headers
            .iter()
            .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: value.as_deref() }));
        let mut outgoing = BaseRecord::<[u8], [u8]>::to(topic).headers(headers);
        (outgoing.key, outgoing.payload, outgoing.timestamp) = (record.key, record.payload, record.time);
        self.producer.send(outgoing).map_err(|(error, _)| match self.ended() {
            Some(ended) => ended,
            None => TransactionError::Record {
                topic: topic.to_owned(),
                bytes: [record.key, record.payload].into_iter().flatten().map(<[u8]>::len).sum(),
                reason: error.rdkafka_error_code().map_or_else(|| error.to_string(), client::words),
            },
        })
    }

    /// Commits the records together with the offsets of their source, which become those of the reader's group; `word` is
    /// kept beside each. On an error none of it is committed, or it is not known whether it is.
    pub(crate) fn commit(
        &self,
        offsets: &[(Partition, Offset)],
        reader: &ConsumerGroupMetadata,
        word: &str,
    ) -> Result<(), TransactionError> {
        let failed = |error| client::Error::other("note how far a replay is", &error);
        let mut list = TopicPartitionList::new();
        for (Partition { topic, number }, offset) in offsets {
            let mut element = list.add_partition(topic, *number);
            element.set_offset(Position::Offset(offset.0)).map_err(failed)?;
            element.set_metadata(word);
        }
        self.repeat("note how far a replay is", || {
            self.producer.send_offsets_to_transaction(&list, reader, PATIENCE)
        })?;
        self.repeat("commit a transaction", || self.producer.commit_transaction(PATIENCE))
    }

    /// Undoes what is open. What can't be undone now, the broker undoes when its time is over.
    pub(crate) fn abort(&self) {
        if let Err(error) = self.producer.abort_transaction(PATIENCE) {
            tracing::debug!(%error, "a transaction is left to the broker to end");
        }
    }

    /// Does it again while librdkafka says that this may help.
    fn repeat(&self, doing: &'static str, act: impl Fn() -> KafkaResult<()>) -> Result<(), TransactionError> {
        let deadline: Instant = clock::monotonic() + PATIENCE;
        loop {
            let Err(error) = act() else { return Ok(()) };
            if let Some(ended) = self.ended() {
                return Err(ended);
            }
            let KafkaError::Transaction(cause) = &error else {
                return Err(client::Error::asking(doing, &error, &self.context).into());
            };
            // Each try waits for an answer itself.
            if cause.is_retriable() && clock::monotonic() < deadline {
                continue;
            }
            return Err(self.failed(doing, &error, cause));
        }
    }

    /// Why this producer can do nothing more, if it can't: whatever is asked of it then says no more than that.
    fn ended(&self) -> Option<TransactionError> {
        let (code, reason) = self.producer.client().fatal_error()?;
        let is_taken_over = matches!(
            code,
            RDKafkaErrorCode::Fenced
                | RDKafkaErrorCode::ProducerFenced
                | RDKafkaErrorCode::InvalidProducerEpoch
        );
        Some(if is_taken_over {
            TransactionError::TakenOver(self.name.clone())
        } else {
            client::Error::Other { doing: "go on with transactions", reason }.into()
        })
    }

    fn failed(&self, doing: &'static str, error: &KafkaError, cause: &RDKafkaError) -> TransactionError {
        if cause.txn_requires_abort() {
            self.abort();
        }
        match client::Error::asking(doing, error, &self.context) {
            client::Error::Other { doing, .. } => client::Error::Other { doing, reason: cause.string() },
            known => known,
        }
        .into()
    }
}
