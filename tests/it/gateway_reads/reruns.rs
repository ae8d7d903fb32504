//! Instances that were run again.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reruns_are_counted_and_found_by_their_original() {
    let (_config, serving) = recorded("reruns.jsonl").await;
    let id = |short: &str| short.repeat(16);
    let list = serving.ask(&format!("/v1/instances?{APP}&flowinstanceid={}", id("rb"))).await.json();
    let found: Vec<_> = list["FlowData"].as_array().unwrap().iter().collect();
    let told: Vec<_> = found.iter().map(|f| (&f["id"], &f["rerunCount"], &f["originalInstanceId"])).collect();
    let (rb, rc, rd) = (json!(id("rb")), json!(id("rc")), json!(id("rd")));
    let (none, no_original) = (json!(0), json!(""));
    assert_eq!(told, [(&rd, &none, &rb), (&rc, &none, &rb), (&rb, &json!(2), &no_original)]);
    let details = serving.ask(&format!("/v1/instances/{}/details", id("rd"))).await.json();
    assert_eq!((&details["originalInstanceId"], &details["rerunCount"]), (&rb, &none));

    // Re-run from an activity: what the first run was given, what the last did, and its steps only.
    let details = serving.ask(&format!("/v1/instances/{}/details", id("ra"))).await.json();
    assert_eq!(
        (&details["flowInputs"], &details["flowStatus"]),
        (&json!({"amount": 7}), &json!("Completed"))
    );
    let statuses = serving.ask(&format!("/v1/instances/{}/steps/status", id("ra"))).await.json();
    let told: Vec<_> =
        statuses.as_array().unwrap().iter().map(|s| (s["stepId"].as_str(), s["rerun"].as_str())).collect();
    let wanted = [("1", "false"), ("2", "true"), ("3", "true"), ("4", "true"), ("5", "true")];
    assert_eq!(told, wanted.map(|(step, rerun)| (Some(step), Some(rerun))));
}

/// What an engine posts for a step of a re-run: the tasks that ended, and nothing of what they gave.
fn untracked(number: i64, task: &str) -> String {
    json!({"id": number, "flowId": "again", "rerun": true, "flowChanges": {"0": {
        "newFlow": false, "flowURI": "res://flow:order", "subflowId": 0, "taskId": task, "status": 0, "attrs": null,
        "tasks": {task: {"change": 2, "status": 40, "input": {}}}, "links": null, "returnData": null}}})
    .to_string()
}

fn tracked(number: i64, task: &str, at: i64) -> String {
    let mut step: Value = serde_json::from_str(&untracked(number, task)).unwrap();
    step["rerun"] = json!(false);
    step["flowChanges"]["0"]["attrs"] = json!({format!("_A.{task}.at"): at});
    step.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rerun_past_a_rerun_still_gets_its_inputs() {
    let config = servers::config_of(&servers::database().await).await;
    let client = servers::connect_to(&config).await;
    for (table, step, execution, data) in [
        ("steps", "1", 10, tracked(1, "Calc", 10)),
        ("steps", "2", 300, untracked(2, "Charge")),
        ("steps", "3", 310, untracked(3, "Ship")),
        ("ft_superseded_step", "2", 20, tracked(2, "Charge", 20)),
        ("ft_superseded_step", "2", 200, untracked(2, "Charge")),
        ("ft_superseded_step", "3", 30, tracked(3, "Ship", 30)),
    ] {
        let insert = format!(
            "INSERT INTO {table} (flowinstanceid, stepid, execution, phase, stepdata) VALUES ('again', $1, $2, 2, $3)"
        );
        client.execute(&insert, &[&step, &i64::from(execution), &data.as_bytes()]).await.unwrap();
    }
    let serving = Serving::over(&config).await;
    let state = serving.ask("/v1/instances/again/snapshot/2").await.json();
    assert_eq!(state["attrs"], json!({"_A.Calc.at": 10, "_A.Charge.at": 20}));
    let state = serving.ask("/v1/instances/again/snapshot").await.json();
    assert_eq!(state["attrs"], json!({"_A.Calc.at": 10, "_A.Charge.at": 20, "_A.Ship.at": 30}));
    // The step itself is told as it was posted.
    let tasks = serving.ask("/v1/instances/again/step/2/taskdata").await.json();
    assert_eq!(tasks[0].get("output"), None);
}
