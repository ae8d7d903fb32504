//! Kafka → lanes: the thread that owns the consumer.
//!
//! [`reading`] takes messages over, [`upkeep`] is what is done every now and then, [`gap`] what happens where Kafka no
//! longer has what is to be read.
//!
//! It polls, hands records to the lane of their partition, obeys the lanes' wishes to read again from another
//! offset, and lets Kafka's group offset follow the stored one. A lane that is full makes it hold back; only when that
//! lasts are the lane's partitions paused, since a pause throws away what librdkafka has fetched.

mod gap;
mod reading;
mod upkeep;

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicBool, mpsc},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc::UnboundedSender;
use tokio_util::sync::CancellationToken;

pub use self::gap::Cause;
use self::{
    reading::{Readings, Taken},
    upkeep::Due,
};
use super::{Chunk, Envelope, Load};
use crate::{
    clock,
    config::OnGap,
    http::Health,
    kafka::{Lease, Start, broker::Broker, rebalance::Assignment},
    metrics::{self, LagTable},
    model::{Offset, Partition},
    postgres::{Database, StoreError, Stored},
    telemetry::Seldom,
};

/// What the lanes and helpers want of the consumer.
#[derive(Debug)]
pub enum Command {
    /// These leases ended because something else is stored than was expected; begin others from there.
    Again(Vec<(Arc<Lease>, Option<Offset>)>),
    /// What is stored of partitions that waited for it.
    Known(Vec<(Partition, Option<Stored>)>),
    /// What is stored can't be known until a person has put something right.
    Halt(StoreError),
    /// The lease's partition has no record from the first offset to the second.
    Hollow(Arc<Lease>, [Offset; 2]),
}

