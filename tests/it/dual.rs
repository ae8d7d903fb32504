//! A dual run: what apps post to the gateway goes to Flogo's own state service as well, and both databases are compared.

use std::collections::BTreeMap;

use flowtrail::config::Config;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{
    collecting::{Collecting, collect_all, until_stored},
    gateway::{JSON, Recorded, config, recording},
    http_client::ask,
    program::{Process, Ran, configured, done, get, run},
    servers::{self, until},
};

mod go_service;

use go_service::{Asked, GoService};

/// Before everything that is recorded.
const SINCE: [&str; 4] = ["--since", "2026-11-01", "--until", "2027-01-01"];

async fn compare(config: &Config, old: &GoService, more: &[&str]) -> Ran {
    let mut command = configured(config, ["flogo", "compare", "--with", &old.database]);
    run(command.args(SINCE).args(more)).await
}

/// The differences and the summary.
fn told(ran: &Ran) -> (Vec<Value>, Value) {
    let mut whole: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
    (serde_json::from_value(whole["differences"].take()).unwrap(), whole["summary"].take())
}

/// Posts a recording through a gateway of its own and stores it; before a rewind what came is stored first. When the gateway
/// has ended, all of it has been sent on.
async fn both(file: &str) -> (Config, GoService) {
    let (config, old) = (config(6).await, GoService::start().await);
    let collecting = Collecting::start(&config);
    let serving = Process::serve(&config, &["--also", &old.url]).await;
    for Recorded { request, body } in recording(file) {
        if request.starts_with("DELETE") {
            until_stored(&config).await;
        }
        let headers = [JSON, ("username", "ann")];
        let answer = ask(&serving.address, &request, &headers, body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{request}: {answer:?}");
    }
    assert_eq!(serving.end("TERM").await, Some(0));
    until_stored(&config).await;
    collecting.stop().await;
    (config, old)
}

/// Requests by the instance that they are about, in order.
fn by_flow(requests: impl Iterator<Item = (String, String)>) -> BTreeMap<String, Vec<(String, String)>> {
    let mut flows = BTreeMap::<_, Vec<_>>::new();
    for (request, body) in requests {
        let named = serde_json::from_str::<Value>(&body).unwrap_or_default();
        let id = ["flow_instance_id", "flowId", "id"].iter().find_map(|name| named[name].as_str());
        let id = id.or_else(|| request.split('/').nth(3)).unwrap().to_owned();
        flows.entry(id).or_default().push((request, body));
    }
    flows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_traffic_differs_in_both_databases_by_what_is_known_and_by_nothing_else() {
    let (config, old) = both("recorded.jsonl").await;
    let posted = recording("recorded.jsonl").into_iter().map(|recorded| (recorded.request, recorded.body));
    let asked = old.asked();
    assert!(asked.iter().all(|asked| asked.user.as_deref() == Some("ann") && asked.token.is_none()));
    let asked = asked.into_iter().map(|Asked { request, body, .. }| (request, body));
    assert_eq!(by_flow(asked), by_flow(posted), "not all of it came, or not in order");

    let ran = compare(&config, &old, &["--format", "json"]).await;
    assert_eq!((ran.code, &told(&ran).0), (0, &vec![]), "{ran:?}");
    // One step of `subfail` changes nothing, three of `loop` are rounds that go on.
    let explained = json!({ "empty_step": 1, "no_word": 3 });
    let summary = json!({ "flows": 16, "steps": 91, "unexplained": 0, "explained": explained });
    assert_eq!(told(&ran).1, summary);
    let all = told(&compare(&config, &old, &["--format", "json", "--all"]).await).0;
    let shown: Vec<_> =
        all.iter().map(|found| json!([found["step"], found["column"], found["reason"]])).collect();
    let no_word = |step| json!([step, "status", "no_word"]);
    assert_eq!(shown, [no_word("2"), no_word("3"), no_word("4"), json!(["5", null, "empty_step"])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_of_both_databases_lacks_is_found_and_nothing_that_was_not_asked_for() {
    let (config, old) = both("recorded.jsonl").await;
    let (ours, theirs) = (servers::connect_to(&config).await, servers::connect(&old.database).await);
    let first: &str = "(SELECT min(flowinstanceid COLLATE \"C\") FROM flowstate)";
    let last: &str = "(SELECT max(flowinstanceid COLLATE \"C\") FROM flowstate)";
    ours.batch_execute(&format!("DELETE FROM flowstate WHERE flowinstanceid = {first}")).await.unwrap();
    ours.batch_execute(&format!("DELETE FROM steps WHERE stepid = '1' AND flowinstanceid = {last}"))
        .await
        .unwrap();
    theirs
        .batch_execute(&format!("DELETE FROM steps WHERE stepid = '0' AND flowinstanceid = {last}"))
        .await
        .unwrap();
    theirs
        .batch_execute(&format!("UPDATE flowstate SET hostid = 'x' WHERE flowinstanceid = {last}"))
        .await
        .unwrap();
    let ran = compare(&config, &old, &["--format", "json"]).await;
    let shown: Vec<_> = told(&ran)
        .0
        .iter()
        .map(|found| json!([found["kind"], found["step"], found["column"], found["here"], found["there"]]))
        .collect();
    let wanted = [
        json!(["there", null, null, null, null]),
        json!(["column", null, "hostid", "\"lab-host\"", "\"x\""]),
        json!(["here", "0", null, null, null]),
        json!(["there", "1", null, null, null]),
    ];
    assert_eq!((ran.code, shown.as_slice()), (3, &wanted[..]), "{ran:?}");
    let table = compare(&config, &old, &["--limit", "1"]).await;
    assert!(
        table.code == 3 && table.stdout.contains("(the row)") && table.stdout.contains("… and 3 more"),
        "{table:?}"
    );
    let lines = compare(&config, &old, &["--format", "ndjson"]).await.stdout;
    assert_eq!(lines.lines().count(), 5, "{lines}");

    let mut later =
        configured(&config, ["flogo", "compare", "--with", &old.database, "--since", "2026-11-23"]);
    let later = run(later.args(["--until", "2026-11-24"])).await;
    assert!(
        later.code == 0 && later.stdout.starts_with("0 instances and 0 steps: no unexplained"),
        "{later:?}"
    );
    let nowhere =
        run(&mut configured(&config, ["flogo", "compare", "--with", "postgres://a:hunter2@127.0.0.1:1/x"]))
            .await;
    assert!(
        nowhere.code == 1 && nowhere.stderr.contains("127.0.0.1:1") && !nowhere.stderr.contains("hunter2"),
        "{nowhere:?}"
    );
}

/// Re-runs from a step and from the beginning, and a step 0 that comes twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_reruns_too_only_what_is_known_differs() {
    let (config, old) = both("reruns.jsonl").await;
    let ran = compare(&config, &old, &["--format", "json", "--all"]).await;
    let (differences, summary) = told(&ran);
    assert_eq!((ran.code, &summary["unexplained"]), (0, &json!(0)), "{differences:#?}");
    assert_eq!(summary["flows"], 7);
    // The instance that was run again from a step has another input there.
    let input = |found: &&Value| found["column"] == "flowinput" && found["reason"] == "rerun_input";
    assert_eq!(differences.iter().filter(input).count(), 1, "{differences:#?}");
}

/// An end that is posted before its start, as apps do that record asynchronously, leaves the instance open there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_is_lost_there_is_no_loss_here() {
    let (config, old) = (config(1).await, GoService::start().await);
    let serving = Process::serve(&config, &["--also", &old.url]).await;
    let flow =
        recording("recorded.jsonl").into_iter().filter(|recorded| !recorded.request.ends_with("steps"));
    let mut pair: Vec<_> = flow.take(2).collect();
    pair.reverse();
    let lines = pair.iter().map(|recorded| recorded.body.as_str()).collect::<Vec<_>>().join("\n");
    let answer = ask(&serving.address, "POST /v1/instances/events", &[JSON], lines.as_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    // What was sent on once goes no further, or two services that name each other would never rest.
    let (headers, again) = ([JSON, ("flowtrail-also", "1")], &pair[0]);
    let answer = ask(&serving.address, &again.request, &headers, again.body.as_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(serving.end("TERM").await, Some(0));
    // Each line went by itself, in the order of the lines.
    let asked: Vec<_> = old.asked().into_iter().map(|asked| (asked.request, asked.body)).collect();
    let wanted: Vec<_> = pair.into_iter().map(|recorded| (recorded.request, recorded.body)).collect();
    assert_eq!(asked, wanted);
    collect_all(&config).await;
    let ran = compare(&config, &old, &["--format", "json"]).await;
    let explained = json!({ "end_lost": 4 });
    assert_eq!((ran.code, &told(&ran).1["explained"]), (0, &explained), "{ran:?}");
}

/// Neither a service that is not there nor one that never answers holds up an app.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_other_service_does_apps_are_answered_as_ever() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    // More than may wait for one sender, or less.
    for (url, posts, outcome) in
        [("http://127.0.0.1:9", 1_000, "failed"), (silent.as_str(), 2_200, "dropped")]
    {
        let config = config(1).await;
        let mut serving = Process::serve(&config, &["--also", url]).await;
        let one = json!({ "flow_instance_id": "f", "flow_stats": "Created" }).to_string();
        let lines = vec![one; posts].join("\n");
        let answer = ask(&serving.address, "POST /v1/instances/events", &[JSON], lines.as_bytes()).await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "kept": posts, "refused": [] })));
        assert!(serving.says("also_lost").await.contains(&format!("outcome=\"{outcome}\"")));
        until("what was lost is counted", async || {
            let (_, metrics) = get(&serving.address, "/metrics").await;
            let line = format!("flowtrail_gateway_also_total{{outcome=\"{outcome}\"}} ");
            let count = metrics.lines().find_map(|found| found.strip_prefix(&line)).unwrap_or("0");
            if count.parse::<u32>().unwrap() > 100 { Ok(()) } else { Err(metrics) }
        })
        .await;
        assert_eq!(serving.end("TERM").await, Some(0));
    }
}

