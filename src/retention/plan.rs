//! What would go, without removing anything.

use std::collections::{BTreeMap, HashSet};

use jiff::Timestamp;
use serde::Serialize;

use super::{Fate, PAGE, Policies, RetentionError, now, of_statement, purge};
use crate::{
    config::Config,
    postgres::retention::{Aged, Purge, Size},
};

/// Of each policy and app so many flows are measured, the oldest; the rest is reckoned from them.
pub const MEASURED: u64 = 5_000;

/// So many flows are measured in one question.
const AT_ONCE: usize = 500;

/// What would be removed of flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Removes {
    /// All that is theirs.
    Flows,
    /// Payloads; the rows stay.
    Payloads,
}

impl Removes {
    /// The word people read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flows => "flows",
            Self::Payloads => "payloads",
        }
    }
}

/// What would go of one app by one policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Name of the policy.
    pub policy: String,
    /// Whether the flows go, or only what they carry.
    pub removes: Removes,
    /// App, where it is known.
    pub app: Option<String>,
    /// How many flows, exactly.
    pub flows: u64,
    /// About how many executions of steps; exactly where `flows` is at most [`MEASURED`].
    pub steps: u64,
    /// About how many bytes in the tables, without indexes; of payloads alone, where only those go.
    pub bytes: u64,
    /// Start of the oldest of these flows.
    pub oldest: Timestamp,
    /// Start of the newest of these flows.
    pub newest: Timestamp,
}

/// What is known of a share so far.
#[derive(Debug)]
struct Counted {
    removes: Removes,
    flows: u64,
    measured: u64,
    size: Size,
    to_measure: Vec<String>,
    oldest: Timestamp,
    newest: Timestamp,
}

/// What would go now, by policy in their order, flows before payloads, and then by app. Reads only; takes about as long as reading the rows of all
/// flows that are older than the youngest cut-off.
pub async fn plan(config: &Config) -> Result<Vec<Share>, RetentionError> {
    let policies = Policies::compile(&config.retention.policies)?;
    let now = now();
    let latest = policies.latest_cutoff(now).max(policies.latest_payload_cutoff(now));
    let Some(latest) = latest else { return Ok(Vec::new()) };
    let purge = purge(config).await?;
    let failed = of_statement(config);
    let mut shares: BTreeMap<(usize, Removes, Option<String>), Counted> = BTreeMap::new();
    let mut last: Option<Aged> = None;
    loop {
        let page = purge.page(last.as_ref(), latest, PAGE).await.map_err(&failed)?;
        let ids: Vec<&str> = page.iter().map(|flow| flow.flow.as_str()).collect();
        let bare: HashSet<String> = purge.bare(&ids).await.map_err(&failed)?.into_iter().collect();
        for flow in &page {
            let (policy, removes) = match policies.judge(&flow.traits(), flow.started(), now) {
                Some((policy, Fate::Goes)) => (policy, Removes::Flows),
                Some((policy, Fate::LosesPayloads)) if !bare.contains(&flow.flow) => {
                    (policy, Removes::Payloads)
                }
                _ => continue,
            };
            let share = shares.entry((policy, removes, flow.app.clone()));
            let share = share.or_insert_with(|| Counted::of(flow, removes));
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
    for ((policy, _, app), mut share) in shares {
        share.measure(&purge).await.map_err(&failed)?;
        let policy = names.get(policy).copied().unwrap_or_default().to_owned();
        plan.push(share.reckoned(policy, app));
    }
    Ok(plan)
}

impl Counted {
    fn of(first: &Aged, removes: Removes) -> Self {
        Self {
            removes,
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
        let size = match self.removes {
            Removes::Flows => purge.size(&ids).await?,
            Removes::Payloads => purge.payload_size(&ids).await?,
        };
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
        let Self { removes, flows, oldest, newest, .. } = self;
        Share { policy, removes, app, flows, steps, bytes, oldest, newest }
    }
}
