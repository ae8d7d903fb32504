//! A broker with one topic and one group, and the consumers of its members.
//!
//! Rebalances are cooperative: what moves is taken back first, and given on when its owner has said so while polling.
//! A member that does not poll for long is thrown out and learns it when it polls again.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bytes::Bytes;
use rdkafka::{
    error::{KafkaError, KafkaResult},
    types::RDKafkaErrorCode,
};
use tokio::time::Instant;

use super::{chance::Chance, database::FakeDatabase};
use crate::{
    kafka::{
        broker::{Broker, Record},
        rebalance::Assignment,
    },
    model::{Offset, Partition},
};

/// A member that does not poll for so long is thrown out.
const SESSION: Duration = Duration::from_secs(30);

const TOPIC: &str = "t";

pub(super) fn partition(number: i32) -> Partition {
    Partition { topic: TOPIC.into(), number }
}

#[derive(Debug)]
pub(super) struct FakeRecord {
    partition: i32,
    offset: i64,
    pub(super) key: Bytes,
    pub(super) payload: Bytes,
    /// No record: the marker of a transaction.
    pub(super) marker: bool,
}

impl Record for Arc<FakeRecord> {
    fn topic(&self) -> &str {
        TOPIC
    }

    fn partition(&self) -> i32 {
        self.partition
    }

    fn offset(&self) -> Offset {
        Offset(self.offset)
    }

    fn time(&self) -> Option<i64> {
        Some(self.offset)
    }

    fn key(&self) -> Option<&[u8]> {
        Some(&self.key)
    }

    fn payload(&self) -> Option<&[u8]> {
        Some(&self.payload)
    }

    fn headers(&self) -> Vec<(String, Option<Bytes>)> {
        Vec::new()
    }
}

/// What the group tells a member.
#[derive(Debug)]
enum Word {
    TakeBack { partitions: Vec<i32>, thrown_out: bool },
    Give(Vec<i32>),
}

#[derive(Debug)]
struct Membership {
    words: VecDeque<Word>,
    polled: Instant,
}

/// The topic and the group.
#[derive(Debug)]
pub(super) struct Cluster {
    chance: Arc<Chance>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    log: BTreeMap<i32, Vec<Arc<FakeRecord>>>,
    committed: BTreeMap<i32, i64>,
    members: BTreeMap<u64, Membership>,
    owners: BTreeMap<i32, u64>,
    /// Asked back, and not given back yet.
    asked: BTreeSet<i32>,
    /// Turns what the group decides.
    turn: usize,
}

