//! Events → a batch, grouped by flow instance and merged; bounded. Pure.

use std::{cmp::min, collections::BTreeMap, sync::Arc};

use sha2::{Digest, Sha256};

use super::{
    Envelope,
    decode::{
        Decoded, Oddity, Reject, decode_knowing,
        foreign::{Foreign, SOURCE_HEADER},
    },
    letter::dead_letter,
    merge::Fold,
};
use crate::{
    flowable::identity::{Known, Thing},
    kafka::Lease,
    model::Offset,
    postgres::{DeadLetter, LastRecord},
    redaction::Rules,
};

/// So many things of Flowable's a lane remembers the flow instance of at least: some 10 MB, and only where there are such records.
const KNOWN: usize = 20_000;

/// `flowtrail_dead_letters_total{reason}` of what is of a flow instance that is not known yet.
pub const UNRESOLVED: &str = "unresolved";

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
    /// How records are read that are not the contract's own.
    pub foreign: Foreign,
    /// Whose things are, by the records so far.
    known: Known,
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
            foreign: Foreign::default(),
            known: Known::new(KNOWN),
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

    /// The same, with another way to read records that are not the contract's own.
    #[must_use]
    pub fn reading(self, foreign: Foreign) -> Self {
        Self { foreign, ..self }
    }

    /// Takes what is there and leaves nothing but what is known of earlier records.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let mut empty = Self::new(self.limits).masking(self.rules.clone()).reading(self.foreign.clone());
        std::mem::swap(&mut empty.known, &mut self.known);
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
    pub fn add(&mut self, mut envelope: Envelope) {
        if !envelope.lease.is_live() {
            return;
        }
        self.oldest = match (self.oldest, envelope.time) {
            (Some(oldest), Some(time)) => Some(min(oldest, time)),
            (oldest, time) => oldest.or(time),
        };
        let read = self.read(&mut envelope);
        self.bytes += envelope.weight();
        match read {
            Ok(decoded) => self.add_events(decoded, &mut envelope),
            Err(reject) => self.reject(&envelope, reject.reason(), &reject.to_string()),
        }
        self.reach(&envelope.lease, envelope.offset.next(), Some(self.records.len()));
        self.records.push(envelope);
    }

    fn read(&mut self, envelope: &mut Envelope) -> Result<Decoded, Reject> {
        let told = envelope.payload.as_ref().and_then(|payload| {
            self.foreign.read(payload, || envelope.header(SOURCE_HEADER), self.rules.is_none())
        });
        let foreign = told.transpose()?;
        if let Some(foreign) = &foreign {
            envelope.told = Some(foreign.payload.clone());
        }
        let (key, limit) = (envelope.key.as_deref(), self.limits.payload_bytes);
        let rules = self.rules.as_deref();
        let mut decoded = decode_knowing(key, envelope.meant(), limit, rules, &mut self.known)?;
        if let Some(foreign) = foreign {
            decoded.also(foreign.refused, foreign.not_kept);
        }
        Ok(decoded)
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

    fn add_events(&mut self, decoded: Decoded, envelope: &mut Envelope) {
        let is_oversized = decoded.is_oversized();
        for oddity in decoded.sanitized {
            *self.sanitized.entry(oddity).or_default() += 1;
        }
        for event in decoded.events {
            if self.fold.add(event) {
                self.rows += 1;
            } else {
                self.merged += 1;
            }
        }
        let rest = decoded.rest.map(|rest| *rest).unwrap_or_default();
        if let Some(told) = rest.told {
            envelope.told = Some(told);
        }
        // A record is a dead letter once, for what takes a person to put right before what may come right by itself.
        if let Some(reject) = rest.refused {
            self.reject(envelope, reject.reason(), &reject.to_string());
        } else if !rest.missing.is_empty() {
            self.reject(envelope, UNRESOLVED, &not_known(&rest.missing));
        } else if is_oversized {
            let limit = self.limits.payload_bytes;
            let why = format!("a field is above {limit} bytes and was cut in its row");
            self.reject(envelope, "oversized", &why);
        }
    }

    fn reject(&mut self, envelope: &Envelope, reason: &'static str, detail: &str) {
        self.rows += 1;
        // Text in Postgres holds no NUL, and a decoder may quote what it met.
        let detail = detail.replace('\0', "\u{fffd}");
        self.dead_letters.push(dead_letter(envelope, reason, None, detail, self.rules.as_deref()));
    }
}

/// What is said of things whose flow instance is not known.
pub(crate) fn not_known(missing: &[Thing]) -> String {
    let more = match missing.len() {
        0 | 1 => String::new(),
        count => format!(", and {} more", count - 1),
    };
    let first = missing.first().map(Thing::to_string).unwrap_or_default();
    format!("no flow instance is known yet for {first}{more}")
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
