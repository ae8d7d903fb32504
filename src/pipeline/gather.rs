//! A lane's first half: takes records, makes batches, and hands one over as soon as the writer is free for it.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::mpsc::{Receiver, Sender, UnboundedReceiver},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Chunk, Load,
    group::{Gathered, Limits},
};
use crate::{metrics, redaction::Rules};

/// What a lane's gatherer is connected to.
#[derive(Debug)]
pub struct Gatherer {
    /// Records. Bounded by the bytes in `load`, which whoever sends looks at.
    pub input: UnboundedReceiver<Chunk>,
    /// Bytes on `input`.
    pub load: Arc<Load>,
    /// The writer is free; one word for one batch.
    pub ready: Receiver<()>,
    /// Batches to the writer; never more than it was free for.
    pub output: Sender<Gathered>,
    /// Bounds of a batch.
    pub limits: Limits,
    /// What is masked.
    pub rules: Option<Arc<Rules>>,
    /// How long a batch waits for more while the writer is free.
    pub linger: Duration,
}

impl Gatherer {
    /// Runs until the records end and the last of them is handed over, until `stop`, or until the writer is gone. What is
    /// gathered at a `stop` is dropped: it is not stored, so it will be read again.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Gathered::new(self.limits).masking(self.rules.take());
        let mut due = Instant::now();
        let mut ended = false;
        while !(ended && batch.is_empty()) {
            let lingering = !ended && !batch.is_full() && Instant::now() < due;
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                free = self.ready.recv(), if !batch.is_empty() && !lingering => {
                    if free.is_none() || self.output.send(batch.take()).await.is_err() {
                        return;
                    }
                }
                chunk = self.input.recv(), if !ended && !batch.is_full() => {
                    let Some(chunk) = chunk else {
                        ended = true;
                        continue;
                    };
                    if batch.is_empty() {
                        due = Instant::now() + self.linger;
                    }
                    self.add(&mut batch, chunk);
                }
                () = sleep_until(due), if lingering && !batch.is_empty() => {}
            }
        }
    }

    fn add(&self, batch: &mut Gathered, chunk: Chunk) {
        metrics::events_consumed(u64::try_from(chunk.envelopes.len()).unwrap_or(u64::MAX));
        for envelope in chunk.envelopes {
            batch.add(envelope);
        }
        for (lease, next) in &chunk.hollow {
            batch.add_hollow(lease, *next);
        }
        self.load.remove(chunk.bytes);
    }
}
