use super::*;
use crate::proto::v1::{FlowEvent, StepEvent, VariableEvent};

const RECORDED: &[u8] = include_bytes!("../../tests/fixtures/flowable/async-history-6.8.1.jsonl");

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

fn said(json: &str) -> Vec<HistoryEvent> {
    element(Engine::default(), json.as_bytes()).unwrap()
}

fn of(kind: &str, data: &str) -> Vec<HistoryEvent> {
    said(&format!("{{\"type\":\"{kind}\",\"data\":{{{data},\"__timeStamp\":\"2026-11-21T20:52:36.413Z\"}}}}"))
}

const STAMP: i64 = 1_795_294_356_413_000;

fn variables(events: &[HistoryEvent]) -> Vec<&VariableEvent> {
    let variable = |event: &'_ HistoryEvent| matches!(event.event, Some(Event::Variable(_)));
    events
        .iter()
        .filter(|event| variable(event))
        .map(|event| match &event.event {
            Some(Event::Variable(variable)) => variable,
            _ => unreachable!(),
        })
        .collect()
}

/// Scope, name and value of each variable.
fn parts(events: &[HistoryEvent]) -> Vec<[&str; 3]> {
    variables(events)
        .into_iter()
        .map(|it| [it.scope.as_str(), it.name.as_str(), std::str::from_utf8(it.value.as_ref()).unwrap()])
        .collect()
}

fn flow(events: &[HistoryEvent]) -> &FlowEvent {
    match &events[0].event {
        Some(Event::Flow(flow)) => flow,
        other => panic!("no flow: {other:?}"),
    }
}

fn step(events: &[HistoryEvent]) -> &StepEvent {
    match &events[0].event {
        Some(Event::Step(step)) => step,
        other => panic!("no step: {other:?}"),
    }
}

const START: &str = r#""id":"12","processInstanceId":"12","name":"order 7","businessKey":"bk","startTime":"2026-11-21T20:52:36.094Z",
    "startUserId":"kermit","startActivityId":"start","superProcessInstanceId":"9","tenantId":"","deploymentId":"1",
    "processDefinitionId":"order:3:10","processDefinitionName":"Order""#;

