//! Kafka → lanes: the thread that owns the consumer.
//!
//! It polls, hands records to the lane of their partition, obeys the lanes' wishes to read again from another
//! offset, and lets Kafka's group offset follow the stored one. A lane that is full makes it hold back; only when that
//! lasts are the lane's partitions paused, since a pause throws away what librdkafka has fetched.

use std::{
    collections::HashMap,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use bytes::{BufMut, Bytes, BytesMut};
use rdkafka::{
    Offset as Position, TopicPartitionList,
    consumer::{BaseConsumer, CommitMode, Consumer as _},
    error::{KafkaError, RDKafkaErrorCode},
    message::{BorrowedMessage, Headers as _, Message as _},
};
use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

use super::{Chunk, Envelope, Load};
use crate::{
    clock,
    http::{Condition, Health},
    kafka::{
        Lease,
        rebalance::{Assignment, GroupContext, position},
    },
    metrics::{self, LagTable},
    model::{Offset, Partition},
    postgres::OffsetReader,
};

/// What the lanes and helpers want of the consumer.
#[derive(Debug)]
pub enum Command {
    /// These leases ended because something else is stored than was expected; begin others from there.
    Again(Vec<(Arc<Lease>, Option<Offset>)>),
    /// What is stored of partitions that waited for it.
    Known(Vec<(Partition, Option<Offset>)>),
}

/// Why the consumer can't go on.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// A stored offset is no longer, or not yet, in its partition.
    #[error(
        "{partition}: the next offset to read is {next}, but Kafka has {first}..{end}; records between are lost to \
         retention, or the topic was created again. Nothing was skipped: to go on from what Kafka has, change \
         nextoffset of this partition in ft_offset"
    )]
    Gap {
        /// The partition.
        partition: Partition,
        /// The stored offset.
        next: i64,
        /// First offset Kafka has.
        first: i64,
        /// The offset after the last.
        end: i64,
    },
    /// librdkafka gave up.
    #[error("the Kafka consumer can't go on: {0}")]
    Fatal(String),
}

/// At most this many records go to a lane in one piece.
const CHUNK_RECORDS: usize = 512;
/// At most about this many bytes go to a lane in one piece; a single larger record goes alone.
const CHUNK_BYTES: usize = 256 << 10;
/// How long a poll waits: bounds how long a command waits for the thread.
const POLL: Duration = Duration::from_millis(50);
/// How often a full lane is looked at.
const FULL_LANE_POLL: Duration = Duration::from_millis(2);
/// How long reading holds back for a full lane before that lane's partitions are paused.
const PAUSE_AFTER: Duration = Duration::from_millis(1500);
/// How long a seek or a question to the broker may take.
const ASK: Duration = Duration::from_secs(5);
/// How often all group offsets are written again, whether they moved or not.
const REWRITE_EVERY: Duration = Duration::from_secs(5);
/// How often lag is worked out.
const LAG_EVERY: Duration = Duration::from_secs(1);
/// How often it is tried to learn where waiting partitions begin.
const ASK_WAITING_EVERY: Duration = Duration::from_secs(1);

/// A lane as the consumer sees it.
#[derive(Debug)]
pub struct LaneInput {
    /// Where its records go.
    pub sender: UnboundedSender<Chunk>,
    /// What waits there.
    pub load: Arc<Load>,
}

/// What the thread is made with.
pub(crate) struct Setup {
    pub(crate) consumer: BaseConsumer<GroupContext>,
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) offsets: Arc<OffsetReader>,
    pub(crate) lanes: Vec<LaneInput>,
    pub(crate) commands: (mpsc::Sender<Command>, mpsc::Receiver<Command>),
    pub(crate) lane_buffer_bytes: usize,
    pub(crate) group_offset_interval: Duration,
    pub(crate) lag: Arc<LagTable>,
    pub(crate) health: Arc<Health>,
    pub(crate) runtime: tokio::runtime::Handle,
}

/// A partition that is being read.
struct Reading {
    lease: Arc<Lease>,
    /// The first offset that may come; lower ones were fetched before a seek.
    next: i64,
}

struct LaneState {
    chunk: Chunk,
    full_since: Option<Instant>,
    /// Its partitions are paused: those of this generation of the assignment.
    paused: Option<u64>,
}

