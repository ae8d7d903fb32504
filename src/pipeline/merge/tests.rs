//! The law on generated sets of events: commutative, associative, idempotent. That it is also the *right* law is
//! held by the reference model in `tests/it/law.rs`.

use proptest::{collection::vec, option, prelude::*, sample::select};

use super::*;
use crate::model::{AppSwitch, Micros};

fn text(choices: &'static [&'static str]) -> impl Strategy<Value = Option<Text>> {
    option::of(select(choices)).prop_map(|text| text.map(Text::from_static))
}

fn bytes(choices: &'static [&'static str]) -> impl Strategy<Value = Option<Bytes>> {
    option::of(select(choices)).prop_map(|bytes| bytes.map(|b| Bytes::from_static(b.as_bytes())))
}

fn time() -> impl Strategy<Value = Option<Micros>> {
    option::of(select(&[5i64, 10, 20, 1234][..])).prop_map(|time| time.and_then(Micros::new))
}

fn phase() -> impl Strategy<Value = Phase> {
    select(&[Phase::Opened, Phase::Running, Phase::Closed, Phase::Closed][..])
}

fn run_row() -> impl Strategy<Value = RunRow> {
    let names = (text(&["u", "v"]), text(&["a", "b"]), text(&["n", "é"]), text(&["h"]), text(&["A", "B"]));
    let times = (time(), time(), phase());
    let piece = (bytes(&["{}", "ab"]), text(&["C", "F"]), bytes(&["o", "p"]), bytes(&["e"]));
    (names, times, piece).prop_map(|((user, app, name, host, original), (start, end, phase), piece)| {
        let (input, status, output, error) = piece;
        let closed = phase == Phase::Closed;
        RunRow {
            phase,
            parent: user.clone(),
            parent_name: name.clone(),
            version: app.clone(),
            trace: host.clone(),
            user,
            app,
            name,
            host,
            original,
            start,
            input,
            status,
            end: end.filter(|_| closed),
            output: output.filter(|_| closed),
            error: error.filter(|_| closed),
        }
    })
}

fn step_row() -> impl Strategy<Value = StepRow> {
    (run_row(), any::<bool>(), bytes(&["d", "e"])).prop_map(|(run, rerun, data)| StepRow {
        phase: run.phase,
        task: run.name,
        flow_name: run.app,
        subflow: run.user,
        parent_step: run.host,
        misc: data.clone(),
        rerun,
        start: run.start,
        input: run.input,
        end: run.end,
        status: run.status,
        output: run.output,
        error: run.error,
        data,
    })
}

fn variable_row() -> impl Strategy<Value = VariableRow> {
    let number = || select(&[0i64, 5, 10][..]);
    let said = (text(&["string", "json"]), bytes(&["a", "B"]), text(&["1", "2"]), bytes(&["{}"]));
    (number(), number(), any::<bool>(), said, time()).prop_map(|(run, revision, removed, said, created)| {
        let (kind, value, id, misc) = said;
        let value = value.filter(|_| !removed);
        VariableRow { run, revision, removed, kind, value, id, created, updated: None, misc }
    })
}

fn event() -> impl Strategy<Value = Event> {
    let flow = || select(&["A", "B"][..]).prop_map(|id| FlowId::new(id.into()));
    let step = || select(&["0", "1", "2", "x"][..]).prop_map(|id| StepId::new(id.into()));
    let number = || select(&[0i64, 5, 10, 15, 20][..]);
    prop_oneof![
        4 => (flow(), number(), run_row()).prop_map(|(flow, run, row)| Event::Flow { flow, run, row: row.into() }),
        6 => (flow(), step(), number(), step_row())
            .prop_map(|(flow, step, execution, row)| Event::Step { flow, step, execution, row: row.into() }),
        1 => (flow(), option::of(0i64..3), number())
            .prop_map(|(flow, from, before)| Event::Rewind { flow, from, before }),
        1 => (flow(), option::of(number())).prop_map(|(flow, before)| Event::Deleted { flow, before }),
        1 => (flow(), step()).prop_map(|(flow, step)| {
            Event::Snapshot { flow, data: Bytes::from(step.as_str().to_owned()), step: Some(step) }
        }),
        3 => (flow(), select(&["", "s"][..]), variable_row()).prop_map(|(flow, scope, row)| Event::Variable {
            flow,
            scope: Text::from_static(scope),
            name: "v".into(),
            row: row.into(),
        }),
        1 => (time(), any::<bool>(), text(&["1", "2"])).prop_map(|(at, off, version)| {
            Event::App(AppSwitch { user: Text::new(), app: "a".into(), row: AppRow { at, off, version } })
        }),
    ]
}

