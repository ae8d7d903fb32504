//! The mapping against recorded traffic: each kind of step by name, and every row against an expectation that was
//! written without this code.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::recording::Recording;
use crate::proto::v1::{FlowEvent, HistoryEvent, Phase, StepEvent, StepStatus, history_event::Event};

const RECORDED: &str = include_str!("../../tests/fixtures/flogo/recorded.jsonl");
const RERUNS: &str = include_str!("../../tests/fixtures/flogo/reruns.jsonl");
const EXPECTED: &str = include_str!("../../tests/it/golden/expected.json");

fn events(recording: &str) -> Vec<Event> {
    Recording::new(recording.as_bytes()).map(|(_, event)| event.unwrap().event.unwrap()).collect()
}

fn steps(recording: &str) -> Vec<StepEvent> {
    events(recording)
        .into_iter()
        .filter_map(|event| if let Event::Step(s) = event { Some(s) } else { None })
        .collect()
}

fn flows(recording: &str) -> Vec<FlowEvent> {
    events(recording)
        .into_iter()
        .filter_map(|event| if let Event::Flow(f) = event { Some(f) } else { None })
        .collect()
}

/// Step `number` of the recorded flow called `flow`; a subflow's steps are the caller's.
fn recorded(flow: &str, number: &str) -> StepEvent {
    let ids: Vec<String> = flows(RECORDED)
        .into_iter()
        .filter(|f| f.flow_name == flow && f.phase() == Phase::Opened)
        .map(|f| f.flow_instance_id)
        .collect();
    let found = steps(RECORDED).into_iter().find(|s| s.flow_instance_id == ids[0] && s.step_id == number);
    found.unwrap()
}

/// task name, status, flow name, subflow id
fn said(step: &StepEvent) -> (&str, StepStatus, &str, &str) {
    (&step.task_name, step.status(), &step.flow_name, &step.subflow_id)
}

