//! A slice → a collector's lanes.

use std::{cmp::max, mem, ops::ControlFlow, sync::Arc, time::Duration};

use super::{ReplayError, reading::Reading};
use crate::{
    kafka::{Lease, block::Block, broker::Record},
    model::Offset,
    pipeline::{Chunk, Envelope, consume::LaneInput},
};

/// Records and bytes that go to a lane in one piece; a single larger record goes alone.
const CHUNK: (usize, usize) = (512, 256 << 10);

/// So many records that are left out are noted in one piece: the offset moves past them.
const LEFT_OUT: u64 = 50_000;

/// How long a full lane is waited for before it is looked whether it is still there.
const FULL_LANE: Duration = Duration::from_millis(100);

/// Feeds lanes until the slice ends; it then lets go of them, which ends them.
pub(super) struct Feeder {
    reading: Reading,
    /// By stretch.
    sources: Vec<Source>,
    lanes: Vec<Lane>,
    /// Bytes that may wait before a lane.
    most: usize,
    replayed: u64,
}

struct Source {
    lease: Arc<Lease>,
    /// Everything before this went to the lane or was left out.
    next: Offset,
    /// Everything before this went to the lane, or the lane knows that it was left out.
    told: Offset,
    /// Memory of the next records.
    block: Block,
}

struct Lane {
    input: LaneInput,
    chunk: Chunk,
    /// Records that were left out since it was told of any.
    left_out: u64,
}

impl Feeder {
    /// `leases` are those of the stretches. At most about `most` bytes wait before each lane.
    pub(super) fn new(reading: Reading, leases: &[Arc<Lease>], lanes: Vec<LaneInput>, most: usize) -> Self {
        let source = |(lease, stretch): (&Arc<Lease>, &crate::kafka::slice::Stretch)| {
            let from = Offset(stretch.from);
            Source { lease: lease.clone(), next: from, told: from, block: Block::default() }
        };
        let sources = leases.iter().zip(&reading.stretches).map(source).collect();
        let lane = |input| Lane { input, chunk: Chunk::default(), left_out: 0 };
        Self { reading, sources, lanes: lanes.into_iter().map(lane).collect(), most, replayed: 0 }
    }

    /// Feeds it all, and gives back what is read; says how many records went to the lanes. Ends early, and without an error,
    /// if a lane is gone or a lease has ended: whoever ended it says why. Blocks.
    pub(super) fn run(mut self) -> Result<(Reading, u64), ReplayError> {
        let (sources, lanes) = (&mut self.sources, &mut self.lanes);
        let (replayed, most) = (&mut self.replayed, self.most);
        let stop = &self.reading.stop;
        let mut is_cut = false;
        self.reading.read(|stretch, record, is_wanted| {
            let Some(source) = sources.get_mut(stretch) else { return ControlFlow::Continue(()) };
            let number = source.lease.lane;
            let Some(lane) = lanes.get_mut(number) else { return ControlFlow::Continue(()) };
            source.take(record, is_wanted, lane);
            *replayed += u64::from(is_wanted);
            if lane.is_due() && !(lane.flush(number, sources) && lane.wait(most, || stop.is_cancelled())) {
                is_cut = true;
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        if !is_cut {
            // Behind the last record there may be what is no record, such as the marker of a transaction.
            for (source, stretch) in self.sources.iter_mut().zip(&self.reading.stretches) {
                source.next = max(source.next, Offset(stretch.to));
            }
            for (number, lane) in self.lanes.iter_mut().enumerate() {
                lane.flush(number, &mut self.sources);
            }
        }
        Ok((self.reading, self.replayed))
    }
}

impl Source {
    fn take(&mut self, record: &dyn Record, is_wanted: bool, lane: &mut Lane) {
        self.next = record.offset().next();
        if !is_wanted {
            lane.left_out += 1;
            return;
        }
        let (key, payload) = self.block.copy(record);
        let (time, headers) = (record.time(), record.headers());
        let envelope = Envelope {
            lease: self.lease.clone(),
            offset: record.offset(),
            time,
            key,
            payload,
            headers,
            told: None,
        };
        lane.chunk.bytes += envelope.weight();
        lane.chunk.envelopes.push(envelope);
        self.told = self.next;
    }
}

impl Lane {
    fn is_due(&self) -> bool {
        self.chunk.envelopes.len() >= CHUNK.0 || self.chunk.bytes >= CHUNK.1 || self.left_out >= LEFT_OUT
    }

    /// Hands over what was gathered, and how far its partitions are read. `false`: nobody takes it.
    fn flush(&mut self, number: usize, sources: &mut [Source]) -> bool {
        let mut chunk = mem::take(&mut self.chunk);
        self.left_out = 0;
        for source in sources.iter_mut().filter(|source| source.lease.lane == number) {
            if !source.lease.is_live() {
                return false;
            }
            if source.next > source.told {
                chunk.hollow.push((source.lease.clone(), source.next));
                source.told = source.next;
            }
        }
        if chunk.envelopes.is_empty() && chunk.hollow.is_empty() {
            return true;
        }
        self.input.load.add(chunk.bytes);
        self.input.sender.send(chunk).is_ok()
    }

    /// Waits until there is room. `false`: told to stop, or nobody makes room any more.
    fn wait(&self, most: usize, is_stopped: impl Fn() -> bool) -> bool {
        while !self.input.load.wait_below(most, FULL_LANE) {
            if is_stopped() || self.input.sender.is_closed() {
                return false;
            }
        }
        true
    }
}
