//! One of the collectors runs the policies, every `retention.every`.
//!
//! There is no leader: each looks now and then whether a run is due, by when the last one ended, and whoever gets the lock
//! does it. A member that dies loses the lock with its session, and the next that looks goes on.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{APPLICATION, Policies, RetentionError, now, of_statement, run};
use crate::{
    clock,
    config::Config,
    metrics,
    postgres::{connect, retention},
    telemetry::Seldom,
};

/// How often a member looks, unless policies are to run more often than that.
const LOOK: Duration = Duration::from_mins(1);

/// Runs policies when they are due, until `stop`; at once if `retention.every` is not set. What goes wrong is said, and
/// tried again at the next look.
pub async fn keep(config: &Config, stop: &CancellationToken) {
    let Some(every) = config.retention.every else { return };
    let mut trouble = Seldom::default();
    loop {
        match look(config, every, stop).await {
            Ok(()) | Err(RetentionError::Busy) => {}
            Err(error) => {
                let reason = error.to_string();
                if trouble.is_due(&reason, clock::monotonic()) {
                    tracing::warn!(
                        event = "retention_failed",
                        reason,
                        "flows that are to go are still there"
                    );
                }
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(every.min(LOOK))).await.is_none() {
            return;
        }
    }
}

/// Says how far behind it is, and runs the policies if they are due.
async fn look(config: &Config, every: Duration, stop: &CancellationToken) -> Result<(), RetentionError> {
    let policies = Policies::compile(&config.retention.policies)?;
    let is_due = {
        let client = connect::connect(&config.postgres, APPLICATION).await?;
        tell_behind(config, &policies, &client).await?;
        let last = retention::last_run(&client).await.map_err(of_statement(config))?;
        last.is_none_or(|last| clock::now().duration_since(last).unsigned_abs() >= every)
    };
    if !is_due {
        return Ok(());
    }
    let removed = run::run(config, "collector", stop, |_| {}).await?;
    tracing::info!(
        event = "retention_done",
        flows = removed.flows,
        steps = removed.steps,
        bare = removed.bare,
        dead_letters = removed.dead_letters,
        audit = removed.audit,
        forgotten = removed.forgotten,
        archived = removed.archived,
        stopped = removed.stopped,
        "what was kept long enough is gone"
    );
    let client = connect::connect(&config.postgres, APPLICATION).await?;
    tell_behind(config, &policies, &client).await
}

async fn tell_behind(
    config: &Config,
    policies: &Policies,
    client: &tokio_postgres::Client,
) -> Result<(), RetentionError> {
    let cutoffs = policies.cutoffs(now());
    let cutoffs: Vec<_> =
        cutoffs.iter().map(|cutoff| (cutoff.policy.as_str(), cutoff.started_before)).collect();
    let behind = retention::behind(client, &cutoffs).await.map_err(of_statement(config))?;
    metrics::retention_behind(behind);
    Ok(())
}
