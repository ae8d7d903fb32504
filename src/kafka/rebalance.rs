//! What this member does when the group gives it partitions or takes them back.
//!
//! The answer is given at once, for empty lists too: a member that defers it is thrown out of the group and reads
//! on without knowing. Where a partition begins is what `ft_offset` says, read within a second; if Postgres does
//! not answer in that time, the partition is taken and paused, and begins once Postgres answers.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    error,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rdkafka::{
    ClientContext, Offset as Position, Statistics, TopicPartitionList,
    client::OAuthToken,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol},
    error::{KafkaError, KafkaResult},
    types::RDKafkaRespErr,
};
use tokio::runtime::Handle;

use super::{Lease, Start, client, hollow::Looker, token};
use crate::{
    metrics,
    model::{Offset, Partition},
    postgres::{Database as _, Store, Stored},
};

/// A rebalance is answered within this, whatever Postgres does.
const READ_LIMIT: Duration = Duration::from_millis(900);

/// Partitions of this member, shared by the consumer's callbacks and the thread that polls it.
#[derive(Debug)]
pub(crate) struct Assignment {
    state: Mutex<State>,
    generation: AtomicU64,
    lanes: usize,
}

#[derive(Debug, Default)]
struct State {
    leases: BTreeMap<Partition, Arc<Lease>>,
    /// The group has taken this member, with or without partitions.
    joined: bool,
    /// Assigned and paused, until it is known where they begin.
    waiting: BTreeSet<Partition>,
    /// First and end offset by partition, as librdkafka last reported them.
    ends: HashMap<Partition, (i64, i64)>,
}

