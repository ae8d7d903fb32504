//! A slice of topics once more: into the tables, or onto another topic.
//!
//! A slice is fixed when a replay begins ([`Selection`]), read by no group of collectors, and what is wanted of it goes
//! to a sink: [`into_postgres`] feeds a collector's own lanes, [`into_topic`] copies records in Kafka's transactions, and
//! [`count`] only counts. How far a replay is, is committed with what it did, under a group of its own ([`group`]): a
//! replay that was killed goes on where it stopped, and collectors' offsets are never touched.

mod choose;
mod feed;
mod filter;
pub mod ids;
mod into_postgres;
mod into_topic;
mod reading;

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
};

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

pub use self::{
    choose::MOST_FLOWS,
    into_postgres::{Rebuild, Stored, into_postgres},
    into_topic::{BY_HEADER, Copied, FROM_HEADER, Target, into_topic},
};
use crate::{
    collector::CollectError,
    config::Config,
    hex::hex,
    kafka::{
        self,
        slice::{SliceError, Wanted},
        transaction::TransactionError,
    },
    model::Partition,
    postgres::connect::PostgresError,
    verify::{self, Difference, VerifyError},
};

/// What groups of replays begin with, so that none is a collector's.
const GROUP: &str = "replay-";

/// What is replayed; what is not given does not narrow.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Stretches of topics.
    pub wanted: Wanted,
    /// Only these flows. App switches are left out then, and so they are if anything below narrows the flows.
    pub flows: Option<HashSet<String>>,
    /// Only flows of which some record of the slice names this app.
    pub app: Option<String>,
    /// Only flows of which some record of the slice tells this status, whatever came of them later. Case does not count.
    pub status: Option<String>,
    /// Only what [`crate::verify`] finds missing or different of what the configured group has stored.
    pub where_missing: bool,
    /// Where records go that [`Self::where_missing`] has to keep for a while and that 64 MiB of memory do not hold.
    pub spill_folder: PathBuf,
}

/// One replay.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its group, as [`group`] makes it: who replays under a group that was begun goes on where that stopped.
    pub group: String,
    /// What is replayed.
    pub selection: Selection,
    /// Into Postgres: what an earlier process did of it counts for nothing.
    pub anew: bool,
    /// Who asked for it, for `ft_audit`.
    pub by: String,
    /// What was asked for, for `ft_audit`.
    pub asked: serde_json::Value,
}

/// The group of a replay of this name.
pub fn group(name: &str) -> String {
    format!("{GROUP}{name}")
}

/// A name for a replay that nobody gave one: the same for the same words, 12 hexadecimal digits.
pub fn name_of(words: &[&str]) -> String {
    let mut hash = Sha256::new();
    for word in words {
        // The length keeps words from running into each other.
        hash.update(u64::try_from(word.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(word);
    }
    let mut name = hex(&hash.finalize());
    name.truncate(12);
    name
}

/// Why a replay ended before its end. What was done by then stays, and the same replay goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The slice can't be read.
    #[error(transparent)]
    Slice(#[from] SliceError),
    /// Postgres can't be reached, or refused a statement.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// What is missing can't be found out.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// Nothing can be stored.
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// Nothing can be put on the topic.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// The flows that are wanted don't fit in memory.
    #[error(
        "the slice has more than {MOST_FLOWS} flows to choose from; narrow it by --since, --until or --partition"
    )]
    TooManyFlows,
    /// Somebody else moved the offsets of the replay.
    #[error(
        "{0} is not where this replay left it: another process runs the same replay, or the database lost its last \
         transactions; once no other one runs, the same command goes on from what is stored"
    )]
    Moved(Partition),
    /// The tables are to be filled and are not empty.
    #[error("the tables hold rows already; a rebuild fills emptied ones")]
    NotEmpty,
    /// It was told to stop.
    #[error("stopped before the end; the same command goes on where this one stopped")]
    Stopped,
    /// A part of it died without a word.
    #[error("a part of the replay ended by itself; this is a defect of flowtrail")]
    Died,
}