/// The other service's database becomes ours: what was in flight there ends here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_the_other_service_is_adopted_with_what_is_in_flight() {
    let (mut config, old) = (config(1).await, GoService::start().await);
    config.postgres.url = Some(old.database.as_str().into());
    let requests = recording("recorded.jsonl");
    let (before, behind) = requests.split_at(4);
    let address = old.url.strip_prefix("http://").unwrap();
    for Recorded { request, body } in before {
        assert_eq!(ask(address, request, &[JSON], body.as_bytes()).await.status, 200);
    }
    done(&mut configured(&config, ["schema", "update"])).await;
    let serving = Process::serve(&config, &[]).await;
    let of_first: Value = serde_json::from_str(&before[0].body).unwrap();
    let id = of_first["flow_instance_id"].as_str().unwrap();
    for Recorded { request, body } in behind.iter().filter(|recorded| recorded.body.contains(id)) {
        assert_eq!(ask(&serving.address, request, &[JSON], body.as_bytes()).await.status, 200);
    }
    serving.end("TERM").await;
    collect_all(&config).await;
    let shown = done(&mut configured(&config, ["flow", "show", id, "--format", "json"])).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let steps = shown["steps"].as_array().unwrap().len();
    assert_eq!((&shown["state"]["status"], steps), (&json!("Completed"), 5), "{shown}");
}