fn fold(events: impl IntoIterator<Item = Event>) -> Fold {
    let mut fold = Fold::default();
    for event in events {
        fold.add(event);
    }
    fold
}

fn merged<R: Clone>(a: &R, b: &R, merge: fn(&mut R, R)) -> R {
    let mut row = a.clone();
    merge(&mut row, b.clone());
    row
}

proptest! {
    #[test]
    fn runs_join_in_any_order_and_grouping(a in run_row(), b in run_row(), c in run_row()) {
        let join = |a: &RunRow, b: &RunRow| merged(a, b, RunRow::merge);
        prop_assert_eq!(join(&a, &b), join(&b, &a));
        prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
        prop_assert_eq!(join(&a, &a), a);
    }

    #[test]
    fn executions_join_in_any_order_and_grouping(a in step_row(), b in step_row(), c in step_row()) {
        let join = |a: &StepRow, b: &StepRow| merged(a, b, StepRow::merge);
        prop_assert_eq!(join(&a, &b), join(&b, &a));
        prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
        prop_assert_eq!(join(&a, &a), a);
    }

    #[test]
    fn the_order_and_number_of_deliveries_do_not_matter(
        events in vec(event(), 1..30),
        order in vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let again = order.iter().map(|index| index.get(&events).clone());
        let shuffled = again.chain(events.iter().rev().cloned());
        prop_assert_eq!(fold(shuffled), fold(events.clone()));
    }
}

#[test]
fn a_closed_piece_is_taken_whole_and_its_nulls_show() {
    let open = StepRow { data: Some(Bytes::from_static(b"open")), ..closed(None, "Started") };
    let open = StepRow { phase: Phase::Running, ..open };
    let mut row = open.clone();
    row.merge(closed(Micros::new(5), "Completed"));
    assert_eq!((row.phase, row.status.as_deref(), row.data), (Phase::Closed, Some("Completed"), None));
}

#[test]
fn the_phase_decides_and_never_the_status() {
    let mut row = closed(Micros::new(5), "Completed");
    row.merge(StepRow { phase: Phase::Opened, end: None, ..closed(None, "Started") });
    assert_eq!(
        (row.phase, row.status.as_deref(), row.end),
        (Phase::Closed, Some("Completed"), Micros::new(5))
    );
}

#[test]
fn the_longer_input_wins_and_then_the_greater_bytes() {
    let mut input = Some(Bytes::from_static(b"{}"));
    longest(&mut input, Some(Bytes::from_static(b"{\"a\":1}")));
    longest(&mut input, Some(Bytes::from_static(b"{\"a\":0}")));
    longest(&mut input, None);
    assert_eq!(input.as_deref(), Some(&b"{\"a\":1}"[..]));
}

#[test]
fn of_a_variable_the_latest_change_counts_whole_and_a_removal_stays() {
    let variable = |run, revision, removed, value: Option<&'static str>| VariableRow {
        run,
        revision,
        removed,
        kind: None,
        value: value.map(|value| Bytes::from_static(value.as_bytes())),
        id: value.map(Text::from_static),
        created: None,
        updated: None,
        misc: None,
    };
    let last = |one: VariableRow, other: VariableRow| {
        let event = |row| Event::Variable {
            flow: FlowId::new("f".into()),
            scope: Text::new(),
            name: "v".into(),
            row: Box::new(row),
        };
        let both = fold([event(one), event(other)]);
        both.flows["f"].variables.values().next().map(|row| row.as_ref().clone()).unwrap()
    };
    let (old, new) = (variable(0, 1, false, Some("z")), variable(0, 2, false, None));
    assert_eq!(last(new.clone(), old.clone()), new, "null of a greater revision shows");
    let gone = variable(0, 2, true, None);
    assert_eq!(last(gone.clone(), new), gone);
    let again = variable(1, 0, false, Some("a"));
    assert_eq!(last(gone, again.clone()), again, "a later run begins anew");
}

fn closed(end: Option<Micros>, status: &str) -> StepRow {
    StepRow {
        phase: Phase::Closed,
        task: None,
        flow_name: None,
        subflow: None,
        parent_step: None,
        misc: None,
        rerun: false,
        start: None,
        input: None,
        end,
        status: Some(status.into()),
        output: None,
        error: None,
        data: None,
    }
}
