//! What the consumer does every now and then: group offsets, lag, partitions that wait for Postgres.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use rdkafka::{
    Offset as Position, TopicPartitionList,
    consumer::{CommitMode, Consumer as _},
};

use super::{ASK, Command, Consume};
use crate::{clock, http::Condition};

/// How often all group offsets are written again, whether they moved or not.
const REWRITE_EVERY: Duration = Duration::from_secs(5);
/// How often lag is worked out.
const LAG_EVERY: Duration = Duration::from_secs(1);
/// How often it is tried to learn where waiting partitions begin.
const ASK_WAITING_EVERY: Duration = Duration::from_secs(1);

/// When what is due.
#[derive(Debug)]
pub(super) struct Due {
    commit: Instant,
    rewrite: Instant,
    lag: Instant,
    waiting: Instant,
}

impl Due {
    pub(super) fn at(now: Instant) -> Self {
        Self { commit: now, rewrite: now, lag: now, waiting: now }
    }
}

impl Consume {
    /// What is done every now and then.
    pub(super) fn keep_up(&mut self, now: Instant) {
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
    pub(super) fn commit(&mut self, all: bool, mode: CommitMode) {
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
                    let mut found: HashMap<_, _> = found.into_iter().collect();
                    let known = partitions.into_iter().map(|partition| {
                        let stored = found.remove(&partition);
                        (partition, stored)
                    });
                    let _ = commands.send(Command::Known(known.collect()));
                }
                Ok(Err(error)) => tracing::debug!(%error, "stored offsets still can't be read"),
                Err(_) => tracing::debug!("Postgres still does not answer"),
            }
        });
    }
}