fn json(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn flow_of(event: HistoryEvent) -> FlowEvent {
    if let Some(Event::Flow(flow)) = event.event { flow } else { panic!("{event:?}") }
}

fn step_of(body: &str) -> StepEvent {
    let event = super::step(&Bytes::copy_from_slice(body.as_bytes())).unwrap();
    if let Some(Event::Step(step)) = event.event { step } else { panic!("{event:?}") }
}

#[test]
fn step_zero_is_started_with_the_first_task() {
    let step = recorded("order", "0");
    assert_eq!(said(&step), ("CalcTotal", StepStatus::Started, "order", "0"));
    assert_eq!((step.phase(), step.rerun), (Phase::Closed, false));
    assert_eq!((json(&step.input), json(&step.output), json(&step.error)), ("", "", ""));
}

#[test]
fn a_step_is_of_the_task_that_ended_in_it() {
    let step = recorded("order", "1");
    assert_eq!(said(&step), ("CalcTotal", StepStatus::Completed, "order", "0"));
    assert_eq!(json(&step.input), r#"{"factor":1.2,"value":250}"#);
    assert_eq!(json(&step.output), r#"{"detail":{"factor":1.2,"value":250},"result":300}"#);
    assert_eq!(step.execution, 1_795_292_907_501_647);
}

#[test]
fn a_skipped_task_is_passed_over() {
    assert_eq!(said(&recorded("order", "2")), ("LogTotal", StepStatus::Completed, "order", "0"));
}

#[test]
fn a_task_that_ends_its_flow_has_what_the_flow_returned_as_output() {
    let step = recorded("order", "4");
    assert_eq!(said(&step), ("Return", StepStatus::Completed, "order", "0"));
    assert_eq!(json(&step.output), r#"{"code":200,"data":{"orderId":"o-1","total":300}}"#);
}

#[test]
fn a_step_that_starts_a_subflow_is_of_the_caller_who_waits() {
    assert_eq!(said(&recorded("parent", "2")), ("CallChild", StepStatus::Waiting, "parent", "0"));
    assert_eq!(said(&recorded("nested", "3")), ("CallChild2", StepStatus::Waiting, "middle", "1"));
}

#[test]
fn steps_of_a_subflow_name_it_and_its_number() {
    assert_eq!(said(&recorded("parent", "3")), ("Double", StepStatus::Completed, "child", "1"));
    assert_eq!(said(&recorded("parent", "4")), ("ChildReturn", StepStatus::Completed, "child", "1"));
    assert_eq!(said(&recorded("parent", "5")), ("CallChild", StepStatus::Completed, "parent", "0"));
    assert_eq!(said(&recorded("nested", "5")), ("ChildReturn", StepStatus::Completed, "child", "2"));
    assert_eq!(said(&recorded("nested", "6")), ("CallChild2", StepStatus::Completed, "middle", "1"));
    assert_eq!(said(&recorded("subloop", "6")), ("Double", StepStatus::Completed, "child", "2"));
}

#[test]
fn a_failed_step_has_its_error() {
    let step = recorded("fail", "2");
    assert_eq!(said(&step), ("Throw", StepStatus::Failed, "fail", "0"));
    assert_eq!(
        json(&step.error),
        r#"{"activity":"Throw","activityType":"contrib.activity.error","category":"ACTIVITY-ERROR","code":"","data":{"k":"v"},"message":"boom: ünïcode \"quoted\"","type":"activity"}"#
    );
}

#[test]
fn an_error_handlers_first_step_is_of_the_task_that_failed() {
    assert_eq!(said(&recorded("handled", "2")), ("Throw", StepStatus::Failed, "handled", "0"));
    assert_eq!(said(&recorded("handled", "3")), ("OnError", StepStatus::Completed, "handled", "0"));
}

#[test]
fn a_failing_subflow_leaves_a_step_without_a_task() {
    assert_eq!(said(&recorded("subfail", "4")), ("ChildThrow", StepStatus::Failed, "childfail", "1"));
    assert_eq!(said(&recorded("subfail", "5")), ("", StepStatus::Unknown, "", ""));
    assert_eq!(said(&recorded("subfail", "6")), ("CallFailing", StepStatus::Failed, "subfail", "0"));
}

#[test]
fn a_round_of_a_loop_is_started_and_the_last_completes() {
    let round = recorded("loop", "2");
    assert_eq!(said(&round), ("Each", StepStatus::Started, "loop", "0"));
    assert_eq!(json(&round.output), r#"[{"detail":{"factor":10,"value":1},"result":10}]"#);
    assert_eq!(said(&recorded("loop", "4")), ("Each", StepStatus::Started, "loop", "0"));
    assert_eq!(said(&recorded("loop", "5")), ("Each", StepStatus::Completed, "loop", "0"));
}

#[test]
fn a_task_that_was_tried_again_is_completed_and_keeps_its_error() {
    let step = recorded("retry", "2");
    assert_eq!(said(&step), ("RetryGate", StepStatus::Completed, "retry", "0"));
    assert_eq!(json(&step.output), r#"{"passed":true}"#);
    assert!(json(&step.error).contains("gate 'retry-1' is closed"));
}

#[test]
fn a_detached_subflow_is_an_instance_of_its_own() {
    assert_eq!(said(&recorded("detached", "1")), ("FireAndForget", StepStatus::Completed, "detached", "0"));
    assert_eq!(said(&recorded("child", "1")), ("Double", StepStatus::Completed, "child", "0"));
    let child = flows(RECORDED).into_iter().find(|f| f.flow_name == "child").unwrap();
    assert_eq!((child.parent_flow_instance_id.as_str(), child.parent_flow_name.as_str()), ("", ""));
}

#[test]
fn a_step_that_ends_a_subflow_in_the_callers_step_is_of_the_subflow() {
    let step = step_of(
        r#"{"id":4,"flowId":"f","starttime":"1970-01-01T00:00:00.000005Z","flowChanges":{
            "10":{"flowURI":"res://flow:inner","taskId":"End","tasks":{"End":{"status":40}}},
            "9":{"flowURI":"res://flow:outer","taskId":"Call","tasks":{"Call":{"status":20}}}}}"#,
    );
    assert_eq!(said(&step), ("End", StepStatus::Completed, "inner", "10"));
    assert_eq!(step.execution, 5);
}

#[test]
fn of_several_tasks_that_ended_the_one_the_change_is_about_is_taken_then_the_worst_then_the_least_name() {
    let task = |about: &str| {
        let body = r#"{"id":1,"flowId":"f","flowChanges":{"0":{"flowURI":"f","taskId":"ABOUT","tasks":{
            "A":{"status":40},"B":{"status":110},"C":{"status":100},"D":{"status":100},"E":{"status":50}}}}}"#;
        let step = step_of(&body.replace("ABOUT", about));
        (step.task_name.clone(), step.status())
    };
    assert_eq!(task("A"), ("A".to_owned(), StepStatus::Completed));
    assert_eq!(task("B"), ("B".to_owned(), StepStatus::Cancelled));
    assert_eq!(task("E"), ("C".to_owned(), StepStatus::Failed));
    assert_eq!(task("gone"), ("C".to_owned(), StepStatus::Failed));
}

