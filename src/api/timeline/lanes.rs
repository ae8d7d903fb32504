//! Which bars lie beside each other. Pure.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap, HashMap},
};

use super::chart::Span;

/// Lanes of one depth.
#[derive(Default)]
struct Taken {
    /// Until when, and which.
    until: BinaryHeap<Reverse<(i64, u32)>>,
    free: BTreeSet<u32>,
    count: u32,
}

/// For each span the least number that no span of the same depth has which overlaps it. One that ends where another begins
/// does not overlap it.
pub(super) fn lanes(spans: &[Span], depths: &[u32]) -> Vec<u32> {
    let mut order: Vec<(i64, usize, u32)> = spans
        .iter()
        .zip(depths)
        .enumerate()
        .map(|(index, (span, depth))| (span.start, index, *depth))
        .collect();
    order.sort_unstable();
    let mut lanes = vec![0; spans.len()];
    let mut taken: HashMap<u32, Taken> = HashMap::new();
    for (start, index, depth) in order {
        let end = spans.get(index).and_then(|span| span.end).unwrap_or(i64::MAX);
        if let Some(lane) = lanes.get_mut(index) {
            *lane = taken.entry(depth).or_default().take(start, end);
        }
    }
    lanes
}

impl Taken {
    fn take(&mut self, start: i64, end: i64) -> u32 {
        while let Some(&Reverse((until, lane))) = self.until.peek() {
            if until > start {
                break;
            }
            self.until.pop();
            self.free.insert(lane);
        }
        let lane = self.free.pop_first().unwrap_or_else(|| {
            self.count += 1;
            self.count - 1
        });
        self.until.push(Reverse((end, lane)));
        lane
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_that_overlap_lie_in_different_lanes_and_free_ones_are_taken_again() {
        let span = |start, end| Span { start, end };
        let spans =
            [span(0, Some(10)), span(1, None), span(5, Some(6)), span(6, Some(7)), span(10, Some(11))];
        assert_eq!(lanes(&spans, &[0; 5]), [0, 1, 2, 2, 0]);
        assert_eq!(lanes(&spans, &[0, 1, 2, 0, 1]), [0, 0, 0, 1, 1]);
    }

    #[test]
    fn of_bars_without_length_one_after_the_other_each_is_in_the_first_lane() {
        let spans: Vec<Span> = (0..3).map(|start| Span { start, end: Some(start) }).collect();
        assert_eq!(lanes(&spans, &[0; 3]), [0, 0, 0]);
    }
}