impl Assignment {
    /// Nothing assigned.
    pub(crate) fn new(lanes: usize) -> Self {
        Self { state: Mutex::default(), generation: AtomicU64::new(0), lanes }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is a single insert or remove, so a poisoned state is a whole one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Goes up with every change.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The leases of now.
    pub(crate) fn leases(&self) -> Vec<Arc<Lease>> {
        self.lock().leases.values().cloned().collect()
    }

    /// Partitions that wait for it to be known where they begin.
    pub(crate) fn waiting(&self) -> Vec<Partition> {
        self.lock().waiting.iter().cloned().collect()
    }

    /// First and end offset of a partition, if known.
    pub(crate) fn ends(&self, partition: &Partition) -> Option<(i64, i64)> {
        self.lock().ends.get(partition).copied()
    }

    /// First and end offset of a partition are these now.
    pub(crate) fn note_ends(&self, partition: Partition, ends: (i64, i64)) {
        let mut state = self.lock();
        if state.leases.contains_key(&partition) {
            state.ends.insert(partition, ends);
        }
    }

    /// Begins a lease of an assigned partition; one it had ends. On the lane that has the fewest, or that it had.
    pub(crate) fn begin(&self, partition: &Partition, start: Start) -> Arc<Lease> {
        let mut state = self.lock();
        let generation = self.generation.fetch_add(1, Ordering::AcqRel) + 1;
        let lane = match state.leases.get(partition) {
            Some(before) => before.lane,
            None => emptiest_lane(&state, self.lanes),
        };
        let lease = Arc::new(Lease::new(partition.clone(), generation, lane, start));
        state.waiting.remove(partition);
        if let Some(before) = state.leases.insert(partition.clone(), lease.clone()) {
            before.end();
        }
        lease
    }

    /// Takes partitions that the group gives, with what is stored of them; without it, they wait for it. Says where each
    /// is to be read from, for now.
    pub(crate) fn take(
        &self,
        partitions: &[Partition],
        stored: Option<Vec<(Partition, Stored)>>,
    ) -> Vec<(Partition, Option<Offset>)> {
        let known = stored.is_some();
        let mut stored: HashMap<_, _> = stored.unwrap_or_default().into_iter().collect();
        let take = |partition: &Partition| {
            let start = Start::of(stored.remove(partition));
            let at = start.position();
            if known {
                self.begin(partition, start);
            } else {
                self.wait(partition);
            }
            (partition.clone(), at)
        };
        partitions.iter().map(take).collect()
    }

    /// Takes an assigned partition whose beginning is not known yet.
    pub(crate) fn wait(&self, partition: &Partition) {
        let mut state = self.lock();
        self.generation.fetch_add(1, Ordering::AcqRel);
        if let Some(before) = state.leases.remove(partition) {
            before.end();
        }
        state.waiting.insert(partition.clone());
    }

    /// Stops reading a topic until it is known again where its partitions begin, and that they are still the same.
    pub(crate) fn doubt(&self, topic: &str) {
        let of_topic = |partition: &&Partition| &*partition.topic == topic;
        let held: Vec<Partition> = self.lock().leases.keys().filter(of_topic).cloned().collect();
        for partition in &held {
            self.wait(partition);
        }
    }

    /// Whether the group has taken this member, with or without partitions.
    pub(crate) fn is_joined(&self) -> bool {
        self.lock().joined
    }

    pub(crate) fn note_joined(&self, joined: bool) {
        self.lock().joined = joined;
    }

    /// Gives a partition back.
    pub(crate) fn give_back(&self, partition: &Partition) {
        let mut state = self.lock();
        self.generation.fetch_add(1, Ordering::AcqRel);
        if let Some(lease) = state.leases.remove(partition) {
            lease.end();
        }
        state.waiting.remove(partition);
        state.ends.remove(partition);
    }

    /// Gives everything back.
    pub(crate) fn give_all_back(&self) {
        let held: Vec<Partition> = {
            let state = self.lock();
            state.leases.keys().chain(&state.waiting).cloned().collect()
        };
        for partition in &held {
            self.give_back(partition);
        }
    }
}

fn emptiest_lane(state: &State, lanes: usize) -> usize {
    let held = |lane: &usize| state.leases.values().filter(|lease| lease.lane == *lane).count();
    (0..lanes).min_by_key(held).unwrap_or(0)
}

/// The consumer's context: answers rebalances, and keeps what librdkafka reports.
#[derive(Debug)]
pub(crate) struct GroupContext {
    client: client::Context,
    assignment: Arc<Assignment>,
    store: Arc<Store>,
    pub(super) looker: Looker,
    pub(super) runtime: Handle,
}

impl GroupContext {
    /// For one consumer. `runtime` is where Postgres is asked from the consumer's thread.
    pub(crate) fn new(
        client: client::Context,
        assignment: Arc<Assignment>,
        store: Arc<Store>,
        looker: Looker,
        runtime: Handle,
    ) -> Self {
        Self { client, assignment, store, looker, runtime }
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) -> KafkaResult<()> {
        let partitions = partitions_of(list);
        let stored = if partitions.is_empty() { Some(Vec::new()) } else { self.read(&partitions) };
        let known = stored.is_some();
        for (partition, at) in self.assignment.take(&partitions, stored) {
            list.set_partition_offset(&partition.topic, partition.number, position(at))?;
        }
        if matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative) {
            consumer.incremental_assign(list)?;
        } else {
            consumer.assign(list)?;
        }
        if !known {
            consumer.pause(list)?;
        }
        tracing::info!(
            event = "partitions_assigned",
            partitions = names(&partitions),
            paused = !known,
            "partitions assigned"
        );
        Ok(())
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        let partitions = partitions_of(list);
        for partition in &partitions {
            self.assignment.give_back(partition);
        }
        let thrown_out = consumer.assignment_lost();
        if thrown_out {
            self.assignment.note_joined(false);
            metrics::rebalance("lost");
        }
        tracing::info!(
            event = "partitions_revoked",
            partitions = names(&partitions),
            lost = thrown_out,
            "partitions revoked"
        );
        resume(consumer, list);
        if matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative) {
            consumer.incremental_unassign(list)
        } else {
            self.assignment.give_all_back();
            consumer.unassign()
        }
    }

    fn read(&self, partitions: &[Partition]) -> Option<Vec<(Partition, Stored)>> {
        let read = async { tokio::time::timeout(READ_LIMIT, self.store.read(partitions)).await };
        match self.runtime.block_on(read) {
            Ok(Ok(found)) => Some(found),
            Ok(Err(error)) => {
                tracing::warn!(
                    event = "offsets_not_read",
                    %error,
                    "stored offsets can't be read; the partitions wait"
                );
                None
            }
            Err(_) => {
                tracing::warn!(
                    event = "offsets_not_answered",
                    "Postgres does not answer; the partitions wait"
                );
                None
            }
        }
    }
}

