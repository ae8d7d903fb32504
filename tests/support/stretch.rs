//! A stretch of made-up traffic as records of a topic, always the same: what decode, merge and encode are measured by.

use std::{iter, sync::Arc};

use bytes::Bytes;
use flowtrail::{
    kafka::{Lease, Start},
    model::{Event, Offset, Partition},
    pipeline::{
        Envelope,
        decode::{Reject, decode},
        group::Limits,
    },
    publish::{Record, Synthetic, SyntheticOptions},
};
use prost::Message as _;

/// As many as a batch is made of when there is a backlog.
pub const EVENTS: u16 = 20_000;

/// Wide enough for all of it.
pub const LIMITS: Limits = Limits { rows: usize::MAX, bytes: usize::MAX, payload_bytes: 4 << 20 };

/// The records, in the order of their time, as one partition has them, in memory that they share.
pub fn records() -> Vec<Envelope> {
    let partition = Partition { topic: "flow.history".into(), number: 0 };
    let lease = Arc::new(Lease::new(partition, 1, 0, Start::at(None)));
    let (mut memory, mut ends) = (Vec::new(), Vec::new());
    for Record { key, event, .. } in Synthetic::new(SyntheticOptions::default()).take(EVENTS.into()) {
        memory.extend_from_slice(key.as_bytes());
        let key_end = memory.len();
        memory.extend_from_slice(&event.encode_to_vec());
        ends.push((key_end, memory.len()));
    }
    let memory = Bytes::from(memory);
    let begins = iter::once(0).chain(ends.iter().map(|(_, end)| *end));
    let record = |(offset, (begin, (key_end, end))): (i64, (usize, &(usize, usize)))| Envelope {
        lease: lease.clone(),
        offset: Offset(offset),
        time: Some(0),
        key: Some(memory.slice(begin..*key_end)),
        payload: Some(memory.slice(*key_end..*end)),
        headers: Vec::new(),
        told: None,
    };
    (0..).zip(begins.zip(&ends)).map(record).collect()
}

/// What a record says.
pub fn event(record: &Envelope) -> Result<Event, Reject> {
    Ok(decode(record.key.as_deref(), record.payload.as_ref(), LIMITS.payload_bytes, None)?.events.remove(0))
}
