//! What would go, without removing anything.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::{PAGE, Policies, RetentionError, now, of_statement, purge};
use crate::{
    config::Config,
    postgres::retention::{Aged, Purge, Size},
};

/// Of each policy and app so many flows are measured, the oldest; the rest is reckoned from them.
pub const MEASURED: u64 = 5_000;

/// So many flows are measured in one question.
const AT_ONCE: usize = 500;

/// What would go of one app by one policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Name of the policy.
    pub policy: String,
    /// App, where it is known.
    pub app: Option<String>,
    /// How many flows, exactly.
    pub flows: u64,
    /// About how many executions of steps; exactly where `flows` is at most [`MEASURED`].
    pub steps: u64,
    /// About how many bytes in the tables, without indexes.
    pub bytes: u64,
    /// Start of the oldest of these flows.
    pub oldest: Timestamp,
    /// Start of the newest of these flows.
    pub newest: Timestamp,
}

/// What is known of a share so far.
#[derive(Debug)]
struct Counted {
    flows: u64,
    measured: u64,
    size: Size,
    to_measure: Vec<String>,
    oldest: Timestamp,
    newest: Timestamp,
}

/// What would go now, by policy in their order and then by app. Reads only; takes about as long as reading the rows of all
/// flows that are older than the youngest cut-off.
pub async fn plan(config: &Config) -> Result<Vec<Share>, RetentionError> {
    let policies = Policies::compile(&config.retention.policies)?;
    let now = now();
    let Some(latest) = policies.latest_cutoff(now) else { return Ok(Vec::new()) };
    let purge = purge(config).await?;
    let failed = of_statement(config);
    let mut shares: BTreeMap<(usize, Option<String>), Counted> = BTreeMap::new();
    let mut last: Option<Aged> = None;
    loop {
        let page = purge.page(last.as_ref(), latest, PAGE).await.map_err(&failed)?;
        for flow in &page {
            let Some((policy, true)) = policies.judge(&flow.traits(), flow.started(), now) else { continue };
            let share = shares.entry((policy, flow.app.clone())).or_insert_with(|| Counted::of(flow));
            share.add(flow);
            if share.to_measure.len() >= AT_ONCE {
                share.measure(&purge).await.map_err(&failed)?;
            }
        }
        let Some(end) = page.into_iter().last() else { break };
        last = Some(end);
    }
    let names: Vec<&str> = policies.names().collect();
    let mut plan = Vec::with_capacity(shares.len());
    for ((policy, app), mut share) in shares {
        share.measure(&purge).await.map_err(&failed)?;
        let policy = names.get(policy).copied().unwrap_or_default().to_owned();
        plan.push(share.reckoned(policy, app));
    }
    Ok(plan)
}

impl Counted {
    fn of(first: &Aged) -> Self {
        Self {
            flows: 0,
            measured: 0,
            size: Size::default(),
            to_measure: Vec::new(),
            oldest: first.started,
            newest: first.started,
        }
    }

    /// Flows come by their start.
    fn add(&mut self, flow: &Aged) {
        self.flows += 1;
        self.newest = flow.started;
        if self.flows <= MEASURED {
            self.to_measure.push(flow.flow.clone());
        }
    }

    async fn measure(&mut self, purge: &Purge) -> Result<(), tokio_postgres::Error> {
        let ids: Vec<&str> = self.to_measure.iter().map(String::as_str).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let size = purge.size(&ids).await?;
        self.size.steps += size.steps;
        self.size.bytes += size.bytes;
        self.measured += u64::try_from(ids.len()).unwrap_or(u64::MAX);
        self.to_measure.clear();
        Ok(())
    }

    fn reckoned(self, policy: String, app: Option<String>) -> Share {
        let of_all = |measured: u64| {
            let all = u128::from(measured) * u128::from(self.flows) / u128::from(self.measured.max(1));
            u64::try_from(all).unwrap_or(u64::MAX)
        };
        let (steps, bytes) = (of_all(self.size.steps), of_all(self.size.bytes));
        let Self { flows, oldest, newest, .. } = self;
        Share { policy, app, flows, steps, bytes, oldest, newest }
    }
}
