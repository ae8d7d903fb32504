//! The state of an instance.

use super::*;

#[test]
fn after_the_first_steps() {
    let steps = recorded("3ecf3d");
    let wanted = json!({
        "flowURI": "res://flow:order", "status": 100,
        "tasks": [{"id": "CalcTotal", "status": 20}],
        "id": "f", "workQueue": [{"id": 1, "subflowId": 0, "taskId": "CalcTotal"}],
    });
    let mut first = at(&steps, 0);
    let attrs = first.as_object_mut().unwrap().remove("attrs").unwrap();
    assert_eq!(first, wanted);
    assert_eq!((&attrs["amount"], &attrs["orderId"]), (&json!(250), &json!("o-1")));
    assert_eq!(attrs.as_object().unwrap().len(), 11);

    let third = at(&steps, 2);
    let tasks = json!([
        {"id": "BigDiscount", "status": 20}, {"id": "CalcTotal", "status": 40}, {"id": "LogTotal", "status": 40},
        {"id": "NoDiscount", "status": 50}, {"id": "Return", "status": 10},
    ]);
    // Link 0 was taken and is done with, 3 was not looked at yet.
    let links = json!([
        {"id": 0, "status": 2}, {"id": 1, "status": 2}, {"id": 2, "status": 1}, {"id": 3, "status": 0},
        {"id": 4, "status": 3},
    ]);
    assert_eq!((&third["tasks"], &third["links"]), (&tasks, &links));
    assert_eq!(third["workQueue"], json!([{"id": 3, "subflowId": 0, "taskId": "BigDiscount"}]));
    assert_eq!(third["status"], 100);
    assert_eq!(third["attrs"]["_A.CalcTotal.result"], 300);
}

#[test]
fn after_the_last_step_nothing_waits_and_the_status_is_the_flows() {
    let steps = recorded("3ecf3d");
    let last = value(snapshot("f", &steps, &[], None).unwrap());
    assert_eq!(last, at(&steps, 4));
    assert_eq!((&last["status"], last.get("workQueue")), (&json!(500), None));
}

#[test]
fn later_attributes_win() {
    let steps = recorded("36cf3d");
    for (step, rounds) in [(2, 1), (3, 2), (4, 3), (5, 3)] {
        assert_eq!(at(&steps, step)["attrs"]["_A.Each"].as_array().unwrap().len(), rounds, "step {step}");
    }
    assert_eq!(at(&steps, 4)["attrs"]["_A.Each"][1]["result"], 20);
}

#[test]
fn a_step_without_changes_shifts_nothing() {
    let steps = recorded("37cf3d");
    assert_eq!(at(&steps, 4)["status"], 100);
    let fifth = at(&steps, 5);
    assert_eq!(
        (&fifth["status"], &fifth["tasks"][1]),
        (&json!(100), &json!({"id": "CallFailing", "status": 30}))
    );
    assert_eq!(fifth["workQueue"], json!([{"id": 5, "subflowId": 0, "taskId": "CallFailing"}]));
    assert_eq!(at(&steps, 6)["status"], 700);
}

#[test]
fn what_a_subflow_holds_is_told_of_the_subflow_only() {
    let steps = recorded("3ccf3d");
    let inside = at(&steps, 3);
    assert!(inside["attrs"].get("_A.Double.result").is_none(), "{inside}");
    assert_eq!(inside["attrs"]["_fctx.FlowId"], "3ccf3de9dc7a3cc13f48d62a898ec63b");
    let subflow = &inside["subflows"][0];
    assert_eq!((&subflow["id"], &subflow["taskId"]), (&json!(1), &json!("CallChild")));
    assert_eq!((&subflow["flowURI"], &subflow["status"]), (&json!("res://flow:child"), &json!(100)));
    assert_eq!(subflow["attrs"]["_A.Double.result"], 42);
    assert_eq!(
        subflow["tasks"],
        json!([{"id": "ChildReturn", "status": 20}, {"id": "Double", "status": 40}])
    );
    assert_eq!(at(&steps, 5)["subflows"][0]["status"], 500);
    assert_eq!(at(&steps, 1).get("subflows"), None);

    let nested = at(&recorded("3bcf3d"), 4);
    let callers: Vec<_> =
        nested["subflows"].as_array().unwrap().iter().map(|sub| (&sub["id"], &sub["taskId"])).collect();
    assert_eq!(callers, [(&json!(1), &json!("CallMiddle")), (&json!(2), &json!("CallChild2"))]);
}

