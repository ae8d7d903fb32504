//! The variables of a flow, as they were last set.

use flowtrail::proto::v1::{HistoryEvent, VariableEvent, history_event::Event};
use serde_json::{Value, json};

use super::{Serving, config};
use crate::{
    collecting::collect_all,
    program::{configured, done},
    topics::{Raw, put},
};

fn variable(scope: &str, name: &str, value: &'static str, revision: i64) -> VariableEvent {
    VariableEvent {
        flow_instance_id: "f".to_owned(),
        scope: scope.to_owned(),
        name: name.to_owned(),
        r#type: "string".to_owned(),
        value: value.into(),
        revision,
        ..VariableEvent::default()
    }
}

/// A server over a flow of which nothing but variables is known.
async fn serving() -> Serving {
    let config = config().await;
    let gone = VariableEvent { removed: true, ..variable("", "c", "", 2) };
    let known = VariableEvent {
        variable_id: "7".to_owned(),
        created_at: Some(pbjson_types::Timestamp { seconds: 1, nanos: 0 }),
        misc: "{}".into(),
        ..variable("", "a", "{\"n\":1}", 3)
    };
    let said = [
        known,
        variable("", "b", "as it was", 1),
        variable("", "b", "as it is", 2),
        variable("", "c", "gone", 1),
        gone,
        variable("@process", "start", "{}", 1),
        variable("task:1", "a", "of a task", 1),
    ];
    let records: Vec<Raw> =
        said.map(|event| Raw::of(&HistoryEvent { event: Some(Event::Variable(event)) })).into();
    put(&config, &records).await;
    collect_all(&config).await;
    Serving::over(config).await
}

/// Scope, name and value of each.
fn told(answer: &Value) -> Vec<(String, String, Value)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = answer["variables"].as_array().unwrap().iter();
    all.map(|one| (text(&one["scope"]), text(&one["name"]), one["value"]["text"].clone())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables_are_told_as_they_were_last_set_in_pieces_and_by_scope_and_name() {
    let serving = serving().await;
    let all = serving.get("/flows/f/variables").await;
    assert_eq!(
        all["variables"][0],
        json!({"scope": "", "name": "a", "type": "string", "value": {"json": {"n": 1}, "bytes": 7, "truncated": false},
            "removed": false, "run": 0, "revision": 3, "variable_id": "7", "created": "1970-01-01T00:00:01Z", "updated": null,
            "misc": {"json": {}, "bytes": 2, "truncated": false}})
    );
    assert_eq!(
        (&all["variables"][2]["removed"], &all["variables"][2]["value"]),
        (&json!(true), &Value::Null)
    );
    let row = |scope: &str, name: &str, value: Value| (scope.to_owned(), name.to_owned(), value);
    let own = [row("", "a", Value::Null), row("", "b", json!("as it is")), row("", "c", Value::Null)];
    let mut wanted = own.to_vec();
    wanted.extend([row("@process", "start", Value::Null), row("task:1", "a", json!("of a task"))]);
    assert_eq!((told(&all), &all["next"]), (wanted, &Value::Null));

    assert_eq!(told(&serving.get("/flows/f/variables?scope=").await), own);
    assert_eq!(told(&serving.get("/flows/f/variables?name=a").await).len(), 2);
    let cut = serving.get("/flows/f/variables?scope=task:1&value_bytes=4").await;
    assert_eq!(cut["variables"][0]["value"], json!({"text": "of a", "bytes": 9, "truncated": true}));
    let (mut in_pieces, mut after) = (Vec::new(), String::new());
    loop {
        let piece = serving.get(&format!("/flows/f/variables?limit=2&after={after}")).await;
        in_pieces.extend(piece["variables"].as_array().unwrap().clone());
        let Some(next) = piece["next"].as_str() else { break };
        next.clone_into(&mut after);
    }
    assert_eq!(json!(in_pieces), all["variables"]);
    for (path, status) in [("/flows/g/variables", 404), ("/flows/f/variables?value_bytes=65537", 400)] {
        assert_eq!(serving.ask(&format!("GET {path}"), &[], "").await.status, status, "{path}");
    }

    let shown = done(&mut configured(&serving.config, ["flow", "show", "f"])).await;
    assert!(
        shown.contains("as it is") && !shown.contains("as it was") && !shown.contains("@process"),
        "{shown}"
    );
    let exported = done(&mut configured(&serving.config, ["flow", "export", "f"])).await;
    assert_eq!(exported.lines().count(), 5, "{exported}");
}
