//! The chain of bars that the end of a flow rests on. Pure.

use super::chart::Span;

/// By span, whether it is on the critical path.
///
/// The path is told by times alone: it ends with the span that ends last, and before each of its spans comes the one that
/// ended last at the time when that one began. What is open ends after everything else, and of several such the one that
/// began first; otherwise, of those that end at once the one that began last, then the later in order. Wrappers, which last
/// as long as what they called does, are not on it.
pub(super) fn path(spans: &[Span], wrappers: &[bool]) -> Vec<bool> {
    let mut by_end: Vec<(i64, i64, usize)> = Vec::with_capacity(spans.len());
    for (index, (span, is_wrapper)) in spans.iter().zip(wrappers).enumerate() {
        if !is_wrapper {
            let key = span.end.map_or((i64::MAX, span.start.saturating_neg()), |end| (end, span.start));
            by_end.push((key.0, key.1, index));
        }
    }
    by_end.sort_unstable();
    let mut on_path = vec![false; spans.len()];
    let mut place = by_end.len().checked_sub(1);
    while let Some((_, _, index)) = place.and_then(|place| by_end.get(place)).copied() {
        if let Some(on_path) = on_path.get_mut(index) {
            *on_path = true;
        }
        let began = spans.get(index).map_or(i64::MIN, |span| span.start);
        // Only what is further down the list: spans without length end where they begin.
        let ended = by_end.partition_point(|(end, ..)| *end <= began).min(place.unwrap_or(0));
        place = ended.checked_sub(1);
    }
    on_path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(spans: &[(i64, Option<i64>)], wrappers: &[usize]) -> Vec<usize> {
        let spans: Vec<Span> = spans.iter().map(|&(start, end)| Span { start, end }).collect();
        let wrappers: Vec<bool> = (0..spans.len()).map(|index| wrappers.contains(&index)).collect();
        let on_path = path(&spans, &wrappers);
        on_path.into_iter().enumerate().filter_map(|(index, is_on)| is_on.then_some(index)).collect()
    }

    #[test]
    fn the_path_goes_back_from_the_last_end_by_who_ended_last_before() {
        // Two branches from 10 on: the one by 2 is shorter than the one by 1.
        let spans = [(0, Some(10)), (10, Some(50)), (11, Some(20)), (50, Some(60))];
        assert_eq!(path_of(&spans, &[]), [0, 1, 3]);
        // A bar around all of it tells nothing.
        let wrapped = [&[(0, Some(99))], &spans[..]].concat();
        assert_eq!(path_of(&wrapped, &[]), [0]);
        assert_eq!(path_of(&wrapped, &[0]), [1, 2, 4]);
    }

    #[test]
    fn what_is_open_ends_last_and_the_one_that_began_first_holds_it_up() {
        assert_eq!(path_of(&[(0, Some(5)), (6, None), (7, None), (8, Some(9))], &[]), [0, 1]);
    }

    #[test]
    fn bars_without_length_are_passed_once() {
        assert_eq!(path_of(&[(3, Some(3)), (3, Some(3)), (3, Some(3))], &[]), [0, 1, 2]);
        assert_eq!(path_of(&[], &[]), [0; 0]);
    }
}
