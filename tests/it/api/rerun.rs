//! Asking for a re-run, and who is told that it may be asked for; how fresh the data is.

use flowtrail::{config::Config, proto::v1::RerunRequest};
use prost::Message as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{config, id};
use crate::{
    collecting::collect_all,
    http_client::{Answer, ask},
    program::{Process, configured, done, flowtrail, publish},
    servers, topics,
};

/// A server that wants tokens, and an app that is asked by a topic.
struct Guarded {
    process: Process,
    requests: Config,
    _folder: TempDir,
}

impl Guarded {
    /// With these tokens, as `token add` takes them. They are there before it runs: wrong ones are counted.
    async fn start<const N: usize>(tokens: [&[&str]; N]) -> (Self, [String; N]) {
        let config = config().await;
        publish(&config, "recorded.jsonl", &[]).await;
        collect_all(&config).await;
        let mut requests = config.clone();
        requests.kafka.topics = vec![servers::topic(1).await];
        let folder = tempfile::tempdir().unwrap();
        let settings = format!("[rerun.apps]\nhistory-harness = \"kafka:{}\"\n", requests.kafka.topics[0]);
        std::fs::write(folder.path().join("flowtrail.toml"), settings).unwrap();
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--topic", &config.gateway.topic, "--config"];
        let mut command = configured(&config, arguments);
        command.arg(folder.path().join("flowtrail.toml"));
        command.env("FLOWTRAIL_HTTP__TOKENS_FILE", folder.path().join("tokens.toml"));
        let mut bearers = tokens.map(|_| String::new());
        for (bearer, arguments) in bearers.iter_mut().zip(tokens) {
            *bearer = Self::token(&folder, arguments).await;
        }
        (Self { process: Process::start(command).await, requests, _folder: folder }, bearers)
    }

    async fn token(folder: &TempDir, arguments: &[&str]) -> String {
        let mut command = flowtrail(["token", "add", "--file"]);
        let token = done(command.arg(folder.path().join("tokens.toml")).args(arguments)).await;
        format!("Bearer {}", token.trim_end())
    }

    async fn ask(&self, request: &str, token: &str, body: &Value) -> Answer {
        let (method, path) = request.split_once(' ').unwrap();
        let headers = [("authorization", token), ("content-type", "application/json")];
        let request = format!("{method} /api/v1{path}");
        ask(&self.process.address, &request, &headers, body.to_string().as_bytes()).await
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_operate_asks_for_a_rerun_and_the_audit_names_them() {
    let tokens: [&[&str]; 3] = [
        &["operator", "--role", "read", "--role", "operate"],
        &["reader", "--role", "read", "--user", "lab-user"],
        &["stranger", "--role", "read", "--role", "operate", "--user", "nobody"],
    ];
    let (guarded, [operator, reader, stranger]) = Guarded::start(tokens).await;

    let me = guarded.ask("GET /me", &operator, &Value::Null).await.json();
    let wanted = json!({ "name": "operator", "user": null, "roles": ["read", "operate"], "reruns": ["history-harness"] });
    assert_eq!(me, wanted);
    let me = guarded.ask("GET /me", &reader, &Value::Null).await.json();
    assert_eq!(me, json!({ "name": "reader", "user": "lab-user", "roles": ["read"], "reruns": [] }));

    let rerun = format!("POST /flows/{}/rerun", id("3ac"));
    for (token, status) in [(&reader, 403), (&stranger, 404)] {
        assert_eq!(guarded.ask(&rerun, token, &json!({ "from_step": 2 })).await.status, status);
    }
    let refused = guarded.ask(&rerun, &operator, &json!({ "from_step": 99 })).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(refused.json()["detail"].as_str().unwrap().contains("has no step 99"), "{refused:?}");
    assert_eq!(topics::ends(&guarded.requests).await, vec![(0, 0)], "nobody may have been asked");

    let asked = guarded.ask(&rerun, &operator, &json!({ "from_step": 2 })).await;
    let address = format!("kafka:{}", guarded.requests.kafka.topics[0]);
    assert_eq!(asked.json(), json!({ "asked": address, "instance": null }));
    let (_, record) = topics::records(&guarded.requests).await.pop().unwrap();
    let request = RerunRequest::decode(record.value.unwrap().as_slice()).unwrap();
    let wanted = RerunRequest {
        flow_instance_id: id("3ac"),
        from_step: Some(2),
        task_name: "Throw".to_owned(),
        requested_by: "operator".to_owned(),
        ..RerunRequest::default()
    };
    assert_eq!(request, wanted);
    let notes = guarded.ask("GET /operations/audit", &operator, &Value::Null).await.json();
    let note = &notes["notes"][0];
    assert_eq!((&note["action"], &note["object"]), (&json!("rerun"), &json!(id("3ac"))));
    assert!(note["actor"].as_str().unwrap().starts_with("operator ("), "{note}");
    assert_eq!(notes["notes"].as_array().unwrap().len(), 1, "{notes}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_fresh_the_data_is_is_told_to_everybody_without_topics() {
    let (guarded, [reader]) = Guarded::start([&["reader", "--role", "read", "--user", "lab-user"]]).await;
    assert_eq!(guarded.ask("GET /operations/lag", &reader, &Value::Null).await.status, 403);
    let fresh = guarded.ask("GET /freshness", &reader, &Value::Null).await.json();
    assert_eq!((&fresh["behind_records"], &fresh["behind_ms"]), (&json!(0), &json!(0.0)));
    assert_eq!(fresh.as_object().unwrap().len(), 3, "{fresh}");
}
