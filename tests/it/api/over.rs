//! Many flows at once, two beside each other, and one that goes elsewhere.

use serde_json::{Value, json};

use super::{Serving, config, id};
use crate::{
    collecting::collect_all,
    program::{configured, done},
    rows, servers,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn durations_and_failures_are_told_by_flow_and_over_time() {
    let config = config().await;
    let client = servers::connect_to(&config).await;
    // A hundred runs of 1 to 100 ms, the last ten of which failed; and one of a day before.
    let rows = "INSERT INTO flowstate (flowinstanceid, hostid, appname, flowname, status, phase, starttime, endtime)
            SELECT 'f' || n, '', 'shop', 'order', CASE WHEN n > 90 THEN 'Failed' ELSE 'Completed' END, 2, start, start + n * interval '1 ms'
            FROM generate_series(1, 100) n, LATERAL (SELECT '2026-01-02'::timestamp + n * interval '1 s' AS start) s;
        INSERT INTO flowstate (flowinstanceid, hostid, appname, flowname, phase, starttime) VALUES ('old', '', 'shop', 'order', 2, '2026-01-01');
        INSERT INTO steps (flowinstanceid, stepid, taskname, flowname, status, starttime, endtime)
            SELECT flowinstanceid, s, 'task ' || s, 'order', 'Completed', starttime, starttime + s::integer * (endtime - starttime)
            FROM flowstate, unnest(ARRAY['1', '2']) s";
    client.batch_execute(rows).await.unwrap();
    let serving = Serving::over(config).await;
    let stats = serving.get("/stats?since=2026-01-02&until=2026-01-02T00:02:00Z&buckets=2").await;
    let flow = &stats["flows"][0];
    let told = ["app", "flow", "runs", "ended", "failed", "failure_rate", "p50_ms", "p95_ms", "p99_ms"]
        .map(|key| &flow[key]);
    assert_eq!(
        told.map(Value::to_string),
        ["\"shop\"", "\"order\"", "100", "100", "10", "0.1", "50.0", "95.0", "99.0"]
    );
    let over_time: Vec<_> = flow["over_time"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["start"].as_str().unwrap(), s["runs"].as_i64().unwrap()))
        .collect();
    assert_eq!(over_time.iter().map(|(_, runs)| runs).sum::<i64>(), 100);
    assert_eq!(over_time[0].0, "2026-01-02T00:00:00Z");
    let slow = &stats["slowest_steps"];
    assert_eq!(
        (&slow[0]["task"], &slow[0]["p50_ms"], &slow[0]["max_ms"]),
        (&json!("task 2"), &json!(100.0), &json!(200.0))
    );
    assert_eq!((&slow[1]["task"], &slow[1]["runs"]), (&json!("task 1"), &json!(100)));
    assert_eq!(serving.get("/stats?since=2026-01-02&until=2026-01-03&app=other").await["flows"], json!([]));
    assert_eq!(serving.problem("/stats?since=2026-01-02&until=2026-01-01").await.0, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_runs_of_a_flow_are_beside_each_other() {
    let serving = Serving::recorded("recorded.jsonl").await;
    let grid = serving.get("/grid?app=history-harness&flow=order").await;
    let runs: Vec<_> = grid["runs"].as_array().unwrap().iter().map(|run| &run["id"]).collect();
    assert_eq!(runs, [&json!(id("3dc")), &json!(id("3ec"))]);
    for (column, run) in ["3dc", "3ec"].iter().enumerate() {
        let steps = serving.get(&format!("/flows/{}/steps", id(run))).await;
        let cells =
            grid["cells"].as_array().unwrap().iter().map(|row| &row[column]).filter(|cell| !cell.is_null());
        let mut told: Vec<_> = cells.map(|cell| cell["step"].as_str().unwrap()).collect();
        told.sort_unstable_by_key(|step| step.parse::<u64>().unwrap());
        let wanted: Vec<_> =
            steps["steps"].as_array().unwrap().iter().map(|step| step["id"].as_str().unwrap()).collect();
        assert_eq!(told, wanted);
    }
    assert_eq!(serving.get("/grid?app=a&flow=b").await, json!({"runs": [], "rows": [], "cells": []}));
    assert_eq!(serving.problem("/grid?app=a").await.0, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_flows_are_compared_step_by_step() {
    let serving = Serving::recorded("recorded.jsonl").await;
    let (one, other) = (id("3ac"), id("3ec"));
    let itself = serving.get(&format!("/flows/{one}/compare/{one}")).await;
    let steps = serving.get(&format!("/flows/{one}/steps")).await["steps"].as_array().unwrap().len();
    assert_eq!(
        (&itself["same"], &itself["differs"], &itself["only_here"]),
        (&json!(steps), &json!(0), &json!(0))
    );
    let found = serving.get(&format!("/flows/{one}/compare/{other}")).await;
    let back = serving.get(&format!("/flows/{other}/compare/{one}")).await;
    assert_eq!((&found["only_here"], &found["differs"]), (&back["only_there"], &back["differs"]));
    let count =
        |what: &str| found["steps"].as_array().unwrap().iter().filter(|pair| pair["what"] == what).count();
    for what in ["same", "differs", "only_here", "only_there"] {
        assert_eq!(found[what], count(what), "{what}");
    }
    let first = serving.get(&format!("/flows/{one}/compare/{other}?limit=1")).await;
    let rest =
        serving.get(&format!("/flows/{one}/compare/{other}?after={}", first["next"].as_str().unwrap())).await;
    assert_eq!((&first["steps"][0], &rest["steps"][0]), (&found["steps"][0], &found["steps"][1]));
}

/// What the events of a flow make is what they were made of, whatever it went through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_exported_makes_the_same_rows_in_an_empty_database() {
    for recording in ["recorded.jsonl", "reruns.jsonl"] {
        let serving = Serving::recorded(recording).await;
        let client = servers::connect_to(&serving.config).await;
        let ids: Vec<String> = rows::texts(&client, "SELECT flowinstanceid FROM flowstate ORDER BY 1")
            .await
            .into_iter()
            .flatten()
            .collect();
        let mut command = configured(&serving.config, ["flow", "export"]);
        let exported = done(command.args(&ids)).await;
        let mut asked = String::new();
        for id in &ids {
            asked.push_str(&serving.ask(&format!("GET /flows/{id}/export"), &[], "").await.body);
        }
        assert_eq!(asked, exported, "the API and the terminal say the same");

        let empty = config().await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("flows.json");
        std::fs::write(&file, &exported).unwrap();
        let mut command = configured(&empty, ["publish", "--from", "json"]);
        done(command.arg(&file).args(["--topic", &empty.kafka.topics[0]])).await;
        collect_all(&empty).await;
        let other = servers::connect_to(&empty).await;
        for table in [
            "flowstate",
            "steps",
            "ft_run",
            "ft_superseded_step",
            "ft_rewind",
            "ft_snapshot",
            "ft_tombstone",
            "ft_variable",
        ] {
            // Of a flow that was deleted there is nothing to export.
            let sql = format!(
                "SELECT to_jsonb(t)::text FROM {table} t WHERE flowinstanceid IN (SELECT flowinstanceid FROM flowstate) ORDER BY 1"
            );
            assert_eq!(
                rows::texts(&client, &sql).await,
                rows::texts(&other, &sql).await,
                "{recording}: {table}"
            );
        }
    }
}
