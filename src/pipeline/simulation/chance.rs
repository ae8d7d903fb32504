//! What happens by chance, all of it decided by one seed, and the account of it.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::{Instant, sleep};

/// Every fault there is, so that one that never strikes is seen.
pub(super) const FAULTS: [&str; 22] = [
    "batch rejected",
    "batch slow",
    "batch hangs",
    "rows stored, offsets not",
    "commit lost",
    "commit answered too late",
    "commit without an answer",
    "slow after the commit",
    "session refused",
    "offsets can't be read",
    "offsets read slowly",
    "database away",
    "database went back",
    "assigned without offsets",
    "partitions move",
    "member killed",
    "member leaves",
    "member frozen",
    "member thrown out",
    "seek fails",
    "old records after a seek",
    "group offset refused",
];

/// The dice of one run.
#[derive(Debug)]
pub(super) struct Chance {
    state: Mutex<State>,
    start: Instant,
}

#[derive(Debug)]
struct State {
    dice: StdRng,
    /// No fault strikes any more.
    quiet: bool,
    struck: BTreeMap<&'static str, u64>,
    trace: String,
}

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        let dice = StdRng::seed_from_u64(seed);
        let state = State { dice, quiet: false, struck: BTreeMap::new(), trace: String::new() };
        Self { state: Mutex::new(state), start: Instant::now() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// From now on everything works.
    pub(super) fn be_quiet(&self) {
        self.lock().quiet = true;
    }

    /// Whether a fault strikes that does so this often, in a thousand.
    pub(super) fn strikes(&self, fault: &'static str, in_a_thousand: u32) -> bool {
        assert!(FAULTS.contains(&fault), "{fault}");
        let mut state = self.lock();
        if state.quiet || !state.dice.random_ratio(in_a_thousand, 1_000) {
            return false;
        }
        *state.struck.entry(fault).or_default() += 1;
        drop(state);
        self.note(format_args!("FAULT {fault}"));
        true
    }

    /// Less than `below`.
    pub(super) fn number(&self, below: usize) -> usize {
        self.lock().dice.random_range(0..below)
    }

    /// True so often in a hundred, also when all is quiet: what is no fault.
    pub(super) fn percent(&self, percent: u32) -> bool {
        self.lock().dice.random_ratio(percent, 100)
    }

    /// Lets at most so much time go by.
    pub(super) async fn wait(&self, at_most: Duration) {
        let millis = u64::try_from(at_most.as_millis()).unwrap();
        let wait = self.lock().dice.random_range(0..=millis);
        sleep(Duration::from_millis(wait)).await;
    }

    /// Adds a line to the trace.
    pub(super) fn note(&self, what: impl std::fmt::Display) {
        let at = self.start.elapsed().as_millis();
        writeln!(self.lock().trace, "{at:>8} {what}").unwrap();
    }

    /// What happened, line by line.
    pub(super) fn trace(&self) -> String {
        self.lock().trace.clone()
    }

    /// How often each fault struck.
    pub(super) fn struck(&self) -> BTreeMap<&'static str, u64> {
        self.lock().struck.clone()
    }
}
