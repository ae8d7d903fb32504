//! A slice → buckets by flow. What can't become a row is told apart here.

use std::{
    collections::HashSet,
    ops::ControlFlow,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::mpsc;

use super::{
    Setting, VerifyError,
    spill::{self, Entry, Spill, SpillError},
};
use crate::{
    flowable::identity::Waiting,
    kafka::{block::Block, broker::Record, slice::Stretch},
    model::{Event, Offset, Partition},
    pipeline::decode::{decode, envelopes, flows_of, redacted},
    proto::sliced::HistoryEvent,
};

/// Records that can't become rows are looked for among the dead letters so many at a time.
const REJECTED: usize = 1_000;

/// So many things of Flowable's are remembered with their flows at least, and so many bytes of events wait for others.
const KNOWN: usize = 200_000;
const UNIDENTIFIED: usize = 32 << 20;

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
    /// Events of flows that are not known yet.
    unidentified: Waiting<HistoryEvent, Place>,
    read: Read,
}

/// Where a record is, and its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    stretch: Option<u32>,
    offset: i64,
    time: i64,
}

impl Place {
    fn number(self) -> usize {
        self.stretch.and_then(|number| usize::try_from(number).ok()).unwrap_or(usize::MAX)
    }
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
        let unidentified = Waiting::new(KNOWN, UNIDENTIFIED);
        Self { stretches, flows, refused_before, rejecting: None, waiting, block, unidentified, read }
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
        let unidentified = std::mem::replace(&mut self.unidentified, Waiting::new(0, 0));
        self.reject_each(setting, unidentified.left().map(|(_, place)| place).collect(), b"");
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
        let [key, payload] = setting.foreign.copied(&mut self.block, record);
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
        let place = Place { stretch: u32::try_from(stretch).ok(), offset, time: time.unwrap_or(0) };
        match (decoded.rest, decoded.events.as_slice()) {
            (None, [event]) => self.keep(event, place, key, payload),
            _ => self.take_apart(setting, place, &key, &payload),
        }
    }

    /// Keeps the events of a record one by one, each as if it had come alone; those whose flow has yet to be found once it is.
    fn take_apart(
        &mut self,
        setting: &Setting,
        place: Place,
        key: &Bytes,
        payload: &Bytes,
    ) -> Result<(), SpillError> {
        let said = envelopes(payload).unwrap_or_default();
        let told = said.len();
        let events: Vec<HistoryEvent> = said.into_iter().flatten().collect();
        let mut rejected = if events.len() == told { Vec::new() } else { vec![place] };
        for settled in self.unidentified.take(events, &place) {
            match settled {
                Ok((event, place)) => {
                    let payload = event.encode_to_vec().into();
                    let decoded = decode(None, Some(&payload), setting.max_payload_bytes, None);
                    match decoded.ok().and_then(|mut decoded| decoded.events.pop()) {
                        Some(event) => self.keep(&event, place, Bytes::new(), payload)?,
                        None => rejected.push(place),
                    }
                }
                Err((_, place)) => rejected.push(place),
            }
        }
        self.reject_each(setting, rejected, key);
        Ok(())
    }

    /// Each record once, however many of its events are rejected.
    fn reject_each(&mut self, setting: &Setting, mut places: Vec<Place>, key: &[u8]) {
        places.sort_unstable();
        places.dedup();
        for place in places {
            self.reject(setting, place.number(), place.offset, key);
        }
    }

    fn keep(&mut self, event: &Event, place: Place, key: Bytes, payload: Bytes) -> Result<(), SpillError> {
        let hash = match event.flow() {
            Some(flow) if self.flows.as_ref().is_none_or(|flows| flows.contains(flow.as_str())) => {
                spill::hash(flow.as_str().as_bytes())
            }
            None if self.flows.is_none() => hash_of_app(event),
            _ => return Ok(()),
        };
        let Place { stretch, offset, time } = place;
        self.read.spill.add(&Entry { hash, stretch, offset, time, key, payload })
    }

    fn reject(&mut self, setting: &Setting, stretch: usize, offset: i64, key: &[u8]) {
        self.read.rejected += 1;
        let place = setting.place(stretch, offset);
        let flow = || flows_of(Some(key), None).pop();
        self.waiting.extend(place.map(|(partition, offset)| (partition, offset, flow())));
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