/// Why the consumer can't go on.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// A stored offset is no longer, or not yet, in its partition.
    #[error(
        "{partition}: the next offset to read is {next}, but Kafka has {first}..{end}{}; nothing was skipped: to go on \
         with what Kafka has, set collector.on_gap to continue",
        match cause {
            Cause::Retention => ", the records between are gone",
            Cause::Recreated => " of a topic that was created again or lost its end",
        }
    )]
    Gap {
        /// The partition.
        partition: Partition,
        /// How it came about.
        cause: Cause,
        /// The stored offset.
        next: i64,
        /// First offset Kafka has.
        first: i64,
        /// The offset after the last.
        end: i64,
    },
    /// Postgres does not say where partitions begin.
    #[error(transparent)]
    Store(#[from] StoreError),
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
/// How long Postgres may take to answer a question of the consumer.
const ASK: Duration = Duration::from_secs(5);
/// A lane as the consumer sees it.
#[derive(Debug)]
pub struct LaneInput {
    /// Where its records go.
    pub sender: UnboundedSender<Chunk>,
    /// What waits there.
    pub load: Arc<Load>,
}

/// What the thread is made with.
pub(crate) struct Setup<B, D> {
    pub(crate) consumer: B,
    pub(crate) assignment: Arc<Assignment>,
    pub(crate) store: Arc<D>,
    pub(crate) lanes: Vec<LaneInput>,
    pub(crate) commands: (mpsc::Sender<Command>, mpsc::Receiver<Command>),
    pub(crate) lane_buffer_bytes: usize,
    pub(crate) on_gap: OnGap,
    pub(crate) group_offset_interval: Duration,
    pub(crate) lag: Arc<LagTable>,
    pub(crate) health: Arc<Health>,
    pub(crate) runtime: tokio::runtime::Handle,
}

struct LaneState {
    chunk: Chunk,
    full_since: Option<Instant>,
    /// How long it has lately held up others that had nothing left to do.
    blamed: Duration,
    /// Its partitions are paused: those of this generation of the assignment.
    paused: Option<u64>,
}

pub(crate) struct Consume<B, D> {
    with: Setup<B, D>,
    lanes: Vec<LaneState>,
    readings: Readings,
    /// Group offsets as they were last written.
    committed: HashMap<Partition, (u64, Offset)>,
    due: Due,
    /// By generation of a lease: where it stands before what may be no record, and how often it was seen there.
    stuck: HashMap<u64, (i64, u32)>,
    /// The end of one of them is being looked at; one at a time, since each look takes a connection.
    looking: Arc<AtomicBool>,
    /// When it was last looked which lanes are full.
    turned: Instant,
    /// What lasts, and was said.
    trouble: Seldom,
}

impl<B: Broker, D: Database> Consume<B, D> {
    pub(crate) fn new(with: Setup<B, D>, now: Instant) -> Self {
        let lane = |_: &LaneInput| LaneState {
            chunk: Chunk::default(),
            full_since: None,
            blamed: Duration::ZERO,
            paused: None,
        };
        let lanes = with.lanes.iter().map(lane).collect();
        let due = Due::at(now);
        Self {
            with,
            lanes,
            readings: Readings::new(),
            committed: HashMap::new(),
            due,
            stuck: HashMap::new(),
            looking: Arc::default(),
            turned: now,
            trouble: Seldom::default(),
        }
    }

    /// Reads until `stop`, then waits until the lanes are gone, writes the last group offsets and leaves the group.
    pub(crate) fn run(
        mut self,
        stop: &CancellationToken,
        lanes_done: &CancellationToken,
    ) -> Result<(), ConsumeError> {
        while !stop.is_cancelled() {
            if !self.turn(clock::monotonic())? {
                thread::sleep(FULL_LANE_POLL);
            }
        }
        while !lanes_done.is_cancelled() {
            thread::sleep(FULL_LANE_POLL);
        }
        self.commit(true, true);
        self.with.assignment.give_all_back();
        self.with.lag.clear();
        Ok(())
    }

    /// Does once what there is to do; `false` if reading has to wait for a lane.
    pub(crate) fn turn(&mut self, now: Instant) -> Result<bool, ConsumeError> {
        self.obey()?;
        self.keep_up(now);
        if self.hold_back(now) {
            return Ok(false);
        }
        self.read()?;
        Ok(true)
    }

    /// Polls until nothing is there or a chunk is full, then hands over what came.
    fn read(&mut self) -> Result<(), ConsumeError> {
        let mut wait = POLL;
        loop {
            let taken = match self.with.consumer.poll(wait) {
                None => break,
                Some(Ok(record)) => Ok(self.readings.take(&record, &self.with.assignment)),
                Some(Err(error)) => Err(error),
            };
            match taken {
                Ok(Taken::Nothing) => {}
                Ok(Taken::Record(envelope)) => {
                    if self.put(envelope) {
                        break;
                    }
                }
                Ok(Taken::AnotherRecord(lease)) => self.another_record(&lease)?,
                Ok(Taken::NotFollowed(lease)) => self.look_behind(&lease)?,
                Err(error) => self.judge(&error)?,
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

    /// Puts a record into the chunk of its lane; says whether that is full.
    fn put(&mut self, envelope: Envelope) -> bool {
        let Some(lane) = self.lanes.get_mut(envelope.lease.lane) else { return false };
        lane.chunk.bytes += envelope.weight();
        lane.chunk.envelopes.push(envelope);
        lane.chunk.envelopes.len() >= CHUNK_RECORDS || lane.chunk.bytes >= CHUNK_BYTES
    }

    /// Whether reading has to wait for a lane. A lane that stays full is paused, so that the others can go on; so is one
    /// that moves, but is full most of the time while another has nothing to do though records of it wait.
    fn hold_back(&mut self, now: Instant) -> bool {
        let (limit, generation) = (self.with.lane_buffer_bytes, self.with.assignment.generation());
        self.blame(now);
        let mut wait = false;
        for number in 0..self.lanes.len() {
            let (Some(state), Some(input)) = (self.lanes.get_mut(number), self.with.lanes.get(number)) else {
                break;
            };
            let load = input.load.bytes();
            if let Some(paused) = state.paused {
                if load <= limit / 2 {
                    (state.paused, state.full_since, state.blamed) = (None, None, Duration::ZERO);
                    self.switch(number, false);
                } else if paused != generation {
                    // Partitions have come to the lane since.
                    state.paused = Some(generation);
                    self.switch(number, true);
                }
            } else if load < limit {
                state.full_since = None;
            } else if now.duration_since(*state.full_since.get_or_insert(now)) < PAUSE_AFTER
                && state.blamed < PAUSE_AFTER
            {
                wait = true;
            } else {
                state.paused = Some(generation);
                metrics::pause();
                self.switch(number, true);
            }
        }
        wait
    }

    /// Lanes that are full are to blame for the time in which another starves.
    fn blame(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.turned);
        self.turned = now;
        let limit = self.with.lane_buffer_bytes;
        let is_full = |input: &LaneInput| input.load.bytes() >= limit;
        // Mostly no lane is full, and then there is nothing to find out.
        let starves = self.with.lanes.iter().any(is_full) && self.starves();
        for (lane, input) in self.lanes.iter_mut().zip(&self.with.lanes) {
            lane.blamed = match (starves, is_full(input)) {
                (true, true) => lane.blamed + passed,
                (true, false) => lane.blamed,
                (false, _) => lane.blamed.saturating_sub(passed),
            };
        }
    }

    /// Whether a lane has nothing to do though records of its partitions wait.
    fn starves(&self) -> bool {
        let idle = |lane: usize| self.with.lanes.get(lane).is_some_and(|input| input.load.bytes() == 0);
        let leases = self.with.assignment.leases();
        let mut of_idle_lanes = leases.iter().filter(|lease| idle(lease.lane));
        of_idle_lanes.any(|lease| self.with.lag.waits(&lease.partition.topic, lease.partition.number))
    }

    /// Pauses or resumes the partitions of a lane.
    fn switch(&self, lane: usize, pause: bool) {
        let leases = self.with.assignment.leases();
        let of_lane = leases.iter().filter(|lease| lease.lane == lane);
        let list: Vec<Partition> = of_lane.map(|lease| lease.partition.clone()).collect();
        let done = if pause { self.with.consumer.pause(&list) } else { self.with.consumer.resume(&list) };
        if let Err(error) = done {
            tracing::warn!(event = "pause_failed", lane, pause, %error, "partitions could not be paused or resumed");
        }
    }

    fn obey(&mut self) -> Result<(), ConsumeError> {
        while let Ok(command) = self.with.commands.1.try_recv() {
            match command {
                Command::Again(leases) => {
                    for (lease, stored) in leases {
                        let held = self.with.assignment.leases();
                        if held.iter().any(|now| now.generation == lease.generation) {
                            self.begin_again(&lease.partition, Start::at(stored));
                        }
                    }
                }
                Command::Hollow(lease, stretch) => self.skip(&lease, stretch),
                Command::Halt(error) => return Err(error.into()),
                Command::Known(found) => {
                    let waiting = self.with.assignment.waiting();
                    for (partition, stored) in found {
                        if waiting.contains(&partition) {
                            self.begin_again(&partition, Start::of(stored));
                            self.resume(&partition);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Lets the lane move the offset past what is no record.
    fn skip(&mut self, lease: &Arc<Lease>, [from, to]: [Offset; 2]) {
        if !self.readings.skip(lease, [from, to], &self.with.assignment) {
            return;
        }
        if let Some(input) = self.with.lanes.get(lease.lane) {
            let chunk = Chunk { hollow: vec![(lease.clone(), to)], ..Chunk::default() };
            // A lane that is gone ends the process, which is noticed elsewhere.
            let _ = input.sender.send(chunk);
        }
    }

    /// Begins a lease of an assigned partition. If Kafka does not follow, it waits.
    fn begin_again(&mut self, partition: &Partition, start: Start) {
        let moved = self.with.consumer.move_to(partition, start.position(), || {
            let leases = self.with.assignment.leases();
            let others = leases.iter().filter(|lease| lease.partition != *partition);
            let mut next = |lease: &Arc<Lease>| Offset(self.readings.next(lease, &self.with.assignment).0);
            others.map(|lease| (lease.partition.clone(), next(lease))).collect()
        });
        let name = partition.to_string();
        if let Err(error) = moved {
            if self.trouble.is_due(&name, clock::monotonic()) {
                tracing::warn!(event = "partition_not_moved", %partition, %error, "a partition could not be moved to its offset yet");
            }
            self.with.assignment.wait(partition);
            return;
        }
        self.trouble.over(&name);
        self.with.assignment.begin(partition, start);
    }

    fn resume(&self, partition: &Partition) {
        if let Err(error) = self.with.consumer.resume(std::slice::from_ref(partition)) {
            tracing::warn!(event = "partition_not_resumed", %partition, %error, "a partition could not be resumed");
        }
    }
}