impl Cluster {
    pub(super) fn new(chance: Arc<Chance>, partitions: i32) -> Self {
        let log = (0..partitions).map(|number| (number, Vec::new())).collect();
        Self { chance, state: Mutex::new(State { log, ..State::default() }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn put(&self, partition: i32, key: Bytes, payload: Bytes, marker: bool) {
        let mut state = self.lock();
        let log = state.log.get_mut(&partition).unwrap();
        let offset = i64::try_from(log.len()).unwrap();
        log.push(Arc::new(FakeRecord { partition, offset, key, payload, marker }));
    }

    /// Everything there is.
    pub(super) fn log(&self) -> BTreeMap<i32, Vec<Arc<FakeRecord>>> {
        self.lock().log.clone()
    }

    /// The end of each partition.
    pub(super) fn ends(&self) -> BTreeMap<i32, i64> {
        let end = |log: &Vec<_>| i64::try_from(log.len()).unwrap();
        self.lock().log.iter().map(|(number, log)| (*number, end(log))).collect()
    }

    pub(super) fn committed(&self) -> BTreeMap<i32, i64> {
        self.lock().committed.clone()
    }

    pub(super) fn join(&self, member: u64) {
        let mut state = self.lock();
        state.members.insert(member, Membership { words: VecDeque::new(), polled: Instant::now() });
        state.share_out();
    }

    /// A member says good-bye.
    pub(super) fn leave(&self, member: u64) {
        let mut state = self.lock();
        state.drop_member(member);
        state.share_out();
    }

    /// The group decides anew who has what.
    pub(super) fn shuffle(&self) {
        let mut state = self.lock();
        state.turn += 1;
        state.share_out();
    }

    /// Throws out who has not polled for long.
    pub(super) fn look_for_the_dead(&self) {
        let mut state = self.lock();
        let dead: Vec<u64> =
            state.members.iter().filter(|(_, m)| m.polled.elapsed() > SESSION).map(|(id, _)| *id).collect();
        for member in dead {
            state.drop_member(member);
            state.share_out();
        }
    }
}

impl State {
    fn drop_member(&mut self, member: u64) {
        self.members.remove(&member);
        self.owners.retain(|_, owner| *owner != member);
        let State { owners, asked, .. } = self;
        asked.retain(|partition| owners.contains_key(partition));
    }

    /// Gives what is free, and asks back what is to move.
    fn share_out(&mut self) {
        let members: Vec<u64> = self.members.keys().copied().collect();
        if members.is_empty() {
            return;
        }
        let (mut given, mut taken): (BTreeMap<u64, Vec<i32>>, BTreeMap<u64, Vec<i32>>) = Default::default();
        for (place, number) in self.log.keys().copied().enumerate() {
            let target = members[(place + self.turn) % members.len()];
            match self.owners.get(&number) {
                None => {
                    self.owners.insert(number, target);
                    given.entry(target).or_default().push(number);
                }
                Some(owner) if *owner != target && self.asked.insert(number) => {
                    taken.entry(*owner).or_default().push(number);
                }
                Some(_) => {}
            }
        }
        for (member, partitions) in taken {
            let word = Word::TakeBack { partitions, thrown_out: false };
            self.members.get_mut(&member).unwrap().words.push_back(word);
        }
        for (member, partitions) in given {
            self.members.get_mut(&member).unwrap().words.push_back(Word::Give(partitions));
        }
    }
}

/// The consumer of one member.
#[derive(Debug)]
pub(super) struct FakeConsumer {
    id: u64,
    cluster: Arc<Cluster>,
    database: Arc<FakeDatabase>,
    assignment: Arc<Assignment>,
    reading: Mutex<Reading>,
}

#[derive(Debug, Default)]
struct Reading {
    /// Next offset to fetch of each assigned partition.
    next: BTreeMap<i32, i64>,
    paused: BTreeSet<i32>,
    fetched: VecDeque<Arc<FakeRecord>>,
}

impl Reading {
    /// Forgets what is fetched of a partition, and reads it on from there.
    fn forget(&mut self, number: i32) {
        let first =
            self.fetched.iter().filter(|record| record.partition == number).map(|record| record.offset);
        if let (Some(first), Some(next)) = (first.min(), self.next.get_mut(&number)) {
            *next = first.min(*next);
        }
        self.fetched.retain(|record| record.partition != number);
    }
}

impl FakeConsumer {
    pub(super) fn new(
        id: u64,
        cluster: Arc<Cluster>,
        database: Arc<FakeDatabase>,
        assignment: Arc<Assignment>,
    ) -> Self {
        cluster.join(id);
        Self { id, cluster, database, assignment, reading: Mutex::default() }
    }

    fn reading(&self) -> MutexGuard<'_, Reading> {
        self.reading.lock().unwrap()
    }

    /// The next word of the group, if there is one.
    fn word(&self) -> Option<Word> {
        let mut cluster = self.cluster.lock();
        if let Some(membership) = cluster.members.get_mut(&self.id) {
            membership.polled = Instant::now();
            return membership.words.pop_front();
        }
        drop(cluster);
        self.cluster.chance.strikes("member thrown out", 1_000);
        self.cluster.join(self.id);
        let partitions = self.reading().next.keys().copied().collect();
        Some(Word::TakeBack { partitions, thrown_out: true })
    }

    fn obey(&self, word: Word) {
        match word {
            Word::TakeBack { partitions, thrown_out } => {
                for number in &partitions {
                    self.assignment.give_back(&partition(*number));
                    let mut reading = self.reading();
                    reading.next.remove(number);
                    reading.paused.remove(number);
                    reading.fetched.retain(|record| record.partition != *number);
                }
                if thrown_out {
                    self.assignment.note_joined(false);
                    return;
                }
                let mut cluster = self.cluster.lock();
                for number in partitions {
                    if cluster.owners.get(&number) == Some(&self.id) {
                        cluster.owners.remove(&number);
                        cluster.asked.remove(&number);
                    }
                }
                cluster.share_out();
            }
            Word::Give(numbers) => {
                let partitions: Vec<Partition> = numbers.iter().copied().map(partition).collect();
                let blind = self.cluster.chance.strikes("assigned without offsets", 100);
                let stored = if blind { None } else { self.database.glance(&partitions) };
                let known = stored.is_some();
                self.assignment.note_joined(true);
                for (partition, at) in self.assignment.take(&partitions, stored) {
                    let mut reading = self.reading();
                    reading.next.insert(partition.number, at.map_or(0, |at| at.0));
                    if !known {
                        reading.paused.insert(partition.number);
                    }
                }
                let names: Vec<String> = numbers.iter().map(ToString::to_string).collect();
                self.cluster.chance.note(format_args!("member {} gets {}", self.id, names.join(" ")));
            }
        }
    }

    /// Fetches a little of a partition that is read.
    fn fetch(&self) {
        let mut reading = self.reading();
        let open: Vec<(i32, i64)> = reading
            .next
            .iter()
            .filter(|(number, _)| !reading.paused.contains(number))
            .map(|(n, at)| (*n, *at))
            .collect();
        if open.is_empty() {
            return;
        }
        let (number, from) = open[self.cluster.chance.number(open.len())];
        let cluster = self.cluster.lock();
        let log = &cluster.log[&number];
        let most = 1 + self.cluster.chance.number(20);
        let records = log.iter().skip(usize::try_from(from).unwrap()).take(most).cloned();
        let fetched: Vec<_> = records.collect();
        reading.next.insert(number, from + i64::try_from(fetched.len()).unwrap());
        reading.fetched.extend(fetched.into_iter().filter(|record| !record.marker));
    }
}

impl Broker for FakeConsumer {
    type Record<'a> = Arc<FakeRecord>;

    fn poll(&self, _: Duration) -> Option<Result<Arc<FakeRecord>, KafkaError>> {
        if let Some(word) = self.word() {
            self.obey(word);
            return None;
        }
        for (number, end) in self.cluster.ends() {
            self.assignment.note_ends(partition(number), (0, end));
        }
        if self.cluster.chance.percent(2) {
            return Some(Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AllBrokersDown)));
        }
        if self.cluster.chance.percent(10) {
            return None;
        }
        if self.reading().fetched.is_empty() {
            self.fetch();
        }
        self.reading().fetched.pop_front().map(Ok)
    }

