//! What `flowtrail doctor` wants to know of Kafka. No group is joined, nothing is committed and nothing is published.
//!
//! Rights are not looked up, since that takes a right of its own: what a collector does is tried, in a form that changes
//! nothing, and what the brokers say to it tells.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, ResourceSpecifier},
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::BorrowedMessage,
    metadata::MetadataTopic,
};

use super::client::{self, Context};
use crate::{clock, config, config::Config};

mod group;
mod listener;
mod probe;
mod rights;

use self::listener::Listener;
pub use self::{
    group::{Group, Member},
    probe::{BrokerClock, broker_clock},
    rights::Right,
};

/// An answer, or in a sentence why there is none.
pub type Answer<T> = Result<T, String>;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
/// How long all of them together may take.
const WHOLE: Duration = Duration::from_secs(20);
/// librdkafka's own default.
const RECEIVE_MAX_BYTES: &str = "100000000";
/// The most records that are looked at, however many partitions there are.
const MOST_SAMPLED: usize = 200_000;

/// What this one needs beside what every consumer outside of groups does.
const LOOK: [(&str, &str); 4] = [
    ("auto.offset.reset", "earliest"),
    // A transaction that stays open would keep a reader of what is committed waiting.
    ("isolation.level", "read_uncommitted"),
    ("queued.max.messages.kbytes", "16384"),
    // What the brokers are able to do, librdkafka says in its log only.
    ("debug", "feature"),
];

/// What was found of Kafka.
#[derive(Debug)]
pub struct Facts {
    /// The brokers, as `host:port`.
    pub brokers: Vec<String>,
    /// By request, the newest version of it that all brokers understand which were talked to.
    pub protocol: BTreeMap<i16, i16>,
    /// The topics that are read.
    pub topics: Vec<Topic>,
    /// Whether there are patterns among the topics, of which only what the group has read is known.
    pub has_patterns: bool,
    /// The topic of dead letters, if there is one.
    pub letters: Option<Topic>,
    /// The consumer group.
    pub group: Answer<Group>,
    /// Whether collectors are configured to speak the newer group protocol, whose members can't be listed here.
    pub newer_protocol: bool,
    /// The largest answer that a consumer takes.
    pub receive_max_bytes: Option<u64>,
    /// What this user may do of what a collector does.
    pub rights: Vec<(Right, Answer<bool>)>,
}

/// How a topic shows itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is there.
    There,
    /// It is not.
    Missing,
    /// This user may not know.
    Forbidden,
    /// Something else is wrong with it.
    Broken(String),
}

/// A topic.
#[derive(Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// How it shows itself.
    pub standing: Standing,
    /// Its partitions, in order.
    pub partitions: Vec<Partition>,
    /// Its settings, the broker's defaults among them.
    pub settings: Answer<BTreeMap<String, String>>,
    /// The newest records of each partition.
    pub sample: Answer<Vec<Sampled>>,
}

/// A partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition {
    /// Its number.
    pub number: i32,
    /// Whether it has a leader, without which nobody reads or writes.
    pub has_leader: bool,
    /// Copies that there are to be.
    pub replicas: usize,
    /// Copies that are up to date.
    pub in_sync: usize,
    /// First offset, and the one after the last.
    pub ends: Answer<(i64, i64)>,
}

/// What is kept of a record that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sampled {
    /// Its partition.
    pub partition: i32,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its timestamp in ms since 1970, where its producer gave it.
    pub created: Option<i64>,
}

/// A client that asks.
pub struct Look {
    consumer: BaseConsumer<Listener>,
    settings: AdminClient<Context>,
    by_token: bool,
    deadline: Instant,
    /// A broker said that this user may not even look for the group.
    group_refused: AtomicBool,
}

impl std::fmt::Debug for Look {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Look").finish_non_exhaustive()
    }
}

impl Look {
    /// Makes the clients. They connect when something is asked.
    pub fn new(kafka: &config::Kafka) -> Result<Self, client::Error> {
        let mut consumer = client::lookers_settings(kafka, &LOOK);
        consumer.set_log_level(RDKafkaLogLevel::Debug);
        let context = Context::new(kafka);
        let consumer =
            consumer.create_with_context(Listener::new(context.clone())).map_err(client::Error::creating)?;
        client::log_in(&consumer);
        let settings = client::settings(kafka, &[], &[]);
        Ok(Self {
            consumer,
            by_token: client::logs_in_by_token(&settings),
            settings: settings.create_with_context(context).map_err(client::Error::creating)?,
            deadline: clock::monotonic() + WHOLE,
            group_refused: AtomicBool::new(false),
        })
    }

