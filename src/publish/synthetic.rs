//! Made-up traffic that looks like real flows: several in flight, steps that open and close, failures, subflows,
//! re-runs. The same options give the same events, byte for byte.

mod flow;
mod payload;

use std::{cmp::Reverse, collections::BinaryHeap};

use jiff::Timestamp;
use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus as Rng};

use self::{
    flow::{Flow, Names},
    payload::Payloads,
};
use super::Record;

/// What the traffic is like.
#[derive(Debug, Clone)]
pub struct SyntheticOptions {
    /// Everything that is random follows from it; flow instance ids begin with its 16 hex digits.
    pub seed: u64,
    /// When the first flow starts, in event time.
    pub start: Timestamp,
    /// Steps of a flow that does not fail, 1 at least. Each gives an opening and a closing event.
    pub steps_per_flow: u32,
    /// Bytes of JSON text that every event carries: input of a flow that opens, output of one that closes, input of
    /// a step that opens, data of one that closes. Below some 40 it is a little more than asked for; 0 is none.
    pub payload_bytes: usize,
    /// How many flows in a hundred fail: a step fails with an error, and the flow ends there.
    pub failed_percent: f64,
    /// How many flows in a hundred call a subflow, whose steps name it.
    pub subflow_percent: f64,
    /// How many ended flows in a hundred are run again: one half by a new instance that names the original, the
    /// other half from a step on, under the same instance id.
    pub rerun_percent: f64,
    /// Flows in flight at any time, 1 at least. Start and end of a step lie about so many events apart.
    pub flows_in_flight: u32,
    /// How long a flow takes from one of its events to its next, on average, in µs of event time.
    pub step_micros: u32,
}

impl Default for SyntheticOptions {
    /// 10 steps, 200 bytes, 3 % failed, 5 % with a subflow, 1 % run again, eight flows in flight, 3 ms a step.
    fn default() -> Self {
        Self {
            seed: 1,
            start: "2026-01-01T00:00:00Z".parse().expect("an RFC 3339 time"),
            steps_per_flow: 10,
            payload_bytes: 200,
            failed_percent: 3.0,
            subflow_percent: 5.0,
            rerun_percent: 1.0,
            flows_in_flight: 8,
            step_micros: 3_000,
        }
    }
}

impl SyntheticOptions {
    /// Makes event time go as fast as a clock where so many events are published a second: more flows in flight for
    /// a high rate, slower steps for a low one.
    #[must_use]
    pub fn paced(mut self, events_per_second: u32) -> Self {
        let rate = u64::from(events_per_second.max(1));
        let in_flight = (rate * u64::from(self.step_micros)).div_ceil(1_000_000).clamp(8, 4_096);
        self.flows_in_flight = u32::try_from(in_flight).unwrap_or(u32::MAX);
        self.step_micros = u32::try_from(in_flight * 1_000_000 / rate).unwrap_or(u32::MAX);
        self
    }
}

/// The traffic: it never ends, so take as many records as you want. Flows whose turn has not come stay open then.
///
/// Events come in the order of their time.
#[derive(Debug)]
pub struct Synthetic {
    options: SyntheticOptions,
    random: Rng,
    payloads: Payloads,
    flows: Vec<Flow>,
    /// Event time in µs and index of the flow whose turn it is then.
    turns: BinaryHeap<Reverse<(i64, usize)>>,
    started: u64,
}

impl Synthetic {
    /// Begins at the beginning.
    pub fn new(options: SyntheticOptions) -> Self {
        let mut random = Rng::seed_from_u64(options.seed);
        let mut traffic = Self {
            payloads: Payloads::new(&mut random, options.payload_bytes),
            flows: Vec::new(),
            turns: BinaryHeap::new(),
            started: 0,
            random,
            options,
        };
        let mut at = traffic.options.start.as_microsecond();
        for turn in 0..usize::try_from(traffic.options.flows_in_flight.max(1)).unwrap_or(1) {
            let flow = traffic.fresh(None);
            traffic.flows.push(flow);
            traffic.turns.push(Reverse((at, turn)));
            // Not all at once: a flow's steps all take about as long.
            at += i64::from(traffic.options.step_micros / traffic.options.flows_in_flight.max(1)).max(1);
        }
        traffic
    }

    /// A flow that has not begun: of any app, or a re-run of one that ended.
    fn fresh(&mut self, original: Option<(String, Names)>) -> Flow {
        let id = format!("{:016x}{:016x}", self.options.seed, self.started);
        self.started += 1;
        let steps = self.options.steps_per_flow.max(1);
        let is_rerun = original.is_some();
        let (original, names) = original.unwrap_or_else(|| (String::new(), Names::any(&mut self.random)));
        let mut flow = Flow::new(id, names, original, steps);
        if !is_rerun && self.chance(self.options.failed_percent) {
            flow.fails_at = Some(self.random.random_range(0..steps));
        }
        if self.chance(self.options.subflow_percent) {
            let first = self.random.random_range(0..steps);
            flow.subflow = first..self.random.random_range(first..steps) + 1;
        }
        flow
    }

    /// What happens to a flow that ended: mostly another takes its place.
    fn after(&mut self, ended: &mut Flow) {
        if !self.chance(self.options.rerun_percent) {
            *ended = self.fresh(None);
        } else if self.random.random_bool(0.5) {
            *ended = self.fresh(Some((ended.id.clone(), ended.names)));
        } else {
            ended.run_again_from(self.random.random_range(0..ended.steps));
        }
    }

    fn chance(&mut self, percent: f64) -> bool {
        self.random.random_bool((percent / 100.0).clamp(0.0, 1.0))
    }
}

impl Iterator for Synthetic {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let Reverse((at, turn)) = self.turns.pop()?;
        // Taken out so that `after` may use the rest; an ended flow's place is never seen empty.
        let mut flow = std::mem::take(self.flows.get_mut(turn)?);
        let event = flow.next(at, &mut self.payloads);
        let record = Record { key: flow.id.clone(), event, partition: None };
        if flow.has_ended() {
            self.after(&mut flow);
        }
        *self.flows.get_mut(turn)? = flow;
        let average = i64::from(self.options.step_micros.max(2));
        let pause = average / 2 + self.random.random_range(0..=average);
        self.turns.push(Reverse((at + pause, turn)));
        Some(record)
    }
}

#[cfg(test)]
mod tests;
