//! Lag of a consumer group, as its committed offsets tell it.
//!
//! The committed offset is read before the end of the partition: the other way round, a group that keeps up would
//! seem to be ahead of the topic. Nothing is committed and no group is joined.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rdkafka::{
    ClientConfig, ClientContext, Message as _, Offset, TopicPartitionList,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _, ConsumerContext},
    error::{KafkaError, RDKafkaErrorCode},
};
use serde::Serialize;
use thiserror::Error;

use crate::clock;

/// Settings that make a consumer look without taking part. They win over what is configured.
const LOOK_ONLY: [(&str, &str); 8] = [
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("allow.auto.create.topics", "false"),
    ("auto.offset.reset", "earliest"),
    // Says that a partition holds nothing to read, which a transaction's marker at its end would hide.
    ("enable.partition.eof", "true"),
    // One record of each partition is wanted, not all that could be had.
    ("queued.min.messages", "1"),
    ("fetch.message.max.bytes", "65536"),
    ("statistics.interval.ms", "0"),
];

/// How long to wait for what librdkafka has to say about brokers that don't answer.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Which topics are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topics {
    /// These, whether the group has committed anything or not.
    Named(Vec<String>),
    /// All of which the group has committed an offset.
    Committed,
}

/// Lag of one partition. What can't be told is `None`, and `null` in JSON.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct PartitionLag {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Next offset that the group would read.
    pub committed: Option<i64>,
    /// Offset that the next record will get.
    pub end: Option<i64>,
    /// Offsets from `committed` to `end`, never negative; all there is where nothing is committed.
    pub lag_records: Option<u64>,
    /// Age of the oldest unread record, 0 where there is none.
    pub lag_seconds: Option<f64>,
}

/// Why the lag can't be told.
#[derive(Debug, Error)]
pub enum LagError {
    /// No broker answered.
    #[error("no answer from Kafka at {servers}{}; is it running, and reachable from here?", said(.reason.as_deref()))]
    Unreachable {
        /// Brokers as they are configured.
        servers: String,
        /// What librdkafka said last.
        reason: Option<String>,
    },
    /// A topic that was asked for is not there.
    #[error("topic {topic} does not exist, or this user may not see it")]
    UnknownTopic {
        /// The topic.
        topic: String,
    },
    /// The group has committed nothing in this cluster.
    #[error("group {group} has no committed offsets; name topics with --topic to see all there is to read")]
    NothingCommitted {
        /// The group.
        group: String,
    },
    /// A setting of librdkafka is not accepted. Its value is not shown.
    #[error("librdkafka doesn't take the configuration under kafka.librdkafka: check {setting}")]
    Setting {
        /// Name of the setting.
        setting: String,
    },
    /// Kafka refused.
    #[error("cannot read {what} of group {group}")]
    Refused {
        /// What was asked for.
        what: &'static str,
        /// The group.
        group: String,
        /// Why.
        #[source]
        source: KafkaError,
    },
}

fn said(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(" ({reason})"))
}

/// Offsets between what was read and the end. Never negative: a committed offset may lie past the end of a topic
/// that was created again. Where nothing was committed, everything that is still there is unread.
pub fn records(committed: Option<i64>, low: i64, end: i64) -> u64 {
    u64::try_from(end.saturating_sub(committed.unwrap_or(low))).unwrap_or(0)
}

/// Age in seconds of a record with that timestamp. Never negative: its producer's clock may run ahead of ours.
pub fn age_seconds(now: Timestamp, timestamp_millis: i64) -> f64 {
    let millis = now.as_millisecond().saturating_sub(timestamp_millis);
    Duration::from_millis(u64::try_from(millis).unwrap_or(0)).as_secs_f64()
}

