//! Flows counted by status and over time. Pure.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{model::RunState, postgres::read::Counted};

/// Widths of buckets that a person can read off an axis, in seconds: from one up to a year.
const WIDTHS: [i64; 22] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400,
    172_800, 604_800, 2_592_000, 31_536_000,
];

/// Flows counted.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub(super) struct Counts {
    /// How many flows.
    flows: usize,
    /// How many of them failed.
    failed: usize,
    /// There are older ones that were not looked at.
    sampled: bool,
    /// Since when these are all; null where they are all there are.
    complete_since: Option<Timestamp>,
    /// How many of each status, the most first.
    by_status: Vec<StatusCount>,
    /// How many began when; null where there is none.
    histogram: Option<Histogram>,
}

/// How many flows have a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct StatusCount {
    /// The runtime's own word.
    status: Option<String>,
    /// How they stand.
    state: RunState,
    /// How many.
    flows: usize,
}

/// Starts of flows over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Histogram {
    /// Start of the first bucket.
    from: Timestamp,
    /// Width of a bucket in milliseconds.
    width_ms: i64,
    /// One after the other, the empty ones too.
    buckets: Vec<Bucket>,
}

/// Flows that started within a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Bucket {
    /// Where it begins.
    start: Timestamp,
    /// How many began in it.
    flows: usize,
    /// How many of these failed.
    failed: usize,
}

/// Counts flows; `buckets` is how many there may be at most.
pub(super) fn counts(flows: &[Counted], complete_since: Option<Timestamp>, buckets: u32) -> Counts {
    let mut by_status: Vec<StatusCount> = Vec::new();
    for Counted { status, state, .. } in flows {
        match by_status.iter_mut().find(|count| count.status == *status && count.state == *state) {
            Some(count) => count.flows += 1,
            None => by_status.push(StatusCount { status: status.clone(), state: *state, flows: 1 }),
        }
    }
    by_status.sort_by(|a, b| {
        b.flows.cmp(&a.flows).then_with(|| a.status.cmp(&b.status)).then(a.state.cmp(&b.state))
    });
    Counts {
        flows: flows.len(),
        failed: flows.iter().filter(|flow| flow.state == RunState::Failed).count(),
        sampled: complete_since.is_some(),
        complete_since,
        by_status,
        histogram: histogram(flows, buckets),
    }
}

fn histogram(flows: &[Counted], most: u32) -> Option<Histogram> {
    let (first, last) =
        (flows.iter().map(|flow| flow.started).min()?, flows.iter().map(|flow| flow.started).max()?);
    let axis = Axis::over(first, last, most)?;
    let mut buckets: Vec<Bucket> =
        axis.starts().into_iter().map(|start| Bucket { start, flows: 0, failed: 0 }).collect();
    for flow in flows {
        if let Some(bucket) = axis.place(flow.started).and_then(|place| buckets.get_mut(place)) {
            bucket.flows += 1;
            bucket.failed += usize::from(flow.state == RunState::Failed);
        }
    }
    Some(Histogram { from: axis.from, width_ms: axis.width.saturating_mul(1_000), buckets })
}

/// Buckets of equal width, which begin at whole multiples of it if it is a usual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axis {
    from: Timestamp,
    /// Seconds.
    width: i64,
    count: usize,
}

impl Axis {
    /// Over all times from `first` to `last`, in at most `most` buckets. Where no usual width fits, which takes a lifetime or a
    /// single bucket, they begin with `first`.
    pub(super) fn over(first: Timestamp, last: Timestamp, most: u32) -> Option<Self> {
        let (first, last) = (seconds(first), seconds(last));
        let most = i64::from(most.max(1));
        let buckets = |width: i64| last.div_euclid(width) - first.div_euclid(width) + 1;
        let usual = WIDTHS.into_iter().find(|width| buckets(*width) <= most);
        let (from, width, count) = if let Some(width) = usual {
            (first.div_euclid(width) * width, width, buckets(width))
        } else {
            let width = (last - first) / most + 1;
            (first, width, (last - first) / width + 1)
        };
        // The bucket that holds the first time of all begins before it.
        let from = Timestamp::from_second(from).unwrap_or(Timestamp::MIN);
        Some(Self { from, width, count: usize::try_from(count).ok()? })
    }

    /// Where the buckets begin.
    pub(super) fn starts(&self) -> Vec<Timestamp> {
        let start = |place: usize| {
            let place = i64::try_from(place).unwrap_or(i64::MAX);
            let second = seconds(self.from).saturating_add(place.saturating_mul(self.width));
            Timestamp::from_second(second).unwrap_or(Timestamp::MAX)
        };
        (0..self.count).map(start).collect()
    }

    /// The bucket of a time, if it is in one.
    pub(super) fn place(&self, time: Timestamp) -> Option<usize> {
        let place = (seconds(time) - seconds(self.from)).div_euclid(self.width);
        usize::try_from(place).ok().filter(|place| *place < self.count)
    }
}

/// Full seconds since 1970, rounded down.
fn seconds(time: Timestamp) -> i64 {
    time.as_microsecond().div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(started: &str, status: &str) -> Counted {
        Counted {
            app: None,
            flow: None,
            status: Some(status.to_owned()),
            state: RunState::of(Some(status), Some(2), false),
            started: started.parse().unwrap(),
            duration_ms: None,
            ended: true,
        }
    }

    #[test]
    fn flows_are_counted_by_status_and_by_whole_widths_of_time() {
        let flows = [
            flow("2026-11-21T10:59:59.999999Z", "Failed"),
            flow("2026-11-21T11:00:00Z", "Completed"),
            flow("2026-11-21T11:29:00Z", "Completed"),
        ];
        let counts = counts(&flows, None, 5);
        assert_eq!((counts.flows, counts.failed, counts.sampled), (3, 1, false));
        let statuses: Vec<_> =
            counts.by_status.iter().map(|c| (c.status.as_deref().unwrap(), c.flows)).collect();
        assert_eq!(statuses, [("Completed", 2), ("Failed", 1)]);
        let histogram = counts.histogram.unwrap();
        // Half an hour is more than 15 minutes can hold in two buckets, and ten minutes give four.
        assert_eq!(
            (histogram.from.to_string(), histogram.width_ms),
            ("2026-11-21T10:50:00Z".to_owned(), 600_000)
        );
        let counted: Vec<_> = histogram.buckets.iter().map(|b| (b.flows, b.failed)).collect();
        assert_eq!(counted, [(1, 1), (1, 0), (0, 0), (1, 0)]);
        assert_eq!(histogram.buckets[1].start.to_string(), "2026-11-21T11:00:00Z");
    }

    #[test]
    fn nothing_has_no_histogram_and_all_of_time_has_one() {
        assert_eq!(counts(&[], None, 60).histogram, None);
        let ages = [flow("-009999-01-02T02:00:00Z", "x"), flow("9999-12-30T00:00:00Z", "x")];
        for most in [1, 2, 60] {
            let histogram = counts(&ages, None, most).histogram.unwrap();
            assert!(histogram.buckets.len() <= usize::try_from(most).unwrap(), "{most}");
            assert_eq!(histogram.buckets.iter().map(|bucket| bucket.flows).sum::<usize>(), 2, "{most}");
        }
    }
}
