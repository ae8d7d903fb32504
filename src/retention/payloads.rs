//! Removes payloads of flows whose rows stay.

use std::collections::HashSet;

use super::{
    Fate, PAGE, Policies, RetentionError, now, of_statement,
    run::{BATCHES, TRIES, Work},
};
use crate::{
    clock, metrics,
    postgres::retention::{Aged, Purge},
};

impl Work<'_> {
    /// Takes the payloads that are to go at this moment, after those of a run that was cut off.
    pub(super) async fn payloads(&mut self, policies: &Policies) -> Result<(), RetentionError> {
        let begun = self.purge.begun_payloads().await.map_err(of_statement(self.config))?;
        self.strip(begun).await?;
        let now = now();
        let Some(latest) = policies.latest_payload_cutoff(now) else { return Ok(()) };
        let chunk = self.config.retention.batch_flows.saturating_mul(BATCHES);
        let mut last: Option<Aged> = None;
        loop {
            let page = self.purge.page(last.as_ref(), latest, PAGE).await;
            let page = page.map_err(of_statement(self.config))?;
            last = page.last().cloned();
            let due = page.into_iter().filter(|flow| {
                matches!(policies.judge(&flow.traits(), flow.started(), now), Some((_, Fate::LosesPayloads)))
            });
            let due = carrying(&self.purge, due.collect()).await.map_err(of_statement(self.config))?;
            for flows in due.chunks(chunk.max(1)) {
                if self.is_stopped() {
                    return Ok(());
                }
                self.mark_payloads(flows).await?;
            }
            if last.is_none() || self.is_stopped() {
                return Ok(());
            }
        }
    }

    /// Marks flows and takes their payloads.
    async fn mark_payloads(&mut self, flows: &[Aged]) -> Result<(), RetentionError> {
        for _ in 0..TRIES {
            let began = clock::monotonic();
            let marked = self.purge.mark_payloads(flows).await.map_err(of_statement(self.config))?;
            if let Some(marked) = marked {
                self.pace.waited(marked.waited);
                self.rest(began.elapsed().saturating_sub(marked.waited)).await;
                return self.strip(marked.flows).await;
            }
            self.pace.slow();
            self.rest(began.elapsed()).await;
            if self.is_stopped() {
                return Ok(());
            }
        }
        Err(RetentionError::Held(TRIES))
    }

    /// Archives flows that are marked, whole, and takes their payloads.
    async fn strip(&mut self, mut flows: Vec<String>) -> Result<(), RetentionError> {
        // Neighbours in the index are changed together.
        flows.sort_unstable();
        if let Some(archivist) = &mut self.archivist {
            self.removed.archived += archivist.archive(self.config, &self.purge, &flows).await?;
        }
        for batch in flows.chunks(self.config.retention.batch_flows.max(1)) {
            if self.is_stopped() {
                return Ok(());
            }
            let ids: Vec<&str> = batch.iter().map(String::as_str).collect();
            self.strip_batch(&ids).await?;
            let stripped = u64::try_from(ids.len()).unwrap_or(u64::MAX);
            self.removed.bare += stripped;
            metrics::retention_removed("payloads", stripped);
            (self.progress)(&self.removed);
        }
        Ok(())
    }

    async fn strip_batch(&mut self, flows: &[&str]) -> Result<(), RetentionError> {
        for _ in 0..TRIES {
            let began = clock::monotonic();
            let stripped = self.purge.strip(flows).await.map_err(of_statement(self.config))?;
            if !stripped {
                self.pace.slow();
            }
            self.rest(began.elapsed()).await;
            if stripped {
                return Ok(());
            }
        }
        Err(RetentionError::Held(TRIES))
    }
}

/// Those whose payloads are not gone already.
async fn carrying(purge: &Purge, mut flows: Vec<Aged>) -> Result<Vec<Aged>, tokio_postgres::Error> {
    let ids: Vec<&str> = flows.iter().map(|flow| flow.flow.as_str()).collect();
    let bare: HashSet<String> = purge.bare(&ids).await?.into_iter().collect();
    flows.retain(|flow| !bare.contains(&flow.flow));
    Ok(flows)
}
