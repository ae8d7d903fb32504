//! What an app posts over HTTP becomes the rows that it becomes from a file: in order, out of it, while Kafka is away.

use std::{net::SocketAddr, path::Path};

use flowtrail::{config::Config, http, server::Server};
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    collecting::{Collecting, collect_all, until_stored},
    http_client::{self, Answer, ask},
    program::{Process, configured, done, publish},
    recorded, rows, servers, topics,
};

mod streaming;

pub const JSON: (&str, &str) = ("content-type", "application/json");
const ASYNC: (&str, &str) = ("Async-Calling", "true");

/// A gateway within the test, until it is dropped.
pub struct Serving {
    address: String,
    stop: CancellationToken,
}

impl Serving {
    pub async fn start(config: &Config) -> Self {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let server = Box::pin(Server::open(config, stop.clone())).await.unwrap();
        let address: SocketAddr =
            http::serve("127.0.0.1:0", server.router(), stop.clone(), &tasks).await.unwrap();
        server.start(&tasks);
        Self { address: address.to_string(), stop }
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        ask(&self.address, &format!("POST {path}"), &[JSON], body.to_string().as_bytes()).await
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub async fn config(partitions: i32) -> Config {
    let mut config = servers::config(partitions).await;
    config.gateway.topic.clone_from(&config.kafka.topics[0]);
    config
}

/// A recorded request, as the app sent it: what recorded it has read and written its body anew.
pub struct Recorded {
    pub request: String,
    pub body: String,
}

pub fn recording(file: &str) -> Vec<Recorded> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/flogo").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .map(|line| {
            let text = |field: &str| line[field].as_str().unwrap();
            let body = if line["body"].is_null() { String::new() } else { as_go_writes(&line["body"]) };
            let length = line["headers"]["Content-Length"].as_str();
            assert!(length.is_none_or(|length| length == body.len().to_string()), "{line}");
            Recorded { request: format!("{} {}", text("method"), text("path")), body }
        })
        .collect()
}

/// Go's encoder escapes what could be markup.
fn as_go_writes(body: &Value) -> String {
    body.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_app_posts_becomes_exactly_the_rows_that_are_expected_of_it() {
    let config = config(6).await;
    let serving = Serving::start(&config).await;
    let collecting = Collecting::start(&config);
    for Recorded { request, body } in recording("recorded.jsonl") {
        let answer = ask(&serving.address, &request, &[JSON], body.as_bytes()).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, ""), "{request}");
    }
    until_stored(&config).await;
    recorded::assert_expected(&servers::connect_to(&config).await).await;
    collecting.stop().await;
}

/// An app that records asynchronously posts from many threads, twice where it is unsure, and end before start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn posted_out_of_order_and_twice_it_becomes_the_same_rows() {
    let config = config(6).await;
    let serving = Serving::start(&config).await;
    let mut requests = recording("recorded.jsonl");
    requests.extend(recording("recorded.jsonl"));
    // Backwards, which puts each end before its start, and a part of it at once.
    requests.reverse();
    let answers = stream::iter(requests).map(|Recorded { request, body }| {
        let address = &serving.address;
        async move { ask(address, &request, &[JSON, ASYNC], body.as_bytes()).await.status }
    });
    let statuses: Vec<_> = answers.buffer_unordered(16).collect().await;
    assert!(statuses.len() == 246 && statuses.iter().all(|status| *status == 202), "{statuses:?}");
    collect_all(&config).await;
    recorded::assert_expected(&servers::connect_to(&config).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_bodies_in_one_become_the_same_rows() {
    let config = config(6).await;
    let serving = Serving::start(&config).await;
    let bodies: Vec<_> = recording("recorded.jsonl").into_iter().map(|recorded| recorded.body).collect();
    let answer =
        ask(&serving.address, "POST /v1/instances/events", &[JSON], bodies.join("\n").as_bytes()).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "kept": 123, "refused": [] })));
    collect_all(&config).await;
    recorded::assert_expected(&servers::connect_to(&config).await).await;

    let mixed = format!("{}\nnonsense\n\n{{\"id\":1,\"flowId\":\"\"}}\n{}", bodies[0], bodies[1]);
    let answer = ask(&serving.address, "POST /v1/instances/events", &[JSON], mixed.as_bytes()).await;
    let said = answer.json();
    assert_eq!((answer.status, &said["kept"]), (400, &json!(2)), "{said}");
    let lines: Vec<_> = said["refused"].as_array().unwrap().iter().map(|line| line["line"].clone()).collect();
    assert_eq!(lines, [json!(2), json!(4)]);
    assert!(
        said["refused"][1]["message"].as_str().unwrap().contains("`flowId` is missing or empty"),
        "{said}"
    );
}