/// Has partitions that go come back as ones that are read: librdkafka keeps it in mind that one was paused, and would not
/// read it when the group gives it to this member again.
fn resume(consumer: &BaseConsumer<GroupContext>, list: &TopicPartitionList) {
    if let Err(error) = consumer.resume(list) {
        tracing::warn!(event = "partitions_not_resumed", %error, "partitions that go could not be resumed");
    }
}

/// Where a partition is to be read from.
pub(crate) fn position(at: Option<Offset>) -> Position {
    at.map_or(Position::Beginning, |offset| Position::Offset(offset.0))
}

/// The topic that a line of librdkafka's log says was created again: the only way in which it tells. Right after that line
/// it reads from the new topic on, at the offsets of the old one.
fn created_again(line: &str) -> Option<&str> {
    /// Id of a topic that it has not met before.
    const NEW: &str = "AAAAAAAAAAAAAAAAAAAAAA";
    let (before, ids) = line.split_once(" changed id from ")?;
    let (_, topic) = before.rsplit_once("Topic ")?;
    (!ids.starts_with(NEW)).then_some(topic)
}

fn partitions_of(list: &TopicPartitionList) -> Vec<Partition> {
    let partition = |topic: &str, number| Partition { topic: topic.into(), number };
    list.elements().iter().map(|element| partition(element.topic(), element.partition())).collect()
}

fn names(partitions: &[Partition]) -> String {
    partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let answered = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                metrics::rebalance("assign");
                self.assignment.note_joined(true);
                self.assign(consumer, list)
            }
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                metrics::rebalance("revoke");
                self.revoke(consumer, list)
            }
            other => {
                tracing::error!(event = "rebalance_failed", error = ?other, "a rebalance failed; all partitions are given back");
                self.assignment.give_all_back();
                if let Ok(held) = consumer.assignment() {
                    resume(consumer, &held);
                }
                consumer.unassign()
            }
        };
        if let Err(error) = answered {
            tracing::error!(event = "rebalance_not_answered", %error, "a rebalance could not be answered");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            // Only outside tools look at it, and it is written again within seconds.
            tracing::debug!(%error, "the group offset could not be written");
        }
    }
}

impl ClientContext for GroupContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if let Some(topic) = created_again(message) {
            tracing::warn!(
                event = "topic_created_again",
                topic,
                "a topic was created again; what was stored last is compared with what it has"
            );
            self.assignment.doubt(topic);
        }
        self.client.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.client.error(error, reason);
    }

    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(&self, from: Option<&str>) -> Result<OAuthToken, Box<dyn error::Error>> {
        token::read(from)
    }

    fn stats(&self, statistics: Statistics) {
        for (topic, of_topic) in &statistics.topics {
            for of_partition in of_topic.partitions.values() {
                let partition = Partition { topic: topic.as_str().into(), number: of_partition.partition };
                // Readers of committed records get no further than the last stable offset.
                let end = of_partition.ls_offset;
                if end >= 0 {
                    self.assignment.note_ends(partition, (of_partition.lo_offset.max(0), end));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_was_created_again_is_told_from_one_that_is_new() {
        let line = "[thrd:main]: Topic flow.history changed id from 5vNv5pJLTzKZ3Yx0cXtEug to zXNv5pJLTzKZ3Yx0cXtEug";
        assert_eq!(created_again(line), Some("flow.history"));
        let new = "[thrd:main]: Topic t changed id from AAAAAAAAAAAAAAAAAAAAAA to zXNv5pJLTzKZ3Yx0cXtEug";
        assert_eq!(created_again(new), None);
        assert_eq!(created_again("[thrd:main]: Topic t changed leader"), None);
    }
}
