//! A slice → buckets by flow. What can't become a row is told apart here.

use std::{
    collections::HashSet,
    ops::ControlFlow,
    sync::{Arc, atomic::Ordering},
};

use tokio::sync::mpsc;

use super::{
    Setting, VerifyError,
    spill::{self, Entry, Spill, SpillError},
};
use crate::{
    kafka::{block::Block, broker::Record, slice::Stretch},
    model::{Event, Offset, Partition},
    pipeline::decode::{decode, flow_of, redacted},
};

/// Records that can't become rows are looked for among the dead letters so many at a time.
const REJECTED: usize = 1_000;

/// Records that can't become rows.
pub(super) type Rejected = Vec<(Partition, Offset, Option<String>)>;

/// Offsets of what Postgres refused, sorted, by stretch.
#[derive(Debug)]
pub(super) struct Refused(Vec<Vec<i64>>);

impl Refused {
    pub(super) fn of(stretches: &[Stretch], places: Vec<(Partition, Offset)>) -> Self {
        let mut offsets = vec![Vec::new(); stretches.len()];
        for (partition, offset) in places {
            let stretch = stretches.iter().position(|stretch| stretch.partition == partition);
            if let Some(offsets) = stretch.and_then(|stretch| offsets.get_mut(stretch)) {
                offsets.push(offset.0);
            }
        }
        for offsets in &mut offsets {
            offsets.sort_unstable();
        }
        Self(offsets)
    }

    fn contain(&self, stretch: usize, offset: i64) -> bool {
        self.0.get(stretch).is_some_and(|offsets| offsets.binary_search(&offset).is_ok())
    }
}

/// What was read.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) spill: Spill,
    pub(super) records: u64,
    pub(super) rejected: u64,
    pub(super) refused: u64,
    /// Time of the first record of each stretch.
    pub(super) first_times: Vec<Option<i64>>,
}

/// Reads stretches.
#[derive(Debug)]
pub(super) struct Reader {
    stretches: Vec<Stretch>,
    /// Only these, if any are named.
    flows: Option<HashSet<String>>,
    refused_before: Refused,
    rejecting: Option<mpsc::Sender<Rejected>>,
    waiting: Rejected,
    block: Block,
    read: Read,
}

impl Reader {
    pub(super) fn new(
        stretches: Vec<Stretch>,
        flows: Option<HashSet<String>>,
        refused_before: Refused,
        spill: Spill,
    ) -> Self {
        let first_times = vec![None; stretches.len()];
        let read = Read { spill, records: 0, rejected: 0, refused: 0, first_times };
        let (waiting, block) = (Vec::new(), Block::default());
        Self { stretches, flows, refused_before, rejecting: None, waiting, block, read }
    }

    /// Tells of records that can't become rows.
    pub(super) fn telling(self, rejecting: Option<mpsc::Sender<Rejected>>) -> Self {
        Self { rejecting, ..self }
    }

    /// Reads it all. Blocks.
    pub(super) fn read(mut self, setting: &Setting) -> Result<Read, VerifyError> {
        let stretches: Arc<[Stretch]> = self.stretches.as_slice().into();
        let mut failed = None;
        setting.slicer.read(&stretches, |stretch, record| {
            setting.progress.read.fetch_add(1, Ordering::Relaxed);
            match self.take(setting, stretch, record) {
                // Whoever wants to know is gone: nothing of this is needed any more.
                Ok(()) if setting.differences.is_closed() => ControlFlow::Break(()),
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        self.tell();
        Ok(self.read)
    }

    fn take(&mut self, setting: &Setting, stretch: usize, record: &dyn Record) -> Result<(), SpillError> {
        self.read.records += 1;
        let (offset, time) = (record.offset().0, record.time());
        if let Some(first @ None) = self.read.first_times.get_mut(stretch) {
            *first = time;
        }
        if self.refused_before.contain(stretch, offset) {
            self.read.refused += 1;
            return Ok(());
        }
        let (key, payload) = self.block.copy(record);
        let key = key.unwrap_or_default();
        // From here on, files included, there is nothing that nobody is to read.
        let payload = match &setting.rules {
            Some(rules) => payload.and_then(|payload| redacted(&payload, rules).ok()),
            None => payload,
        };
        let decoded = decode(Some(&key), payload.as_ref(), setting.max_payload_bytes, None);
        let (Ok(decoded), Some(payload)) = (decoded, payload) else {
            self.reject(setting, stretch, offset, &key);
            return Ok(());
        };
        let hash = match decoded.event.flow() {
            Some(flow) if self.flows.as_ref().is_none_or(|flows| flows.contains(flow.as_str())) => {
                spill::hash(flow.as_str().as_bytes())
            }
            None if self.flows.is_none() => hash_of_app(&decoded.event),
            _ => return Ok(()),
        };
        let stretch = u32::try_from(stretch).ok();
        self.read.spill.add(&Entry { hash, stretch, offset, time: time.unwrap_or(0), key, payload })
    }

    fn reject(&mut self, setting: &Setting, stretch: usize, offset: i64, key: &[u8]) {
        self.read.rejected += 1;
        let place = setting.place(stretch, offset);
        self.waiting.extend(place.map(|(partition, offset)| (partition, offset, flow_of(Some(key), None))));
        if self.waiting.len() >= REJECTED {
            self.tell();
        }
    }

    fn tell(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        if let Some(rejecting) = self.rejecting.as_ref().filter(|_| !waiting.is_empty()) {
            // Whoever wanted to know has ended, with an error that says why.
            let _ = rejecting.blocking_send(waiting);
        }
    }
}

fn hash_of_app(event: &Event) -> u64 {
    match event {
        Event::App(switch) => spill::hash((&*switch.user, &*switch.app)),
        _ => 0,
    }
}
