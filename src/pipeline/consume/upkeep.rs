//! What the consumer does every now and then: group offsets, lag, partitions that wait for Postgres.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use super::{ASK, Command, Consume};
use crate::{
    clock,
    http::Condition,
    kafka::{Lease, broker::Broker},
    metrics::LagSample,
    model::{Offset, Partition},
    postgres::{Database, Stored, Trouble},
};

/// How often all group offsets are written again, whether they moved or not.
const REWRITE_EVERY: Duration = Duration::from_secs(5);
/// How often lag is worked out.
const LAG_EVERY: Duration = Duration::from_secs(1);
/// How often it is tried to learn where waiting partitions begin.
const ASK_WAITING_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked whether the database still has what it had stored. Who has something to write notices at once;
/// this is for partitions where nothing comes in.
const COMPARE_EVERY: Duration = Duration::from_secs(10);

/// So many measurements of the lag have to find a partition at the same place before its end is looked at.
const STUCK: u32 = 3;

/// When what is due.
#[derive(Debug)]
pub(super) struct Due {
    commit: Instant,
    rewrite: Instant,
    lag: Instant,
    waiting: Instant,
    compare: Instant,
}

impl Due {
    pub(super) fn at(now: Instant) -> Self {
        Self { commit: now, rewrite: now, lag: now, waiting: now, compare: now + COMPARE_EVERY }
    }
}

impl<B: Broker, D: Database> Consume<B, D> {
    /// What is done every now and then.
    pub(super) fn keep_up(&mut self, now: Instant) {
        if now >= self.due.commit {
            let rewrite = now >= self.due.rewrite;
            if rewrite {
                self.due.rewrite = now + REWRITE_EVERY;
            }
            self.due.commit = now + self.with.group_offset_interval;
            self.commit(rewrite, false);
        }
        if now >= self.due.lag {
            self.due.lag = now + LAG_EVERY;
            self.measure_lag(now);
            self.look_for_hollow_ends();
        }
        if now >= self.due.waiting {
            self.due.waiting = now + ASK_WAITING_EVERY;
            self.ask_for_waiting();
        }
        if now >= self.due.compare {
            self.due.compare = now + COMPARE_EVERY;
            self.compare();
        }
    }

    /// Lets Kafka's group offset follow what is stored, downwards too: outside tools look at it, we never do.
    pub(super) fn commit(&mut self, all: bool, wait: bool) {
        let leases = self.with.assignment.leases();
        self.committed.retain(|partition, _| leases.iter().any(|lease| lease.partition == *partition));
        let mut list = Vec::new();
        for lease in &leases {
            let Some(stored) = lease.stored() else { continue };
            let now = (lease.generation, stored);
            if self.committed.insert(lease.partition.clone(), now) != Some(now) || all {
                list.push((lease.partition.clone(), stored));
            }
        }
        if !list.is_empty()
            && let Err(error) = self.with.consumer.commit(&list, wait)
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
            let stored = lease.stored().map(|stored| stored.0);
            let Partition { topic, number } = &lease.partition;
            self.with.lag.set(topic, *number, LagSample { records, seconds, stored });
            total += records;
        }
        self.with.health.note_lag(Some(total), now);
        if self.with.assignment.is_joined() {
            self.with.health.met(Condition::Group);
        } else {
            self.with.health.unmet(Condition::Group, "the group has not taken this member yet");
        }
    }

    /// Everything that came is stored, and yet the partition goes on: what is left may be no record.
    fn look_for_hollow_ends(&mut self) {
        let leases = self.with.assignment.leases();
        self.stuck.retain(|generation, _| leases.iter().any(|lease| lease.generation == *generation));
        for lease in leases {
            let (next, _) = self.readings.next(&lease, &self.with.assignment);
            let end = self.with.assignment.ends(&lease.partition).map_or(0, |(_, end)| end);
            if end <= next || lease.stored().map_or(0, |stored| stored.0) != next {
                self.stuck.remove(&lease.generation);
                continue;
            }
            let seen = self.stuck.entry(lease.generation).or_insert((next, 0));
            *seen = if seen.0 == next { (next, seen.1.saturating_add(1)) } else { (next, 1) };
            // What is on its way comes within a second or two; after that a look is worth a connection.
            if seen.1 >= STUCK && !self.looking.swap(true, Relaxed) {
                seen.1 = 0;
                let (from, to, commands) = (Offset(next), Offset(end), self.with.commands.0.clone());
                let looking = self.looking.clone();
                let partition = lease.partition.clone();
                self.with.consumer.is_hollow(&partition, from, to, move |is_hollow| {
                    looking.store(false, Relaxed);
                    if is_hollow {
                        let _ = commands.send(Command::Hollow(lease, [from, to]));
                    }
                });
            }
        }
    }

    /// Begins again where less is stored than was: the database was restored from a backup, or lost transactions.
    fn compare(&self) {
        let known = |lease: Arc<Lease>| Some((lease.stored()?, lease));
        let known: Vec<_> = self.with.assignment.leases().into_iter().filter_map(known).collect();
        if known.is_empty() {
            return;
        }
        let partitions = known.iter().map(|(_, lease)| lease.partition.clone()).collect();
        self.ask(partitions, |found| {
            let went_back = |(was, lease): (Offset, Arc<Lease>)| {
                let stored = found.get(&lease.partition).map(|stored| stored.next);
                (stored < Some(was)).then_some((lease, stored))
            };
            let again: Vec<_> = known.into_iter().filter_map(went_back).collect();
            for (lease, stored) in &again {
                tracing::warn!(event = "stored_offset_fell",
                    partition = %lease.partition,
                    stored = ?stored.map(|offset| offset.0),
                    "less is stored than was; reading goes on from it"
                );
            }
            Command::Again(again)
        });
    }

    fn ask_for_waiting(&self) {
        let partitions = self.with.assignment.waiting();
        if partitions.is_empty() {
            return;
        }
        self.ask(partitions.clone(), |mut found| {
            let known = partitions.into_iter().map(|partition| {
                let stored = found.remove(&partition);
                (partition, stored)
            });
            Command::Known(known.collect())
        });
    }

    /// Asks Postgres what is stored of partitions, and tells the consumer what follows from it. Without an answer nothing
    /// does, and it is asked again when it is due; but partitions that wait for an answer that will not come end it all.
    fn ask(
        &self,
        partitions: Vec<Partition>,
        follows: impl FnOnce(HashMap<Partition, Stored>) -> Command + Send + 'static,
    ) {
        let (store, commands) = (self.with.store.clone(), self.with.commands.0.clone());
        // While a database is put back under partitions that are being read, its tables may not be there for a moment.
        let they_wait = !self.with.assignment.waiting().is_empty();
        self.with.runtime.spawn(async move {
            match tokio::time::timeout(ASK, store.read(&partitions)).await {
                Ok(Ok(found)) => {
                    let _ = commands.send(follows(found.into_iter().collect()));
                }
                Ok(Err(Trouble::Halt(error))) if they_wait => {
                    let _ = commands.send(Command::Halt(error));
                }
                Ok(Err(error)) => tracing::debug!(%error, "stored offsets can't be read"),
                Err(_) => tracing::debug!("Postgres does not answer"),
            }
        });
    }
}
