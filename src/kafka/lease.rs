//! A partition on loan: from when the group gives it to this member until it takes it back, or until it is read
//! again from another offset.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use crate::model::{Offset, Partition};

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
    /// What `ft_offset` said when the lease began; `None`: no row, so it is read from its beginning.
    pub base: Option<Offset>,
    live: AtomicBool,
    stored: AtomicI64,
    received: AtomicI64,
    oldest: AtomicI64,
}

/// Stands for "none" in the atomics.
const NONE: i64 = i64::MIN;

impl Lease {
    /// A live lease.
    pub fn new(partition: Partition, generation: u64, lane: usize, base: Option<Offset>) -> Self {
        Self {
            partition,
            generation,
            lane,
            base,
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
