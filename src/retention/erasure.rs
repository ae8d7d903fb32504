//! Erases flows at somebody's request: all that is held of them, for ever.
//!
//! First they are kept out, so that nothing comes to them any more; then their dead letters go, then what the archive has
//! of them, and their rows last. So one that was killed is finished by asking for the same once more: a user's flows are
//! found by their rows for as long as anything else of them is left.

mod archived;
mod letters;

use std::{collections::HashSet, time::Duration};

use serde::Serialize;
use serde_json::json;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use self::{archived::Archived, letters::Subject};
use super::{
    RetentionError,
    archive::{self, Place},
    of_statement,
    pace::Pace,
    purge,
    run::TRIES,
};
pub use crate::postgres::retention::Rows;
use crate::{
    clock,
    config::Config,
    pipeline::decode::foreign::Foreign,
    postgres::{audit, audit_outcome, retention::Purge},
};

/// So many flows are marked, or counted, at once.
const AT_ONCE: usize = 1_000;

/// So many dead letters are read at once: each holds a whole message.
const LETTERS: u32 = 16;

/// So many ids are noted; `ft_tombstone` has them all.
const NOTED: usize = 1_000;

/// Whose history is to be erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whose {
    /// These flows, whether anything is held of them or not.
    Flows(Vec<String>),
    /// Flows of which any run is this user's, by the tables, dead letters and the archive at this moment. What the user
    /// runs later is kept.
    User(String),
}

/// What is held of flows, or was erased.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Erasure {
    /// Flows that are kept out for ever.
    pub flows: u64,
    /// Their rows.
    pub rows: Rows,
    /// Their dead letters.
    pub dead_letters: u64,
    /// Their events in the archive.
    pub archived: u64,
    /// Files of the archive that were never finished and that nobody looks into.
    pub unfinished_files: u64,
    /// It was stopped before all was done.
    pub stopped: bool,
}

/// What would be erased. Changes nothing. Reads all dead letters and the whole archive, and for a user every flow's row.
pub async fn plan(config: &Config, whose: &Whose) -> Result<Erasure, RetentionError> {
    let purge = purge(config).await?;
    let found = Found::of(config, &purge, whose).await?;
    let mut plan = Erasure {
        flows: count(found.flows.len()),
        dead_letters: found.letters,
        archived: found.archived.events,
        unfinished_files: found.archived.unfinished,
        ..Erasure::default()
    };
    for flows in found.flows.chunks(AT_ONCE) {
        plan.rows += purge.rows(&borrowed(flows)).await.map_err(of_statement(config))?;
    }
    Ok(plan)
}

/// Erases what is held of flows, and tells `progress` of it after each batch. `actor` is who asked for it.
///
/// From the moment that a flow is marked on, nothing of it is stored again: neither by a collector, nor by a replay, nor by
/// a dead letter that is retried. It ends on `stop` after the step under way, without an error; asked for once more, it
/// goes on. It waits its turn with retention, and fails as that does.
pub async fn erase(
    config: &Config,
    actor: &str,
    whose: &Whose,
    stop: &CancellationToken,
    mut progress: impl FnMut(&Erasure) + Send,
) -> Result<Erasure, RetentionError> {
    let purge = purge(config).await?;
    let failed = of_statement(config);
    if !purge.take_turn().await.map_err(&failed)? {
        return Err(RetentionError::Busy);
    }
    let found = Found::of(config, &purge, whose).await?;
    // A user has a name, which is what may have to be forgotten: it is not noted.
    let by = if matches!(whose, Whose::User(_)) { "user" } else { "id" };
    let ids: Vec<&String> = found.flows.iter().take(NOTED).collect();
    let asked = json!({ "by": by, "flows": found.flows.len(), "ids": ids });
    let note = audit(purge.client(), actor, "flow.erase", "flows", &asked).await.map_err(&failed)?;
    let mut work = Work {
        config,
        actor,
        purge,
        pace: Pace::default(),
        stop,
        progress: &mut progress,
        erased: Erasure::default(),
    };
    let outcome = work.all(found).await;
    let mut said = json!({ "erased": work.erased });
    if let (Err(error), Some(fields)) = (&outcome, said.as_object_mut()) {
        fields.insert("error".to_owned(), json!(error.to_string()));
    }
    // Where not even this can be noted, the first error is the one to report.
    let noted = audit_outcome(work.purge.client(), note, &said).await;
    outcome?;
    noted.map_err(&failed)?;
    Ok(work.erased)
}

/// Flows, and what there is of them beside their rows.
struct Found {
    /// Each once, in the order of their ids.
    flows: Vec<String>,
    letters: u64,
    archived: Archived,
}

impl Found {
    async fn of(config: &Config, purge: &Purge, whose: &Whose) -> Result<Self, RetentionError> {
        let flows: HashSet<String> = match whose {
            Whose::Flows(flows) => flows.iter().cloned().collect(),
            Whose::User(user) => of_user(config, purge, user).await?,
        };
        let (mut letters, foreign) = (0, Foreign::of(&config.flowable));
        each_letters(config, purge, |page| {
            letters += count(page.iter().filter(|letter| letters::is_of(letter, &flows, &foreign)).count());
        })
        .await?;
        let (flows, archived) = in_archive(config, flows, archived::of_flows).await?;
        let mut flows: Vec<String> = flows.into_iter().collect();
        flows.sort_unstable();
        Ok(Self { flows, letters, archived })
    }
}

