//! One flow: its state, its kin, its steps, one of them, and how it is drawn.

use serde_json::{Value, json};

use super::{Serving, id};
use crate::rows;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_flow_leads_to_the_step_and_its_error() {
    let serving = Serving::recorded("recorded.jsonl").await;
    let failed = serving.get("/flows?failed=true&limit=1").await;
    let flow = failed["flows"][0]["id"].as_str().unwrap();
    let detail = serving.get(&format!("/flows/{flow}")).await;
    assert_eq!((&detail["flow"]["status"], &detail["flow"]["state"]), (&json!("Failed"), &json!("failed")));
    assert_eq!(detail["flow"]["phase"], 2);
    let step = &detail["steps"]["failed"][0];
    assert_eq!((&step["status"], &step["state"]), (&json!("Failed"), &json!("failed")), "{detail:#}");
    let path = format!("/flows/{flow}/steps/{}", step["id"].as_str().unwrap());
    let whole = serving.get(&path).await;
    assert_eq!(&whole["step"], step);
    assert!(whole["error"]["json"].is_object(), "{whole:#}");
    assert_eq!(whole["error"]["truncated"], false);
    assert_eq!((&whole["superseded"], &whole["executions"][0]["state"]), (&json!(false), &json!("failed")));
    // As Flogo means it, and as it was posted.
    assert!(whole["tasks"].as_array().unwrap().iter().any(|task| task["status"] == "Failed"), "{whole:#}");
    assert_eq!(whole["data"]["json"]["flowId"], flow);
    let cut = serving.get(&format!("{path}?payload_bytes=5")).await;
    assert_eq!(
        (&cut["data"]["text"], &cut["data"]["truncated"]),
        (&json!("{\"id\""), &json!(true)),
        "{cut:#}"
    );
    assert_eq!(cut["data"]["bytes"], whole["data"]["bytes"]);
    assert_eq!(cut["tasks"], whole["tasks"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_steps_of_every_recorded_flow_are_all_there_and_all_drawn() {
    let serving = Serving::recorded("recorded.jsonl").await;
    let client = crate::servers::connect_to(&serving.config).await;
    let flows = serving.get("/flows").await;
    for flow in flows["flows"].as_array().unwrap() {
        let flow = flow["id"].as_str().unwrap();
        let sql =
            format!("SELECT stepid FROM steps WHERE flowinstanceid = '{flow}' ORDER BY stepid::integer");
        let stored: Vec<_> = rows::texts(&client, &sql).await.into_iter().flatten().collect();
        let steps = serving.get(&format!("/flows/{flow}/steps")).await;
        let listed: Vec<_> =
            steps["steps"].as_array().unwrap().iter().map(|step| step["id"].as_str().unwrap()).collect();
        assert_eq!(listed, stored);
        let mut in_pieces = Vec::new();
        let mut after = String::new();
        loop {
            let page = serving.get(&format!("/flows/{flow}/steps?limit=2&after={after}")).await;
            in_pieces.extend(page["steps"].as_array().unwrap().clone());
            let Some(next) = page["next"].as_str() else { break };
            next.clone_into(&mut after);
        }
        assert_eq!(json!(in_pieces), steps["steps"]);
        let chart = serving.get(&format!("/flows/{flow}/timeline")).await;
        let mut drawn: Vec<_> =
            chart["bars"].as_array().unwrap().iter().map(|bar| bar["id"].as_str().unwrap()).collect();
        drawn.sort_unstable_by_key(|id| id.parse::<u64>().unwrap());
        assert_eq!(drawn, stored);
        assert_eq!((&chart["total"], &chart["open"]), (&json!(stored.len()), &json!(false)));
        let pages = serving.get(&format!("/flows/{flow}/timeline?limit=1")).await;
        assert_eq!((&pages["bars"][0], &pages["gaps"]), (&chart["bars"][0], &chart["gaps"]));
        let place = pages["next"].as_str().unwrap();
        let second = serving.get(&format!("/flows/{flow}/timeline?limit=1&after={place}")).await;
        assert_eq!(second["bars"][0], chart["bars"][1]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_are_narrowed_by_task_status_and_subflow() {
    let serving = Serving::recorded("recorded.jsonl").await;
    let client = crate::servers::connect_to(&serving.config).await;
    let flow = id("3ac");
    for (query, condition) in [
        ("status=FAILED", "status = 'Failed'"),
        ("failed=true", "status = 'Failed' OR error IS NOT NULL"),
        ("status=Completed,Failed&subflow=0", "status IN ('Completed', 'Failed') AND subflowid = '0'"),
        ("task=nobody", "false"),
    ] {
        let sql = format!(
            "SELECT stepid FROM steps WHERE flowinstanceid = '{flow}' AND ({condition}) ORDER BY stepid::integer"
        );
        let wanted: Vec<_> = rows::texts(&client, &sql).await.into_iter().flatten().collect();
        let found = serving.get(&format!("/flows/{flow}/steps?{query}")).await;
        let found: Vec<_> =
            found["steps"].as_array().unwrap().iter().map(|step| step["id"].as_str().unwrap()).collect();
        assert_eq!(found, wanted, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kin_runs_and_superseded_executions_are_told() {
    let config = super::config().await;
    let client = crate::servers::connect_to(&config).await;
    let rows = "INSERT INTO flowstate (flowinstanceid, hostid, status, phase, starttime, endtime, parentflowinstanceid, rerunofflowinstanceid, run, userid) VALUES
            ('parent', '', 'Completed', 2, '2026-01-01 00:00:00', '2026-01-01 00:00:09', NULL, NULL, 1, 'ann'),
            ('before', '', 'Completed', 2, '2025-12-31 00:00:00', '2026-01-01 00:00:09', 'parent', NULL, 1, 'ann'),
            ('child', '', 'Completed', 2, '2026-01-01 00:00:01', '2026-01-01 00:00:02', 'parent', NULL, 1, 'ann'),
            ('other', '', 'Failed', 2, '2026-01-01 00:00:03', NULL, 'parent', 'child', 20, 'bob');
        INSERT INTO ft_run (flowinstanceid, run, phase, status, hostid, starttime, endtime, flowinput) VALUES
            ('other', 10, 2, 'Failed', 'h', '2026-01-01 00:00:03', '2026-01-01 00:00:04', '{\"a\": 1}'),
            ('other', 20, 2, 'Failed', 'h', '2026-01-01 00:00:05', NULL, NULL);
        INSERT INTO steps (flowinstanceid, stepid, status, phase, execution, starttime) VALUES
            ('other', '1', 'Failed', 2, 21, '2026-01-01 00:00:05'), ('only steps', '1', 'Started', 1, 0, '2026-01-01');
        INSERT INTO ft_superseded_step (flowinstanceid, stepid, execution, phase, status, input) VALUES
            ('other', '1', 11, 2, 'Completed', 'first'), ('other', '2', 12, 2, 'Failed', NULL)";
    client.batch_execute(rows).await.unwrap();
    let serving = Serving::over(config).await;

    let parent = serving.get("/flows/parent").await;
    assert_eq!(parent["kin"]["children"].as_array().unwrap().len(), 2, "{parent:#}");
    assert_eq!(
        (&parent["kin"]["children"][0]["id"], &parent["kin"]["children_complete"]),
        (&json!("child"), &json!(true))
    );
    let child = serving.get("/flows/child").await;
    assert_eq!(
        (&child["kin"]["parent"]["id"], &child["kin"]["reruns"][0]["id"]),
        (&json!("parent"), &json!("other"))
    );
    assert_eq!(child["runs"], json!([]));
    let other = serving.get("/flows/other").await;
    assert_eq!(other["kin"]["original"]["id"], "child");
    let runs: Vec<_> =
        other["runs"].as_array().unwrap().iter().map(|run| (&run["run"], &run["superseded_steps"])).collect();
    assert_eq!(runs, [(&json!(10), &json!(2)), (&json!(20), &json!(0))]);
    assert_eq!(other["runs"][0]["input"], json!({"json": {"a": 1}, "bytes": 8, "truncated": false}));
    assert_eq!((&other["steps"]["total"], &other["steps"]["superseded"]), (&json!(1), &json!(2)));
    let alone = serving.get("/flows/only%20steps").await;
    assert_eq!((&alone["flow"], &alone["steps"]["total"]), (&Value::Null, &json!(1)));
    assert_eq!(alone["steps"]["by_state"], json!([{"state": "running", "steps": 1}]));

    let step = serving.get("/flows/other/steps/1").await;
    let executions: Vec<_> = step["executions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (&one["execution"], &one["superseded"]))
        .collect();
    assert_eq!(executions, [(&json!(21), &json!(false)), (&json!(11), &json!(true))]);
    assert_eq!((&step["tasks"], &step["input"]), (&Value::Null, &Value::Null));
    let first = serving.get("/flows/other/steps/1?execution=11").await;
    assert_eq!((&first["superseded"], &first["input"]["text"]), (&json!(true), &json!("first")));
    let (status, _) = serving.problem("/flows/other/steps/1?execution=12").await;
    assert_eq!(status, 404);

    let chart = serving.get("/flows/parent/timeline").await;
    let bars: Vec<_> = chart["bars"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bar| (&bar["kind"], &bar["id"], &bar["start_ms"]))
        .collect();
    assert_eq!(
        bars,
        [
            (&json!("flow"), &json!("child"), &json!(1000.0)),
            (&json!("flow"), &json!("other"), &json!(3000.0))
        ]
    );
}
