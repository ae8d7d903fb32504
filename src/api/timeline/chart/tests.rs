//! What is drawn of a few steps each.

use super::*;
use crate::clock;

fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(1_795_292_907_000_000 + micros).unwrap()
}

/// A step by id, subflow, status, start and end.
fn step(id: &str, subflow: &str, status: &str, start: i64, end: i64) -> StepLine {
    StepLine {
        id: id.to_owned(),
        task: Some(format!("task {id}")),
        status: Some(status.to_owned()),
        state: RunState::of(Some(status), Some(2), false),
        started: Some(at(start)),
        ended: Some(at(end)),
        duration_ms: None,
        rerun: false,
        execution: None,
        phase: Some(2),
        flow: None,
        subflow: Some(subflow.to_owned()),
        parent: None,
        input_bytes: None,
        output_bytes: None,
        error_bytes: None,
        data_bytes: None,
    }
}

fn flow(id: &str, start: i64, end: Option<i64>) -> Summary {
    Summary {
        id: id.to_owned(),
        flow: None,
        app: None,
        version: None,
        status: None,
        started: Some(at(start)),
        ended: end.map(at),
        duration_ms: None,
        reruns: 0,
        host: None,
        user: None,
        rerun_of: None,
        parent: None,
        parent_flow: None,
        state: if end.is_some() { RunState::Completed } else { RunState::Running },
    }
}

fn drawn(chart: &Chart) -> Vec<(&str, u32, Option<&str>)> {
    chart.bars.iter().map(|bar| (bar.id.as_str(), bar.depth, bar.parent.as_deref())).collect()
}

#[test]
fn what_a_subflow_did_comes_behind_the_step_that_waits_for_it() {
    // Two branches wait at once; the later one's subflow begins first.
    let steps = [
        step("0", "0", "Started", 0, 1),
        step("1", "0", "Waiting", 1, 2),
        step("2", "0", "Waiting", 2, 3),
        step("3", "1", "Completed", 3, 4),
        step("4", "2", "Completed", 4, 5),
        step("5", "1", "Waiting", 5, 6),
        step("6", "3", "Completed", 6, 7),
        step("7", "0", "Completed", 7, 8),
    ];
    let chart = draw(Some(&flow("f", 0, Some(8))), &steps, &[]);
    let wanted = [
        ("0", 0, None),
        ("1", 0, None),
        ("4", 1, Some("1")),
        ("2", 0, None),
        ("3", 1, Some("2")),
        ("5", 1, Some("2")),
        ("6", 2, Some("5")),
        ("7", 0, None),
    ];
    assert_eq!(drawn(&chart), wanted);
    assert!(chart.bars.iter().all(|bar| bar.critical && bar.lane == 0), "{chart:#?}");
    assert_eq!((chart.whole, chart.is_open, chart.gaps.len()), (8, false, 0));
}

#[test]
fn a_step_belongs_to_the_one_that_it_names_unless_that_comes_later() {
    let named = |step: StepLine, parent: &str| StepLine { parent: Some(parent.to_owned()), ..step };
    let steps = [
        named(step("a", "0", "Completed", 0, 9), "b"),
        named(step("b", "0", "Completed", 1, 5), "a"),
        named(step("c", "0", "Completed", 2, 4), "nobody"),
    ];
    let chart = draw(None, &steps, &[]);
    assert_eq!(drawn(&chart), [("a", 0, None), ("b", 1, Some("a")), ("c", 0, None)]);
    // What lasts as long as what it called is no part of the path.
    let critical: Vec<_> = chart.bars.iter().map(|bar| bar.critical).collect();
    assert_eq!(critical, [false, true, false]);
}

#[test]
fn a_flow_that_was_called_is_drawn_behind_the_step_that_began_last_before_it() {
    let steps = [step("0", "0", "Completed", 0, 10), step("1", "0", "Completed", 10, 20)];
    let chart = draw(Some(&flow("f", 0, None)), &steps, &[flow("child", 12, None)]);
    assert_eq!(drawn(&chart), [("0", 0, None), ("1", 0, None), ("child", 1, Some("1"))]);
    let last = chart.bars.last().unwrap();
    assert_eq!((last.kind, last.start_ms, last.end_ms), (Kind::Flow, 0.012, None));
    assert!(chart.is_open);
}

#[test]
fn a_gap_is_longer_than_a_second_or_than_a_twentieth_of_the_whole() {
    let steps = |gap: i64, rest: i64| {
        let end = 10 + gap;
        draw(
            Some(&flow("f", 0, Some(end + rest))),
            &[step("0", "0", "Completed", 0, 10), step("1", "0", "Completed", end, end + rest)],
            &[],
        )
        .gaps
    };
    assert_eq!(steps(6, 100), [(10, 16)], "6 of 116 µs are more than 5");
    assert_eq!(steps(5, 100), [], "5 of 115 µs are not");
    assert_eq!(steps(1_000_000, 100_000_000), []);
    assert_eq!(steps(1_000_001, 100_000_000), [(10, 1_000_011)]);
    // Before the first step, and after the last one.
    let chart = draw(Some(&flow("f", 0, Some(100))), &[step("0", "0", "Completed", 40, 50)], &[]);
    assert_eq!(chart.gaps, [(0, 40), (50, 100)]);
}

#[test]
fn a_step_without_a_start_has_no_place_and_a_clock_set_back_no_length() {
    let steps = [
        StepLine { started: None, ..step("0", "0", "Completed", 0, 1) },
        step("1", "0", "Completed", 5, 3),
        StepLine { ended: None, phase: Some(1), ..step("2", "0", "Started", 5, 0) },
    ];
    let chart = draw(None, &steps, &[]);
    let spans: Vec<_> = chart.bars.iter().map(|bar| (bar.id.as_str(), bar.start_ms, bar.end_ms)).collect();
    assert_eq!(spans, [("1", 0.0, Some(0.0)), ("2", 0.0, None)]);
    assert_eq!(draw(None, &[], &[]).bars, []);
}

#[test]
fn ten_thousand_steps_are_drawn_in_no_time() {
    let steps: Vec<StepLine> =
        (0..10_000).map(|n| step(&n.to_string(), &(n % 100).to_string(), "Waiting", n, n + 50_000)).collect();
    let began = clock::monotonic();
    let chart = draw(Some(&flow("f", 0, Some(60_000))), &steps, &[]);
    assert_eq!(chart.bars.len(), 10_000);
    // Without optimisation, beside other tests.
    assert!(began.elapsed().as_millis() < 1_000, "{:?}", began.elapsed());
}