#[test]
fn a_status_that_is_not_known_stays_its_digits_and_zero_is_created() {
    let step = |status: &str| {
        let body = r#"{"id":1,"flowId":"f","flowChanges":{"0":{"taskId":"A","tasks":{"A":{"status":N}}}}}"#;
        let step = step_of(&body.replace('N', status));
        (step.status(), step.status_word.clone())
    };
    assert_eq!(step("0"), (StepStatus::Created, String::new()));
    assert_eq!(step("10"), (StepStatus::Scheduled, String::new()));
    assert_eq!(step("50"), (StepStatus::Skipped, String::new()));
    assert_eq!(step("2"), (StepStatus::Unspecified, "2".to_owned()));
    assert_eq!(step("77"), (StepStatus::Unspecified, "77".to_owned()));
}

#[test]
fn a_flow_keeps_its_inputs_and_outputs_as_posted() {
    let body = br#"{"flow_instance_id":"f","flow_stats":"Paused","start_time":"2026-11-21T20:28:27.5Z",
        "flow_inputs": { "z" : 1.50, "a" : "\u00fc \u003c" }, "flow_outputs": null, "original_instance_id": null}"#;
    let body = Bytes::from_static(body);
    let (start, end) = (flow_of(super::start(&body).unwrap()), flow_of(super::end(&body).unwrap()));
    assert_eq!(json(&start.input), r#"{"z":1.50,"a":"\u00fc \u003c"}"#);
    assert_eq!((json(&start.output), json(&end.output)), ("", "null"));
    assert_eq!((start.phase(), end.phase()), (Phase::Opened, Phase::Closed));
    assert_eq!((start.status, start.status_word.as_str()), (0, "Paused"));
    assert_eq!((start.run, end.run), (1_795_292_907_500_000, 1_795_292_907_500_000));
    assert_eq!((start.ended_at, end.ended_at), (None, None));
}

