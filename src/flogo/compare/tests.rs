use super::*;

fn bytes(text: &str) -> Value {
    // Any digest does: equal for equal text, other for other.
    let payload = Payload {
        length: i64::try_from(text.len()).unwrap(),
        sha256: text.as_bytes().to_vec(),
        bytes: Some(text.as_bytes().to_vec()),
    };
    Value::Bytes(payload)
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn row(step: Option<&str>, columns: &[(&'static str, Value)]) -> Row {
    let step = step.map(str::to_owned);
    Row { flow: "f".to_owned(), step, has_earlier: false, columns: columns.to_vec() }
}

fn reasons(here: &Row, there: &Row) -> Vec<(&'static str, Option<Reason>)> {
    let found = differences(here, there);
    found.into_iter().map(|difference| (difference.column.unwrap(), difference.reason)).collect()
}

#[test]
fn empty_text_and_null_say_the_same_and_other_text_does_not() {
    let here = row(None, &[("userid", Value::Null), ("appname", text("shop")), ("flowoutput", Value::Null)]);
    let there = row(None, &[("userid", text("")), ("appname", text("shop")), ("flowoutput", bytes(""))]);
    assert_eq!(reasons(&here, &there), []);
    let other = row(None, &[("userid", text("ann")), ("appname", Value::Null), ("flowoutput", Value::Null)]);
    assert_eq!(reasons(&here, &other), [("userid", None), ("appname", None)]);
}

#[test]
fn an_end_that_is_lost_there_is_known_and_one_that_is_lost_here_is_not() {
    let open =
        row(None, &[("status", text("Created")), ("endtime", Value::Time(12)), ("flowoutput", Value::Null)]);
    let ended =
        row(None, &[("status", text("Failed")), ("endtime", Value::Time(90)), ("flowoutput", bytes("{}"))]);
    let lost = Some(Reason::EndLost);
    assert_eq!(reasons(&ended, &open), [("status", lost), ("endtime", lost), ("flowoutput", lost)]);
    assert_eq!(reasons(&open, &ended), [("status", None), ("endtime", None), ("flowoutput", None)]);
    let in_flight = row(None, &[("status", text("Created")), ("endtime", Value::Null)]);
    assert_eq!(reasons(&in_flight, &open), [("endtime", Some(Reason::InFlight))]);
    let completed = row(None, &[("status", text("Completed")), ("endtime", Value::Time(90))]);
    assert_eq!(reasons(&ended, &completed).first(), Some(&("status", None)));
}

#[test]
fn what_is_rounded_differs_by_one_digit_of_the_last_place_only() {
    let of = |time, took: &str| row(None, &[("starttime", Value::Time(time)), ("executiontime", text(took))]);
    let rounded = Some(Reason::Rounded);
    assert_eq!(
        reasons(&of(10, "11.267"), &of(11, "11.268")),
        [("starttime", rounded), ("executiontime", rounded)]
    );
    assert_eq!(reasons(&of(10, "11.267"), &of(12, "11.269")), [("starttime", None), ("executiontime", None)]);
    assert_eq!(reasons(&of(10, "11.260"), &of(10, "11.26")), [("executiontime", rounded)]);
    assert_eq!(reasons(&of(10, "NaN"), &of(10, "1")), [("executiontime", None)]);
}

#[test]
fn json_is_compared_as_go_reads_it() {
    let of = |json: &str| row(None, &[("flowinput", bytes(json))]);
    let same = [("flowinput", Some(Reason::SameJson))];
    assert_eq!(reasons(&of(r#"{"a":1,"b":"<"}"#), &of(r#"{"b":"\u003c","a":1.0}"#)), same);
    for other in [r#"{"a":2,"b":"<"}"#, r#"{"a":1}"#, r#"{"a":1,"b":"<","c":0}"#, "no JSON"] {
        assert_eq!(reasons(&of(r#"{"a":1,"b":"<"}"#), &of(other)), [("flowinput", None)], "{other}");
    }
    let again = Row { has_earlier: true, ..of(r#"{"a":1}"#) };
    assert_eq!(reasons(&again, &of(r#"{"a":1,"_A.x":2}"#)), [("flowinput", Some(Reason::RerunInput))]);
}

#[test]
fn a_rerun_counted_too_often_is_known_and_one_too_few_is_not() {
    let of = |count| row(None, &[("reruncount", Value::Number(count))]);
    assert_eq!(reasons(&of(1), &of(3)), [("reruncount", Some(Reason::RerunCount))]);
    assert_eq!(reasons(&of(1), &of(0)), [("reruncount", None)]);
    let again = Row { has_earlier: true, ..of(1) };
    assert_eq!(reasons(&again, &of(0)), [("reruncount", Some(Reason::RerunCount))]);
}

#[test]
fn a_step_has_no_status_there_unless_its_task_ended_well_or_badly() {
    let of = |status: &str| row(Some("3"), &[("taskname", text("Each")), ("status", text(status))]);
    for open in ["Started", "Skipped", "Cancelled", "Unknown"] {
        assert_eq!(reasons(&of(open), &of("")), [("status", Some(Reason::NoWord))], "{open}");
    }
    for ended in ["Waiting", "Completed", "Failed"] {
        assert_eq!(reasons(&of(ended), &of("")), [("status", None)], "{ended}");
    }
    assert_eq!(reasons(&of("Started"), &of("Failed")), [("status", None)]);
}

#[test]
fn a_step_of_several_tasks_or_executions_may_name_another() {
    let two = r#"{"flowChanges":{"0":{"tasks":{"A":{"status":40},"B":{"status":40}}}}}"#;
    let one = r#"{"flowChanges":{"0":{"tasks":{"A":{"status":40},"B":{"status":20}}}}}"#;
    let of = |task: &str, data: &str| {
        let columns = [("taskname", text(task)), ("status", text("Completed")), ("stepdata", bytes(data))];
        row(Some("3"), &columns)
    };
    assert_eq!(reasons(&of("A", two), &of("B", two)), [("taskname", Some(Reason::SeveralTasks))]);
    assert_eq!(reasons(&of("A", one), &of("B", one)), [("taskname", None)]);
    let again = Row { has_earlier: true, ..of("A", one) };
    let other = Some(Reason::OtherExecution);
    assert_eq!(reasons(&again, &of("B", two)), [("taskname", other), ("stepdata", other)]);
}

#[test]
fn only_a_step_without_changes_may_be_missing_there() {
    let of = |data: &str| row(Some("5"), &[("stepdata", bytes(data))]).reason_to_be_missing();
    assert_eq!(of(r#"{"id":5,"flowChanges":{}}"#), Some(Reason::EmptyStep));
    assert_eq!(of(r#"{"id":5,"flowChanges":{"0":{}}}"#), None);
    assert_eq!(of("no JSON"), None);
}

#[test]
fn payloads_are_not_shown() {
    let found = differences(&row(None, &[("flowinput", bytes("secret"))]), &row(None, &[]));
    assert_eq!(found[0].here.as_deref(), Some("6 bytes 736563"));
    assert_eq!(found[0].there.as_deref(), Some("null"));
}