    /// Looks at everything. Fails, with a sentence, only if no broker answers.
    pub async fn facts(self: Arc<Self>, config: &Config, sample: usize) -> Answer<Facts> {
        let (looking, of) = (Arc::clone(&self), config.clone());
        // librdkafka blocks.
        let blocking = tokio::task::spawn_blocking(move || looking.read(&of, sample));
        let mut facts = blocking.await.map_err(|error| format!("the look ended early: {error}"))??;
        for topic in facts.topics.iter_mut().filter(|topic| topic.standing == Standing::There) {
            topic.settings = self.settings_of(&topic.name).await;
        }
        if let Some(letters) = facts.letters.as_ref().filter(|letters| letters.standing == Standing::There) {
            let may = rights::may_write(&config.kafka, &letters.name).await;
            facts.rights.push((Right::WriteLetters, may));
        }
        Ok(facts)
    }

    fn read(&self, config: &Config, sample: usize) -> Answer<Facts> {
        let metadata = self.consumer.fetch_metadata(None, self.left()).map_err(|error| self.away(&error))?;
        let brokers = metadata.brokers().iter().map(|broker| format!("{}:{}", broker.host(), broker.port()));
        let (patterns, mut names): (Vec<String>, Vec<String>) =
            config.kafka.topics.iter().cloned().partition(|topic| topic.starts_with('^'));
        if !patterns.is_empty() {
            names.extend(self.committed_topics(metadata.topics()));
            names.sort();
            names.dedup();
        }
        let topics: Vec<Topic> = names.iter().map(|name| self.topic(name, Some(sample))).collect();
        let letters = &config.collector.dead_letter_topic;
        let letters = (!letters.is_empty()).then(|| self.topic(letters, None));
        let rights = self.rights(&topics);
        let settings =
            client::settings(&config.kafka, &[("receive.message.max.bytes", RECEIVE_MAX_BYTES)], &[]);
        Ok(Facts {
            brokers: brokers.collect(),
            protocol: self.consumer.context().protocol(),
            topics,
            has_patterns: !patterns.is_empty(),
            letters,
            group: self.group(&config.kafka.group),
            newer_protocol: settings.get("group.protocol").is_some_and(|protocol| protocol == "consumer"),
            receive_max_bytes: settings.get("receive.message.max.bytes").and_then(|bytes| bytes.parse().ok()),
            rights,
        })
    }

    /// Topics of which the group has committed anything, Kafka's own aside.
    fn committed_topics(&self, topics: &[MetadataTopic]) -> Vec<String> {
        let mut list = TopicPartitionList::new();
        for topic in topics.iter().filter(|topic| !topic.name().starts_with("__")) {
            for partition in topic.partitions() {
                list.add_partition(topic.name(), partition.id());
            }
        }
        let Ok(committed) = self.consumer.committed_offsets(list, self.left()) else { return Vec::new() };
        let read = committed.elements().into_iter().filter(|one| matches!(one.offset(), Offset::Offset(_)));
        read.map(|one| one.topic().to_owned()).collect()
    }