/// Reads the lag of `group`. Blocks for at most about `limit`.
///
/// `client` says how to reach Kafka; what it says of group and commits does not count.
pub fn read(
    client: &ClientConfig,
    group: &str,
    topics: &Topics,
    limit: Duration,
) -> Result<Vec<PartitionLag>, LagError> {
    let mut settings = client.clone();
    settings.set("group.id", group);
    for (name, value) in LOOK_ONLY {
        settings.set(name, value);
    }
    // Older names of the same setting would win or be refused beside it.
    settings.remove("max.partition.fetch.bytes");
    let consumer: BaseConsumer<Quiet> =
        settings.create_with_context(Quiet::default()).map_err(|error| match error {
            KafkaError::ClientConfig(_, _, setting, _) => LagError::Setting { setting },
            _ => LagError::Setting { setting: "how they fit together".to_owned() },
        })?;
    let look = Look {
        consumer,
        group: group.to_owned(),
        servers: client.get("bootstrap.servers").unwrap_or("an address that is not configured").to_owned(),
        deadline: clock::monotonic() + limit,
    };
    look.lag(topics)
}

/// What one look at the cluster needs.
struct Look {
    consumer: BaseConsumer<Quiet>,
    group: String,
    servers: String,
    deadline: Instant,
}

type Key = (String, i32);

impl Look {
    fn lag(&self, topics: &Topics) -> Result<Vec<PartitionLag>, LagError> {
        let partitions = self.partitions(topics)?;
        let mut committed = self.committed(&partitions)?;
        if *topics == Topics::Committed {
            let read: Vec<String> = committed
                .iter()
                .filter(|(_, offset)| offset.is_some())
                .map(|((topic, _), _)| topic.clone())
                .collect();
            committed.retain(|(topic, _), _| read.contains(topic));
            if committed.is_empty() {
                return Err(LagError::NothingCommitted { group: self.group.clone() });
            }
        }
        let mut all = Vec::with_capacity(committed.len());
        let mut unread: BTreeMap<String, BTreeMap<i32, i64>> = BTreeMap::new();
        for ((topic, partition), committed) in committed {
            let ends = self.consumer.fetch_watermarks(&topic, partition, self.remaining());
            let (low, end) = match ends {
                Ok(ends) => ends,
                Err(error) if self.is_silent(&error) => return Err(self.unreachable()),
                // A partition without a leader: nothing can be said of it, which is no reason to be silent on others.
                Err(_) => {
                    let (end, lag_records, lag_seconds) = (None, None, None);
                    all.push(PartitionLag { topic, partition, committed, end, lag_records, lag_seconds });
                    continue;
                }
            };
            let lag = records(committed, low, end);
            if lag > 0 {
                let from = committed.unwrap_or(low).max(low);
                unread.entry(topic.clone()).or_default().insert(partition, from);
            }
            all.push(PartitionLag {
                topic,
                partition,
                committed,
                end: Some(end),
                lag_records: Some(lag),
                lag_seconds: (lag == 0).then_some(0.0),
            });
        }
        for (topic, from) in unread {
            let ages = self.ages(&topic, &from);
            for row in all.iter_mut().filter(|row| row.topic == topic) {
                row.lag_seconds = row.lag_seconds.or_else(|| ages.get(&row.partition).copied().flatten());
            }
        }
        Ok(all)
    }

    /// Every partition of the topics that are wanted, or of all but Kafka's own.
    fn partitions(&self, topics: &Topics) -> Result<TopicPartitionList, LagError> {
        let metadata = self
            .consumer
            .fetch_metadata(None, self.remaining())
            .map_err(|error| self.refused("the topics", error))?;
        let mut list = TopicPartitionList::new();
        let mut found = Vec::new();
        for topic in metadata.topics() {
            let wanted = match topics {
                Topics::Named(names) => names.iter().any(|name| name == topic.name()),
                Topics::Committed => !topic.name().starts_with("__"),
            };
            if wanted && topic.error().is_none() && !topic.partitions().is_empty() {
                found.push(topic.name());
                for partition in topic.partitions() {
                    list.add_partition(topic.name(), partition.id());
                }
            }
        }
        if let Topics::Named(names) = topics
            && let Some(missing) = names.iter().find(|name| !found.contains(&name.as_str()))
        {
            return Err(LagError::UnknownTopic { topic: missing.clone() });
        }
        Ok(list)
    }

