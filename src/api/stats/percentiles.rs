//! Durations and failures of flows, by name and over time. Pure.

use std::{cmp::Reverse, collections::BTreeMap};

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{api::histogram::Axis, model::RunState, postgres::read::Counted};

/// How long a flow takes and how often it fails.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(in crate::api) struct FlowStats {
    /// App that holds it.
    app: Option<String>,
    /// Flow name.
    flow: Option<String>,
    /// How many began.
    runs: usize,
    /// How many of them have ended.
    ended: usize,
    /// How many failed.
    failed: usize,
    /// Part of those that ended which failed, from 0 to 1; null where none has ended.
    failure_rate: Option<f64>,
    /// Half of them took no longer, in milliseconds; null where none has ended.
    p50_ms: Option<f64>,
    /// 95 of 100 of them took no longer.
    p95_ms: Option<f64>,
    /// 99 of 100 of them took no longer.
    p99_ms: Option<f64>,
    /// The same by when they began, the empty stretches left out.
    over_time: Vec<StretchStats>,
}

/// Flows that began in a stretch of time.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
struct StretchStats {
    /// Where it begins.
    start: Timestamp,
    /// How many began.
    runs: usize,
    /// How many failed.
    failed: usize,
    /// Half of them took no longer, in milliseconds; null where none has ended.
    p50_ms: Option<f64>,
    /// 95 of 100 of them took no longer.
    p95_ms: Option<f64>,
    /// 99 of 100 of them took no longer.
    p99_ms: Option<f64>,
}

/// Flows by app and name, the most frequent first.
pub(super) fn by_flow(flows: &[Counted], axis: Option<Axis>) -> Vec<FlowStats> {
    let mut by_name: BTreeMap<(&Option<String>, &Option<String>), Vec<&Counted>> = BTreeMap::new();
    for flow in flows {
        by_name.entry((&flow.app, &flow.flow)).or_default().push(flow);
    }
    let mut all: Vec<FlowStats> = by_name
        .into_iter()
        .map(|((app, flow), runs)| {
            let ended = runs.iter().filter(|run| run.ended).count();
            let failed = failures(&runs);
            let [p50_ms, p95_ms, p99_ms] = percentiles(&runs);
            FlowStats {
                app: app.clone(),
                flow: flow.clone(),
                runs: runs.len(),
                ended,
                failed,
                failure_rate: rate(failed, ended),
                p50_ms,
                p95_ms,
                p99_ms,
                over_time: axis.map_or_else(Vec::new, |axis| over_time(&runs, axis)),
            }
        })
        .collect();
    all.sort_by_key(|flow| Reverse(flow.runs));
    all
}

fn over_time(runs: &[&Counted], axis: Axis) -> Vec<StretchStats> {
    let mut by_stretch: BTreeMap<usize, Vec<&Counted>> = BTreeMap::new();
    for run in runs {
        if let Some(place) = axis.place(run.started) {
            by_stretch.entry(place).or_default().push(run);
        }
    }
    let starts = axis.starts();
    let stretch = |(place, runs): (usize, Vec<&Counted>)| {
        let [p50_ms, p95_ms, p99_ms] = percentiles(&runs);
        let start = *starts.get(place)?;
        Some(StretchStats { start, runs: runs.len(), failed: failures(&runs), p50_ms, p95_ms, p99_ms })
    };
    by_stretch.into_iter().filter_map(stretch).collect()
}

fn failures(runs: &[&Counted]) -> usize {
    runs.iter().filter(|run| run.state == RunState::Failed).count()
}

fn rate(failed: usize, ended: usize) -> Option<f64> {
    // No more than 20 000 are counted.
    let number = |count: usize| u32::try_from(count).map(f64::from).ok();
    (ended > 0).then(|| Some(number(failed)? / number(ended)?)).flatten()
}

/// What 50, 95 and 99 of 100 don't exceed: each a duration that occurred, by nearest rank.
fn percentiles(runs: &[&Counted]) -> [Option<f64>; 3] {
    let mut durations: Vec<f64> = runs.iter().filter_map(|run| run.duration_ms).collect();
    durations.sort_by(f64::total_cmp);
    [50, 95, 99].map(|percent| {
        let rank = (durations.len() * percent).div_ceil(100);
        durations.get(rank.checked_sub(1)?).copied()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(flow: &str, second: i64, duration_ms: Option<f64>, state: RunState) -> Counted {
        Counted {
            app: None,
            flow: Some(flow.to_owned()),
            status: None,
            state,
            started: Timestamp::from_second(second).unwrap(),
            ended: duration_ms.is_some(),
            duration_ms,
        }
    }

    #[test]
    fn percentiles_are_durations_that_occurred_by_nearest_rank() {
        let runs: Vec<Counted> =
            (1..=100).rev().map(|n| run("a", 0, Some(f64::from(n)), RunState::Completed)).collect();
        let of = |runs: &[Counted]| percentiles(&runs.iter().collect::<Vec<_>>());
        assert_eq!(of(&runs), [Some(50.0), Some(95.0), Some(99.0)]);
        // Of 3, 1, 2 (by rank: 1.5 → 2, 2.85 → 3, 2.97 → 3).
        assert_eq!(
            of(&[&runs[97..98], &runs[98..99], &runs[99..]].concat()),
            [Some(2.0), Some(3.0), Some(3.0)]
        );
        assert_eq!(of(&[]), [None; 3]);
    }

    #[test]
    fn failures_are_a_part_of_those_that_ended() {
        let flows = [
            run("b", 0, Some(1.0), RunState::Failed),
            run("b", 7, None, RunState::Running),
            run("b", 8, Some(3.0), RunState::Completed),
            run("a", 0, None, RunState::Running),
        ];
        let axis = Axis::over(Timestamp::from_second(0).unwrap(), Timestamp::from_second(9).unwrap(), 2);
        let stats = by_flow(&flows, axis);
        assert_eq!((stats[0].flow.as_deref(), stats[0].runs, stats[0].ended), (Some("b"), 3, 2));
        assert_eq!((stats[0].failure_rate, stats[1].failure_rate), (Some(0.5), None));
        // Two buckets of five seconds.
        let over_time: Vec<_> =
            stats[0].over_time.iter().map(|s| (s.start.as_second(), s.runs, s.failed, s.p99_ms)).collect();
        assert_eq!(over_time, [(0, 1, 1, Some(1.0)), (5, 2, 0, Some(3.0))]);
    }
}