    fn topic(&self, name: &str, sample: Option<usize>) -> Topic {
        let mut topic = Topic {
            name: name.to_owned(),
            standing: Standing::Missing,
            partitions: Vec::new(),
            settings: Err("it is not there".to_owned()),
            sample: Err("it is not there".to_owned()),
        };
        let metadata = match self.consumer.fetch_metadata(Some(name), self.left()) {
            Ok(metadata) => metadata,
            Err(error) => {
                topic.standing = Standing::Broken(self.away(&error));
                return topic;
            }
        };
        let Some(found) = metadata.topics().iter().find(|topic| topic.name() == name) else { return topic };
        topic.standing = match found.error().map(RDKafkaErrorCode::from) {
            None => Standing::There,
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                Standing::Missing
            }
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => Standing::Forbidden,
            // Without a leader a partition is listed all the same.
            Some(RDKafkaErrorCode::LeaderNotAvailable) if !found.partitions().is_empty() => Standing::There,
            Some(other) => Standing::Broken(client::words(other)),
        };
        if topic.standing != Standing::There {
            return topic;
        }
        topic.partitions =
            found.partitions().iter().map(|partition| self.partition(name, partition)).collect();
        topic.partitions.sort_by_key(|partition| partition.number);
        if let Some(sample) = sample {
            topic.sample = self.sample(&topic, sample);
        }
        topic
    }

    fn partition(&self, topic: &str, found: &rdkafka::metadata::MetadataPartition) -> Partition {
        let has_leader = found.leader() >= 0;
        let ends = if has_leader {
            self.consumer.fetch_watermarks(topic, found.id(), self.left()).map_err(|error| words(&error))
        } else {
            Err("it has no leader".to_owned())
        };
        Partition {
            number: found.id(),
            has_leader,
            replicas: found.replicas().len(),
            in_sync: found.isr().len(),
            ends,
        }
    }

    /// The newest records of each partition, as many as come in time. Of an empty topic, and for no records at all, it is
    /// tried whether it may be read.
    fn sample(&self, topic: &Topic, each: usize) -> Answer<Vec<Sampled>> {
        let partitions = topic.partitions.len().max(1);
        let each = i64::try_from(each.min(MOST_SAMPLED / partitions)).unwrap_or(i64::MAX);
        let ends = topic.partitions.iter().filter_map(|p| Some((p.number, *p.ends.as_ref().ok()?)));
        let from: Vec<(i32, i64)> =
            ends.map(|(number, (first, end))| (number, end.saturating_sub(each).max(first))).collect();
        let mut sample = Vec::new();
        self.scan(&topic.name, &from, |record| {
            let created = match record.timestamp() {
                rdkafka::Timestamp::CreateTime(millis) => Some(millis),
                _ => None,
            };
            sample.push(Sampled {
                partition: record.partition(),
                key: record.key().map(<[u8]>::to_vec),
                created,
            });
            false
        })?;
        Ok(sample)
    }

    /// The timestamps of the first records at or behind these offsets of a topic, as many as come in time.
    fn times_of(&self, topic: &str, from: &[(i32, i64)]) -> BTreeMap<i32, i64> {
        let mut times = BTreeMap::new();
        let scanned = self.scan(topic, from, |record| {
            if let Some(time) = record.timestamp().to_millis() {
                times.entry(record.partition()).or_insert(time);
            }
            true
        });
        if let Err(error) = scanned {
            tracing::debug!(topic, error, "the times of records can't be read");
        }
        times
    }

    /// As [`Self::times_of`], for any topics. Asked after [`Self::facts`], within a time of its own.
    pub async fn times(
        self: Arc<Self>,
        from: BTreeMap<String, Vec<(i32, i64)>>,
    ) -> BTreeMap<(String, i32), i64> {
        let reading = move || {
            let times = from.iter().flat_map(|(topic, from)| {
                self.times_of(topic, from)
                    .into_iter()
                    .map(|(partition, time)| ((topic.clone(), partition), time))
            });
            times.collect()
        };
        // What can't be told is left out.
        tokio::task::spawn_blocking(reading).await.unwrap_or_default()
    }

    /// Reads partitions of one topic to their ends, or until `is_enough` says so of a partition, or for a few seconds. One
    /// topic at a time, since librdkafka's word of an end names the partition only.
    fn scan(
        &self,
        topic: &str,
        from: &[(i32, i64)],
        mut is_enough: impl FnMut(&BorrowedMessage<'_>) -> bool,
    ) -> Answer<()> {
        let mut list = TopicPartitionList::new();
        let added = from.iter().try_for_each(|(partition, offset)| {
            list.add_partition_offset(topic, *partition, Offset::Offset(*offset))
        });
        added.and_then(|()| self.consumer.assign(&list)).map_err(|error| words(&error))?;
        let mut open: Vec<i32> = from.iter().map(|(partition, _)| *partition).collect();
        let until = clock::monotonic() + ANSWER;
        let mut outcome = Ok(());
        while !open.is_empty() {
            let left = until.saturating_duration_since(clock::monotonic());
            match self.consumer.poll(left) {
                Some(Ok(record)) => {
                    let partition = record.partition();
                    if open.contains(&partition) && is_enough(&record) {
                        open.retain(|one| *one != partition);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => open.retain(|one| *one != partition),
                Some(Err(error)) if is_refusal(&error) => {
                    outcome = Err(words(&error));
                    break;
                }
                Some(Err(error)) => self.note(&error),
                None => break,
            }
            if left.is_zero() {
                break;
            }
        }
        // The next scan begins with nothing left over; a failure would only cost it what it looks for.
        let _ = self.consumer.unassign();
        outcome
    }

    /// Remembers that the group may not be used: librdkafka says so once, to whoever polls, and from then on only waits.
    fn note(&self, error: &KafkaError) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed) {
            self.group_refused.store(true, Ordering::Relaxed);
        }
    }

    async fn settings_of(&self, topic: &str) -> Answer<BTreeMap<String, String>> {
        if self.by_token {
            return Err(client::NO_ADMIN.to_owned());
        }
        let options = AdminOptions::new().request_timeout(Some(ANSWER));
        let described = self.settings.describe_configs([&ResourceSpecifier::Topic(topic)], &options).await;
        let resource = described.map_err(|error| words(&error))?.into_iter().next();
        let resource = resource.ok_or_else(|| "there is no answer".to_owned())?.map_err(client::words)?;
        if resource.entries.is_empty() {
            // That it was refused the client does not hand on.
            return Err("Kafka tells none of them".to_owned());
        }
        Ok(resource.entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    /// How long the next answer may take.
    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(clock::monotonic()).min(ANSWER)
    }

    /// Why a question that any broker answers had no answer.
    fn away(&self, error: &KafkaError) -> String {
        // What librdkafka has to say about a broker waits to be fetched.
        let _ = self.consumer.poll(Duration::from_millis(50));
        client::Error::asking("ask Kafka for its topics", error, self.consumer.context().words()).to_string()
    }
}

fn words(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| error.to_string(), client::words)
}

/// Whether a broker said no to reading, for good. That the group may not be used does not keep from that.
fn is_refusal(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed)
    )
}