/// Before each re-run what was posted is stored, as it is when a person asks for one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewind_supersedes_what_is_stored_of_the_flow() {
    let from_file = servers::config(3).await;
    publish(&from_file, "reruns.jsonl", &[]).await;
    collect_all(&from_file).await;

    let config = config(3).await;
    let serving = Serving::start(&config).await;
    let collecting = Collecting::start(&config);
    let requests = recording("reruns.jsonl");
    assert!(requests.iter().any(|recorded| recorded.request.contains("/step/")));
    for Recorded { request, body } in requests {
        if request.starts_with("DELETE") {
            until_stored(&config).await;
        }
        let headers = [JSON, ("username", "ann")];
        let answer = ask(&serving.address, &request, &headers, body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{request}: {answer:?}");
    }
    until_stored(&config).await;
    collecting.stop().await;
    let (one, other) = (servers::connect_to(&from_file).await, servers::connect_to(&config).await);
    assert_eq!(rows::flows(&one).await, rows::flows(&other).await);
    assert_eq!(rows::steps(&one).await, rows::steps(&other).await);
    let facts = "SELECT concat_ws('|', flowinstanceid, n, before) FROM ft_rewind ORDER BY 1";
    assert_eq!(rows::texts(&one, facts).await, rows::texts(&other, facts).await);
    let superseded =
        "SELECT concat_ws('|', flowinstanceid, stepid, execution) FROM ft_superseded_step ORDER BY 1";
    let superseded = (rows::texts(&one, superseded).await, rows::texts(&other, superseded).await);
    assert!(!superseded.0.is_empty() && superseded.0 == superseded.1, "{superseded:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_instance_stays_away() {
    let config = config(3).await;
    let serving = Serving::start(&config).await;
    let collecting = Collecting::start(&config);
    let requests = recording("recorded.jsonl");
    let flow = serde_json::from_str::<Value>(&requests[0].body).unwrap()["flow_instance_id"].clone();
    let flow = flow.as_str().unwrap();
    let of_flow: Vec<_> = requests.iter().filter(|recorded| recorded.body.contains(flow)).collect();
    let client = servers::connect_to(&config).await;
    for attempt in 0..2 {
        for Recorded { request, body } in &of_flow {
            assert_eq!(ask(&serving.address, request, &[JSON], body.as_bytes()).await.status, 200);
        }
        until_stored(&config).await;
        assert_eq!(rows::count(&client, "flowstate").await, 1 - attempt);
        let delete = format!("DELETE /v1/instances/{flow}");
        assert_eq!(ask(&serving.address, &delete, &[("username", "lab-user")], b"").await.status, 200);
        until_stored(&config).await;
        assert_eq!((rows::count(&client, "flowstate").await, rows::count(&client, "steps").await), (0, 0));
    }
    collecting.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_is_off_is_not_kept_and_one_that_is_on_is() {
    let mut config = config(1).await;
    config.gateway.enforce_appstate = true;
    let serving = Serving::start(&config).await;
    let switch = async |method: &str, headers: &[(&str, &str)]| {
        ask(&serving.address, &format!("{method} /v1/app/state/shop"), headers, b"").await
    };
    let nameless = switch("DELETE", &[]).await;
    assert_eq!(nameless.status, 401, "{nameless:?}");
    assert!(nameless.head.contains("content-type: text/plain"), "{nameless:?}");

    let start = |flow: &str| json!({ "flow_instance_id": flow, "user_id": "ann", "app_name": "shop", "flow_stats": "Created" });
    let step = |flow: &str| json!({ "id": 0, "flowId": flow, "flowChanges": {} });
    for (flow, method) in [("before", "DELETE"), ("off", "POST"), ("on", "POST")] {
        assert_eq!(serving.post("/v1/instances/start", &start(flow)).await.status, 200);
        assert_eq!(serving.post("/v1/instances/steps", &step(flow)).await.status, 200);
        assert_eq!(switch(method, &[("username", "ann")]).await.status, 200);
    }
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    let flows = rows::texts(&client, "SELECT flowinstanceid FROM flowstate ORDER BY 1").await;
    assert_eq!(flows, ["before", "on"].map(|flow| Some(flow.to_owned())));
    assert_eq!(rows::count(&client, "steps").await, 2);
    let switched = "SELECT concat_ws('|', userid, appname, persistenceenabled) FROM appstate";
    assert_eq!(rows::texts(&client, switched).await, [Some("ann|shop|t".to_owned())]);

    let noted = "SELECT concat_ws('|', actor, action, object, detail) FROM ft_audit ORDER BY id";
    let noted = rows::texts(&client, noted).await;
    assert!(noted.len() == 3 && noted[0].as_ref().unwrap().starts_with("anybody ("), "{noted:?}");
    assert!(noted[0].as_ref().unwrap().ends_with("|app.off|shop|{\"user\": \"ann\"}"), "{noted:?}");

    // Another process learns it from the table.
    done(&mut configured(&config, ["app", "off", "shop", "--user", "ann", "--topic", &config.gateway.topic]))
        .await;
    collect_all(&config).await;
    let listed = done(&mut configured(&config, ["app", "list", "--format", "json"])).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!((&listed[0]["app"], &listed[0]["kept"]), (&json!("shop"), &json!(false)));
    let other = Serving::start(&config).await;
    servers::until("the other gateway knows", async || {
        let posted = other.post("/v1/instances/start", &start("late")).await;
        assert_eq!(posted.status, 200);
        let ends = topics::ends(&config).await;
        assert_eq!(other.post("/v1/instances/steps", &step("late")).await.status, 200);
        if topics::ends(&config).await == ends { Ok(()) } else { Err("it publishes".to_owned()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_get_one_clear_sentence_and_nothing_is_published() {
    let mut config = config(1).await;
    config.gateway.max_body_bytes = 1_024;
    config.gateway.deadline_ms = 500;
    let serving = Serving::start(&config).await;
    let bad: [(&str, &str, u16, &str); 6] = [
        ("POST /v1/instances/steps", "{", 400, "not the body that Flogo posts as a step: EOF while parsing"),
        ("POST /v1/instances/start", "{}", 400, "`flow_instance_id` is missing or empty"),
        ("POST /v1/instances/steps", r#"{"flowId":"f","flowChanges":{}}"#, 400, "`id` is missing or empty"),
        (
            "POST /v1/instances/end",
            r#"{"flow_instance_id":"f","end_time":"soon"}"#,
            400,
            "`end_time` is not an RFC 3339 time",
        ),
        ("DELETE /v1/instances/f/step/-1", "", 400, "the step to delete from is not a number"),
        (
            "POST /v1/instances/snapshot",
            &"x".repeat(1_025),
            413,
            "longer than 1024 bytes (gateway.max_body_bytes)",
        ),
    ];
    for (request, body, status, message) in bad {
        let answer = ask(&serving.address, request, &[JSON, ("username", "ann")], body.as_bytes()).await;
        let said = answer.json();
        assert_eq!((answer.status, &said["code"]), (status, &json!(status)), "{request}");
        assert!(said["message"].as_str().unwrap().contains(message), "{request}: {said}");
    }
    // A page of another site may not ask: no browser is told that it may.
    let headers = [("origin", "http://elsewhere"), ("access-control-request-method", "POST")];
    for request in ["OPTIONS /v1/instances/start", "GET /v1/flows", "POST /v1/instances/start"] {
        let answer = ask(&serving.address, request, &headers, b"").await;
        assert!(answer.status >= 400 && !answer.head.contains("access-control-allow"), "{answer:?}");
    }
    // A client that stops in the middle of its body is answered all the same.
    let mut stream = tokio::net::TcpStream::connect(&serving.address).await.unwrap();
    stream.write_all(b"POST /v1/instances/steps HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 900\r\n\r\n{").await.unwrap();
    let answer = http_client::answer(&mut stream).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.json()["message"].as_str().unwrap().contains("nothing was confirmed within 500 ms"));
    assert_eq!(topics::ends(&config).await, [(0, 0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_kafka_is_away_and_there_is_no_spool_the_app_is_told_so() {
    let mut config = config(1).await;
    config.kafka.bootstrap_servers = "127.0.0.1:9".to_owned();
    config.gateway.deadline_ms = 300;
    let serving = Serving::start(&config).await;
    for headers in [&[JSON][..], &[JSON, ASYNC]] {
        let answer =
            ask(&serving.address, "POST /v1/instances/start", headers, br#"{"flow_instance_id":"f"}"#).await;
        assert_eq!(answer.status, 503);
        assert!(answer.head.contains("retry-after: 1"), "{answer:?}");
    }
}

/// The whole recording while Kafka is away, a kill, and the rest afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_while_kafka_was_away_survives_a_kill_and_gets_there() {
    let config = config(3).await;
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().to_str().unwrap();
    let mut away = config.clone();
    away.kafka.bootstrap_servers = "127.0.0.1:9".to_owned();
    let mut requests = recording("recorded.jsonl");
    let rest = requests.split_off(100);
    let serving = Process::serve(&away, &["--spool-dir", spool]).await;
    for Recorded { request, body } in &requests {
        let answer = ask(&serving.address, request, &[JSON], body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(ask(&serving.address, "GET /readyz", &[], b"").await.status, 200);
    assert_eq!(serving.end("KILL").await, None);
    assert_eq!(topics::ends(&config).await.iter().map(|(_, end)| end).sum::<i64>(), 0);

    let mut serving = Process::serve(&config, &["--spool-dir", spool]).await;
    serving.says("spool_drained").await;
    for Recorded { request, body } in &rest {
        assert_eq!(ask(&serving.address, request, &[JSON], body.as_bytes()).await.status, 200);
    }
    assert_eq!(serving.end("TERM").await, Some(0));
    assert_eq!(topics::ends(&config).await.iter().map(|(_, end)| end).sum::<i64>(), 123);
    collect_all(&config).await;
    recorded::assert_expected(&servers::connect_to(&config).await).await;
}

/// One of 90 values, by the last steps of `SplitMix64`.
fn noise(number: u64) -> u8 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    u8::try_from((mixed >> 32) % 90).unwrap()
}

/// An event that the topic never takes must not hold up the others, and must not be lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_topic_does_not_take_is_put_aside_for_publish() {
    let mut config = servers::config(1).await;
    let roomy = config.kafka.topics[0].clone();
    config.gateway.topic = servers::topic_with(1, &[("max.message.bytes", "2000")]).await;
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().to_str().unwrap();
    let mut away = config.clone();
    away.kafka.bootstrap_servers = "127.0.0.1:9".to_owned();
    let serving = Process::serve(&away, &["--spool-dir", spool]).await;
    // What can be compressed would fit.
    let noise: String =
        (0..3_000_u64).map(|n| char::from(b'!' + noise(n))).filter(|c| !"\"\\".contains(*c)).collect();
    for (flow, input) in [("one", ""), ("large", noise.as_str()), ("two", "")] {
        let start =
            json!({ "flow_instance_id": flow, "flow_stats": "Created", "flow_inputs": { "in": input } });
        let answer =
            ask(&serving.address, "POST /v1/instances/start", &[JSON], start.to_string().as_bytes()).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    serving.end("KILL").await;
    let mut serving = Process::serve(&config, &["--spool-dir", spool]).await;
    assert!(serving.says("spooled_event_rejected").await.contains("key=\"large\""));
    serving.says("spool_drained").await;
    serving.end("TERM").await;
    let mut tight = config.clone();
    tight.kafka.topics = vec![config.gateway.topic.clone()];
    assert_eq!(topics::ends(&tight).await, [(0, 2)]);
    let file = folder.path().join("rejected.pb");
    done(configured(&config, ["publish", "--from", "protobuf", "--topic", &roomy]).arg(file)).await;
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    let flows = rows::texts(&client, "SELECT flowinstanceid FROM flowstate").await;
    assert_eq!(flows, [Some("large".to_owned())]);
}

/// Brokers refuse a batch for what all of it weighs: each of these fits, and none of them together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_that_fit_are_kept_though_the_batch_they_met_in_does_not() {
    let mut config = config(1).await;
    config.gateway.topic = servers::topic_with(1, &[("max.message.bytes", "2000")]).await;
    config.kafka.topics = vec![config.gateway.topic.clone()];
    config.kafka.librdkafka.insert("linger.ms".to_owned(), "100".into());
    config.kafka.librdkafka.insert("compression.codec".to_owned(), "none".into());
    let serving = Serving::start(&config).await;
    let posts = (0..8).map(|number| {
        let start =
            json!({ "flow_instance_id": format!("f{number}"), "flow_inputs": { "in": "x".repeat(1_000) } });
        let serving = &serving;
        async move { serving.post("/v1/instances/start", &start).await.status }
    });
    let statuses: Vec<_> = stream::iter(posts).buffer_unordered(8).collect().await;
    assert_eq!(statuses, [200; 8]);
    assert_eq!(topics::ends(&config).await, [(0, 8)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_its_quota_an_app_begins_no_flow_and_what_has_begun_goes_on() {
    let mut config = config(1).await;
    config.gateway.quota_per_app = 1;
    let serving = Serving::start(&config).await;
    let flow = |id: &str, app: &str| json!({ "flow_instance_id": id, "user_id": "ann", "app_name": app });
    let step = |id: &str| json!({ "id": 1, "flowId": id, "flowChanges": {} });
    let post = async |path: &str, body: Value| serving.post(&format!("/v1/instances/{path}"), &body).await;
    assert_eq!(post("start", flow("a", "shop")).await.status, 200);
    // It owes ten seconds by these, at most.
    for _ in 0..20 {
        assert_eq!(post("steps", step("a")).await.status, 200);
    }
    let refused = post("start", flow("b", "shop")).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.head.contains("retry-after: 1") && refused.body.contains("quota_per_app"), "{refused:?}");
    assert_eq!(post("steps", step("b")).await.status, 429);
    assert_eq!(post("start", flow("c", "bank")).await.status, 200);
    assert_eq!(post("end", flow("a", "shop")).await.status, 200);
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    let ids = "SELECT flowinstanceid FROM flowstate UNION SELECT flowinstanceid FROM steps ORDER BY 1";
    assert_eq!(rows::texts(&client, ids).await, ["a", "c"].map(|id| Some(id.to_owned())));
}
