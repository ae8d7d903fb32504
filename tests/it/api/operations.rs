//! What operators ask, who may, and what they may do.

use serde_json::{Value, json};

use super::Serving;
use crate::{
    program::{Process, configured, done, flowtrail},
    rows, servers,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_see_lag_progress_sessions_schema_and_the_configuration() {
    let serving = Serving::recorded("recorded.jsonl").await;
    let ends = crate::topics::ends(&serving.config).await;
    let lag = serving.get("/operations/lag").await;
    assert_eq!(lag["group"], *serving.config.kafka.group);
    let told: Vec<_> =
        lag["partitions"].as_array().unwrap().iter().map(|p| p["end"].as_i64().unwrap()).collect();
    assert_eq!(told, ends.iter().map(|(_, end)| *end).collect::<Vec<_>>());
    let progress = serving.get("/operations/progress").await;
    let stored: Vec<_> = progress["partitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (p["partition"].as_i64().unwrap(), p["next_offset"].as_i64().unwrap()))
        .collect();
    let with_records = ends.iter().filter(|(_, end)| *end > 0);
    assert_eq!(stored, with_records.map(|(number, end)| (i64::from(*number), *end)).collect::<Vec<_>>());
    let lanes = serving.get("/operations/lanes").await;
    assert!(
        lanes["sessions"].as_array().unwrap().iter().any(|s| s["application"] == "flowtrail-serve"),
        "{lanes:#}"
    );
    let schema = serving.get("/operations/schema").await;
    assert_eq!(schema["known"], schema["changes"].as_array().unwrap().len());
    assert_eq!(schema["changes"][0]["name"], "flow_history");
    assert_eq!(serving.get("/operations/retention").await, json!({"policies": []}));
    assert_eq!(serving.get("/operations/gaps").await, json!({"gaps": [], "next": null}));
    let settings = serving.get("/operations/configuration").await;
    let of = |key: &str| -> Value {
        let settings = settings["settings"].as_array().unwrap();
        settings.iter().find(|setting| setting["key"] == key).unwrap()["value"].clone()
    };
    assert_eq!(of("gateway.topic"), *serving.config.gateway.topic);
    assert!(of("postgres.url").as_str().is_some_and(|url| url.starts_with("postgres://")), "{settings:#}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_seen_retried_and_dropped() {
    let config = super::config().await;
    let client = servers::connect_to(&config).await;
    // One that can be stored by now, and two that can't.
    let rows = "INSERT INTO ft_dead_letter (topic, partition, recordoffset, recordkey, payload, payloadhash, reason, detail, consumergroup)
        VALUES ('t', 0, 1, 'f', convert_to('{\"flow\": {\"flowInstanceId\": \"f\", \"run\": \"1\"}}', 'UTF8'), '1', 'refused', 'no room', 'g'),
            ('t', 0, 2, 'g', '\\xffff', '2', 'undecodable', 'what?', 'g'), ('t', 0, 3, 'h', '\\xffff', '3', 'undecodable', 'what?', 'g')";
    client.batch_execute(rows).await.unwrap();
    let serving = Serving::over(config).await;
    let letters = serving.get("/operations/deadletters").await;
    let ids: Vec<_> =
        letters["letters"].as_array().unwrap().iter().map(|l| l["id"].as_i64().unwrap()).collect();
    assert_eq!(ids, [3, 2, 1]);
    let wanted = json!([{"reason": "undecodable", "letters": 2}, {"reason": "refused", "letters": 1}]);
    assert_eq!(letters["by_reason"], wanted);
    let page = serving.get("/operations/deadletters?limit=1&reason=undecodable").await;
    assert_eq!((&page["letters"][0]["id"], &page["next"]), (&json!(3), &json!("3")));
    let page = serving.get("/operations/deadletters?limit=1&reason=undecodable&after=3").await;
    assert_eq!(page["letters"][0]["id"], 2);
    let letter = serving.get("/operations/deadletters/2").await;
    assert_eq!((&letter["key"]["text"], &letter["payload"]["base64"]), (&json!("g"), &json!("//8=")));
    assert_eq!(serving.problem("/operations/deadletters/9").await.0, 404);

    let post = async |path: &str, body: Value| {
        let headers = [("content-type", "application/json")];
        serving.ask(&format!("POST /operations/deadletters/{path}"), &headers, &body.to_string()).await
    };
    let done = post("retry", json!({"ids": [1, 2, 9]})).await.json();
    assert_eq!(done["done"], 1);
    let left: Vec<_> =
        done["left"].as_array().unwrap().iter().map(|left| left["id"].as_i64().unwrap()).collect();
    assert_eq!(left, [2, 9]);
    assert_eq!(rows::texts(&client, "SELECT flowinstanceid FROM flowstate").await, [Some("f".to_owned())]);
    assert_eq!(post("drop", json!({"ids": [2, 3, 9]})).await.json()["done"], 2);
    assert_eq!(rows::count(&client, "ft_dead_letter").await, 0);
    let notes = serving.get("/operations/audit").await;
    let notes: Vec<_> =
        notes["notes"].as_array().unwrap().iter().map(|note| note["action"].as_str().unwrap()).collect();
    assert_eq!(notes, ["deadletter.drop", "deadletter.drop", "deadletter.retry"]);
    let many: Vec<i64> = (0..1001).collect();
    assert_eq!(post("drop", json!({ "ids": many })).await.status, 400);
    assert_eq!(post("drop", json!({"ids": ["x"]})).await.json()["status"], 422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_sees_its_own_flows_and_does_what_its_role_may() {
    let config = super::config().await;
    let client = servers::connect_to(&config).await;
    let rows = "INSERT INTO flowstate (flowinstanceid, hostid, userid, starttime, appname, flowname, rerunofflowinstanceid) VALUES
            ('of ann', '', 'ann', '2026-01-01 00:00:01', 'a', 'f', NULL), ('of bob', '', 'bob', '2026-01-01 00:00:02', 'a', 'f', 'of ann');
        INSERT INTO steps (flowinstanceid, stepid, starttime) VALUES ('of ann', '1', now()), ('of bob', '1', now()), ('of nobody', '1', now())";
    client.batch_execute(rows).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokens.toml").to_str().unwrap().to_owned();
    let mut tokens = Vec::new();
    for arguments in [
        &["ann", "--role", "read", "--user", "ann"][..],
        &["all", "--role", "read"],
        &["app", "--role", "record"],
    ] {
        let token = done(flowtrail(["token", "add", "--file", &file]).args(arguments)).await;
        tokens.push(format!("Bearer {}", token.trim_end()));
    }
    let mut command =
        configured(&config, ["serve", "--listen", "127.0.0.1:0", "--topic", &config.gateway.topic]);
    command.env("FLOWTRAIL_HTTP__TOKENS_FILE", &file);
    let process = Process::start(command).await;
    let serving = Serving { config, process };
    let as_who =
        async |token: &str, request: &str| serving.ask(request, &[("authorization", token)], "").await;
    let [ann, all, app] = tokens.as_slice() else { panic!("{tokens:?}") };

    assert_eq!(as_who(all, "GET /flows").await.json()["flows"].as_array().unwrap().len(), 2);
    let own = as_who(ann, "GET /flows").await.json();
    assert_eq!((own["flows"].as_array().unwrap().len(), &own["flows"][0]["id"]), (1, &json!("of ann")));
    assert_eq!(as_who(ann, "GET /flows?user=bob").await.json()["flows"], json!([]));
    assert_eq!(as_who(ann, "GET /flows?id=of%20bob").await.json()["flows"], json!([]));
    assert_eq!(as_who(ann, "GET /counts").await.json()["flows"], 1);
    assert_eq!(as_who(ann, "GET /grid?app=a&flow=f").await.json()["runs"].as_array().unwrap().len(), 1);
    let detail = as_who(ann, "GET /flows/of%20ann").await.json();
    assert_eq!(detail["kin"]["reruns"], json!([]), "it is bob's");
    for path in [
        "",
        "/steps",
        "/steps/1",
        "/timeline",
        "/messages",
        "/steps/1/messages",
        "/export",
        "/compare/of%20ann",
    ] {
        for flow in ["of%20bob", "of%20nobody"] {
            let answer = as_who(ann, &format!("GET /flows/{flow}{path}")).await;
            assert_eq!(answer.status, 404, "{flow}{path}: {answer:?}");
        }
    }
    assert_eq!(as_who(ann, "GET /flows/of%20ann/compare/of%20bob").await.status, 404);
    for path in [
        "/events",
        "/operations/lag",
        "/operations/deadletters",
        "/operations/configuration",
        "/operations/audit",
    ] {
        assert_eq!(as_who(ann, &format!("GET {path}")).await.status, 403, "{path}");
    }
    for (token, request, status) in [
        (app.as_str(), "GET /flows", 403),
        (all, "POST /operations/deadletters/drop", 403),
        ("Bearer ft_wrong", "GET /flows", 401),
        (all, "GET /openapi.json", 200),
    ] {
        let answer = as_who(token, request).await;
        assert_eq!(answer.status, status, "{request}");
        assert!(status == 200 || answer.head.contains("application/problem+json"), "{answer:?}");
    }
}