pub(crate) struct Consume {
    with: Setup,
    lanes: Vec<LaneState>,
    readings: Vec<Reading>,
    generation: u64,
    /// Group offsets as they were last written.
    committed: HashMap<Partition, (u64, Offset)>,
    due: Due,
}

struct Due {
    commit: Instant,
    rewrite: Instant,
    lag: Instant,
    waiting: Instant,
}

impl Consume {
    pub(crate) fn new(with: Setup) -> Self {
        let lane = |_: &LaneInput| LaneState { chunk: Chunk::default(), full_since: None, paused: None };
        let lanes = with.lanes.iter().map(lane).collect();
        let now = clock::monotonic();
        let due = Due { commit: now, rewrite: now, lag: now, waiting: now };
        Self { with, lanes, readings: Vec::new(), generation: u64::MAX, committed: HashMap::new(), due }
    }

    /// Reads until `stop`, then waits until the lanes are gone, writes the last group offsets and leaves the group.
    pub(crate) fn run(
        mut self,
        stop: &CancellationToken,
        lanes_done: &CancellationToken,
    ) -> Result<(), ConsumeError> {
        while !stop.is_cancelled() {
            self.obey();
            self.keep_up(clock::monotonic());
            if self.hold_back(clock::monotonic()) {
                thread::sleep(FULL_LANE_POLL);
                continue;
            }
            self.read()?;
        }
        while !lanes_done.is_cancelled() {
            thread::sleep(FULL_LANE_POLL);
        }
        self.commit(true, CommitMode::Sync);
        self.with.assignment.give_all_back();
        self.with.lag.clear();
        Ok(())
    }