/// One step of a task in the main flow.
fn done(id: i64, execution: i64, task: &str, status: i64, attrs: &str, rerun: bool) -> StepData {
    let posted = format!(
        r#"{{"id":{id},"rerun":{rerun},"flowChanges":{{"0":{{"taskId":"{task}","attrs":{attrs},
            "tasks":{{"{task}":{{"change":2,"status":{status}}}}}}}}}}}"#
    );
    step(&id.to_string(), execution, &posted)
}

/// Attributes after all steps.
fn attributes(steps: &[StepData], superseded: &[StepData]) -> Value {
    value(snapshot("f", steps, superseded, None).unwrap())["attrs"].clone()
}

#[test]
fn what_a_rerun_did_not_record_is_taken_from_the_execution_before_it() {
    let superseded = [
        done(2, 20, "Charge", 40, r#"{"_A.Charge.paid":1}"#, false),
        done(2, 200, "Charge", 40, r#"{"_A.Charge.paid":2}"#, true),
        done(2, 900, "Charge", 40, r#"{"_A.Charge.paid":9}"#, true),
        done(3, 30, "Ship", 100, r#"{"_E":"lost"}"#, false),
        done(4, 40, "Mail", 40, r#"{"_A.Mail.sent":4}"#, false),
        step("5", 50, "of another runtime"),
    ];
    let first = done(1, 10, "Calc", 40, r#"{"_A.Calc.sum":7}"#, false);
    // Not from a later execution, not from one that failed, and what was recorded stays.
    let rerun = [
        first.clone(),
        done(2, 300, "Charge", 40, "null", true),
        done(3, 310, "Ship", 40, r#"{"_A.Ship.at":5}"#, true),
    ];
    let wanted = json!({"_A.Calc.sum": 7, "_A.Charge.paid": 2, "_A.Ship.at": 5});
    assert_eq!(attributes(&rerun, &superseded), wanted);
    // The re-run took another branch, and so the task has another number.
    let branched = [first.clone(), done(2, 300, "Mail", 40, "null", true)];
    assert_eq!(attributes(&branched, &superseded), json!({"_A.Calc.sum": 7, "_A.Mail.sent": 4}));
    // A step of a first run gave nothing if it says nothing.
    let plain = [first, done(2, 300, "Charge", 40, "null", false)];
    assert_eq!(attributes(&plain, &superseded), json!({"_A.Calc.sum": 7}));
}

#[test]
fn rounds_of_a_loop_are_filled_from_the_same_round() {
    let superseded = [
        done(2, 20, "Each", 20, r#"{"_A.Each":[1]}"#, false),
        done(3, 30, "Each", 20, r#"{"_A.Each":[1,2]}"#, false),
    ];
    let rerun = [done(2, 300, "Each", 20, "null", true), done(3, 310, "Each", 20, "null", true)];
    assert_eq!(attributes(&rerun[..1], &superseded), json!({"_A.Each": [1]}));
    assert_eq!(attributes(&rerun, &superseded), json!({"_A.Each": [1, 2]}));
}

#[test]
fn of_posted_snapshots_the_furthest_is_the_latest() {
    let posted = [
        r#"{"id":"f","flowURI":"u","status":100,"attrs":{"a":1,"b":2}}"#,
        r#"{"id":"f","flowURI":"u","status":500,"attrs":{"a":1}}"#,
        "no snapshot",
        r#"{"id":"f","flowURI":"u","status":100,"attrs":null,"tasks":[{"id":"T","status":20}]}"#,
    ];
    let bytes: Vec<Vec<u8>> = posted.iter().map(|text| text.as_bytes().to_vec()).collect();
    assert_eq!(latest_posted(&bytes), Some(posted[1]));
    assert_eq!(latest_posted(&[bytes[3].clone(), bytes[0].clone()]), Some(posted[0]));
    assert_eq!(latest_posted(&bytes[2..3]), None);
}

#[test]
fn a_number_keeps_its_spelling() {
    let steps = [done(1, 1, "T", 40, r#"{"n":1.0,"big":123456789012345678901}"#, false)];
    let answer = text(snapshot("f", &steps, &[], None).unwrap());
    let wanted = concat!(
        r#"{"flowURI":"","status":0,"attrs":{"big":123456789012345678901,"n":1.0},"#,
        r#""tasks":[{"id":"T","status":40}],"id":"f"}"#
    );
    assert_eq!(answer, wanted);
}
