//! Events → a batch, grouped by flow instance and merged; bounded. Pure.

use std::{cmp::min, collections::BTreeMap, sync::Arc};

use sha2::{Digest, Sha256};

use super::{
    Envelope,
    decode::{Decoded, Oddity, decode},
    letter::dead_letter,
    merge::Fold,
};
use crate::{
    kafka::Lease,
    model::Offset,
    postgres::{DeadLetter, LastRecord},
    redaction::Rules,
};

/// Bounds of a batch.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Rows.
    pub rows: usize,
    /// Bytes of the records that it was made of.
    pub bytes: usize,
    /// Bytes of one payload field.
    pub payload_bytes: usize,
}

/// A batch in the making.
#[derive(Debug)]
pub struct Gathered {
    /// Its bounds.
    pub limits: Limits,
    /// What is masked before anything else is made of an event.
    pub rules: Option<Arc<Rules>>,
    /// Merged rows.
    pub fold: Fold,
    /// Messages that could not become rows.
    pub dead_letters: Vec<DeadLetter>,
    /// How far it gets in each partition.
    pub reached: Vec<Reached>,
    /// Odd things that were put right, and how often.
    pub sanitized: BTreeMap<Oddity, u64>,
    /// Events that were merged into a row that was there.
    pub merged: u64,
    /// What it was made of, in the order in which it was read: what Postgres refuses is made anew without its cause.
    pub records: Vec<Envelope>,
    /// Rows.
    pub rows: usize,
    /// Bytes of the records.
    pub bytes: usize,
    /// Time of the oldest record, ms since 1970.
    pub oldest: Option<i64>,
}

/// How far a batch gets in a partition.
#[derive(Debug)]
pub struct Reached {
    /// The lease under which it was read.
    pub lease: Arc<Lease>,
    /// Everything before this is in the batch, or is no record.
    pub next: Offset,
    /// Where in the batch's records the last one of the partition is, if there is one.
    pub last: Option<usize>,
}

impl Gathered {
    /// Nothing yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            rules: None,
            fold: Fold::default(),
            dead_letters: Vec::new(),
            reached: Vec::new(),
            sanitized: BTreeMap::new(),
            merged: 0,
            records: Vec::new(),
            rows: 0,
            bytes: 0,
            oldest: None,
        }
    }

    /// The same, with rules.
    #[must_use]
    pub fn masking(self, rules: Option<Arc<Rules>>) -> Self {
        Self { rules, ..self }
    }

    /// Takes what is there and leaves nothing.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let empty = Self::new(self.limits).masking(self.rules.clone());
        std::mem::replace(self, empty)
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.reached.is_empty()
    }

    /// Whether it is to be written before more is added.
    pub fn is_full(&self) -> bool {
        self.rows >= self.limits.rows || self.bytes >= self.limits.bytes
    }

    /// Adds a record. One whose lease has ended is left out: whoever has the partition now will read it.
    pub fn add(&mut self, envelope: Envelope) {
        if !envelope.lease.is_live() {
            return;
        }
        self.bytes += envelope.weight();
        self.oldest = match (self.oldest, envelope.time) {
            (Some(oldest), Some(time)) => Some(min(oldest, time)),
            (oldest, time) => oldest.or(time),
        };
        let (key, limit) = (envelope.key.as_deref(), self.limits.payload_bytes);
        match decode(key, envelope.payload.as_ref(), limit, self.rules.as_deref()) {
            Ok(decoded) => self.add_event(decoded, &envelope),
            Err(reject) => self.reject(&envelope, reject.reason(), &reject.to_string()),
        }
        self.reach(&envelope.lease, envelope.offset.next(), Some(self.records.len()));
        self.records.push(envelope);
    }

    /// No record of the lease's partition is left before that offset.
    pub fn add_hollow(&mut self, lease: &Arc<Lease>, next: Offset) {
        if lease.is_live() {
            self.reach(lease, next, None);
        }
    }

    fn reach(&mut self, lease: &Arc<Lease>, next: Offset, last: Option<usize>) {
        // Mostly the lease is the same, which is told without looking at names.
        let same = |reached: &&mut Reached| {
            reached.lease.generation == lease.generation || reached.lease.partition == lease.partition
        };
        match self.reached.iter_mut().find(same) {
            Some(reached) if reached.lease.generation == lease.generation => {
                reached.next = next;
                reached.last = last.or(reached.last);
            }
            Some(reached) => *reached = Reached { lease: lease.clone(), next, last },
            None => self.reached.push(Reached { lease: lease.clone(), next, last }),
        }
    }

    fn add_event(&mut self, decoded: Decoded, envelope: &Envelope) {
        if decoded.is_oversized() {
            let limit = self.limits.payload_bytes;
            self.reject(
                envelope,
                "oversized",
                &format!("a field is above {limit} bytes and was cut in its row"),
            );
        }
        for oddity in decoded.sanitized {
            *self.sanitized.entry(oddity).or_default() += 1;
        }
        if self.fold.add(decoded.event) {
            self.rows += 1;
        } else {
            self.merged += 1;
        }
    }

    fn reject(&mut self, envelope: &Envelope, reason: &'static str, detail: &str) {
        self.rows += 1;
        // Text in Postgres holds no NUL, and a decoder may quote what it met.
        let detail = detail.replace('\0', "\u{fffd}");
        self.dead_letters.push(dead_letter(envelope, reason, None, detail, self.rules.as_deref()));
    }
}

/// What is kept of a record to recognise it by.
pub fn last_record(envelope: &Envelope) -> LastRecord {
    let mut hash = Sha256::new();
    for part in [&envelope.key, &envelope.payload] {
        let part = part.as_deref().unwrap_or_default();
        // The length keeps key and value from running into each other.
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let [head @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = digest;
    LastRecord { offset: envelope.offset, time: envelope.time, hash: head }
}
