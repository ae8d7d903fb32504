//! `flowtrail rerun` for a runtime that is asked by a topic, by the real program. How a real Flogo app is asked, and what it
//! then does, is for tests/flogo.

use flowtrail::{
    config::Config,
    flogo,
    kafka::producer::{Outgoing, Partitioner, Producer},
    proto::v1::RerunRequest,
};
use prost::Message as _;
use serde_json::{Value, json};

use crate::{
    collecting::{Collecting, collect_all, until_stored},
    program::{configured, done, publish, run},
    rows,
    servers::{self, PATIENCE},
    topics,
};

/// A recorded flow whose task Throw failed in step 2, and which nobody handled.
async fn failed_flow(config: &Config) -> String {
    publish(config, "recorded.jsonl", &[]).await;
    collect_all(config).await;
    let client = servers::connect_to(config).await;
    let sql = "SELECT flowinstanceid FROM flowstate WHERE flowname = 'fail'";
    rows::texts(&client, sql).await.remove(0).unwrap()
}

/// The configuration with a topic for requests, and its address.
async fn with_requests() -> (Config, Config, String) {
    let config = servers::config(1).await;
    let mut requests = config.clone();
    requests.kafka.topics = vec![servers::topic(1).await];
    let address = format!("kafka:{}", requests.kafka.topics[0]);
    (config, requests, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_on_its_topic_and_in_the_audit() {
    let (config, requests, address) = with_requests().await;
    let flow = failed_flow(&config).await;
    let wanted = ["rerun", "--flow", &flow, "--from-failure", "--input", r#"{"k":"w"}"#, "--app", &address];
    let shown = done(configured(&config, wanted).args(["--dry-run", "--format", "json"])).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["body"]["taskName"], "Throw");
    let client = servers::connect_to(&config).await;
    assert_eq!((topics::ends(&requests).await, rows::count(&client, "ft_audit").await), (vec![(0, 0)], 0));

    let said = done(configured(&config, wanted).env("USER", "ann")).await;
    assert!(said.contains(&format!("re-run of {flow} from step 2 (Throw): asked")), "{said}");
    let mut records = topics::records(&requests).await;
    let (_, record) = records.pop().unwrap();
    assert_eq!((records.len(), record.key.unwrap().as_slice()), (0, flow.as_bytes()));
    let request = RerunRequest::decode(record.value.unwrap().as_slice()).unwrap();
    let expected = RerunRequest {
        flow_instance_id: flow.clone(),
        from_step: Some(2),
        task_name: "Throw".to_owned(),
        input: r#"{"k":"w"}"#.into(),
        requested_by: "ann".to_owned(),
    };
    assert_eq!(request, expected);
    let audit = client.query_one("SELECT actor, action, object, detail FROM ft_audit", &[]).await.unwrap();
    assert!(audit.get::<_, &str>("actor").starts_with("ann ("));
    assert_eq!((audit.get::<_, &str>("action"), audit.get::<_, &str>("object")), ("rerun", flow.as_str()));
    let detail = json!({ "app": address, "from": 2, "input": { "k": "w" }, "instance": null });
    assert_eq!(audit.get::<_, Value>("detail"), detail);
}

/// A runtime that takes requests from the topic, as one of the other kinds would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_is_told_how_the_rerun_ended() {
    let (config, requests, address) = with_requests().await;
    let flow = failed_flow(&config).await;
    let collecting = Collecting::start(&config);
    for (status, code) in [("Completed", 0), ("Failed", 1)] {
        let wanted = ["rerun", "--flow", &flow, "--wait", "--app", &address];
        let mut command = configured(&config, wanted);
        let asked = topics::ends(&requests).await[0].1;
        let asking = tokio::spawn(async move { run(&mut command).await });
        servers::until("it is asked", async || {
            if topics::ends(&requests).await[0].1 > asked { Ok(()) } else { Err("no request".to_owned()) }
        })
        .await;
        let again = format!("again-{status}");
        record(&config, &again, &flow, status);
        let ran = asking.await.unwrap();
        assert_eq!(ran.code, code, "{ran:?}");
        let wanted = format!("re-run of {flow} from its start, as {again}: ended as {status}");
        assert!(ran.stdout.contains(&wanted), "{ran:?}");
    }
    until_stored(&config).await;
    collecting.stop().await;
}

/// Start and end of a re-run.
fn record(config: &Config, flow: &str, original: &str, status: &str) {
    let producer = Producer::new(&config.kafka, Partitioner::Murmur2, PATIENCE).unwrap();
    let body = |stats: &str| {
        json!({ "flow_instance_id": flow, "original_instance_id": original, "flow_stats": stats,
            "start_time": "2026-11-22T09:00:00Z", "end_time": "2026-11-22T09:00:01Z" })
        .to_string()
        .into()
    };
    for event in [flogo::start(&body("Created")), flogo::end(&body(status))] {
        let payload = event.unwrap().encode_to_vec();
        producer.send(
            &config.kafka.topics[0],
            Outgoing { key: flow.as_bytes(), payload: &payload, partition: None },
        );
    }
    producer.flush(PATIENCE).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_not_be_asked_is_said_in_a_sentence() {
    let (config, _, address) = with_requests().await;
    let flow = failed_flow(&config).await;
    let client = servers::connect_to(&config).await;
    let completed = "SELECT flowinstanceid FROM flowstate WHERE flowname = 'order' LIMIT 1";
    let completed = rows::texts(&client, completed).await.remove(0).unwrap();
    let parent = "SELECT flowinstanceid FROM flowstate WHERE flowname = 'parent' LIMIT 1";
    let parent = rows::texts(&client, parent).await.remove(0).unwrap();
    let cases: [(&[&str], i32, &str); 9] = [
        (&["--flow", "nowhere"], 1, "there is no flow nowhere"),
        (&["--flow", &flow], 1, "it is not configured where app history-harness is asked"),
        (&["--flow", &flow, "--app", "shop"], 2, "--app: want http://host:port"),
        (&["--flow", &flow, "--from-step", "99", "--app", &address], 1, "has no step 99"),
        (&["--flow", &completed, "--from-failure", "--app", &address], 1, "no step of the main flow"),
        (&["--flow", &parent, "--from-step", "3", "--app", &address], 1, "step 3 ran in a subflow"),
        (&["--flow", &flow, "--input", "{", "--app", &address], 2, "--input is not JSON"),
        (
            &["--flow", &flow, "--input", "{}", "--app", "http://127.0.0.1:1"],
            2,
            "with --from-step a task can be given one",
        ),
        (
            &["--flow", &flow, "--app", "http://127.0.0.1:1"],
            1,
            "cannot ask http://127.0.0.1:1/app/state/instance/restart",
        ),
    ];
    for (arguments, code, sentence) in cases {
        let ran = run(configured(&config, ["rerun"]).args(arguments)).await;
        assert!(ran.code == code && ran.stderr.contains(sentence), "{arguments:?}: {ran:?}");
    }
    // Whoever asked in vain did ask.
    let audit = "SELECT detail ->> 'error' FROM ft_audit";
    let errors = rows::texts(&client, audit).await;
    assert!(errors.len() == 1 && errors[0].as_ref().unwrap().contains("cannot ask"), "{errors:?}");
}
