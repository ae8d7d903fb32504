//! A lane's first half: takes records, makes batches, and hands one over as soon as the writer is free for it.

use std::{
    sync::Arc,
    time::{self, Duration},
};

use tokio::{
    sync::mpsc::{Receiver, Sender, UnboundedReceiver},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Chunk, Load,
    decode::foreign::Foreign,
    group::{Gathered, Limits},
};
use crate::{
    clock, metrics,
    redaction::Rules,
    telemetry::{BatchTrace, Tracer},
};

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
    pub(crate) output: Sender<HandedOver>,
    /// Bounds of a batch.
    pub limits: Limits,
    /// What is masked.
    pub rules: Option<Arc<Rules>>,
    /// How records are read that are not the contract's own.
    pub foreign: Foreign,
    /// How long a batch waits for more while the writer is free.
    pub linger: Duration,
    /// Makes traces of batches, where that is wanted.
    pub(crate) tracer: Option<Tracer>,
}

/// A batch on its way to the writer.
#[derive(Debug)]
pub(crate) struct HandedOver {
    /// The batch.
    pub(crate) gathered: Gathered,
    /// Its trace so far.
    pub(crate) trace: BatchTrace,
}

/// How a batch is getting on.
struct Making {
    began: time::Instant,
    decoding: Duration,
    trace: BatchTrace,
}

impl Making {
    fn begin(tracer: Option<&Tracer>) -> Self {
        let trace = tracer.map_or_else(BatchTrace::default, Tracer::batch);
        Self { began: clock::monotonic(), decoding: Duration::ZERO, trace }
    }

    fn done(mut self, gathered: Gathered) -> HandedOver {
        metrics::stage("gather", self.began.elapsed());
        metrics::stage("decode", self.decoding);
        self.trace.handed_over(gathered.records.len(), gathered.rows, self.decoding);
        HandedOver { gathered, trace: self.trace }
    }
}

impl Gatherer {
    /// Runs until the records end and the last of them is handed over, until `stop`, or until the writer is gone. What is
    /// gathered at a `stop` is dropped: it is not stored, so it will be read again.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Gathered::new(self.limits).masking(self.rules.take()).reading(self.foreign.clone());
        let mut due = Instant::now();
        let mut making = Making::begin(None);
        let mut ended = false;
        while !(ended && batch.is_empty()) {
            let lingering = !ended && !batch.is_full() && Instant::now() < due;
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                free = self.ready.recv(), if !batch.is_empty() && !lingering => {
                    let made = std::mem::replace(&mut making, Making::begin(None)).done(batch.take());
                    if free.is_none() || self.output.send(made).await.is_err() {
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
                        making = Making::begin(self.tracer.as_ref());
                    }
                    self.add(&mut batch, &mut making, chunk);
                }
                () = sleep_until(due), if lingering && !batch.is_empty() => {}
            }
        }
    }

    fn add(&self, batch: &mut Gathered, making: &mut Making, chunk: Chunk) {
        // Once for a chunk: a look at the clock for each record would show.
        let began = clock::monotonic();
        metrics::events_consumed(u64::try_from(chunk.envelopes.len()).unwrap_or(u64::MAX));
        for envelope in chunk.envelopes {
            making.trace.add(&envelope);
            batch.add(envelope);
        }
        for (lease, next) in &chunk.hollow {
            batch.add_hollow(lease, *next);
        }
        self.load.remove(chunk.bytes);
        making.decoding += began.elapsed();
    }
}