    /// Polls until nothing is there or a chunk is full, then hands over what came.
    fn read(&mut self) -> Result<(), ConsumeError> {
        let mut wait = POLL;
        loop {
            // The consumer is shared, so that a message it lends does not lend all of `self`.
            match self.with.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    let full =
                        take(&message, &mut self.readings, &mut self.generation, &self.with, &mut self.lanes);
                    if full {
                        break;
                    }
                }
                Some(Err(error)) => self.judge(&error)?,
            }
            wait = Duration::ZERO;
        }
        for (lane, input) in self.lanes.iter_mut().zip(&self.with.lanes) {
            if !lane.chunk.envelopes.is_empty() {
                let chunk = std::mem::take(&mut lane.chunk);
                input.load.add(chunk.bytes);
                // A lane that is gone ends the process, which is noticed elsewhere.
                let _ = input.sender.send(chunk);
            }
        }
        Ok(())
    }

    /// Whether reading has to wait for a lane. A lane that stays full is paused, so that the others can go on.
    fn hold_back(&mut self, now: Instant) -> bool {
        let (limit, generation) = (self.with.lane_buffer_bytes, self.with.assignment.generation());
        let mut wait = false;
        for number in 0..self.lanes.len() {
            let (Some(state), Some(input)) = (self.lanes.get_mut(number), self.with.lanes.get(number)) else {
                break;
            };
            let load = input.load.bytes();
            if let Some(paused) = state.paused {
                if load <= limit / 2 {
                    state.paused = None;
                    state.full_since = None;
                    self.switch(number, false);
                } else if paused != generation {
                    // Partitions have come to the lane since.
                    state.paused = Some(generation);
                    self.switch(number, true);
                }
            } else if load < limit {
                state.full_since = None;
            } else if now.duration_since(*state.full_since.get_or_insert(now)) < PAUSE_AFTER {
                wait = true;
            } else {
                state.paused = Some(generation);
                metrics::pause();
                self.switch(number, true);
            }
        }
        wait
    }

    /// Pauses or resumes the partitions of a lane.
    fn switch(&self, lane: usize, pause: bool) {
        let mut list = TopicPartitionList::new();
        for lease in self.with.assignment.leases().iter().filter(|lease| lease.lane == lane) {
            list.add_partition(&lease.partition.topic, lease.partition.number);
        }
        let done = if pause { self.with.consumer.pause(&list) } else { self.with.consumer.resume(&list) };
        if let Err(error) = done {
            tracing::warn!(lane, pause, %error, "partitions could not be paused or resumed");
        }
    }

    fn obey(&mut self) {
        while let Ok(command) = self.with.commands.1.try_recv() {
            match command {
                Command::Again(leases) => {
                    for (lease, stored) in leases {
                        let held = self.with.assignment.leases();
                        if held.iter().any(|now| now.generation == lease.generation) {
                            self.begin_again(&lease.partition, stored);
                        }
                    }
                }
                Command::Known(found) => {
                    let waiting = self.with.assignment.waiting();
                    for (partition, stored) in found {
                        if waiting.contains(&partition) {
                            self.begin_again(&partition, stored);
                            self.resume(&partition);
                        }
                    }
                }
            }
        }
    }

    /// Begins a lease of an assigned partition from what is stored. If the broker does not follow, it waits.
    fn begin_again(&self, partition: &Partition, stored: Option<Offset>) {
        let sought = self.with.consumer.seek(&partition.topic, partition.number, position(stored), ASK);
        if let Err(error) = sought {
            tracing::warn!(%partition, %error, "a partition could not be moved to its stored offset yet");
            self.with.assignment.wait(partition);
            return;
        }
        self.with.assignment.begin(partition, stored);
    }

    fn resume(&self, partition: &Partition) {
        let mut list = TopicPartitionList::new();
        list.add_partition(&partition.topic, partition.number);
        if let Err(error) = self.with.consumer.resume(&list) {
            tracing::warn!(%partition, %error, "a partition could not be resumed");
        }
    }

    /// What is done every now and then.
    fn keep_up(&mut self, now: Instant) {
        if now >= self.due.commit {
            let rewrite = now >= self.due.rewrite;
            if rewrite {
                self.due.rewrite = now + REWRITE_EVERY;
            }
            self.due.commit = now + self.with.group_offset_interval;
            self.commit(rewrite, CommitMode::Async);
        }
        if now >= self.due.lag {
            self.due.lag = now + LAG_EVERY;
            self.measure_lag(now);
        }
        if now >= self.due.waiting {
            self.due.waiting = now + ASK_WAITING_EVERY;
            self.ask_for_waiting();
        }
    }

    /// Lets Kafka's group offset follow what is stored, downwards too: outside tools look at it, we never do.
    fn commit(&mut self, all: bool, mode: CommitMode) {
        let mut list = TopicPartitionList::new();
        let leases = self.with.assignment.leases();
        self.committed.retain(|partition, _| leases.iter().any(|lease| lease.partition == *partition));
        for lease in &leases {
            let Some(stored) = lease.stored() else { continue };
            let now = (lease.generation, stored);
            if self.committed.insert(lease.partition.clone(), now) == Some(now) && !all {
                continue;
            }
            let at = Position::Offset(stored.0);
            if let Err(error) = list.add_partition_offset(&lease.partition.topic, lease.partition.number, at)
            {
                tracing::debug!(%error, "an offset does not fit Kafka");
            }
        }
        if list.count() > 0
            && let Err(error) = self.with.consumer.commit(&list, mode)
        {
            tracing::debug!(%error, "the group offset could not be written");
        }
    }

    fn measure_lag(&self, now: Instant) {
        let leases = self.with.assignment.leases();
        self.with.lag.retain(|topic, number| {
            leases.iter().any(|lease| &*lease.partition.topic == topic && lease.partition.number == number)
        });
        let mut total = 0;
        for lease in &leases {
            let Some((first, end)) = self.with.assignment.ends(&lease.partition) else { continue };
            let next = lease.stored().map_or(first, |stored| stored.0.max(first));
            let records = u64::try_from(end - next).unwrap_or(0);
            let age = |time: i64| {
                Duration::from_millis(u64::try_from(clock::now().as_millisecond() - time).unwrap_or(0))
            };
            let seconds = if records == 0 {
                Some(0.0)
            } else {
                lease.oldest_waiting().map(|time| age(time).as_secs_f64())
            };
            self.with.lag.set(&lease.partition.topic, lease.partition.number, records, seconds);
            total += records;
        }
        self.with.health.note_lag(Some(total), now);
        if self.with.assignment.is_joined() {
            self.with.health.met(Condition::Group);
        } else {
            self.with.health.unmet(Condition::Group, "the group has not taken this member yet");
        }
    }

    fn ask_for_waiting(&self) {
        let partitions = self.with.assignment.waiting();
        if partitions.is_empty() {
            return;
        }
        let (offsets, commands) = (self.with.offsets.clone(), self.with.commands.0.clone());
        self.with.runtime.spawn(async move {
            match tokio::time::timeout(ASK, offsets.read(&partitions)).await {
                Ok(Ok(found)) => {
                    let found: HashMap<_, _> = found.into_iter().collect();
                    let known = partitions.into_iter().map(|partition| {
                        let stored = found.get(&partition).copied();
                        (partition, stored)
                    });
                    let _ = commands.send(Command::Known(known.collect()));
                }
                Ok(Err(error)) => tracing::debug!(%error, "stored offsets still can't be read"),
                Err(_) => tracing::debug!("Postgres still does not answer"),
            }
        });
    }

    /// What an error of a poll means.
    fn judge(&self, error: &KafkaError) -> Result<(), ConsumeError> {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => {
                match self.gap() {
                    Some(gap) => Err(gap),
                    None => Err(ConsumeError::Fatal(error.to_string())),
                }
            }
            Some(RDKafkaErrorCode::Fatal) => Err(ConsumeError::Fatal(error.to_string())),
            _ => {
                tracing::warn!(%error, "Kafka reported an error; librdkafka goes on by itself");
                Ok(())
            }
        }
    }

    /// The partition whose next offset Kafka does not have.
    fn gap(&self) -> Option<ConsumeError> {
        self.with.assignment.leases().iter().find_map(|lease| {
            let Partition { topic, number } = &lease.partition;
            let (first, end) = self.with.consumer.fetch_watermarks(topic, *number, ASK).ok()?;
            let next = lease.stored()?.0;
            metrics::gap("out_of_range");
            let partition = lease.partition.clone();
            (next < first || next > end).then_some(ConsumeError::Gap { partition, next, first, end })
        })
    }
}

