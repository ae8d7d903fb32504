//! Removes payloads of flows whose rows stay.

use std::collections::HashSet;

use super::{
    Fate, PAGE, Policies, RetentionError, now, of_statement,
    run::{BATCHES, Work},
};
use crate::postgres::retention::{Aged, Part, Purge};

impl Work<'_> {
    /// Takes the payloads that are to go at this moment, after those of a run that was cut off.
    pub(super) async fn payloads(&mut self, policies: &Policies) -> Result<(), RetentionError> {
        let begun = self.purge.begun_payloads().await.map_err(of_statement(self.config))?;
        self.take_away(Part::Payloads, begun).await?;
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
                self.remove(Part::Payloads, flows).await?;
            }
            if last.is_none() || self.is_stopped() {
                return Ok(());
            }
        }
    }
}

/// Those whose payloads are not gone already.
async fn carrying(purge: &Purge, mut flows: Vec<Aged>) -> Result<Vec<Aged>, tokio_postgres::Error> {
    let ids: Vec<&str> = flows.iter().map(|flow| flow.flow.as_str()).collect();
    let bare: HashSet<String> = purge.bare(&ids).await?.into_iter().collect();
    flows.retain(|flow| !bare.contains(&flow.flow));
    Ok(flows)
}