    fn committed(&self, partitions: &TopicPartitionList) -> Result<BTreeMap<Key, Option<i64>>, LagError> {
        if partitions.count() == 0 {
            return Ok(BTreeMap::new());
        }
        let offsets = self
            .consumer
            .committed_offsets(partitions.clone(), self.remaining())
            .map_err(|error| self.refused("the committed offsets", error))?;
        let mut committed = BTreeMap::new();
        for element in offsets.elements() {
            element.error().map_err(|error| self.refused("the committed offsets", error))?;
            let offset = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            committed.insert((element.topic().to_owned(), element.partition()), offset);
        }
        Ok(committed)
    }

    /// Ages of the first records at or behind these offsets, 0 where there is none up to the end; as many as can be
    /// had in time. One topic at a time, since librdkafka's note of an end names only the partition.
    fn ages(&self, topic: &str, from: &BTreeMap<i32, i64>) -> BTreeMap<i32, Option<f64>> {
        let mut ages = BTreeMap::new();
        let mut list = TopicPartitionList::new();
        let added = from.iter().try_for_each(|(partition, offset)| {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
        });
        if added.and_then(|()| self.consumer.assign(&list)).is_err() {
            return ages;
        }
        while ages.len() < from.len() {
            let Some(polled) = self.consumer.poll(self.remaining()) else { break };
            match polled {
                Ok(record) => {
                    let age = record.timestamp().to_millis().map(|millis| age_seconds(clock::now(), millis));
                    ages.entry(record.partition()).or_insert(age);
                }
                Err(KafkaError::PartitionEOF(partition)) => {
                    ages.entry(partition).or_insert(Some(0.0));
                }
                Err(error) => {
                    tracing::debug!(%error, topic, "cannot read the oldest unread record");
                    if self.remaining().is_zero() {
                        break;
                    }
                }
            }
        }
        // The next topic begins with nothing left over; a failure would only cost it its ages.
        let _ = self.consumer.unassign();
        ages
    }

    fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(clock::monotonic())
    }

    fn refused(&self, what: &'static str, error: KafkaError) -> LagError {
        if self.is_silent(&error) {
            return self.unreachable();
        }
        LagError::Refused { what, group: self.group.clone(), source: error }
    }

    fn is_silent(&self, error: &KafkaError) -> bool {
        let silence = [
            RDKafkaErrorCode::BrokerTransportFailure,
            RDKafkaErrorCode::AllBrokersDown,
            RDKafkaErrorCode::OperationTimedOut,
            RDKafkaErrorCode::RequestTimedOut,
            RDKafkaErrorCode::Resolve,
        ];
        error.rdkafka_error_code().is_some_and(|code| silence.contains(&code)) || self.remaining().is_zero()
    }

    fn unreachable(&self) -> LagError {
        // What librdkafka has to say about a broker waits to be fetched.
        let until = clock::monotonic() + LAST_WORDS;
        while self.last_error().is_none() && clock::monotonic() < until {
            let _ = self.consumer.poll(Duration::from_millis(10));
        }
        LagError::Unreachable { servers: self.servers.clone(), reason: self.last_error() }
    }

    fn last_error(&self) -> Option<String> {
        self.consumer.context().last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Keeps librdkafka's own words out of the way: what matters of them ends up in the error.
#[derive(Debug, Default)]
struct Quiet {
    last_error: Mutex<Option<String>>,
}

impl Quiet {
    /// Keeps the end of `127.0.0.1:1/bootstrap: Connect to … failed: Connection refused (after 0ms in state CONNECT)`.
    fn keep(&self, reason: &str) {
        let words = reason.split(" (after").next().unwrap_or(reason);
        let words = words.rsplit("failed: ").next().unwrap_or(words).to_owned();
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
    }
}

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(target: "librdkafka", facility, message);
        // A consumer hears of a failed connection only here: as an event it has lost its words.
        if facility == "FAIL" {
            self.keep(message.rsplit("]: ").next().unwrap_or(message));
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            self.keep(reason);
        }
    }
}

impl ConsumerContext for Quiet {}

#[cfg(test)]
mod tests;
