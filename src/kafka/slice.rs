//! A slice of topics: stretches of partitions, by time or offset, read by no group and without leaving a trace.
//!
//! Everything here blocks.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
    time::Duration,
};

use jiff::Timestamp;
use rdkafka::{
    Offset as Position, TopicPartitionList,
    consumer::{BaseConsumer, Consumer as _, ConsumerGroupMetadata},
    error::{KafkaError, RDKafkaErrorCode},
};

use super::{
    broker::Record,
    client::{self, Context, Error},
};
use crate::{
    clock, config,
    model::{Offset, Partition},
};

/// How long Kafka may take to answer a question.
const ASK: Duration = Duration::from_secs(10);

/// How long Kafka may be silent while there is something to read.
const SILENCE: Duration = Duration::from_mins(1);

/// As long as librdkafka is waited for at a time.
const POLL: Duration = Duration::from_millis(200);

/// As much is fetched ahead as one reader makes use of.
const FETCH: [(&str, &str); 3] = [
    ("queued.max.messages.kbytes", "32768"),
    ("fetch.message.max.bytes", "1048576"),
    ("fetch.queue.backoff.ms", "10"),
];

/// Why a slice can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SliceError {
    /// Kafka did not do what was asked.
    #[error(transparent)]
    Kafka(#[from] Error),
    /// A partition that was asked for is not there.
    #[error("topic {topic} has no partition {number}; it has {count}, numbered from 0")]
    NoPartition {
        /// The topic.
        topic: String,
        /// The number that was asked for.
        number: i32,
        /// How many there are.
        count: usize,
    },
    /// Retention overtook the reader.
    #[error("retention removed records of {0} while they were being read; begin later")]
    Removed(Partition),
    /// Kafka had nothing to say for too long.
    #[error("Kafka sent nothing of {partition} for {} s, at offset {at} of {to}: {reason}", SILENCE.as_secs())]
    Silent {
        /// A partition that is not read to its end.
        partition: Partition,
        /// How far it is read.
        at: Offset,
        /// How far it was to be read.
        to: Offset,
        /// Why, as far as librdkafka said.
        reason: String,
    },
}

/// One end of a slice. A partition's own offset wins over the time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edge {
    /// Records of this time or later are behind it.
    pub time: Option<Timestamp>,
    /// This offset, by partition number.
    pub offsets: BTreeMap<i32, i64>,
}

/// What is wanted of topics; what is not given does not narrow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Topics by name.
    pub topics: Vec<String>,
    /// Numbers of partitions.
    pub partitions: Option<BTreeSet<i32>>,
    /// Where to begin; otherwise with the first record there is.
    pub since: Edge,
    /// Where to end; otherwise with the last record there is.
    pub until: Edge,
}

/// A part of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stretch {
    /// The partition.
    pub partition: Partition,
    /// First offset to read.
    pub from: i64,
    /// First offset not to read any more.
    pub to: i64,
}

