//! Which flows there are, how many, one of them; and how questions are asked.

use serde_json::{Value, json};

use super::{Serving, id, ids};
use crate::servers;

const NEWEST: [&str; 8] = ["2fcf3d", "30cf3d", "31cf3d", "32cf3d", "33cf3d", "34cf3d", "35cf3d", "36cf3d"];
const OLDEST: [&str; 8] = ["37cf3d", "38cf3d", "39cf3d", "3acf3d", "3bcf3d", "3ccf3d", "3dcf3d", "3ecf3d"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flows_are_listed_narrowed_counted_and_cut_into_pages() {
    let serving = Serving::recorded("recorded.jsonl").await;
    let all = serving.get("/flows").await;
    assert_eq!(ids(&all["flows"]), [NEWEST, OLDEST].concat());
    assert_eq!((&all["next"], &all["searched_to"]), (&Value::Null, &Value::Null));
    // As it was recorded.
    let wanted = json!({
        "id": id("3ec"), "flow": "order", "app": "history-harness", "version": "1.4.2", "status": "Completed",
        "started": "2026-11-21T20:28:27.494225Z", "ended": "2026-11-21T20:28:27.505492Z", "duration_ms": 11.267,
        "reruns": 0, "host": "lab-host", "user": "lab-user", "rerun_of": null, "parent": null, "parent_flow": null,
        "state": "completed",
    });
    assert_eq!(all["flows"][15], wanted);

    let failed = ["32cf3d", "37cf3d", "3acf3d"];
    let narrowed: [(&str, &[&str]); 16] = [
        ("status=failed", &failed),
        ("status=FAILED,Cancelled", &failed),
        ("failed=true", &failed),
        ("flow=order&app=history-harness", &["3dcf3d", "3ecf3d"]),
        ("flow=order", &["3dcf3d", "3ecf3d"]),
        ("app=history-harness&version=1.4.2&host=lab-host&user=lab-user&status=Failed", &failed),
        ("version=1", &[]),
        ("host=elsewhere", &[]),
        ("user=eve", &[]),
        ("since=2026-11-21T20:28:27.518680Z&until=2026-11-21T20:28:27.546190Z", &["3dcf3d"]),
        ("since=2026-11-21T20:28:27.518680Z&until=2026-11-21T20:28:27.546191Z", &["3ccf3d", "3dcf3d"]),
        ("until=2020-01-01", &[]),
        ("id=3a", &["3acf3d"]),
        (&format!("id={}", id("3ac")), &["3acf3d"]),
        (&format!("id={}&status=Completed", id("3ac")), &[]),
        ("rerun_of=nobody", &[]),
    ];
    for (query, wanted) in narrowed {
        let found = serving.get(&format!("/flows?{query}")).await;
        assert_eq!(ids(&found["flows"]), wanted, "{query}");
        // The same flows are counted, whatever else is asked.
        let counts = serving.get(&format!("/counts?{query}")).await;
        if !query.starts_with("id=") {
            assert_eq!(counts["flows"], wanted.len(), "{query}");
        }
    }

    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let page = serving.get(&format!("/flows?limit=5&after={after}")).await;
        found.extend(ids(&page["flows"]).into_iter().map(str::to_owned));
        assert!(ids(&page["flows"]).len() <= 5);
        let Some(next) = page["next"].as_str() else { break };
        next.clone_into(&mut after);
    }
    assert_eq!(found, [NEWEST, OLDEST].concat());

    let counts = serving.get("/counts?buckets=1").await;
    let wanted = json!([
        {"status": "Completed", "state": "completed", "flows": 13},
        {"status": "Failed", "state": "failed", "flows": 3},
    ]);
    assert_eq!(
        (&counts["by_status"], &counts["failed"], &counts["sampled"]),
        (&wanted, &json!(3), &json!(false))
    );
    let buckets = counts["histogram"]["buckets"].as_array().unwrap();
    assert_eq!((buckets.len(), &buckets[0]["flows"], &buckets[0]["failed"]), (1, &json!(16), &json!(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flows_are_found_by_how_long_they_took_what_is_in_them_and_whether_a_step_failed() {
    let config = super::config().await;
    let client = servers::connect_to(&config).await;
    let rows = "INSERT INTO flowstate (flowinstanceid, hostid, status, phase, starttime, endtime, flowinput, error, userid)
        VALUES ('quick', '', 'Completed', 2, '2026-01-01 00:00:01', '2026-01-01 00:00:01.25', '{\"order\": \"zü%1_\"}', NULL, 'ann'),
            ('slow', '', 'Completed', 2, '2026-01-01 00:00:02', '2026-01-01 00:00:03', NULL, NULL, 'bob'),
            ('wrong', '', 'Completed', 2, '2026-01-01 00:00:03', '2026-01-01 00:00:04', NULL, '{\"zü\": 1}', 'ann'),
            ('open', '', 'Started', 1, '2026-01-01 00:00:04', NULL, '\\xff00', NULL, NULL),
            ('lost', '', NULL, 1, NULL, NULL, NULL, NULL, NULL), ('loster', '', NULL, 1, NULL, NULL, NULL, NULL, NULL);
        INSERT INTO steps (flowinstanceid, stepid, status, error) VALUES
            ('slow', '1', 'Completed', NULL), ('slow', '2', 'FAILED', NULL), ('quick', '1', 'Completed', 'x'), ('open', '1', 'Completed', NULL)";
    client.batch_execute(rows).await.unwrap();
    let serving = Serving::over(config).await;
    for (query, wanted) in [
        ("", &["open", "wrong", "slow", "quick", "loster", "lost"][..]),
        ("limit=4", &["open", "wrong", "slow", "quick"]),
        ("min_duration_ms=1000", &["wrong", "slow"]),
        ("min_duration_ms=250", &["wrong", "slow", "quick"]),
        ("min_duration_ms=1000.001", &[]),
        ("failed=true", &["wrong"]),
        ("failed_step=true", &["slow", "quick"]),
        ("failed_step=true&failed=true", &[]),
        ("text=z%C3%BC", &["wrong", "quick"]),
        ("text=%251_", &["quick"]),
        ("since=2026-01-01T00:00:02Z", &["open", "wrong", "slow"]),
        ("id=los", &["loster", "lost"]),
        ("id=lost", &["lost"]),
        ("status=started", &["open"]),
    ] {
        let found = serving.get(&format!("/flows?{query}")).await;
        let ids: Vec<_> =
            found["flows"].as_array().unwrap().iter().map(|flow| flow["id"].as_str().unwrap()).collect();
        assert_eq!(ids, wanted, "{query}");
    }
    let last = serving.get("/flows?limit=4").await;
    let rest = serving.get(&format!("/flows?limit=1&after={}", last["next"].as_str().unwrap())).await;
    assert_eq!(rest["flows"][0]["id"], "loster");
    let rest = serving.get(&format!("/flows?limit=1&after={}", rest["next"].as_str().unwrap())).await;
    assert_eq!((&rest["flows"][0]["id"], &rest["next"]), (&json!("lost"), &Value::Null));
    let states = serving.get("/flows").await;
    let states: Vec<_> =
        states["flows"].as_array().unwrap().iter().map(|flow| flow["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["running", "failed", "completed", "completed", "running", "running"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_finds_little_says_how_far_it_looked() {
    let config = super::config().await;
    let client = servers::connect_to(&config).await;
    let rows = "INSERT INTO flowstate (flowinstanceid, hostid, starttime)
        SELECT 'f' || n, CASE n WHEN 1 THEN 'rare' ELSE '' END, '2026-01-01'::timestamp + n * interval '1 s' FROM generate_series(1, 20500) n";
    client.batch_execute(rows).await.unwrap();
    client.batch_execute("ANALYZE flowstate").await.unwrap();
    let serving = Serving::over(config).await;
    let first = serving.get("/flows?host=rare").await;
    // 20 500 s after the day began is the newest; 20 000 of them were looked at.
    assert_eq!((ids_of(&first), first["searched_to"].as_str()), (vec![], Some("2026-01-01T00:08:21Z")));
    let second = serving.get(&format!("/flows?host=rare&after={}", first["next"].as_str().unwrap())).await;
    assert_eq!((ids_of(&second), &second["next"]), (vec!["f1"], &Value::Null));
    let counts = serving.get("/counts").await;
    assert_eq!((&counts["flows"], &counts["sampled"]), (&json!(20_000), &json!(true)));
    assert_eq!(counts["complete_since"], "2026-01-01T00:08:21Z");
}

fn ids_of(page: &Value) -> Vec<&str> {
    page["flows"].as_array().unwrap().iter().map(|flow| flow["id"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_meant_is_a_problem_with_a_sentence() {
    let serving = Serving::over(super::config().await).await;
    for (path, code, sentence) in [
        ("/flows?limit=0", 400, "limit: want a number from 1 to 500, not 0"),
        ("/flows?limit=many", 400, "limit"),
        ("/flows?since=yesterday", 400, "since: want a time"),
        ("/flows?after=x", 400, "after: want what an answer had as its next"),
        ("/flows?flwo=x", 400, "flwo: there is no such parameter; is flow meant?"),
        ("/flows?failed=perhaps", 400, "failed"),
        ("/flows?host=%00", 400, "the database takes no such value"),
        ("/counts?buckets=61", 400, "buckets: want a number from 1 to 60, not 61"),
        ("/flows/nobody", 404, "there is no flow nobody"),
        ("/flows/nobody/steps", 404, "there is no flow nobody"),
        ("/flows/nobody/timeline", 404, "there is no flow nobody"),
        ("/flows/nobody/steps/1", 404, "there is no such step of flow nobody"),
        ("/flows/nobody?payload_bytes=4194305", 400, "payload_bytes: want at most 4194304 bytes"),
    ] {
        let (status, detail) = serving.problem(path).await;
        assert_eq!(status, code, "{path}: {detail}");
        assert!(detail.contains(sentence), "{path}: {detail}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_known_is_not_sent_again_and_a_long_one_is_compressed() {
    let serving = Serving::recorded("recorded.jsonl").await;
    let first = serving.ask("GET /flows", &[], "").await;
    let tag = first.head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    assert!(tag.starts_with("w/\""), "{tag}");
    let tag = tag.replacen('w', "W", 1);
    let again = serving.ask("GET /flows", &[("if-none-match", &tag)], "").await;
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    let other = serving.ask("GET /flows?limit=1", &[("if-none-match", &tag)], "").await;
    assert_eq!(other.status, 200);
    for way in ["gzip", "br"] {
        // Its body is no text.
        let head =
            super::head(&serving.process.address, "GET /api/v1/flows", &[("accept-encoding", way)]).await;
        assert!(head.contains(&format!("content-encoding: {way}")) && head.contains("etag: w/"), "{head}");
    }
}
