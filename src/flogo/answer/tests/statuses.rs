//! How each task ended.

use super::*;

fn row(id: &str, task: &str, status: &str, subflow: &str) -> StepRow {
    StepRow {
        id: id.to_owned(),
        task: (!task.is_empty()).then(|| task.to_owned()),
        status: Some(status.to_owned()),
        subflow: Some(subflow.to_owned()),
        closed: true,
        ..StepRow::default()
    }
}

/// step, task, status
fn shown(rows: &[StepRow]) -> Vec<(String, String, String)> {
    let statuses = statuses(rows.to_vec()).into_iter();
    statuses.map(|step| (step.step_id, step.task_name, step.status)).collect()
}

fn lines<const N: usize>(lines: [(&str, &str, &str); N]) -> Vec<(String, String, String)> {
    lines.map(|(id, task, status)| (id.to_owned(), task.to_owned(), status.to_owned())).to_vec()
}

/// A flow whose subflow fails, as the collector stores it, in another order.
fn failing() -> Vec<StepRow> {
    vec![
        row("6", "CallFailing", "Failed", "0"),
        row("0", "Before", "Started", "0"),
        row("1", "Before", "Completed", "0"),
        row("2", "CallFailing", "Waiting", "0"),
        row("3", "Double", "Completed", "1"),
        row("4", "ChildThrow", "Failed", "1"),
        row("5", "", "Unknown", ""),
    ]
}

#[test]
fn a_task_that_waited_is_shown_once_and_the_first_and_the_empty_step_not_at_all() {
    let wanted = lines([
        ("1", "Before", "Completed"),
        ("2", "CallFailing", "Failed"),
        ("3", "Double", "Completed"),
        ("4", "ChildThrow", "Failed"),
    ]);
    assert_eq!(shown(&failing()), wanted);
}

#[test]
fn each_round_that_waited_takes_its_own_end() {
    let rows = [
        row("10", "Each", "Completed", "0"),
        row("1", "Each", "Waiting", "0"),
        row("4", "Each", "Failed", "0"),
        row("5", "Each", "Waiting", "0"),
        row("8", "Each", "Cancelled", "0"),
        row("9", "Each", "Waiting", "2"),
    ];
    let wanted = lines([
        ("1", "Each", "Failed"),
        ("5", "Each", "Cancelled"),
        ("9", "Each", "Waiting"),
        ("10", "Each", "Completed"),
    ]);
    assert_eq!(shown(&rows), wanted);
}

#[test]
fn a_closed_round_of_a_loop_does_not_seem_to_run() {
    let open = StepRow { closed: false, ..row("2", "Each", "Started", "0") };
    let wanted = lines([("1", "Each", ""), ("2", "Each", "Started")]);
    assert_eq!(shown(&[row("1", "Each", "Started", "0"), open]), wanted);
}

#[test]
fn every_field_is_text() {
    let step = StepRow {
        flow: Some("order".to_owned()),
        rerun: Some(false),
        started: "2026-11-21T20:28:27.50164Z".parse().ok(),
        ..row("1", "CalcTotal", "Completed", "0")
    };
    let wanted = json!([{
        "stepId": "1", "status": "Completed", "taskName": "CalcTotal", "flowname": "order", "rerun": "false",
        "subflowid": "0", "starttime": "2026-11-21T20:28:27.50164Z",
    }]);
    assert_eq!(value(statuses(vec![step])), wanted);
    assert_eq!(text(statuses(Vec::new())), "[]");
}

#[test]
fn the_last_that_failed_is_named() {
    let wanted = json!({"flowInstanceId": "f", "stepId": "4", "taskName": "ChildThrow"});
    assert_eq!(value(failed_task("f", failing())), wanted);
    let wanted = json!({"flowInstanceId": "f", "stepId": "", "taskName": ""});
    assert_eq!(value(failed_task("f", vec![row("1", "A", "Completed", "0")])), wanted);
}
