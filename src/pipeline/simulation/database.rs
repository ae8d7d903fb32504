//! A database that fails in every way that Postgres may.
//!
//! What is committed is committed in one moment, under a lock, as a row lock on `ft_offset` makes it with Postgres.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::sleep;

use super::{broker::partition, chance::Chance};
use crate::{
    model::{FlowId, Offset, Partition},
    pipeline::merge::{FlowFold, Fold},
    postgres::{Batch, Database, Gap, Refusal, Stored, Tally, Trouble, Written},
};

/// A name that is refused.
pub(super) const MARK: &str = "~";

/// Longer than anybody waits.
const FOR_EVER: Duration = Duration::from_hours(1);

/// What is committed.
#[derive(Debug, Clone, Default)]
pub(super) struct Contents {
    pub(super) rows: Fold,
    pub(super) offsets: BTreeMap<Partition, Stored>,
    /// Reason by partition and offset.
    pub(super) letters: BTreeMap<(i32, i64), &'static str>,
}

#[derive(Debug, Default)]
struct State {
    contents: Contents,
    backup: Contents,
    /// Sessions of another age are gone.
    age: u64,
    away: bool,
}

#[derive(Debug)]
pub(super) struct FakeDatabase {
    chance: Arc<Chance>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
pub(super) struct FakeSession {
    age: u64,
    lost: bool,
}

impl FakeDatabase {
    pub(super) fn new(chance: Arc<Chance>) -> Self {
        Self { chance, state: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(super) fn contents(&self) -> Contents {
        self.lock().contents.clone()
    }

    /// Everything before this is stored of a partition.
    pub(super) fn reached(&self, number: i32) -> i64 {
        self.lock().contents.offsets.get(&partition(number)).map_or(0, |stored| stored.next.0)
    }

    /// What is stored, as it is read within a rebalance; nothing if the database is away.
    pub(super) fn glance(&self, partitions: &[Partition]) -> Option<Vec<(Partition, Stored)>> {
        let state = self.lock();
        (!state.away).then(|| state.contents.find(partitions))
    }

    /// Ends all sessions, and takes no new ones until it is back.
    pub(super) fn go_away(&self, away: bool) {
        let mut state = self.lock();
        state.away = away;
        state.age += 1;
    }

    pub(super) fn back_up(&self) {
        let mut state = self.lock();
        state.backup = state.contents.clone();
    }

    /// Is what it was when it was backed up last.
    pub(super) fn go_back(&self) {
        let mut state = self.lock();
        state.contents = state.backup.clone();
        state.age += 1;
    }

    /// Fails if the session is gone.
    fn look(&self, session: &mut FakeSession) -> Result<(), Trouble> {
        let state = self.lock();
        session.lost |= state.away || session.age != state.age;
        if session.lost { Err(retry("the session is lost")) } else { Ok(()) }
    }

    /// Rows of some of the flows, in a transaction of their own that moves no offset.
    fn store_some_rows(&self, batch: &Batch) {
        let mut flows: Vec<&FlowId> = batch.fold.flows.keys().collect();
        flows.sort();
        for flow in flows {
            if self.chance.percent(50) {
                let fold = batch.fold.flows[flow].clone();
                self.lock().contents.rows.flows.entry(flow.clone()).or_default().join(fold);
            }
        }
    }
}

fn retry(why: &str) -> Trouble {
    Trouble::Retry(why.to_owned())
}

fn refused(batch: &Batch) -> Option<FlowId> {
    let marked = |fold: &FlowFold| {
        fold.steps.values().any(|row| row.task.as_deref() == Some(MARK))
            || fold.runs.values().any(|row| row.app.as_deref() == Some(MARK))
    };
    batch.fold.flows.iter().filter(|(_, fold)| marked(fold)).map(|(flow, _)| flow.clone()).min()
}

impl State {
    /// The whole transaction; `None` if the offsets are not what the batch expects.
    fn commit(&mut self, batch: &Batch) -> Option<()> {
        let stored = |partition: &Partition| self.contents.offsets.get(partition).map(|stored| stored.next);
        if batch.progress.iter().any(|progress| stored(&progress.partition) != progress.from) {
            return None;
        }
        self.contents.rows.join(batch.fold.clone());
        for letter in &batch.dead_letters {
            let place = (letter.partition.number, letter.offset.0);
            let before = self.contents.letters.insert(place, letter.reason);
            assert!(before.is_none_or(|before| before == letter.reason), "another reason at {place:?}");
        }
        for progress in &batch.progress {
            assert!(progress.from < Some(progress.next), "an offset moves back: {progress:?}");
            let before =
                self.contents.offsets.get(&progress.partition).and_then(|stored| stored.last.clone());
            let last = progress.last.clone().or(before);
            let stored = Stored { next: progress.next, last };
            self.contents.offsets.insert(progress.partition.clone(), stored);
        }
        Some(())
    }
}

impl Contents {
    fn find(&self, partitions: &[Partition]) -> Vec<(Partition, Stored)> {
        let found = |partition: &Partition| Some((partition.clone(), self.offsets.get(partition)?.clone()));
        partitions.iter().filter_map(found).collect()
    }
}

impl Fold {
    fn join(&mut self, other: Self) {
        for (flow, fold) in other.flows {
            self.flows.entry(flow).or_default().join(fold);
        }
        for (key, row) in other.apps {
            let mine = self.apps.entry(key).or_insert_with(|| row.clone());
            *mine = row.max(mine.clone());
        }
    }
}

impl Database for FakeDatabase {
    type Session = FakeSession;

    async fn open(&self) -> Result<FakeSession, Trouble> {
        self.chance.wait(Duration::from_millis(20)).await;
        if self.lock().away || self.chance.strikes("session refused", 50) {
            return Err(retry("no session"));
        }
        Ok(FakeSession { age: self.lock().age, lost: false })
    }

    fn is_closed(session: &FakeSession) -> bool {
        session.lost
    }

    async fn write(&self, session: &mut FakeSession, batch: &Batch) -> Result<Written, Trouble> {
        let chance = &self.chance;
        chance.wait(Duration::from_millis(30)).await;
        if chance.strikes("batch slow", 20) {
            chance.wait(Duration::from_secs(100)).await;
        }
        if chance.strikes("batch hangs", 5) {
            sleep(FOR_EVER).await;
        }
        self.look(session)?;
        if chance.strikes("batch rejected", 30) {
            return Err(retry("a lock"));
        }
        if let Some(flow) = refused(batch) {
            let flow = chance.percent(70).then_some(flow);
            return Err(Trouble::Refused(Refusal { sqlstate: None, sentence: "no".to_owned(), flow }));
        }
        if chance.percent(30) {
            self.store_some_rows(batch);
            if chance.strikes("rows stored, offsets not", 200) {
                session.lost = true;
                return Err(retry("lost between two transactions"));
            }
        }
        chance.wait(Duration::from_millis(30)).await;
        self.look(session)?;
        self.finish(session, batch).await
    }

    async fn read(&self, partitions: &[Partition]) -> Result<Vec<(Partition, Stored)>, Trouble> {
        self.chance.wait(Duration::from_millis(20)).await;
        if self.lock().away || self.chance.strikes("offsets can't be read", 50) {
            return Err(retry("no answer"));
        }
        let found = self.lock().contents.find(partitions);
        if self.chance.strikes("offsets read slowly", 50) {
            self.chance.wait(Duration::from_secs(10)).await;
        }
        Ok(found)
    }

    async fn keep_gap(&self, gap: &Gap) -> Result<(), String> {
        panic!("there is no gap, but one was found: {gap:?}");
    }
}

impl FakeDatabase {
    /// The commit, and what may become of it.
    async fn finish(&self, session: &mut FakeSession, batch: &Batch) -> Result<Written, Trouble> {
        let chance = &self.chance;
        if chance.strikes("commit lost", 20) {
            session.lost = true;
            return Err(retry("lost before the commit"));
        }
        if chance.strikes("commit answered too late", 5) {
            // It was sent, and gets through long after nobody waits for it any more, if it still can.
            let (state, batch, age) = (self.state.clone(), copy(batch), session.age);
            let after = Duration::from_millis(u64::try_from(chance.number(300_000)).unwrap());
            tokio::spawn(async move {
                sleep(after).await;
                let mut state = state.lock().unwrap();
                if state.age == age {
                    state.commit(&batch);
                }
            });
            session.lost = true;
            sleep(FOR_EVER).await;
        }
        let committed = self.lock().commit(batch);
        if committed.is_none() {
            let partitions: Vec<Partition> = batch.progress.iter().map(|p| p.partition.clone()).collect();
            let found = self.lock().contents.find(&partitions);
            let found: Vec<(Partition, Offset)> =
                found.into_iter().map(|(p, stored)| (p, stored.next)).collect();
            chance.note(format_args!("elsewhere {}", list(&found)));
            return Ok(Written::Elsewhere(found));
        }
        let reached: Vec<(Partition, Offset)> =
            batch.progress.iter().map(|p| (p.partition.clone(), p.next)).collect();
        chance.note(format_args!("stored {}", list(&reached)));
        if chance.strikes("commit without an answer", 30) {
            session.lost = true;
            return Err(retry("lost after the commit"));
        }
        if chance.strikes("slow after the commit", 30) {
            chance.wait(Duration::from_secs(150)).await;
        }
        Ok(Written::Stored(Tally::default()))
    }
}

fn list(places: &[(Partition, Offset)]) -> String {
    places.iter().map(|(partition, at)| format!("{partition}@{at}")).collect::<Vec<_>>().join(" ")
}

fn copy(batch: &Batch) -> Batch {
    let Batch { fold, dead_letters, progress, at_once } = batch;
    Batch {
        fold: fold.clone(),
        dead_letters: dead_letters.clone(),
        progress: progress.clone(),
        at_once: at_once.clone(),
    }
}
