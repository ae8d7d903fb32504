//! Partitions that are being read: from a message in librdkafka's memory to an envelope of ours.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};

use crate::{
    kafka::{Lease, rebalance::Assignment},
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
}

/// What a message is to us.
#[derive(Debug)]
pub(super) enum Taken {
    /// A record for its lane.
    Record(Envelope),
    /// Nothing: its partition has no lease, or it is stored already.
    Nothing,
    /// At the offset of the record that was stored last there is another record.
    AnotherRecord(Arc<Lease>),
}

impl Readings {
    pub(super) fn new() -> Self {
        Self { readings: Vec::new(), generation: u64::MAX }
    }

    /// Takes a message. One of a partition without a live lease is nothing to us: the partition was taken back, or
    /// waits for it to be known where it begins.
    pub(super) fn take(&mut self, message: &BorrowedMessage<'_>, assignment: &Assignment) -> Taken {
        self.refresh(assignment);
        let same = |reading: &&mut Reading| {
            let partition = &reading.lease.partition;
            partition.number == message.partition() && &*partition.topic == message.topic()
        };
        let Some(reading) = self.readings.iter_mut().find(same) else { return Taken::Nothing };
        if !reading.lease.is_live() {
            return Taken::Nothing;
        }
        if let Some(check) = &reading.check
            && message.offset() >= check.offset.0
        {
            // If the record itself is gone, to compaction say, there is nothing to compare.
            let other = message.offset() == check.offset.0
                && last_record(&envelope(message, &reading.lease)) != *check;
            reading.check = None;
            if other {
                return Taken::AnotherRecord(reading.lease.clone());
            }
        }
        if message.offset() < reading.next {
            return Taken::Nothing;
        }
        reading.next = message.offset() + 1;
        let envelope = envelope(message, &reading.lease);
        reading.lease.note_received(envelope.offset, envelope.time);
        Taken::Record(envelope)
    }

    /// The offset that a lease reads next, and whether the record before it has been looked at.
    pub(super) fn next(&mut self, lease: &Lease, assignment: &Assignment) -> (i64, bool) {
        self.refresh(assignment);
        let reading = self.readings.iter().find(|reading| reading.lease.generation == lease.generation);
        reading.map_or((first(lease), false), |reading| (reading.next, reading.check.is_none()))
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
                None => Reading { next: first(&lease), check: lease.start.check.clone(), lease },
            }
        };
        self.readings = assignment.leases().into_iter().map(reading).collect();
    }
}

fn first(lease: &Lease) -> i64 {
    lease.start.first.map_or(0, |first| first.0)
}

/// Copies a message out of librdkafka's memory, key and value in one piece.
fn envelope(message: &BorrowedMessage<'_>, lease: &Arc<Lease>) -> Envelope {
    let (key, payload) = (message.key(), message.payload());
    let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    let mut bytes = BytesMut::with_capacity(len(key) + len(payload));
    bytes.put_slice(key.unwrap_or_default());
    bytes.put_slice(payload.unwrap_or_default());
    let mut bytes = bytes.freeze();
    let key = key.map(|key| bytes.split_to(key.len()));
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        let header = |header: rdkafka::message::Header<'_, &[u8]>| {
            (header.key.to_owned(), header.value.map(Bytes::copy_from_slice))
        };
        headers.iter().map(header).collect()
    });
    Envelope {
        lease: lease.clone(),
        offset: Offset(message.offset()),
        time: message.timestamp().to_millis(),
        key,
        payload: payload.map(|_| bytes),
        headers,
    }
}