/// Puts a message into the chunk of its lane; says whether that is full. A message of a partition without a live
/// lease is left out: it was taken back, or waits for it to be known where it begins.
fn take(
    message: &BorrowedMessage<'_>,
    readings: &mut Vec<Reading>,
    generation: &mut u64,
    with: &Setup,
    lanes: &mut [LaneState],
) -> bool {
    refresh(readings, generation, &with.assignment);
    let same = |reading: &&mut Reading| {
        reading.lease.partition.number == message.partition()
            && &*reading.lease.partition.topic == message.topic()
    };
    let Some(reading) = readings.iter_mut().find(same) else { return false };
    if message.offset() < reading.next || !reading.lease.is_live() {
        return false;
    }
    reading.next = message.offset() + 1;
    let envelope = envelope(message, &reading.lease);
    reading.lease.note_received(envelope.offset, envelope.time);
    let Some(lane) = lanes.get_mut(reading.lease.lane) else { return false };
    lane.chunk.bytes += envelope.weight();
    lane.chunk.envelopes.push(envelope);
    lane.chunk.envelopes.len() >= CHUNK_RECORDS || lane.chunk.bytes >= CHUNK_BYTES
}

/// Brings the readings up to date with the leases.
fn refresh(readings: &mut Vec<Reading>, generation: &mut u64, assignment: &Assignment) {
    let now = assignment.generation();
    if *generation == now {
        return;
    }
    *generation = now;
    let leases = assignment.leases();
    let next = |lease: &Lease| {
        let before = readings.iter().find(|reading| reading.lease.generation == lease.generation);
        before.map_or_else(|| lease.base.map_or(0, |base| base.0), |reading| reading.next)
    };
    *readings = leases.into_iter().map(|lease| Reading { next: next(&lease), lease }).collect();
}

/// Copies a message out of librdkafka's memory, key and value in one piece.
fn envelope(message: &BorrowedMessage<'_>, lease: &Arc<Lease>) -> Envelope {
    let (key, payload) = (message.key(), message.payload());
    let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let mut bytes = BytesMut::with_capacity(len(key) + len(payload));
    bytes.put_slice(key.unwrap_or_default());
    bytes.put_slice(payload.unwrap_or_default());
    let mut bytes = bytes.freeze();
    let key = key.map(|key| bytes.split_to(key.len()));
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let header = |header: rdkafka::message::Header<'_, &[u8]>| {
            (header.key.to_owned(), header.value.map(Bytes::copy_from_slice))
        };
        headers.iter().map(header).collect()
    });
    Envelope {
        lease: lease.clone(),
        offset: Offset(message.offset()),
        time: message.timestamp().to_millis(),
        key,
        payload: payload.map(|_| bytes),
        headers,
    }
}
