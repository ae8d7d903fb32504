//! Steps by task.

use super::*;

fn of(flow: &str, number: usize) -> Value {
    value(tasks(&recorded(flow)[number]).unwrap())
}

#[test]
fn a_step_that_ends_a_task_says_what_it_was_given_gave_and_where_it_leads() {
    let wanted = json!([{
        "id": "CalcTotal", "stepId": 1, "subflowId": 0,
        "input": {"factor": 1.2, "value": 250},
        "output": {
            "CalcTotal": {"_A.CalcTotal.detail": "", "_A.CalcTotal.result": ""},
            "detail": {"factor": 1.2, "value": 250}, "result": 300,
        },
        "links": [{"from": "CalcTotal", "to": "LogTotal", "toTaskStutus": "Started", "fromTaskStutus": "Completed",
                   "status": "ture"}],
        "status": "Completed", "flow_status": "Created", "startTask": false, "newSubflow": false,
        "flowname": "res://flow:order",
    }]);
    assert_eq!(of("3ecf3d", 1), wanted);
}

#[test]
fn ways_not_taken_and_done_with() {
    let links = of("3ecf3d", 2)[0]["links"].clone();
    let wanted = json!([
        {"from": "LogTotal", "to": "BigDiscount", "toTaskStutus": "Started", "fromTaskStutus": "Completed", "status": "ture"},
        {"from": "LogTotal", "to": "NoDiscount", "toTaskStutus": "Skipped", "fromTaskStutus": "Completed", "status": "false"},
    ]);
    assert_eq!(links, wanted);
    let failed = of("32cf3d", 3)[0].clone();
    let wanted = json!([{"from": "Gate", "to": "AfterGate", "toTaskStutus": "", "fromTaskStutus": "Failed", "status": "unknow"}]);
    assert_eq!((&failed["links"], &failed["status"]), (&wanted, &json!("Failed")));
    assert_eq!(failed["flow_status"], "Failed");
    assert_eq!(failed["output"].as_object().unwrap().keys().collect::<Vec<_>>(), ["_E", "_E.Gate"]);
}

#[test]
fn the_first_step_begins_the_flow() {
    let start = of("3ecf3d", 0)[0].clone();
    assert_eq!(start["id"], "CalcTotal");
    assert_eq!((&start["status"], &start["flow_status"]), (&json!("Started"), &json!("Started")));
    assert_eq!((&start["startTask"], &start["newSubflow"]), (&json!(true), &json!(false)));
    assert_eq!(start["output"]["amount"], 250);
    assert_eq!((start.get("input"), start.get("links")), (None, None));
}

#[test]
fn what_a_flow_returns_is_the_input_of_the_task_that_ends_it() {
    let returning = of("3ecf3d", 4)[0].clone();
    assert_eq!(returning["input"], json!({"code": 200, "data": {"orderId": "o-1", "total": 300}}));
    assert_eq!(returning["flow_status"], "Completed");
}

#[test]
fn the_start_of_a_subflow_comes_after_the_task_that_waits_for_it() {
    let steps = recorded("3ccf3d");
    let both = tasks(&steps[2]).unwrap();
    assert_eq!(waits_for(&both), Some(("CallChild", 0)));
    let said = value(&both);
    assert_eq!((&said[0]["status"], &said[0]["input"]), (&json!("Waiting"), &json!({"n": 21})));
    assert_eq!((&said[1]["id"], &said[1]["subflowId"]), (&json!(""), &json!(1)));
    assert_eq!((&said[1]["newSubflow"], &said[1]["startTask"]), (&json!(true), &json!(true)));
    assert_eq!(said[1]["flowname"], "res://flow:child");
    assert_eq!(waits_for(&tasks(&steps[3]).unwrap()), None);
}

#[test]
fn the_end_of_a_subflow_comes_before_the_task_that_called_it() {
    let posted = r#"{"id":4,"flowChanges":{
        "1":{"taskId":"Inner","status":500,"tasks":{"Inner":{"status":40}}},
        "0":{"taskId":"Call","tasks":{"Call":{"status":40}}}}}"#;
    let said = value(tasks(&step("4", 0, posted)).unwrap());
    assert_eq!((&said[0]["id"], &said[1]["id"]), (&json!("Inner"), &json!("Call")));
    assert_eq!(said[0]["newSubflow"], false);
}

#[test]
fn a_round_of_a_loop_has_no_status_and_a_step_without_changes_no_task() {
    let round = of("36cf3d", 3)[0].clone();
    assert_eq!((&round["id"], &round["status"]), (&json!("Each"), &json!("")));
    assert_eq!(round["output"]["Each"].as_array().unwrap().len(), 2);
    assert_eq!(of("37cf3d", 5), json!([]));
}

#[test]
fn of_an_error_handlers_first_step_the_task_that_failed_is_told() {
    let handled = of("39cf3d", 2)[0].clone();
    assert_eq!((&handled["id"], &handled["status"]), (&json!("Throw"), &json!("Failed")));
}

#[test]
fn a_field_wins_over_a_flow_input_and_over_the_task_of_its_name() {
    let posted = r#"{"id":1,"flowChanges":{"0":{"taskId":"T",
        "attrs":{"_A.T":{"index":1},"_A.T.T":2,"n":3,"_A.T.n":4,"_A..x":5},"tasks":{"T":{"status":110}}}}}"#;
    let said = value(tasks(&step("1", 0, posted)).unwrap());
    assert_eq!(said[0]["output"], json!({".x": 5, "T": 2, "n": 4}));
    assert_eq!(said[0]["status"], "Cancelled");
}
