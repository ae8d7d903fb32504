//! Answers against recorded traffic. What is expected was written down from the facts of the wire, by hand.

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::*;

const RECORDED: &str = include_str!("../../../tests/fixtures/flogo/recorded.jsonl");

/// The steps that were posted for a recorded instance; `flow` is the beginning of its id.
fn recorded(flow: &str) -> Vec<StepData> {
    #[derive(Deserialize)]
    struct Line<'a> {
        path: &'a str,
        #[serde(borrow)]
        body: &'a RawValue,
    }
    let mut steps = Vec::new();
    for line in RECORDED.lines() {
        let line: Line<'_> = serde_json::from_str(line).unwrap();
        let body: Value = serde_json::from_str(line.body.get()).unwrap();
        if line.path == "/v1/instances/steps" && body["flowId"].as_str().unwrap().starts_with(flow) {
            steps.push(step(&body["id"].to_string(), 0, line.body.get()));
        }
    }
    assert!(!steps.is_empty());
    steps
}

fn step(id: &str, execution: i64, data: &str) -> StepData {
    StepData { id: id.to_owned(), execution, data: data.as_bytes().to_vec() }
}

fn value(answer: impl Serialize) -> Value {
    serde_json::to_value(answer).unwrap()
}

fn text(answer: impl Serialize) -> String {
    serde_json::to_string(&answer).unwrap()
}

fn at(steps: &[StepData], until: i64) -> Value {
    value(snapshot("f", steps, &[], Some(until)).unwrap())
}

mod snapshots;
mod statuses;
mod tasks;

#[test]
fn ids_that_are_numbers_come_by_number() {
    let mut ids = ["10", "x", "9", "0", "1234567890123456789", ""];
    sort_by_id(&mut ids, |id| id);
    assert_eq!(ids, ["0", "9", "10", "", "1234567890123456789", "x"]);
}

#[test]
fn the_number_of_steps_goes_up_to_the_last_though_one_is_missing() {
    assert_eq!(count_up_to_last(&[step("4", 0, ""), step("0", 0, ""), step("x", 0, "")]), 5);
    assert_eq!(count_up_to_last(&[step("x", 0, "")]), 0);
}

#[test]
fn posted_steps_keep_their_bytes() {
    let posted = [step("0", 0, "{\"id\": 0,\"x\":1.0}"), step("1", 0, "{\"id\":1}")];
    assert_eq!(text(steps(&posted).unwrap()), "[{\"id\": 0,\"x\":1.0},{\"id\":1}]");
    let error = steps(&[step("7", 0, "cut here")]).unwrap_err().to_string();
    assert!(error.starts_with("step 7 holds no step of Flogo"), "{error}");
    assert!(steps(&[step("7", 0, "")]).is_err(), "no bytes at all");
}

#[test]
fn a_time_has_no_trailing_zeros_and_a_z() {
    for (stored, shown) in [
        ("2026-11-21T20:28:27.500320Z", "2026-11-21T20:28:27.50032Z"),
        ("2026-11-21T20:28:27.000000Z", "2026-11-21T20:28:27Z"),
        ("2026-11-21T20:28:27.494225Z", "2026-11-21T20:28:27.494225Z"),
    ] {
        assert_eq!(time(stored.parse().unwrap()), shown);
    }
}

#[test]
fn an_instance_is_listed_without_what_is_not_known_of_it() {
    let instance = Instance { id: "f".to_owned(), ..Instance::default() };
    let none = Instances::new(0, Vec::new());
    assert_eq!(text(none), r#"{"Count":0,"FlowData":null}"#);
    let one = Instances::new(7, vec![instance.clone()]);
    let wanted =
        r#"{"Count":7,"FlowData":[{"id":"f","flowInputs":{},"rerunCount":0,"originalInstanceId":""}]}"#;
    assert_eq!(text(one), wanted);
    let known = Instance {
        flow: Some("order".to_owned()),
        status: Some("Completed".to_owned()),
        host: Some("h".to_owned()),
        started: "2026-11-21T20:28:27.5Z".parse().ok(),
        ended: "2026-11-21T20:28:28Z".parse().ok(),
        execution_time: Some("500.000".to_owned()),
        rerun_count: 2,
        original: Some("o".to_owned()),
        input: Some(b"{\"n\": 1.0}".to_vec()),
        ..instance
    };
    let wanted = concat!(
        r#"{"Count":1,"FlowData":[{"id":"f","flowName":"order","hostid":"h","flowStatus":"Completed","flowInputs":{},"#,
        r#""starttime":"2026-11-21T20:28:27.5Z","endtime":"2026-11-21T20:28:28Z","executiontime":"500.000","#,
        r#""rerunCount":2,"originalInstanceId":"o"}]}"#
    );
    assert_eq!(text(Instances::new(1, vec![known.clone()])), wanted);
    let wanted = concat!(
        r#"{"id":"f","flowURI":"res://flow:order","flowName":"order","flowStatus":"Completed","#,
        r#""flowInputs":{"n": 1.0},"rerunCount":2,"originalInstanceId":"o"}"#
    );
    assert_eq!(text(FlowInfo::details(known.clone())), wanted);
    let no_object = Instance { input: Some(b"[1]".to_vec()), ..known };
    assert_eq!(value(FlowInfo::details(no_object))["flowInputs"], Value::Null);
}

#[test]
fn words_become_numbers() {
    let numbers =
        ["Created", "Started", "Completed", "Cancelled", "Failed", "650", "Sleeping"].map(flow_number);
    assert_eq!(numbers, [0, 100, 500, 600, 700, 650, 0]);
}
