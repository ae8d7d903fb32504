//! What the gateway must answer, by hand from the state service's API.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{
    app::{HOST, VERSION},
    expected::{Flow, THREE_TENFOLD},
    scene::Scene,
};

/// Lists that say what there is: instances, flows, versions.
pub async fn list_all(scene: &Scene, ids: &[(&Flow, String)]) {
    let app = &scene.app.name;
    let query = format!("app={app}&version={VERSION}");
    let list = scene.read(&format!("/v1/instances?{query}")).await;
    assert_eq!(list["Count"], ids.len());
    // The one that began last comes first.
    let listed: Vec<&str> =
        list["FlowData"].as_array().unwrap().iter().map(|flow| text(&flow["id"])).collect();
    let mut began: Vec<&str> = listed.clone();
    began.sort_by_key(|id| std::cmp::Reverse(start(&list, id)));
    assert_eq!(listed, began);
    let wanted: BTreeSet<&str> = ids.iter().map(|(_, id)| id.as_str()).collect();
    assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), wanted);
    for (flow, id) in ids {
        let found = list["FlowData"].as_array().unwrap().iter().find(|found| found["id"] == **id).unwrap();
        let shown = ["flowName", "flowStatus", "hostid", "flowInputs", "rerunCount", "originalInstanceId"];
        let shown: Vec<&Value> = shown.iter().map(|field| &found[*field]).collect();
        assert_eq!(json!(shown), json!([flow.name, flow.status, HOST, {}, 0, ""]), "{found}");
    }
    let failed = scene.read(&format!("/v1/instances?{query}&status=Failed")).await;
    assert_eq!(failed["Count"], ids.iter().filter(|(flow, _)| flow.status == "Failed").count());
    let none = scene.read(&format!("/v1/instances?app={app}&version=0.0.1")).await;
    assert_eq!(none, json!({"Count": 0, "FlowData": null}));

    let flows = scene.read(&format!("/v1/flows?{query}")).await;
    let flows: BTreeSet<&str> = flows.as_array().unwrap().iter().map(text).collect();
    assert_eq!(flows, ids.iter().map(|(flow, _)| flow.name).collect());
    assert_eq!(scene.read(&format!("/v1/apps/{app}/versions")).await, json!([VERSION]));
}

/// What a re-run from the beginning asks for.
pub async fn details(scene: &Scene, big_order: &str) {
    let details = scene.read(&format!("/v1/instances/{big_order}/details")).await;
    let shown = ["id", "flowURI", "flowName", "flowStatus", "flowInputs"].map(|field| details[field].clone());
    let inputs = json!({"orderId": "o-1", "amount": 250});
    assert_eq!(json!(shown), json!([big_order, "res://flow:order", "order", "Completed", inputs]));
}

/// Steps as they were posted: each with its number, and nothing of what it changed lost.
pub async fn steps(scene: &Scene, flow: &Flow, id: &str) {
    let steps = scene.read(&format!("/v1/instances/{id}/steps")).await;
    let mut steps: Vec<&Value> = steps.as_array().unwrap().iter().collect();
    steps.sort_by_key(|step| step["id"].as_i64());
    let numbers: Vec<i64> = steps.iter().map(|step| step["id"].as_i64().unwrap()).collect();
    let lines = flow.steps.lines().filter(|line| !line.trim().is_empty());
    assert_eq!(numbers, (0..i64::try_from(lines.count()).unwrap()).collect::<Vec<_>>());
    assert!(steps.iter().all(|step| step["flowId"] == *id && step["rerun"] == false));
    let first = &steps[0]["flowChanges"]["0"];
    assert_eq!((&first["newFlow"], &first["status"]), (&json!(true), &json!(100)));
    assert_eq!(first["flowURI"], format!("res://flow:{}", flow.name));
    let input: Value = serde_json::from_str(flow.input).unwrap();
    for (name, value) in input.as_object().unwrap() {
        assert_eq!(&first["attrs"][name], value, "{name}");
    }
    let last = &steps[steps.len() - 1]["flowChanges"]["0"];
    assert_eq!(last["status"], if flow.status == "Failed" { 700 } else { 500 });
    if flow.status == "Completed" {
        assert_eq!(last["returnData"], serde_json::from_str::<Value>(flow.output).unwrap());
    }
}