async fn of_user(config: &Config, purge: &Purge, user: &str) -> Result<HashSet<String>, RetentionError> {
    let stored = purge.flows_of_user(user).await.map_err(of_statement(config))?;
    let mut flows: HashSet<String> = stored.into_iter().collect();
    let foreign = Foreign::of(&config.flowable);
    each_letters(config, purge, |page| {
        for letter in page {
            for subject in letters::subjects(letter, &foreign) {
                if let Subject::Flow { flow, user: Some(of) } = subject
                    && of == user
                {
                    flows.insert(flow);
                }
            }
        }
    })
    .await?;
    let user = user.to_owned();
    let (_, archived) =
        in_archive(config, flows.clone(), move |place, _| archived::of_user(place, &user)).await?;
    flows.extend(archived);
    Ok(flows)
}

async fn each_letters(
    config: &Config,
    purge: &Purge,
    mut see: impl FnMut(&[crate::postgres::read::Letter]),
) -> Result<(), RetentionError> {
    let mut after = i64::MIN;
    loop {
        let page = purge.letters(after, LETTERS).await.map_err(of_statement(config))?;
        let Some(last) = page.last() else { return Ok(()) };
        after = last.summary.id;
        see(&page);
    }
}

/// Reads or changes the archive on a thread that may wait for the disk or the network; without one there is nothing.
async fn in_archive<T: Default + Send + 'static>(
    config: &Config,
    flows: HashSet<String>,
    work: impl FnOnce(&Place, &HashSet<String>) -> Result<T, RetentionError> + Send + 'static,
) -> Result<(HashSet<String>, T), RetentionError> {
    let Some(place) = archive::place(config)? else { return Ok((flows, T::default())) };
    let working = spawn_blocking(move || work(&place, &flows).map(|done| (flows, done)));
    working.await.map_err(|_| RetentionError::Died)?
}

/// An erasure under way.
struct Work<'a> {
    config: &'a Config,
    actor: &'a str,
    purge: Purge,
    pace: Pace,
    stop: &'a CancellationToken,
    progress: &'a mut (dyn FnMut(&Erasure) + Send),
    erased: Erasure,
}

impl Work<'_> {
    async fn all(&mut self, found: Found) -> Result<(), RetentionError> {
        self.erased.unfinished_files = found.archived.unfinished;
        for flows in found.flows.chunks(AT_ONCE) {
            if self.is_stopped() {
                return Ok(());
            }
            self.keep_out(flows).await?;
            self.erased.flows += count(flows.len());
        }
        let flows = found.flows.iter().cloned().collect();
        // Those that came until now too: no more will.
        let flows = self.letters(flows).await?;
        self.archived(found.archived, flows).await?;
        for batch in found.flows.chunks(self.config.retention.batch_flows.max(1)) {
            if self.is_stopped() {
                return Ok(());
            }
            self.rows(&borrowed(batch)).await?;
            (self.progress)(&self.erased);
        }
        Ok(())
    }

    async fn keep_out(&mut self, flows: &[String]) -> Result<(), RetentionError> {
        for _ in 0..TRIES {
            let began = clock::monotonic();
            let waited = self.purge.keep_out(&borrowed(flows)).await.map_err(of_statement(self.config))?;
            if let Some(waited) = waited {
                self.pace.waited(waited);
                self.rest(began.elapsed().saturating_sub(waited)).await;
                return Ok(());
            }
            self.pace.slow();
            self.rest(began.elapsed()).await;
        }
        Err(RetentionError::Held(TRIES))
    }

    async fn letters(&mut self, flows: HashSet<String>) -> Result<HashSet<String>, RetentionError> {
        let (mut after, foreign) = (i64::MIN, Foreign::of(&self.config.flowable));
        while !self.is_stopped() {
            let page = self.purge.letters(after, LETTERS).await.map_err(of_statement(self.config))?;
            let Some(last) = page.last() else { break };
            after = last.summary.id;
            let theirs = page.iter().filter(|letter| letters::is_of(letter, &flows, &foreign));
            let ids: Vec<i64> = theirs.map(|letter| letter.summary.id).collect();
            if !ids.is_empty() {
                let gone =
                    self.purge.erase_letters(&ids, self.actor).await.map_err(of_statement(self.config))?;
                self.erased.dead_letters += gone;
            }
        }
        Ok(flows)
    }

    async fn archived(&mut self, archived: Archived, flows: HashSet<String>) -> Result<(), RetentionError> {
        let mut flows = flows;
        for file in archived.files {
            if self.is_stopped() {
                return Ok(());
            }
            let taking =
                in_archive(self.config, flows, move |place, flows| archived::take_out(place, &file, flows));
            let taken;
            (flows, taken) = taking.await?;
            self.erased.archived += taken;
        }
        Ok(())
    }

    /// Counts and erases rows; their number can't change in between, but for a second one that erases them.
    async fn rows(&mut self, flows: &[&str]) -> Result<(), RetentionError> {
        let rows = self.purge.rows(flows).await.map_err(of_statement(self.config))?;
        for _ in 0..TRIES {
            let began = clock::monotonic();
            let erased = self.purge.erase(flows).await.map_err(of_statement(self.config))?;
            if erased.is_none() {
                self.pace.slow();
            }
            self.rest(began.elapsed()).await;
            if erased.is_some() {
                self.erased.rows += rows;
                return Ok(());
            }
        }
        Err(RetentionError::Held(TRIES))
    }

    fn is_stopped(&mut self) -> bool {
        self.erased.stopped |= self.stop.is_cancelled();
        self.erased.stopped
    }

    /// Rests after work that took so long.
    async fn rest(&mut self, worked: Duration) {
        let rest = tokio::time::sleep(self.pace.rest(worked));
        // Told to stop, it need not rest.
        let _ = self.stop.run_until_cancelled(rest).await;
    }
}

fn borrowed(flows: &[String]) -> Vec<&str> {
    flows.iter().map(String::as_str).collect()
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