#[test]
fn no_inputs_are_an_empty_object() {
    let body = Bytes::from_static(br#"{"flow_instance_id":"f","flow_inputs":null}"#);
    assert_eq!(json(&flow_of(super::start(&body).unwrap()).input), "{}");
}

#[test]
fn bad_bodies_are_said_in_a_sentence() {
    let error = |body: &'static str| {
        anyhow::Error::from(super::step(&Bytes::from_static(body.as_bytes())).unwrap_err())
    };
    let sentence = |body: &'static str| format!("{:#}", error(body));
    assert_eq!(sentence(r#"{"id":1}"#), "`flowId` is missing or empty");
    assert_eq!(sentence(r#"{"flowId":"f"}"#), "`id` is missing or empty");
    assert_eq!(
        sentence("{]"),
        "not the body that Flogo posts as a step: key must be a string at line 1 column 2"
    );
    assert!(sentence(r#"{"id":"1","flowId":"f"}"#).contains(r#"invalid type: string "1", expected i64"#));
    assert!(
        sentence(r#"{"id":1,"flowId":"f","starttime":"noon"}"#)
            .starts_with("`starttime` is not an RFC 3339 time")
    );
}

#[test]
fn a_re_run_from_a_step_is_a_rewind_a_later_run_and_steps_marked_so() {
    let ra = |id: &str| id.starts_with("ra");
    let rewinds: Vec<_> = events(RERUNS)
        .into_iter()
        .filter_map(|e| if let Event::Rewind(r) = e { Some((r.from_step.unwrap(), r.before)) } else { None })
        .collect();
    let of_ra: Vec<StepEvent> = steps(RERUNS).into_iter().filter(|s| ra(&s.flow_instance_id)).collect();
    let greatest = |from: usize, to: usize| of_ra[from..to].iter().map(|s| s.execution).max().unwrap();
    // Steps 0..=4, then 3 and 4 again, then 2..=5 again.
    assert_eq!(rewinds, [(3, greatest(0, 5) + 1), (2, greatest(0, 7) + 1)]);
    let again: Vec<_> = of_ra.iter().map(|s| (s.step_id.as_str(), s.rerun)).collect();
    let first = ["0", "1", "2", "3", "4"].map(|n| (n, false));
    let later = ["3", "4", "2", "3", "4", "5"].map(|n| (n, true));
    assert_eq!(again, [first.as_slice(), later.as_slice()].concat());

    let starts: Vec<FlowEvent> =
        flows(RERUNS).into_iter().filter(|f| ra(&f.flow_instance_id) && f.phase() == Phase::Opened).collect();
    assert!(starts.is_sorted_by(|a, b| a.run < b.run) && starts.len() == 3);
    assert!(json(&starts[1].input).contains("_A.CalcTotal.at"));
    assert_eq!(starts[1].status().as_str_name(), "FLOW_STATUS_STARTED");
    assert!(of_ra.iter().filter(|s| s.rerun).all(|s| s.execution >= starts[1].run));
}

#[test]
fn only_the_start_of_a_re_run_from_the_beginning_names_the_original() {
    let named: Vec<_> = flows(RERUNS)
        .into_iter()
        .filter(|f| !f.rerun_of_flow_instance_id.is_empty())
        .map(|f| (f.flow_instance_id[..2].to_owned(), f.rerun_of_flow_instance_id[..2].to_owned(), f.phase()))
        .collect();
    let row = |id: &str| (id.to_owned(), "rb".to_owned(), Phase::Opened);
    assert_eq!(named, [row("rc"), row("rd")]);
}

#[test]
fn step_zero_posted_twice_is_two_executions() {
    let zero: Vec<StepEvent> = steps(RERUNS)
        .into_iter()
        .filter(|s| s.flow_instance_id.starts_with("re") && s.step_id == "0")
        .collect();
    assert_eq!(zero.len(), 2);
    assert!(zero[0].execution < zero[1].execution && zero[0].data != zero[1].data && !zero[1].rerun);
}

#[test]
fn deletions_snapshots_and_app_states_of_a_recording_are_events() {
    let lines = r#"{"method":"DELETE","path":"/v1/instances/a%2Fb/step/4?x=1","t":1}
{"method":"GET","path":"/v1/instances/f/steps","t":1}

{"method":"DELETE","path":"/v1/instances/f","t":1,"body":null}
{"method":"POST","path":"/v1/instances/snapshot","body":{"id": "f", "status": 100}}
{"method":"POST","path":"/v1/app/state/my%20app","t":1.5,"headers":{"Username":"u"}}
{"method":"DELETE","path":"/v1/app/state/app","t":2}"#;
    let said: Vec<_> =
        Recording::new(lines.as_bytes()).map(|(line, event)| (line, event.unwrap().event.unwrap())).collect();
    let of = |text: &str| serde_json::from_str::<HistoryEvent>(text).unwrap().event.unwrap();
    let expected = [
        (1, of(r#"{"rewind":{"flowInstanceId":"a/b","fromStep":4,"before":0}}"#)),
        (4, of(r#"{"flowDeleted":{"flowInstanceId":"f"}}"#)),
        (5, of(r#"{"snapshot":{"flowInstanceId":"f","data":"eyJpZCI6ImYiLCJzdGF0dXMiOjEwMH0="}}"#)),
        (
            6,
            of(
                r#"{"app":{"userId":"u","appName":"my app","persistenceEnabled":true,"at":"1970-01-01T00:00:01.5Z"}}"#,
            ),
        ),
        (7, of(r#"{"app":{"appName":"app","at":"1970-01-01T00:00:02Z"}}"#)),
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_bad_line_of_a_recording_is_named_and_the_next_is_read() {
    let lines = "{\"method\":\n{\"method\":\"POST\",\"path\":\"/v1/instances/end\",\"body\":{}}\n{\"method\":\"DELETE\",\"path\":\"/v1/instances/f\"}";
    let said: Vec<_> = Recording::new(lines.as_bytes())
        .map(|(line, event)| (line, event.map_err(|e| format!("{:#}", anyhow::Error::from(e)))))
        .collect();
    assert_eq!(said.len(), 3);
    assert!(said[0].1.as_ref().unwrap_err().starts_with("not a recorded request: EOF"));
    assert_eq!(
        said[1].1.as_ref().unwrap_err(),
        "POST /v1/instances/end: `flow_instance_id` is missing or empty"
    );
    assert!(said[2].1.is_ok());
}

#[test]
fn all_123_bodies_come_back_to_the_length_they_were_posted_with() {
    let mut bodies = 0;
    for line in RECORDED.lines() {
        let request: BTreeMap<&str, &serde_json::value::RawValue> = serde_json::from_str(line).unwrap();
        let headers: Value = serde_json::from_str(request["headers"].get()).unwrap();
        let length: usize = headers["Content-Length"].as_str().unwrap().parse().unwrap();
        assert_eq!(super::json::as_go_writes(request["body"]).len(), length);
        bodies += 1;
    }
    assert_eq!(bodies, 123);
}

/// A time as the expectation writes it.
fn shown(time: Option<&pbjson_types::Timestamp>) -> Value {
    let Some(time) = time else { return Value::Null };
    let nanos = jiff::Timestamp::new(time.seconds, time.nanos).unwrap();
    let micros = nanos
        .round(jiff::TimestampRound::new().smallest(jiff::Unit::Microsecond).mode(jiff::RoundMode::HalfEven));
    format!("{:.6}", micros.unwrap()).trim_end_matches('Z').into()
}

fn text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

#[test]
fn every_recorded_step_is_as_expected() {
    let expected: Value = serde_json::from_str(EXPECTED).unwrap();
    let rows = expected["steps"].as_array().unwrap();
    let said = steps(RECORDED);
    assert_eq!((rows.len(), said.len()), (91, 91));
    for (row, step) in rows.iter().zip(&said) {
        let status = step.status().as_str_name().trim_start_matches("STEP_STATUS_").to_lowercase();
        let sha256 = format!("{:x}", Bytes::copy_from_slice(&Sha256::digest(&step.data)));
        let got = serde_json::json!({
            "flowinstanceid": text(&step.flow_instance_id), "stepid": text(&step.step_id),
            "taskname": text(&step.task_name), "status": format!("{}{}", status[..1].to_uppercase(), &status[1..]),
            "starttime": shown(step.started_at.as_ref()), "endtime": shown(step.ended_at.as_ref()),
            "stepdata": {"length": step.data.len(), "sha256": sha256},
            "flowname": text(&step.flow_name), "subflowid": text(&step.subflow_id), "misc": null,
            "rerun": step.rerun, "parentstepid": text(&step.parent_step_id),
        });
        assert_eq!(&got, row);
    }
}

#[test]
fn every_recorded_flow_ends_as_expected() {
    let expected: Value = serde_json::from_str(EXPECTED).unwrap();
    let rows = expected["flowstate"].as_array().unwrap();
    let said = flows(RECORDED);
    assert_eq!((rows.len(), said.len()), (16, 32));
    for row in rows {
        let id = row["flowinstanceid"].as_str().unwrap();
        let [start, end] = [Phase::Opened, Phase::Closed]
            .map(|phase| said.iter().find(|f| f.flow_instance_id == id && f.phase() == phase).unwrap());
        assert_eq!((start.run, &start.input), (end.run, &end.input));
        let status = end.status().as_str_name().trim_start_matches("FLOW_STATUS_").to_lowercase();
        let [began, ended] = [&end.started_at, &end.ended_at].map(|t| shown(t.as_ref()));
        let got = serde_json::json!({
            "flowinstanceid": id, "userid": text(&end.user_id), "appname": text(&end.app_name),
            "appversion": text(&end.app_version), "flowname": text(&end.flow_name), "hostid": text(&end.host_id),
            "starttime": began, "endtime": ended, "executiontime": row["executiontime"],
            "status": format!("{}{}", status[..1].to_uppercase(), &status[1..]),
            "parentflowinstanceid": text(&end.parent_flow_instance_id),
            "parentflowname": text(&end.parent_flow_name), "misc": null,
            "rerunofflowinstanceid": text(&start.rerun_of_flow_instance_id),
            "flowinput": json(&start.input), "flowoutput": json(&end.output), "reruncount": 0,
        });
        assert_eq!(&got, row);
    }
}