/// A task of a step, with what went in and came out. The misspelt words are on the wire.
pub async fn task(scene: &Scene, big_order: &str) {
    let path = format!("/v1/instances/{big_order}/step/1/taskdata?taskName=CalcTotal");
    let wanted = json!([{
        "id": "CalcTotal", "stepId": 1, "subflowId": 0,
        "input": {"value": 250, "factor": 1.2},
        "output": {
            "CalcTotal": {"_A.CalcTotal.detail": "", "_A.CalcTotal.result": ""},
            "detail": {"value": 250, "factor": 1.2},
            "result": 300,
        },
        "links": [{
            "from": "CalcTotal", "to": "LogTotal", "toTaskStutus": "Started", "fromTaskStutus": "Completed",
            "status": "ture",
        }],
        "status": "Completed", "flow_status": "Created", "startTask": false, "newSubflow": false,
        "flowname": "res://flow:order",
    }]);
    assert_eq!(scene.read(&path).await, wanted);
}

/// Step 0 is left out, and a call of a subflow is one line: where it began, with how it ended.
pub async fn statuses(scene: &Scene, parent: &str) {
    let statuses = scene.read(&format!("/v1/instances/{parent}/steps/status")).await;
    let fields = ["stepId", "taskName", "status", "subflowid"];
    let line = |status: &Value| fields.map(|field| text(&status[field]).to_owned()).join(" ");
    let lines: Vec<String> = statuses.as_array().unwrap().iter().map(line).collect();
    let wanted = [
        "1 Before Completed 0",
        "2 CallChild Completed 0",
        "3 Double Completed 1",
        "4 ChildReturn Completed 1",
        "6 After Completed 0",
        "7 Return Completed 0",
    ];
    assert_eq!(lines, wanted);
}

/// Where a person would run it again from.
pub async fn failed_task(scene: &Scene, shut: &str) {
    let failed = scene.read(&format!("/v1/instances/{shut}/failedtask")).await;
    let shown = ["flowInstanceId", "stepId", "taskName"].map(|field| text(&failed[field]).to_owned());
    assert_eq!(shown, [shut, "3", "Gate"]);
}

/// The state after each round of the loop holds what all rounds up to then gave.
pub async fn snapshots(scene: &Scene, looped: &str) {
    let rounds: Value = serde_json::from_str(THREE_TENFOLD).unwrap();
    for (step, known) in [(1, 0), (2, 1), (3, 2), (4, 3), (5, 3), (7, 3)] {
        let snapshot = scene.read(&format!("/v1/instances/{looped}/snapshot/{step}")).await;
        assert_eq!((text(&snapshot["id"]), text(&snapshot["flowURI"])), (looped, "res://flow:loop"));
        assert_eq!(snapshot["attrs"]["items"], json!([1, 2, 3]));
        let each = snapshot["attrs"]["_A.Each"].as_array().map_or(&[][..], Vec::as_slice);
        assert_eq!(each, &rounds.as_array().unwrap()[..known], "after step {step}");
    }
}

/// The state that a step began with has what the steps before it left, and nothing of its own.
pub async fn state_before(scene: &Scene, id: &str, step: u32, (known, unknown): (&str, &str)) {
    let snapshot = scene.read(&format!("/v1/instances/{id}/snapshot/{}", step - 1)).await;
    let attrs = snapshot["attrs"].as_object().unwrap();
    assert!(attrs.contains_key(known) && !attrs.contains_key(unknown), "{snapshot}");
}

/// How often an instance was run again from the beginning, and what each of those says it is.
pub async fn lineage(scene: &Scene, original: &str, reruns: &[String]) {
    let app = &scene.app.name;
    let query = format!("app={app}&version={VERSION}&flowinstanceid={original}");
    let list = scene.read(&format!("/v1/instances?{query}")).await;
    let listed = list["FlowData"].as_array().unwrap().iter();
    let said: BTreeSet<(&str, i64, &str)> = listed
        .map(|flow| {
            let count = flow["rerunCount"].as_i64().unwrap();
            (text(&flow["id"]), count, text(&flow["originalInstanceId"]))
        })
        .collect();
    let count = i64::try_from(reruns.len()).unwrap();
    let wanted = reruns.iter().map(|id| (id.as_str(), 0, original)).chain([(original, count, "")]).collect();
    assert_eq!(said, wanted);
}

/// Which steps are of a re-run from an activity: those from its step on.
pub async fn rerun_from(scene: &Scene, id: &str, first: u32) {
    let statuses = scene.read(&format!("/v1/instances/{id}/steps/status")).await;
    for status in statuses.as_array().unwrap() {
        let of_rerun = text(&status["stepId"]).parse::<u32>().unwrap() >= first;
        assert_eq!(text(&status["rerun"]), of_rerun.to_string(), "{status}");
    }
}

fn start(list: &Value, id: &str) -> Timestamp {
    let flows = list["FlowData"].as_array().unwrap();
    text(&flows.iter().find(|flow| flow["id"] == *id).unwrap()["starttime"]).parse().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is not text"))
}
