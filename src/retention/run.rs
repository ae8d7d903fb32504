//! Removes what has been kept long enough.
//!
//! Flows go by their start, the oldest first, a chunk at a time: marked, written to the archive, erased batch by batch. A
//! run that is stopped or killed leaves at most the chunk that it was at half done; the next run begins with that.

use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Fate, PAGE, Policies, RetentionError, archive::Archivist, now, of_statement, pace::Pace, purge};
use crate::{
    clock,
    config::Config,
    metrics,
    model::Micros,
    postgres::{
        audit, audit_outcome,
        retention::{Aged, Kept, Part, Purge, Taken},
    },
};

/// So many batches are marked at once: the exclusive lock is the dear part, and the fewer the better.
pub(super) const BATCHES: usize = 4;

/// How often the law's lock is tried for one step of work; each try takes up to a second, and rests behind it.
pub(super) const TRIES: u32 = 60;

/// Dead letters, notes and marks are removed so many in a transaction.
const OTHERS: i64 = 2_000;

/// What was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Removed {
    /// Flows.
    pub flows: u64,
    /// Executions of steps, superseded ones included.
    pub steps: u64,
    /// Flows whose rows stay and whose payloads went.
    pub bare: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Notes of `ft_audit`.
    pub audit: u64,
    /// Flows of which it is no longer remembered that they went.
    pub forgotten: u64,
    /// Flows that were written to the archive.
    pub archived: u64,
    /// It was stopped before all was done.
    pub stopped: bool,
}

/// Runs the policies once, and tells `progress` of what is removed so far, after each batch. `actor` is who asked for it.
///
/// On `stop` it ends after the transaction that is under way, without an error. Dropping the future is safe too: the
/// transaction is rolled back, and the next run goes on.
pub async fn run(
    config: &Config,
    actor: &str,
    stop: &CancellationToken,
    mut progress: impl FnMut(&Removed) + Send,
) -> Result<Removed, RetentionError> {
    let policies = Policies::compile(&config.retention.policies)?;
    let purge = purge(config).await?;
    let failed = of_statement(config);
    if !purge.take_turn().await.map_err(&failed)? {
        return Err(RetentionError::Busy);
    }
    let asked = json!({ "policies": policies.names().collect::<Vec<_>>() });
    let note = audit(purge.client(), actor, "retention.run", "flows", &asked).await.map_err(&failed)?;
    let archivist = Archivist::new(config).await?;
    let mut work = Work {
        config,
        purge,
        archivist,
        pace: Pace::default(),
        stop,
        progress: &mut progress,
        removed: Removed::default(),
    };
    let outcome = work.all(&policies).await;
    let mut said = json!(work.removed);
    if let (Err(error), Some(fields)) = (&outcome, said.as_object_mut()) {
        fields.insert("error".to_owned(), json!(error.to_string()));
    }
    // Where not even this can be noted, the first error is the one to report.
    let noted = audit_outcome(work.purge.client(), note, &said).await;
    outcome?;
    noted.map_err(&failed)?;
    Ok(work.removed)
}

/// A run under way.
pub(super) struct Work<'a> {
    pub(super) config: &'a Config,
    pub(super) purge: Purge,
    archivist: Option<Archivist>,
    pace: Pace,
    stop: &'a CancellationToken,
    progress: &'a mut (dyn FnMut(&Removed) + Send),
    removed: Removed,
}

