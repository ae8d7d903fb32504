//! Partitions that are being read: from a record in librdkafka's memory to an envelope of ours.

use std::sync::Arc;

use crate::{
    kafka::{Lease, block::Block, broker::Record, rebalance::Assignment},
    model::Offset,
    pipeline::{Envelope, group::last_record},
    postgres::LastRecord,
};

/// Partitions with a lease, and how far each is read.
#[derive(Debug)]
pub(super) struct Readings {
    readings: Vec<Reading>,
    /// Generation of the assignment that they are of.
    generation: u64,
}

#[derive(Debug)]
struct Reading {
    lease: Arc<Lease>,
    /// The first offset that may come. Lower ones were fetched before a seek, or are stored.
    next: i64,
    /// The record that was stored last, until it has been looked at.
    check: Option<LastRecord>,
    /// Memory for the next records.
    block: Block,
}

/// What a record is to us.
#[derive(Debug)]
pub(super) enum Taken {
    /// A record for its lane.
    Record(Envelope),
    /// Nothing: its partition has no lease, or it is stored already.
    Nothing,
    /// At the offset of the record that was stored last there is another record.
    AnotherRecord(Arc<Lease>),
    /// The record that was stored last is there, and what is to be read next does not follow it: there may be what is no
    /// record between, or the end.
    NotFollowed(Arc<Lease>),
}

impl Readings {
    pub(super) fn new() -> Self {
        Self { readings: Vec::new(), generation: u64::MAX }
    }

    /// Takes a record. One of a partition without a live lease is nothing to us: the partition was taken back, or
    /// waits for it to be known where it begins.
    pub(super) fn take(&mut self, record: &impl Record, assignment: &Assignment) -> Taken {
        self.refresh(assignment);
        let same = |reading: &&mut Reading| {
            let partition = &reading.lease.partition;
            partition.number == record.partition() && &*partition.topic == record.topic()
        };
        let Some(reading) = self.readings.iter_mut().find(same) else { return Taken::Nothing };
        if !reading.lease.is_live() {
            return Taken::Nothing;
        }
        if let Some(check) = reading.check.take_if(|check| record.offset() >= check.offset) {
            // If the record itself is gone, to compaction say, there is nothing to compare.
            let is_there = record.offset() == check.offset;
            if is_there && last_record(&reading.envelope(record)) != check {
                return Taken::AnotherRecord(reading.lease.clone());
            }
            let is_followed = check.offset.next().0 == reading.next;
            if !is_followed && record.offset().0 < reading.next {
                return Taken::NotFollowed(reading.lease.clone());
            }
        }
        if record.offset().0 < reading.next {
            return Taken::Nothing;
        }
        reading.next = record.offset().next().0;
        let envelope = reading.envelope(record);
        reading.lease.note_received(envelope.offset, envelope.time);
        Taken::Record(envelope)
    }

    /// The offset that a lease reads next, and whether the record before it has been looked at.
    pub(super) fn next(&mut self, lease: &Lease, assignment: &Assignment) -> (i64, bool) {
        self.refresh(assignment);
        let reading = self.readings.iter().find(|reading| reading.lease.generation == lease.generation);
        reading.map_or((first(lease), false), |reading| (reading.next, reading.check.is_none()))
    }

    /// Goes on behind what is no record; says whether the lease is still read and stands before it.
    pub(super) fn skip(&mut self, lease: &Lease, [from, to]: [Offset; 2], assignment: &Assignment) -> bool {
        self.refresh(assignment);
        let mut all = self.readings.iter_mut();
        let reading =
            all.find(|reading| reading.lease.generation == lease.generation && reading.next == from.0);
        let Some(reading) = reading.filter(|reading| reading.lease.is_live()) else { return false };
        reading.next = to.0;
        true
    }

    /// Brings the readings up to date with the leases.
    fn refresh(&mut self, assignment: &Assignment) {
        let now = assignment.generation();
        if self.generation == now {
            return;
        }
        self.generation = now;
        let mut before = std::mem::take(&mut self.readings);
        let reading = |lease: Arc<Lease>| {
            let same = before.iter().position(|reading| reading.lease.generation == lease.generation);
            match same {
                Some(index) => before.swap_remove(index),
                None => Reading {
                    next: first(&lease),
                    check: lease.start.check.clone(),
                    lease,
                    block: Block::default(),
                },
            }
        };
        self.readings = assignment.leases().into_iter().map(reading).collect();
    }
}

fn first(lease: &Lease) -> i64 {
    lease.start.first.map_or(0, |first| first.0)
}

impl Reading {
    /// Copies a record out of librdkafka's memory.
    fn envelope(&mut self, record: &impl Record) -> Envelope {
        let (key, payload) = self.block.copy(record);
        Envelope {
            offset: record.offset(),
            time: record.time(),
            key,
            payload,
            headers: record.headers(),
            told: None,
            lease: self.lease.clone(),
        }
    }
}
