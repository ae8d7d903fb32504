use super::*;

fn wish(from: Option<(i64, &str)>, input: Option<Value>) -> Wish {
    let from = from.map(|(step, task)| From { step, task: task.to_owned() });
    Wish { flow: "f1".to_owned(), from, input, by: "ann".to_owned() }
}

fn asked(address: &str, wish: &Wish) -> Result<(String, Value), String> {
    let state = json!({
        "id": "f1", "flowURI": "res://flow:order", "status": 100, "attrs": { "amount": 250, "orderId": "o-1" },
        "tasks": [{ "id": "CalcTotal", "status": 20 }],
    });
    match question(&Runtime::parse(address).unwrap(), wish, Some(&state))? {
        Question::Http { url, body } => Ok((url, body)),
        Question::Record { .. } => panic!("a record"),
    }
}

#[test]
fn a_flogo_app_is_asked_by_its_own_endpoints() {
    let (url, body) = asked("http://shop:7777/", &wish(None, None)).unwrap();
    assert_eq!(url, "http://shop:7777/app/state/instance/restart");
    assert_eq!(body, json!({ "flowInstanceId": "f1" }));
    let (url, body) =
        asked("http://shop:7777", &wish(Some((3, "Send")), Some(json!({ "to": "x" })))).unwrap();
    assert_eq!(url, "http://shop:7777/app/state/task/restart");
    let wanted =
        json!({ "flowInstanceId": "f1", "taskStepId": "3", "taskName": "Send", "inputs": { "to": "x" } });
    assert_eq!(body, wanted);
    assert!(asked("http://shop:7777", &wish(None, Some(json!({})))).unwrap_err().contains("--from-step"));
}

#[test]
fn a_tester_is_told_the_state() {
    let (url, body) = asked("tester+http://shop:8080", &wish(Some((3, "Send")), None)).unwrap();
    assert_eq!(url, "http://shop:8080/flow/restart");
    let initial = &body["initialState"];
    assert_eq!(
        (&initial["id"], &initial["flowUri"], &initial["status"]),
        (&json!("f1"), &json!("res://flow:order"), &json!(100))
    );
    assert_eq!(initial["attrs"], json!({ "amount": 250, "orderId": "o-1" }));
    assert_eq!(initial["tasks"], json!([{ "id": "Send", "status": 20 }]));
    assert_eq!(initial["workQueue"], json!([{ "id": 1, "subFlowId": 0, "taskID": "Send" }]));

    let (_, body) = asked("tester+http://shop:8080", &wish(None, Some(json!({ "amount": 1 })))).unwrap();
    assert_eq!(body["initialState"]["attrs"], json!({ "amount": 1, "orderId": "o-1" }));
    assert_eq!(body["initialState"]["tasks"][0]["id"], "CalcTotal");
    assert!(asked("tester+http://shop:8080", &wish(Some((3, "Send")), Some(json!({})))).is_err());
}

#[test]
fn any_other_runtime_is_asked_by_a_record() {
    let runtime = Runtime::parse("kafka:flow.rerun").unwrap();
    let asked = question(&runtime, &wish(Some((0, "Send")), Some(json!({ "a": 1 }))), None).unwrap();
    let wanted = RerunRequest {
        flow_instance_id: "f1".to_owned(),
        from_step: Some(0),
        task_name: "Send".to_owned(),
        input: r#"{"a":1}"#.into(),
        requested_by: "ann".to_owned(),
    };
    assert_eq!(asked, Question::Record { topic: "flow.rerun".to_owned(), request: wanted });
}

#[test]
fn an_address_is_a_url_without_a_password_or_a_topic() {
    for good in ["http://a", "https://a:1/base", "tester+http://a:8080", "kafka:t"] {
        let shown = Runtime::parse(good).unwrap().to_string();
        assert_eq!(shown, good);
    }
    for bad in ["", "a:1", "ftp://a", "http://", "http:///x", "http://u:p@a", "kafka:", "tester+a"] {
        assert!(Runtime::parse(bad).is_err(), "{bad}");
    }
}
