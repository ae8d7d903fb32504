//! A partition on loan: from when the group gives it to this member until it takes it back, or until it is read
//! again from another offset.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use crate::{
    model::{Offset, Partition},
    postgres::{LastRecord, Stored},
};

/// Where a lease begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// What `ft_offset` says; `None`: no row, so the partition is read from its beginning.
    pub base: Option<Offset>,
    /// First offset that is to be stored; `None`: the first there is.
    pub first: Option<Offset>,
    /// The record that was stored last. It is read once more, and has to be the same: otherwise the topic was created
    /// again, and its offsets mean other records.
    pub check: Option<LastRecord>,
}

impl Start {
    /// From what `ft_offset` says.
    pub fn of(stored: Option<Stored>) -> Self {
        let Some(Stored { next, last }) = stored else { return Self::at(None) };
        // Somebody who sets the offset back by hand means that very offset, and it has to be there. Between the last
        // record and the next offset there may be what is no record, such as the marker of a transaction.
        let check = last.filter(|last| last.offset < next);
        Self { base: Some(next), first: Some(next), check }
    }

    /// From a stored offset, without looking at the record before it.
    pub fn at(base: Option<Offset>) -> Self {
        Self { base, first: base, check: None }
    }

    /// After a gap: from another offset than the stored one.
    pub fn after_gap(base: Option<Offset>, first: Offset) -> Self {
        Self { base, first: Some(first), check: None }
    }

    /// Where reading has to begin; `None`: at the beginning.
    pub fn position(&self) -> Option<Offset> {
        self.check.as_ref().map(|last| last.offset).or(self.first)
    }
}

/// One loan of a partition. Every message carries the lease it came under; under a dead lease nothing moves an
/// offset, so a lane that lost its partition stops by itself.
#[derive(Debug)]
pub struct Lease {
    /// The partition.
    pub partition: Partition,
    /// Tells this lease from earlier and later ones of the partition.
    pub generation: u64,
    /// Lane that the partition belongs to.
    pub lane: usize,
    /// Where it begins.
    pub start: Start,
    live: AtomicBool,
    stored: AtomicI64,
    received: AtomicI64,
    oldest: AtomicI64,
}

/// Stands for "none" in the atomics.
const NONE: i64 = i64::MIN;

impl Lease {
    /// A live lease.
    pub fn new(partition: Partition, generation: u64, lane: usize, start: Start) -> Self {
        let base = start.base;
        Self {
            partition,
            generation,
            lane,
            start,
            live: AtomicBool::new(true),
            stored: AtomicI64::new(base.map_or(NONE, |offset| offset.0)),
            received: AtomicI64::new(NONE),
            oldest: AtomicI64::new(NONE),
        }
    }

    /// Whether the partition is still on this loan.
    pub fn is_live(&self) -> bool {
        self.live.load(Relaxed)
    }

    /// Ends the loan.
    pub fn end(&self) {
        self.live.store(false, Relaxed);
    }

    /// A record of this time (ms since 1970) was received and waits to be stored.
    pub fn note_received(&self, offset: Offset, time: Option<i64>) {
        self.received.store(offset.0, Relaxed);
        // Whether another thread clears it at the same moment decides only how the lag in seconds looks for one batch.
        let _ = self.oldest.compare_exchange(NONE, time.unwrap_or(NONE), Relaxed, Relaxed);
    }

    /// Everything before `next` is stored; the last record of it was of this time.
    pub fn note_stored(&self, next: Offset, time: Option<i64>) {
        self.stored.store(next.0, Relaxed);
        let waiting = self.received.load(Relaxed) >= next.0;
        self.oldest.store(if waiting { time.unwrap_or(NONE) } else { NONE }, Relaxed);
    }

    /// Everything before this is stored; `None` if nothing is.
    pub fn stored(&self) -> Option<Offset> {
        Some(self.stored.load(Relaxed)).filter(|offset| *offset != NONE).map(Offset)
    }

    /// Time of the oldest record that was received and is not stored, to the accuracy of a batch.
    pub fn oldest_waiting(&self) -> Option<i64> {
        Some(self.oldest.load(Relaxed)).filter(|time| *time != NONE)
    }
}