    fn pause(&self, partitions: &[Partition]) -> KafkaResult<()> {
        let mut reading = self.reading();
        for partition in partitions {
            reading.forget(partition.number);
            reading.paused.insert(partition.number);
        }
        Ok(())
    }

    fn resume(&self, partitions: &[Partition]) -> KafkaResult<()> {
        let mut reading = self.reading();
        for partition in partitions {
            reading.paused.remove(&partition.number);
        }
        Ok(())
    }

    fn move_to(
        &self,
        partition: &Partition,
        to: Option<Offset>,
        _: impl FnOnce() -> Vec<(Partition, Offset)>,
    ) -> KafkaResult<()> {
        if self.cluster.chance.strikes("seek fails", 200) {
            return Err(KafkaError::Seek("not now".to_owned()));
        }
        let mut reading = self.reading();
        if !reading.next.contains_key(&partition.number) {
            return Err(KafkaError::Seek("not assigned".to_owned()));
        }
        // Of what was fetched before, librdkafka may still hand out what lies before, and nothing behind.
        let old = self.cluster.chance.strikes("old records after a seek", 200);
        let stays = |record: &Arc<FakeRecord>| old && to.is_some_and(|to| record.offset < to.0);
        reading.fetched.retain(|record| record.partition != partition.number || stays(record));
        reading.next.insert(partition.number, to.map_or(0, |to| to.0));
        Ok(())
    }

    fn commit(&self, offsets: &[(Partition, Offset)], _: bool) -> KafkaResult<()> {
        let mut cluster = self.cluster.lock();
        if !cluster.members.contains_key(&self.id) || self.cluster.chance.strikes("group offset refused", 50)
        {
            return Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::RebalanceInProgress));
        }
        for (partition, offset) in offsets {
            if cluster.owners.get(&partition.number) == Some(&self.id) {
                cluster.committed.insert(partition.number, offset.0);
            }
        }
        Ok(())
    }

    fn is_hollow(
        &self,
        partition: &Partition,
        from: Offset,
        end: Offset,
        tell: impl FnOnce(bool) + Send + 'static,
    ) {
        let cluster = self.cluster.lock();
        let stretch = usize::try_from(from.0).unwrap()..usize::try_from(end.0).unwrap();
        tell(cluster.log[&partition.number][stretch].iter().all(|record| record.marker));
    }

    fn watermarks(&self, partition: &Partition) -> KafkaResult<(i64, i64)> {
        Ok((0, i64::try_from(self.cluster.lock().log[&partition.number].len()).unwrap()))
    }
}