impl Work<'_> {
    async fn all(&mut self, policies: &Policies) -> Result<(), RetentionError> {
        let begun = self.purge.marked_and_there().await.map_err(of_statement(self.config))?;
        self.take_away(Part::Whole, begun).await?;
        // They are in the archive since their flows went.
        let again = self.purge.marked_with_snapshots().await.map_err(of_statement(self.config))?;
        self.take(Part::Whole, &again).await?;
        self.flows(policies).await?;
        self.payloads(policies).await?;
        let retention = &self.config.retention;
        let [letters, audit, marks] = [retention.dead_letters, retention.audit, retention.remember];
        self.removed.dead_letters = self.older(Kept::Letters, letters).await?;
        self.removed.audit = self.older(Kept::Audit, audit).await?;
        self.removed.forgotten = self.older(Kept::Marks, marks).await?;
        Ok(())
    }

    /// Removes the flows that are to go at this moment, and keeps the cut-offs once all are gone.
    async fn flows(&mut self, policies: &Policies) -> Result<(), RetentionError> {
        let now = now();
        let Some(latest) = policies.latest_cutoff(now) else { return Ok(()) };
        let chunk = self.config.retention.batch_flows.saturating_mul(BATCHES);
        let mut last: Option<Aged> = None;
        let mut due: Vec<Aged> = Vec::new();
        loop {
            let page = self.purge.page(last.as_ref(), latest, PAGE).await;
            let page = page.map_err(of_statement(self.config))?;
            last = page.last().cloned();
            due.extend(page.into_iter().filter(|flow| is_due(policies, flow, now)));
            while due.len() >= chunk || (last.is_none() && !due.is_empty()) {
                if self.is_stopped() {
                    return Ok(());
                }
                let flows: Vec<Aged> = due.drain(..due.len().min(chunk)).collect();
                self.remove(Part::Whole, &flows).await?;
            }
            if self.is_stopped() {
                return Ok(());
            }
            if last.is_none() {
                break;
            }
        }
        for cutoff in policies.cutoffs(now) {
            let kept = self.purge.keep_cutoff(&cutoff.policy, cutoff.started_before).await;
            kept.map_err(of_statement(self.config))?;
        }
        Ok(())
    }

    /// Marks flows and takes them, or their payloads, away.
    pub(super) async fn remove(&mut self, part: Part, flows: &[Aged]) -> Result<(), RetentionError> {
        for _ in 0..TRIES {
            let began = clock::monotonic();
            let marked = self.purge.mark(part, flows).await.map_err(of_statement(self.config))?;
            if let Some(marked) = marked {
                self.pace.waited(marked.waited);
                self.rest(began.elapsed().saturating_sub(marked.waited)).await;
                return self.take_away(part, marked.flows).await;
            }
            self.pace.slow();
            self.rest(began.elapsed()).await;
            if self.is_stopped() {
                return Ok(());
            }
        }
        Err(RetentionError::Held(TRIES))
    }

    /// Archives flows that are marked, whole, and takes what they are marked for.
    pub(super) async fn take_away(
        &mut self,
        part: Part,
        mut flows: Vec<String>,
    ) -> Result<(), RetentionError> {
        // Neighbours in the index are changed together.
        flows.sort_unstable();
        if let Some(archivist) = &mut self.archivist {
            self.removed.archived += archivist.archive(self.config, &self.purge, &flows).await?;
        }
        self.take(part, &flows).await
    }

    /// Takes what flows are marked for, batch by batch.
    async fn take(&mut self, part: Part, flows: &[String]) -> Result<(), RetentionError> {
        for batch in flows.chunks(self.config.retention.batch_flows.max(1)) {
            if self.is_stopped() {
                return Ok(());
            }
            let ids: Vec<&str> = batch.iter().map(String::as_str).collect();
            let taken = self.take_batch(part, &ids).await?;
            match part {
                Part::Whole => {
                    self.removed.flows += taken.flows;
                    self.removed.steps += taken.steps;
                    metrics::retention_removed("flows", taken.flows);
                    metrics::retention_removed("steps", taken.steps);
                }
                Part::Payloads => {
                    self.removed.bare += taken.flows;
                    metrics::retention_removed("payloads", taken.flows);
                }
            }
            (self.progress)(&self.removed);
        }
        Ok(())
    }

    async fn take_batch(&mut self, part: Part, flows: &[&str]) -> Result<Taken, RetentionError> {
        for _ in 0..TRIES {
            let began = clock::monotonic();
            let taken = match part {
                Part::Whole => self.purge.erase(flows).await,
                Part::Payloads => self.purge.strip(flows).await,
            };
            let taken = taken.map_err(of_statement(self.config))?;
            if taken.is_none() {
                self.pace.slow();
            }
            self.rest(began.elapsed()).await;
            if let Some(taken) = taken {
                return Ok(taken);
            }
        }
        Err(RetentionError::Held(TRIES))
    }

    /// Removes what was kept longer ago, and says how much that was.
    async fn older(&mut self, kept: Kept, age: Option<Duration>) -> Result<u64, RetentionError> {
        let before = age.and_then(|age| clock::now().checked_sub(age).ok());
        let Some(before) = before else { return Ok(0) };
        let mut removed = 0;
        while !self.is_stopped() {
            let began = clock::monotonic();
            let batch = self.purge.remove_older(kept, before, OTHERS).await;
            let batch = batch.map_err(of_statement(self.config))?;
            removed += batch;
            if batch == 0 {
                break;
            }
            self.rest(began.elapsed()).await;
        }
        Ok(removed)
    }

    pub(super) fn is_stopped(&mut self) -> bool {
        self.removed.stopped |= self.stop.is_cancelled();
        self.removed.stopped
    }

    /// Rests after work that took so long.
    async fn rest(&mut self, worked: Duration) {
        let rest = tokio::time::sleep(self.pace.rest(worked));
        // Told to stop, it need not rest.
        let _ = self.stop.run_until_cancelled(rest).await;
    }
}

fn is_due(policies: &Policies, flow: &Aged, now: Micros) -> bool {
    matches!(policies.judge(&flow.traits(), flow.started(), now), Some((_, Fate::Goes)))
}