#[test]
fn a_process_is_a_flow_and_the_parts_of_its_record() {
    let events = of("process-instance-start", &format!("{START},\"processDefinitionVersion\":3"));
    let start = flow(&events);
    assert_eq!((&*start.flow_instance_id, start.run, start.phase, start.status), ("flowable:12", 0, 1, 100));
    assert_eq!([&start.status_word, &start.user_id, &start.app_name], ["Active", "kermit", "flowable"]);
    assert_eq!([&start.flow_name, &start.app_version], ["order", "3"]);
    assert_eq!(start.parent_flow_instance_id, "flowable:9");
    assert_eq!(start.started_at, Some(pbjson_types::Timestamp { seconds: 1_795_294_356, nanos: 94_000_000 }));
    assert_eq!((start.host_id.as_str(), start.ended_at), ("", None));
    let begun = r#"{"processDefinitionId":"order:3:10","processDefinitionName":"Order","deploymentId":"1","startActivityId":"start","name":"order 7","businessKey":"bk"}"#;
    assert_eq!(parts(&events), [["@process", "start", begun]]);
    assert_eq!((variables(&events)[0].revision, &*variables(&events)[0].r#type), (STAMP, "json"));

    let ended = format!("{START},\"endTime\":\"2026-11-21T20:52:37.001Z\",\"activityId\":\"end\"");
    let events = of("process-instance-end", &ended);
    let end = flow(&events);
    assert_eq!((end.phase, end.status, &*end.status_word), (3, 500, "Completed"));
    assert_eq!(end.ended_at.map(|time| time.nanos), Some(1_000_000));
    let said = r#"{"endActivityId":"end","name":"order 7","businessKey":"bk"}"#;
    assert_eq!(parts(&events), [["@process", "start", begun], ["@process", "end", said]]);

    let events = of("process-instance-end", &format!("{START},\"deleteReason\":\"no more\""));
    assert_eq!((flow(&events).status, &*flow(&events).status_word), (600, "Cancelled"));
}

#[test]
fn a_property_that_is_not_said_is_set_back() {
    let renamed = |data: &str| {
        let events = of("process-instance-property-changed", &format!("\"processInstanceId\":\"12\",{data}"));
        let said: Vec<[String; 3]> = parts(&events).into_iter().map(|part| part.map(str::to_owned)).collect();
        said
    };
    let name = |value: &str| vec![["@process".to_owned(), "changed-name".to_owned(), value.to_owned()]];
    assert_eq!(renamed(r#""property":"name","name":"x""#), name(r#"{"name":"x"}"#));
    assert_eq!(renamed(r#""property":"name""#), name(r#"{"name":null}"#));
    assert!(renamed(r#""property":"other","other":"x""#).is_empty());
}

const ACTIVITY: &str = r#""runtimeActivityInstanceId":"21","processDefinitionId":"order:3:10","processInstanceId":"12","executionId":"18",
    "activityId":"svc","activityName":"Service \"x\"","activityType":"serviceTask","transactionOrder":3,"tenantId":"",
    "startTime":"2026-11-21T20:37:20.990Z""#;

#[test]
fn an_activity_is_a_step_that_says_the_same_of_itself_every_time() {
    let started = of("activity-start", ACTIVITY);
    let start = step(&started);
    assert_eq!((&*start.flow_instance_id, &*start.step_id, start.execution), ("flowable:12", "21", 0));
    assert_eq!((start.phase, start.status, &*start.status_word), (1, 20, "Active"));
    assert_eq!([&start.task_name, &start.flow_name], ["svc", "order"]);
    let misc = r#"{"activityType":"serviceTask","activityName":"Service \"x\"","processDefinitionId":"order:3:10","executionId":"18","transactionOrder":3}"#;
    assert_eq!(start.misc, misc);
    assert_eq!(parts(&started), [["@step:21", "start", r#"{"activityId":"svc"}"#]]);

    let ended = format!("{ACTIVITY},\"endTime\":\"2026-11-21T20:37:20.995Z\"");
    for (kind, more, word, also) in [
        ("activity-full", "", "Completed", vec![]),
        (
            "activity-end",
            r#","deleteReason":"boundary event (b)""#,
            "Cancelled",
            vec![["@step:21", "end", r#"{"deleteReason":"boundary event (b)"}"#]],
        ),
    ] {
        let events = of(kind, &format!("{ended}{more}"));
        let end = step(&events);
        assert_eq!((end.phase, &*end.status_word), (3, word));
        assert_eq!((&end.misc, end.started_at), (&start.misc, start.started_at));
        assert_eq!(parts(&events), also);
    }
    // Older engines wrote text.
    let older = ACTIVITY.replace(":3,", ":\"3\",");
    assert_eq!(step(&of("activity-start", &older)).misc, misc);
}

#[test]
fn what_becomes_known_of_an_activity_later_is_of_a_flow_not_said() {
    let events = of("activity-update", r#""runtimeActivityInstanceId":"75","calledProcessInstanceId":"78""#);
    let update = step(&events);
    assert_eq!(
        (&*update.flow_instance_id, &*update.step_id, update.phase, &*update.subflow_id),
        ("flowable:", "75", 2, "flowable:78")
    );
    assert!(update.misc.is_empty() && update.status_word.is_empty());
    assert_eq!(parts(&events), [["@step:75", "called", r#"{"calledProcessInstanceId":"78"}"#]]);
    let events =
        of("activity-update", r#""runtimeActivityInstanceId":"254","taskId":"255","assignee":"gonzo""#);
    let said =
        [["@step:254", "assignee", r#"{"assignee":"gonzo"}"#], ["@step:254", "task", r#"{"taskId":"255"}"#]];
    assert_eq!((parts(&events), events.len()), (said.to_vec(), 2));
}

#[test]
fn sequence_flows_are_steps_only_where_they_are_wanted() {
    let json = r#"{"type":"activity-full","data":{"runtimeActivityInstanceId":"20","processInstanceId":"12",
        "activityId":"f1","activityType":"sequenceFlow"}}"#;
    assert!(said(json).is_empty());
    let engine = Engine { sequence_flows: true, ..Engine::default() };
    assert_eq!(element(engine, json.as_bytes()).unwrap().len(), 1);
}

const TASK: &str = r#""id":"255","revision":1,"name":"Approve","createTime":"2026-11-21T20:52:36.996Z","taskDefinitionKey":"approve",
    "priority":50,"tenantId":"","processDefinitionId":"parent:1:9""#;

#[test]
fn a_task_is_a_whole_record_of_which_what_is_left_out_later_is_null() {
    let created = of("task-created", &format!("{TASK},\"processInstanceId\":\"66\",\"executionId\":\"72\""));
    let whole = r#"{"name":"Approve","createTime":"2026-11-21T20:52:36.996Z","taskDefinitionKey":"approve","priority":50,"executionId":"72","processDefinitionId":"parent:1:9"}"#;
    assert_eq!(parts(&created), [["@task:255", "created", whole]]);
    assert_eq!(variables(&created)[0].flow_instance_id, "flowable:66");
    let changed = of("task-property-changed", &format!("{TASK},\"assignee\":\"gonzo\""));
    let whole = r#"{"name":"Approve","parentTaskId":null,"description":null,"owner":null,"assignee":"gonzo","formKey":null,"category":null,"dueDate":null,"claimTime":null,"createTime":"2026-11-21T20:52:36.996Z","taskDefinitionKey":"approve","priority":50,"processDefinitionId":"parent:1:9"}"#;
    assert_eq!(parts(&changed), [["@task:255", "changed", whole]]);
    assert_eq!(variables(&changed)[0].flow_instance_id, "flowable:");
    let deleted = of("task-deleted", r#""id":"255""#);
    assert_eq!(parts(&deleted), [["@task:255", "created", ""]]);
    assert!(variables(&deleted)[0].removed);
}

#[test]
fn who_has_a_task_has_its_activity_unless_the_engine_says_so_itself() {
    let claimed = |more: &str| {
        let data = format!(r#""id":"255","executionId":"72","runtimeActivityInstanceId":"254"{more}"#);
        let events = of("task-assignee-changed", &data);
        parts(&events).into_iter().map(|part| part.map(str::to_owned)).collect::<Vec<_>>()
    };
    let of =
        |value: &str| ["@task:255", "@step:254"].map(|scope| [scope, "assignee", value].map(str::to_owned));
    assert_eq!(claimed(r#","assignee":"gonzo""#), of(r#"{"assignee":"gonzo"}"#));
    assert_eq!(claimed(""), of(r#"{"assignee":null}"#));
    assert_eq!(claimed(r#","activityAssigneeHandled":true"#), of(r#"{"assignee":null}"#)[..1]);
}

#[test]
fn tasks_and_variables_of_no_process_say_nothing() {
    assert!(of("task-created", r#""id":"1","name":"by itself""#).is_empty());
    assert!(of("task-property-changed", r#""id":"1","name":"by itself""#).is_empty());
    assert!(of("task-assignee-changed", r#""id":"1","assignee":"x""#).is_empty());
    assert!(of("task-owner-changed", r#""id":"1","owner":"x""#).is_empty());
    assert!(of("variable-created", r#""id":"1","name":"v","scopeId":"2","scopeType":"cmmn""#).is_empty());
}

#[test]
fn a_value_has_one_spelling_by_its_type() {
    let value = |kind: &str, data: &str| {
        let data = format!(
            r#""id":"14","processInstanceId":"12","executionId":"12","name":"v","variableType":"{kind}",{data}"#
        );
        let events = of("variable-created", &data);
        String::from_utf8(variables(&events)[0].value.to_vec()).unwrap()
    };
    assert_eq!(value("string", r#""variableTextValue":"ok""#), "ok");
    assert_eq!(value("integer", r#""variableTextValue":"7","variableLongValue":7"#), "7");
    assert_eq!(value("long", r#""variableLongValue":"-9223372036854775808""#), "-9223372036854775808");
    assert_eq!(value("boolean", r#""variableLongValue":1"#), "true");
    assert_eq!(value("boolean", r#""variableLongValue":0"#), "false");
    assert_eq!(value("double", r#""variableDoubleValue":12345678.9"#), "1.23456789E7");
    assert_eq!(value("date", r#""variableLongValue":1795294356094"#), "2026-11-21T20:52:36.094Z");
    assert_eq!(value("bytes", r#""variableBytesValue":"e29yZGVyPTB9""#), "{order=0}");
    assert_eq!(value("null", r#""revision":0"#), "");
    assert_eq!(value("localdate", r#""variableLongValue":20000"#), "20000");
}

#[test]
fn a_variable_is_in_the_scope_of_what_has_it_and_counts_by_time_and_revision() {
    let variable = |data: &str| {
        let data = format!(r#""id":"14","processInstanceId":"12","name":"v","variableType":"string",{data}"#);
        variables(&of("variable-updated", &data))[0].clone()
    };
    let whole = variable(
        r#""executionId":"12","revision":2,"lastUpdatedTime":"2026-11-21T20:52:36.339Z","variableTextValue":"x""#,
    );
    assert_eq!((&*whole.scope, whole.revision, &*whole.variable_id), ("", STAMP + 2, "14"));
    assert_eq!(whole.misc, r#"{"revision":2,"textValue":"x","executionId":"12"}"#);
    assert_eq!(whole.updated_at.map(|time| time.nanos), Some(339_000_000));
    assert_eq!(variable(r#""executionId":"18","revision":5000"#).scope, "execution:18");
    assert_eq!(variable(r#""executionId":"18","revision":5000"#).revision, STAMP + 999);
    assert_eq!(variable(r#""executionId":"18","taskId":"9""#).scope, "task:9");
    let data = r#""id":"14","processInstanceId":"12","executionId":"18","name":"v","variableType":"string""#;
    let created = of("variable-created", data);
    let places = [["execution:18", "v", ""], ["@variable:14", "v", r#"{"scope":"execution:18"}"#]];
    assert_eq!(parts(&created), places);
    assert!(variables(&created).iter().all(|it| it.variable_id == "14"));
    let events = of("variable-removed", r#""id":"14","revision":2"#);
    let removed = variables(&events)[0];
    assert_eq!(
        (removed.removed, removed.revision, &*removed.flow_instance_id),
        (true, STAMP + 2, "flowable:")
    );
}

#[test]
fn a_deletion_of_history_is_one_and_what_is_not_kept_says_nothing() {
    let events = of("process-instance-deleted", r#""processInstanceId":"12""#);
    assert!(matches!(&events[0].event, Some(Event::FlowDeleted(it)) if it.flow_instance_id == "flowable:12"));
    for kind in ["identitylink-created", "historic-detail-variable-update", "entitylink-deleted"] {
        assert!(of(kind, r#""id":"1""#).is_empty());
    }
}

#[test]
fn what_is_no_element_is_refused_with_a_reason() {
    let why = |json: &str| {
        let error = element(Engine::default(), json.as_bytes()).unwrap_err();
        assert!(!error.unquoted().contains("hunter2"), "{}", error.unquoted());
        error.to_string()
    };
    assert_eq!(why(r#"{"type":"hunter2","data":{}}"#), "no type of Flowable's history: hunter2");
    assert_eq!(
        why(r#"{"type":"process-instance-start","data":{"id":""}}"#),
        "`processInstanceId` is missing or empty"
    );
    assert_eq!(
        why(r#"{"type":"process-instance-start","data":{"id":"1","startTime":"hunter2"}}"#),
        "`startTime` is no time: hunter2"
    );
    assert!(why(r#"{"type":"process-instance-start"}"#).contains("missing field `data`"));
    assert!(
        why(r#"{"type":"process-instance-start","data":{"id":["hunter2"]}}"#).starts_with("not an element")
    );
}

#[test]
fn an_array_is_taken_apart_in_its_order() {
    let mut seen = Vec::new();
    array(b" [ {\"a\": 1}, 7 ,[] ] ", |element| seen.push(element.get().to_owned())).unwrap();
    assert_eq!(seen, ["{\"a\": 1}", "7", "[]"]);
    assert!(array(b"[1,", |_| {}).is_err());
    assert!(array(b"[1] 2", |_| {}).is_err());
    assert!(array(b"{}", |_| {}).is_err());
}

#[test]
fn every_line_that_a_real_engine_wrote_is_understood() {
    let mut events = Vec::new();
    for line in lines(RECORDED) {
        assert!(is_element(line));
        events.extend(element(Engine::default(), line).unwrap());
    }
    let count = |kind: fn(&Event) -> bool| {
        events.iter().filter_map(|it| it.event.as_ref()).filter(|it| kind(it)).count()
    };
    // 24 instances, each started and ended; 152 activities in one element, 20 in two, and 4 calls that were told later.
    assert_eq!(count(|it| matches!(it, Event::Flow(_))), 48);
    assert_eq!(count(|it| matches!(it, Event::Step(_))), 152 + 2 * 20 + 4);
    let missing = events.iter().filter(|it| identity::Identify::missing(*it).is_some()).count();
    assert!(missing > 0);
    identity::identify(&mut events, &mut identity::Known::new(0));
    assert!(events.iter().all(|it| identity::Identify::missing(it).is_none()));
}