impl Stretch {
    /// How many offsets it has; records are no more than that.
    pub fn len(&self) -> u64 {
        u64::try_from(self.to.saturating_sub(self.from)).unwrap_or(0)
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Reads slices of the topics of one cluster.
pub(crate) struct Slicer {
    consumer: BaseConsumer<Context>,
    context: Context,
    servers: String,
}

impl Slicer {
    /// Makes the client. It connects when it is first asked something.
    pub(crate) fn new(kafka: &config::Kafka) -> Result<Self, Error> {
        let context = Context::new(kafka);
        let settings = client::lookers_settings(kafka, &FETCH);
        let consumer = settings.create_with_context(context.clone()).map_err(Error::creating)?;
        client::log_in(&consumer);
        Ok(Self { consumer, context, servers: kafka.bootstrap_servers.clone() })
    }

    /// Numbers of the partitions of a topic.
    pub(crate) fn partitions(&self, topic: &str) -> Result<Vec<i32>, Error> {
        // Asking for one topic by name would let the broker create it, so all are asked for.
        let metadata = self
            .consumer
            .fetch_metadata(None, ASK)
            .map_err(|error| Error::asking("ask Kafka for its topics", &error, &self.context))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic && found.error().is_none());
        let found = found.filter(|found| !found.partitions().is_empty());
        let none = || Error::NoTopic { topic: topic.to_owned(), servers: self.servers.clone() };
        Ok(found
            .ok_or_else(none)?
            .partitions()
            .iter()
            .map(rdkafka::metadata::MetadataPartition::id)
            .collect())
    }

    /// The offset after the last record of a partition that is committed.
    pub(crate) fn end(&self, partition: &Partition) -> Result<i64, Error> {
        self.watermarks(partition).map(|(_, end)| end)
    }

    /// What the group of this client has committed of partitions, once transactions that move it have ended; those of which
    /// it has nothing are not in the answer. With each, the word that was committed beside it.
    pub(crate) fn committed(
        &self,
        partitions: &[Partition],
    ) -> Result<Vec<(Partition, Offset, String)>, Error> {
        let mut list = TopicPartitionList::new();
        for Partition { topic, number } in partitions {
            list.add_partition(topic, *number);
        }
        let committed = self.consumer.committed_offsets(list, ASK);
        let committed = committed
            .map_err(|error| Error::asking("ask what a group has committed", &error, &self.context))?;
        let found = committed.elements().into_iter().filter_map(|found| {
            let Position::Offset(offset) = found.offset() else { return None };
            let partition = Partition { topic: found.topic().into(), number: found.partition() };
            Some((partition, Offset(offset), found.metadata().to_owned()))
        });
        Ok(found.collect())
    }

    /// What a producer needs to commit offsets of this client's group.
    pub(crate) fn group_metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }

    fn watermarks(&self, partition: &Partition) -> Result<(i64, i64), Error> {
        self.consumer
            .fetch_watermarks(&partition.topic, partition.number, ASK)
            .map_err(|error| Error::asking("ask where a partition begins and ends", &error, &self.context))
    }

    /// What there is of what is wanted: a stretch per partition, sorted; some may be empty.
    pub(crate) fn stretches(&self, wanted: &Wanted) -> Result<Vec<Stretch>, SliceError> {
        let mut stretches = Vec::new();
        for topic in &wanted.topics {
            let there = self.partitions(topic)?;
            let named = |edge: &Edge| edge.offsets.keys().copied().collect::<Vec<_>>();
            let mentioned = [named(&wanted.since), named(&wanted.until)].concat();
            let chosen = wanted.partitions.iter().flatten().chain(&mentioned);
            if let Some(missing) = chosen.copied().find(|number| !there.contains(number)) {
                let count = there.len();
                return Err(SliceError::NoPartition { topic: topic.clone(), number: missing, count });
            }
            let is_wanted = |number: &i32| {
                wanted.partitions.as_ref().is_none_or(|numbers| numbers.contains(number))
                    && (mentioned.is_empty() || mentioned.contains(number))
            };
            let numbers: Vec<i32> = there.into_iter().filter(is_wanted).collect();
            let since = self.offsets_at(topic, &numbers, wanted.since.time)?;
            let until = self.offsets_at(topic, &numbers, wanted.until.time)?;
            for number in numbers {
                let partition = Partition { topic: topic.as_str().into(), number };
                let (begin, end) = self.watermarks(&partition)?;
                let edge = |edge: &Edge, by_time: &BTreeMap<i32, i64>, otherwise: i64| {
                    let offset = edge.offsets.get(&number).or_else(|| by_time.get(&number));
                    offset.copied().unwrap_or(otherwise).clamp(begin, end)
                };
                let (from, to) = (edge(&wanted.since, &since, begin), edge(&wanted.until, &until, end));
                stretches.push(Stretch { partition, from, to: to.max(from) });
            }
        }
        stretches.sort_by(|a, b| a.partition.cmp(&b.partition));
        Ok(stretches)
    }

