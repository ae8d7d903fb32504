//! Who may ask a server what, by the real program.

use flowtrail::config::Config;
use serde_json::json;

use crate::{
    collecting::collect_all,
    http_client::{Answer, ask},
    program::{Process, configured, done, flowtrail, run},
    rows, servers,
};

/// Every kind of request, and the role that it takes.
const REQUESTS: [(&str, &str); 9] = [
    ("POST /v1/instances/start", "record"),
    ("POST /v1/instances/steps", "record"),
    ("POST /v1/instances/events", "record"),
    ("DELETE /v1/instances/ann-1/step/3", "record"),
    ("DELETE /v1/instances/ann-1", "operate"),
    ("POST /v1/app/state/shop", "operate"),
    ("GET /v1/flows?app=shop", "read"),
    ("GET /v1/instances/ann-1/steps", "read"),
    ("GET /v1/app/state/shop", "read"),
];

async fn add(file: &str, arguments: &[&str]) -> String {
    let mut command = flowtrail(["token", "add", "--file", file]);
    let token = done(command.args(arguments)).await;
    format!("Bearer {}", token.trim_end())
}

async fn config() -> Config {
    let mut config = servers::config(1).await;
    config.gateway.topic.clone_from(&config.kafka.topics[0]);
    config
}

async fn serve(config: &Config, file: &str) -> Process {
    let mut command =
        configured(config, ["serve", "--listen", "0.0.0.0:0", "--topic", &config.gateway.topic]);
    command.env("FLOWTRAIL_HTTP__TOKENS_FILE", file);
    let mut serving = Process::start(command).await;
    serving.address = serving.address.replace("0.0.0.0", "127.0.0.1");
    serving
}

async fn with(serving: &Process, request: &str, token: &str, body: &str) -> Answer {
    ask(&serving.address, request, &[("authorization", token), ("username", "ann")], body.as_bytes()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_takes_its_role_and_nothing_is_told_without_a_token() {
    let config = config().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.toml");
    let file = file.to_str().unwrap();
    let mut tokens = Vec::new();
    for role in ["read", "record", "operate"] {
        tokens.push((role, add(file, &[role, "--role", role]).await));
    }
    let mut serving = serve(&config, file).await;
    for (request, wanted) in REQUESTS {
        let nobody = ask(&serving.address, request, &[("username", "ann")], b"{}").await;
        assert_eq!(nobody.status, 401, "{request}");
        assert!(nobody.head.contains("www-authenticate: bearer"), "{nobody:?}");
        for (role, token) in &tokens {
            let status = with(&serving, request, token, "{}").await.status;
            assert_eq!(status == 403, *role != wanted, "{request} as {role}: {status}");
            assert_ne!(status, 401, "{request} as {role}");
        }
    }
    // Whether it lives is nobody's secret.
    for path in ["/livez", "/readyz"] {
        servers::until("it has looked at Kafka", async || {
            let answer = ask(&serving.address, &format!("GET {path}"), &[], b"").await;
            if answer.status == 200 { Ok(()) } else { Err(answer.body) }
        })
        .await;
    }
    let late = add(file, &["late", "--role", "read"]).await;
    assert!(serving.says("tokens_read").await.contains("count=4"));
    let told = with(&serving, "GET /v1/flows?app=shop&version=1", &late, "").await;
    assert_eq!(told.status, 200, "{told:?}");
    let listed = done(&mut flowtrail(["token", "list", "--file", file, "--format", "json"])).await;
    let names: Vec<serde_json::Value> = serde_json::from_str(&listed).unwrap();
    assert!(names.len() == 4 && !listed.contains("sha256"), "{listed}");
    assert_eq!(serving.end("TERM").await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_one_user_reaches_that_users_history_only() {
    let config = config().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.toml");
    let file = file.to_str().unwrap();
    let all = ["--role", "read", "--role", "record", "--role", "operate"];
    let ann = add(file, &[&["ann", "--user", "ann"][..], &all].concat()).await;
    let anybody = add(file, &[&["anybody"][..], &all].concat()).await;
    let serving = serve(&config, file).await;
    let start = |flow: &str, user: &str| {
        json!({ "flow_instance_id": flow, "user_id": user, "app_name": "shop", "app_version": "1", "flow_name": "order",
            "flow_stats": "Created", "start_time": "2026-11-22T08:00:00Z" })
        .to_string()
    };
    for (flow, user) in [("ann-1", "ann"), ("eve-1", "eve")] {
        let posted = with(&serving, "POST /v1/instances/start", &anybody, &start(flow, user)).await;
        assert_eq!(posted.status, 200);
    }
    assert_eq!(with(&serving, "POST /v1/instances/start", &ann, &start("ann-2", "ann")).await.status, 200);
    let refused = with(&serving, "POST /v1/instances/start", &ann, &start("eve-2", "eve")).await;
    assert_eq!((refused.status, &refused.json()["code"]), (403, &json!(403)));
    let lines = format!("{}\n{}", start("ann-3", "ann"), start("eve-3", "eve"));
    let mixed = with(&serving, "POST /v1/instances/events", &ann, &lines).await;
    assert_eq!((mixed.status, &mixed.json()["kept"]), (403, &json!(1)));
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    let flows = rows::texts(&client, "SELECT flowinstanceid FROM flowstate ORDER BY 1").await;
    assert_eq!(flows, ["ann-1", "ann-2", "ann-3", "eve-1"].map(|flow| Some(flow.to_owned())));

    for request in ["GET /v1/instances/FLOW/details?app=shop&version=1", "GET /v1/instances/FLOW/status"] {
        assert_eq!(
            with(&serving, &request.replace("FLOW", "ann-1"), &ann, "").await.status,
            200,
            "{request}"
        );
        assert_eq!(
            with(&serving, &request.replace("FLOW", "eve-1"), &ann, "").await.status,
            404,
            "{request}"
        );
    }
    for request in ["DELETE /v1/instances/eve-1", "DELETE /v1/instances/eve-1/step/0"] {
        assert_eq!(with(&serving, request, &ann, "").await.status, 404, "{request}");
    }
    // Another user's name does not help.
    let headers = [("authorization", ann.as_str()), ("username", "eve")];
    let list = "GET /v1/instances?app=shop&version=1";
    assert_eq!(ask(&serving.address, list, &headers, b"").await.status, 403);
    let own = ask(&serving.address, list, &[("authorization", ann.as_str())], b"").await;
    assert_eq!((own.status, &own.json()["Count"]), (200, &json!(3)));
    let headers = [("authorization", anybody.as_str()), ("username", "eve")];
    assert_eq!(ask(&serving.address, list, &headers, b"").await.json()["Count"], json!(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_guards_is_served_to_this_machine_only() {
    let config = config().await;
    let ran = run(&mut configured(&config, ["serve", "--listen", "0.0.0.0:0"])).await;
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("0.0.0.0:0 can be reached from elsewhere, and nobody checks who asks"),
        "{ran:?}"
    );
    let mut missing = configured(&config, ["serve", "--listen", "0.0.0.0:0"]);
    let ran = run(missing.env("FLOWTRAIL_HTTP__TOKENS_FILE", "/nowhere/tokens.toml")).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("cannot read the tokens in /nowhere/tokens.toml"), "{ran:?}");
}
