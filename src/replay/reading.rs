//! A slice that is fixed, and is read from where the replay is.

use std::{ops::ControlFlow, sync::Arc};

use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::{Part, Phase, Progress, ReplayError, Selection, choose, filter::Filter};
use crate::{
    config::Config,
    kafka::{
        block::Block,
        broker::Record,
        slice::{Slicer, Stretch},
    },
    model::{Offset, Partition},
    pipeline::decode::foreign::Foreign,
};

/// A slice, what is wanted of it, and how far it is read.
pub(super) struct Reading {
    pub(super) slicer: Slicer,
    /// What is left to read, by partition.
    pub(super) stretches: Vec<Stretch>,
    /// By stretch: an earlier process has begun it.
    resumed: Vec<bool>,
    pub(super) filter: Filter,
    pub(super) progress: Arc<Progress>,
    pub(super) stop: CancellationToken,
}

impl Reading {
    /// Fixes the slice and finds out which flows are wanted; with `all_flows`, also where none are asked for.
    pub(super) async fn prepare(
        config: &Config,
        selection: &Selection,
        group: &str,
        all_flows: bool,
        progress: Arc<Progress>,
        stop: CancellationToken,
    ) -> Result<Self, ReplayError> {
        let mut kafka = config.kafka.clone();
        group.clone_into(&mut kafka.group);
        let wanted = selection.wanted.clone();
        let (slicer, stretches) = blocking(move || {
            let slicer = Slicer::new(&kafka)?;
            let stretches = slicer.stretches(&wanted)?;
            Ok((slicer, stretches))
        })
        .await?;
        let mut filter = Filter {
            flows: selection.flows.clone(),
            max_payload_bytes: config.collector.max_payload_bytes,
            foreign: Foreign::of(&config.flowable),
            ..Filter::default()
        };
        if selection.where_missing {
            progress.begin(Phase::Comparing, 0);
            filter = Box::pin(choose::missing(config, selection, filter, &stop)).await?;
        }
        let resumed = vec![false; stretches.len()];
        let mut reading = Self { slicer, stretches, resumed, filter, progress, stop };
        let is_chosen_by_reading = selection.app.is_some() || selection.status.is_some();
        if is_chosen_by_reading || (all_flows && reading.filter.takes_all()) {
            reading.begin(Phase::Choosing);
            let (app, status) = (selection.app.clone(), selection.status.clone());
            reading = blocking(move || {
                let flows = choose::by_reading(&reading, app.as_deref(), status.as_deref())?;
                reading.filter.flows = Some(flows);
                Ok(reading)
            })
            .await?;
        }
        reading.begin(Phase::Replaying);
        Ok(reading)
    }

    fn begin(&self, phase: Phase) {
        self.progress.begin(phase, self.stretches.iter().map(Stretch::len).sum());
    }

    /// The partitions of the slice.
    pub(super) fn partitions(&self) -> Vec<Partition> {
        self.stretches.iter().map(|stretch| stretch.partition.clone()).collect()
    }

    /// Goes on where an earlier process stopped, also where that lies before the slice: a time that is told from now has
    /// moved on since, and what was begun is brought to its end.
    pub(super) fn resume(&mut self, done: &[(Partition, Offset)]) {
        for (stretch, resumed) in self.stretches.iter_mut().zip(&mut self.resumed) {
            if let Some((_, next)) = done.iter().find(|(partition, _)| *partition == stretch.partition) {
                stretch.from = next.0;
                stretch.to = stretch.to.max(next.0);
                *resumed = true;
            }
        }
        self.begin(Phase::Replaying);
    }

    /// What is left of each partition.
    pub(super) fn parts(&self) -> Vec<Part> {
        let part = |(stretch, resumed): (&Stretch, &bool)| Part {
            topic: stretch.partition.topic.to_string(),
            partition: stretch.partition.number,
            from: stretch.from,
            to: stretch.to,
            resumed: *resumed,
        };
        self.stretches.iter().zip(&self.resumed).map(part).collect()
    }

    /// Reads what is left, to its end or until `take` says so. It gets the number of the stretch, the record, and whether
    /// the record is wanted. Blocks.
    pub(super) fn read(
        &self,
        mut take: impl FnMut(usize, &dyn Record, bool) -> ControlFlow<()>,
    ) -> Result<(), ReplayError> {
        // Freed as soon as a record was looked at: what is kept of it is copied by whoever keeps it.
        let mut looked_at = Block::default();
        self.slicer.read(&self.stretches, |stretch, record| {
            if self.stop.is_cancelled() {
                return ControlFlow::Break(());
            }
            let len = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
            self.progress.note_read(len(record.key()) + len(record.payload()));
            let is_wanted = self.filter.takes_all() || {
                let [key, payload] = self.filter.foreign.copied(&mut looked_at, record);
                self.filter.takes(key.as_ref(), payload.as_ref(), || {
                    let partition = self.stretches.get(stretch)?.partition.clone();
                    Some((partition, record.offset()))
                })
            };
            take(stretch, record, is_wanted)
        })?;
        if self.stop.is_cancelled() { Err(ReplayError::Stopped) } else { Ok(()) }
    }
}

/// Does what blocks on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ReplayError> + Send + 'static,
) -> Result<T, ReplayError> {
    spawn_blocking(work).await.map_err(|_| ReplayError::Died)?
}