    /// First offsets whose record is of that time or later, the end where there is none.
    fn offsets_at(
        &self,
        topic: &str,
        numbers: &[i32],
        time: Option<Timestamp>,
    ) -> Result<BTreeMap<i32, i64>, Error> {
        let Some(time) = time else { return Ok(BTreeMap::new()) };
        let failed = |error: KafkaError| Error::asking("ask for offsets by time", &error, &self.context);
        let mut list = TopicPartitionList::new();
        for number in numbers {
            // A negative number would mean something else to Kafka.
            let millis = Position::Offset(time.as_millisecond().max(0));
            list.add_partition_offset(topic, *number, millis).map_err(failed)?;
        }
        let found = self.consumer.offsets_for_times(list, ASK).map_err(failed)?;
        let offset = |position| match position {
            Position::Offset(offset) => offset,
            _ => i64::MAX,
        };
        Ok(found.elements().iter().map(|found| (found.partition(), offset(found.offset()))).collect())
    }

    /// Reads the records of stretches: of each partition in order, those of a topic before those of the next. `take`
    /// gets the number of the stretch, and says whether to go on.
    pub(crate) fn read(
        &self,
        stretches: &[Stretch],
        mut take: impl FnMut(usize, &dyn Record) -> ControlFlow<()>,
    ) -> Result<(), SliceError> {
        let mut topics: Vec<&str> = stretches.iter().map(|stretch| &*stretch.partition.topic).collect();
        topics.dedup();
        for topic in topics {
            // One topic at a time, since librdkafka's note of an end names only the partition.
            let open = stretches
                .iter()
                .enumerate()
                .filter(|(_, stretch)| &*stretch.partition.topic == topic && !stretch.is_empty());
            let open = open.map(|(index, stretch)| Open { index, stretch, at: stretch.from }).collect();
            if self.read_topic(open, &mut take)?.is_break() {
                break;
            }
        }
        self.consumer.unassign().map_err(|error| Error::other("end reading", &error))?;
        Ok(())
    }

    fn read_topic(
        &self,
        mut open: Vec<Open<'_>>,
        take: &mut impl FnMut(usize, &dyn Record) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, SliceError> {
        let failed = |error: KafkaError| Error::other("begin reading", &error);
        let mut list = TopicPartitionList::new();
        for open in &open {
            let Partition { topic, number } = &open.stretch.partition;
            list.add_partition_offset(topic, *number, Position::Offset(open.at)).map_err(failed)?;
        }
        self.consumer.assign(&list).map_err(failed)?;
        let mut heard = clock::monotonic();
        let mut reason = "no reason was given".to_owned();
        while let Some(first) = open.first() {
            match self.consumer.poll(POLL) {
                Some(Ok(record)) => {
                    let number = rdkafka::Message::partition(&record);
                    let Some(found) = open.iter_mut().find(|open| open.stretch.partition.number == number)
                    else {
                        heard = clock::monotonic();
                        continue;
                    };
                    let offset = rdkafka::Message::offset(&record);
                    if offset < found.stretch.to && take(found.index, &record).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                    // It may have taken its time, in which nobody listened.
                    heard = clock::monotonic();
                    found.at = offset.saturating_add(1);
                    if found.at >= found.stretch.to {
                        self.close(&mut open, number);
                    }
                }
                // An end is met no earlier than where the partition ended when the stretch was made.
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    heard = clock::monotonic();
                    self.close(&mut open, number);
                }
                Some(Err(error)) => {
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AutoOffsetReset) {
                        return Err(SliceError::Removed(first.stretch.partition.clone()));
                    }
                    reason = self.context.last_error().unwrap_or_else(|| error.to_string());
                }
                None if heard.elapsed() > SILENCE => return Err(first.silent(reason)),
                None => {}
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Nothing more is wanted of a partition.
    fn close(&self, open: &mut Vec<Open<'_>>, number: i32) {
        let Some(place) = open.iter().position(|open| open.stretch.partition.number == number) else {
            return;
        };
        let closed = open.swap_remove(place);
        let mut list = TopicPartitionList::new();
        list.add_partition(&closed.stretch.partition.topic, number);
        // If this fails, its records come and are left out.
        let _ = self.consumer.incremental_unassign(&list);
    }
}

/// A stretch that is being read.
struct Open<'a> {
    index: usize,
    stretch: &'a Stretch,
    at: i64,
}

impl Open<'_> {
    fn silent(&self, reason: String) -> SliceError {
        SliceError::Silent {
            partition: self.stretch.partition.clone(),
            at: Offset(self.at),
            to: Offset(self.stretch.to),
            reason,
        }
    }
}
