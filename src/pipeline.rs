//! What happens to a message between Kafka and Postgres.
//!
//! One thread reads from Kafka and hands records to a fixed number of lanes ([`consume`]). A lane decodes and merges
//! them into a batch ([`gather`]) while its last one is being written ([`store`]), and says what is stored
//! ([`watermark`]).

pub mod consume;
pub mod decode;
pub mod gather;
pub mod group;
mod letter;
pub mod merge;
pub mod retry;
pub(crate) mod shares;
pub mod sieve;
#[cfg(test)]
mod simulation;
pub mod store;
pub mod watermark;

use std::{
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::Notify;

use crate::{kafka::Lease, model::Offset};

/// A record on its way.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// The loan under which it was read.
    pub lease: Arc<Lease>,
    /// Its offset.
    pub offset: Offset,
    /// Its timestamp in ms since 1970.
    pub time: Option<i64>,
    /// Its key.
    pub key: Option<Bytes>,
    /// Its value.
    pub payload: Option<Bytes>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Bytes>)>,
    /// What it says in the words of the contract, as far as others had to be asked for that.
    pub told: Option<Bytes>,
}

impl Envelope {
    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        let headers =
            self.headers.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len) + 64);
        let bytes = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        160 + bytes(&self.key) + bytes(&self.payload) + bytes(&self.told) + headers.sum::<usize>()
    }

    /// What is decoded of it.
    pub(crate) fn meant(&self) -> Option<&Bytes> {
        self.told.as_ref().or(self.payload.as_ref())
    }

    /// A header's value; of several the last.
    pub(crate) fn header(&self, name: &str) -> Option<Bytes> {
        self.headers.iter().rev().find(|(key, _)| key == name)?.1.clone()
    }
}

/// Bytes that wait before a lane: what is on its channel and not yet in a batch.
#[derive(Debug, Default)]
pub struct Load {
    bytes: AtomicUsize,
    looking: Mutex<()>,
    lighter: Condvar,
}

impl Load {
    /// So many bytes come to it.
    pub fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So many bytes are done with.
    pub fn remove(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        // Whoever found it too heavy before this is waiting once the lock is had, and can be woken.
        drop(self.looking.lock().unwrap_or_else(PoisonError::into_inner));
        self.lighter.notify_all();
    }

    /// How many wait.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Blocks until fewer than so many bytes wait, or for `limit`; says which of the two it was.
    pub fn wait_below(&self, most: usize, limit: Duration) -> bool {
        let looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.lighter.wait_timeout_while(looking, limit, |()| self.bytes() >= most));
        self.bytes() < most
    }
}

/// Whether lanes have kept dead letters that may come right by themselves. A clone is the same.
#[derive(Debug, Clone, Default)]
pub struct Kept(Arc<Notify>);

impl Kept {
    /// A lane has kept some.
    pub(crate) fn note(&self) {
        self.0.notify_one();
    }

    /// Waits until some were kept since the last time.
    pub(crate) async fn wait(&self) {
        self.0.notified().await;
    }
}

/// Some records for one lane.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The records, in the order in which they were read.
    pub envelopes: Vec<Envelope>,
    /// Their weight.
    pub bytes: usize,
    /// Partitions of which no record is left before an offset, behind these records.
    pub hollow: Vec<(Arc<Lease>, Offset)>,
}