impl From<kafka::client::Error> for ReplayError {
    fn from(error: kafka::client::Error) -> Self {
        Self::Slice(error.into())
    }
}

/// What a replay is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Which flows are wanted is found out by comparing the slice with the tables.
    Comparing,
    /// Which flows are wanted is found out by reading the slice.
    Choosing,
    /// The slice goes to its sink.
    Replaying,
}

/// How far a replay is. What it has read counts over all phases but [`Phase::Comparing`].
#[derive(Debug, Default)]
pub struct Progress {
    phase: AtomicU8,
    /// Offsets of the phase.
    pub offsets: AtomicU64,
    /// Records of the phase that were read.
    pub done: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
}

impl Progress {
    /// What it is about.
    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            0 => Phase::Comparing,
            1 => Phase::Choosing,
            _ => Phase::Replaying,
        }
    }

    fn begin(&self, phase: Phase, offsets: u64) {
        let number = match phase {
            Phase::Comparing => 0,
            Phase::Choosing => 1,
            Phase::Replaying => 2,
        };
        self.done.store(0, Ordering::Relaxed);
        self.offsets.store(offsets, Ordering::Relaxed);
        self.phase.store(number, Ordering::Relaxed);
    }

    fn note_read(&self, bytes: usize) {
        self.done.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(u64::try_from(bytes).unwrap_or(0), Ordering::Relaxed);
    }

    fn read(&self) -> Read {
        Read { records: self.records.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) }
    }
}

/// What was read from Kafka, whether it was wanted or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Read {
    /// Records.
    pub records: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

/// A partition's part of a slice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Topic.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// First offset of the slice, or where an earlier process had stopped.
    pub from: i64,
    /// First offset that is no more of the slice.
    pub to: i64,
    /// It was begun by an earlier process.
    pub resumed: bool,
}

/// What a replay would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Counted {
    /// What would be read.
    pub partitions: Vec<Part>,
    /// What was read to find out.
    pub read: Read,
    /// Records that would go to the sink.
    pub replayed: u64,
}

/// Compares a slice with the tables, and tells what a replay into Postgres would insert or change; changes nothing. The
/// report's extra rows are none: a replay takes nothing away.
pub async fn difference(
    config: &Config,
    selection: &Selection,
    progress: Arc<verify::Progress>,
    found: impl FnMut(Difference),
) -> Result<verify::Report, ReplayError> {
    // What the tables lack is what is told anyway.
    let by_reading = Selection { where_missing: false, ..selection.clone() };
    let (group, stop) = (group("difference"), CancellationToken::new());
    let reading = reading::Reading::prepare(config, &by_reading, &group, false, Arc::default(), stop).await?;
    let options = verify::Options {
        wanted: selection.wanted.clone(),
        flows: reading.filter.flows,
        with_lag: !selection.where_missing,
        only_unstored: true,
        memory: choose::COMPARED_IN_MEMORY,
        spill_folder: selection.spill_folder.clone(),
    };
    Ok(Box::pin(verify::verify(config, options, progress, found)).await?)
}

/// Reads a slice and counts what is wanted of it; changes nothing, and begins where the slice does, whatever was done of it.
pub async fn count(
    config: &Config,
    selection: &Selection,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<Counted, ReplayError> {
    let group = group("count");
    let reading = reading::Reading::prepare(config, selection, &group, false, progress, stop).await?;
    reading::blocking(move || {
        let mut replayed = 0;
        reading.read(|_, _, is_wanted| {
            replayed += u64::from(is_wanted);
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(Counted { partitions: reading.parts(), read: reading.progress.read(), replayed })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_that_is_asked_for_in_the_same_words_has_the_same_name() {
        assert_eq!(name_of(&["a", "bc"]), name_of(&["a", "bc"]));
        assert_ne!(name_of(&["a", "bc"]), name_of(&["ab", "c"]));
        assert_eq!(group(&name_of(&["a"])).len(), "replay-".len() + 12);
    }
}
