//! How far what is stored lies behind what was posted: for the head of every page, so for every caller.

use std::time::{Duration, Instant};

use axum::{Json, extract::State};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use super::{Answer, Api, operations, trouble::Problems};
use crate::{clock, kafka::lag::PartitionLag};

/// For how long an answer is given again: each look asks every partition's broker, and every open page asks.
const FRESH_FOR: Duration = Duration::from_secs(5);

/// How far what is stored lies behind what was posted.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, ToSchema)]
pub(super) struct Freshness {
    /// All that was posted before is stored.
    as_of: Timestamp,
    /// Age of the oldest record that is not stored yet, in milliseconds; 0 where there is none, null where it can't be told.
    behind_ms: Option<f64>,
    /// How many records are not stored yet; null where it can't be told.
    behind_records: Option<u64>,
}

/// The last answer, and when it was made.
#[derive(Debug, Default)]
pub(super) struct Last(Mutex<Option<(Instant, Freshness)>>);

/// How far what is stored lies behind what was posted, by the lag of the configured group. Tells no topic and no partition.
#[utoipa::path(get, path = "/freshness", tag = "operations", responses((status = 200, body = Freshness), Problems))]
pub(super) async fn freshness(State(api): State<Api>) -> Answer<Freshness> {
    // Whoever comes while it is looked waits for that look.
    let mut last = api.shared.freshness.0.lock().await;
    let now = clock::monotonic();
    if let Some((_, known)) = last.filter(|(made, _)| now.duration_since(*made) < FRESH_FOR) {
        return Ok(Json(known));
    }
    let partitions = operations::lag_of(&api).await?;
    let found = of(&partitions, clock::now());
    *last = Some((clock::monotonic(), found));
    Ok(Json(found))
}

fn of(partitions: &[PartitionLag], now: Timestamp) -> Freshness {
    let seconds = partitions.iter().map(|partition| partition.lag_seconds);
    let behind_ms =
        seconds.collect::<Option<Vec<_>>>().map(|all| all.into_iter().fold(0.0, f64::max) * 1000.0);
    let behind_records = partitions.iter().map(|partition| partition.lag_records).sum();
    let behind = SignedDuration::try_from_secs_f64(behind_ms.unwrap_or(0.0) / 1000.0).unwrap_or_default();
    Freshness { as_of: now.checked_sub(behind).unwrap_or(now), behind_ms, behind_records }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(lag_records: Option<u64>, lag_seconds: Option<f64>) -> PartitionLag {
        let topic = "flow.history".to_owned();
        PartitionLag { topic, partition: 0, committed: None, end: None, lag_records, lag_seconds }
    }

    #[test]
    fn it_is_as_old_as_the_oldest_record_that_waits() {
        let now: Timestamp = "2026-11-21T21:03:06Z".parse().unwrap();
        let nothing = of(&[partition(Some(0), Some(0.0))], now);
        assert_eq!(nothing, Freshness { as_of: now, behind_ms: Some(0.0), behind_records: Some(0) });
        let some = of(&[partition(Some(2), Some(1.5)), partition(Some(1), Some(0.25))], now);
        assert_eq!(some.as_of, "2026-11-21T21:03:04.5Z".parse().unwrap());
        assert_eq!((some.behind_ms, some.behind_records), (Some(1500.0), Some(3)));
        let unknown = of(&[partition(Some(2), Some(1.5)), partition(None, None)], now);
        assert_eq!((unknown.behind_ms, unknown.behind_records), (None, None));
    }
}
