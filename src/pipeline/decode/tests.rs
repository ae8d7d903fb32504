use std::sync::Arc;

use proptest::prelude::*;
use prost::Message as _;

use super::*;
use crate::{
    config::{Redaction, RedactionAction, RedactionRule, RedactionTarget},
    model::{Micros, Phase},
    proto::v1::{FlowEvent, HistoryEvent, StepEvent, VariableEvent, history_event::Event as Wire},
};

const LIMIT: usize = 1 << 20;

fn flow_event(e: FlowEvent) -> HistoryEvent {
    HistoryEvent { event: Some(Wire::Flow(e)) }
}

fn sample() -> FlowEvent {
    FlowEvent { flow_instance_id: "f".into(), run: 7, status: 500, phase: 3, ..FlowEvent::default() }
}

fn decode_event(event: &HistoryEvent, key: &str) -> Result<Decoded, Reject> {
    decode(Some(key.as_bytes()), Some(&event.encode_to_vec().into()), LIMIT, None)
}

/// The event of a record of one.
fn only(decoded: Decoded) -> Event {
    let [event] = decoded.events.into_inner().unwrap();
    event
}

fn time(seconds: i64, nanos: i32) -> pbjson_types::Timestamp {
    pbjson_types::Timestamp { seconds, nanos }
}

fn step_row(decoded: Decoded) -> Box<StepRow> {
    match only(decoded) {
        Event::Step { row, .. } => row,
        other => panic!("not a step: {other:?}"),
    }
}

fn run_row(decoded: Decoded) -> Box<RunRow> {
    match only(decoded) {
        Event::Flow { row, .. } => row,
        other => panic!("not a flow: {other:?}"),
    }
}

#[test]
fn the_three_framings_give_the_same_event() {
    let event = flow_event(sample());
    let bare = event.encode_to_vec();
    let short_index = [&[0, 0, 0, 0, 9, 0], bare.as_slice()].concat();
    let long_index = [&[0, 0, 0, 0, 9, 2, 0], bare.as_slice()].concat();
    let json = serde_json::to_vec(&event).unwrap();
    assert_eq!(json[0], b'{');
    let expected = decode_event(&event, "f").unwrap();
    assert!(expected.sanitized.is_empty());
    for payload in [short_index, long_index, json] {
        assert_eq!(decode(Some(b"f"), Some(&payload.into()), LIMIT, None).unwrap(), expected);
    }
}

#[test]
fn a_step_alone_in_its_envelope_is_the_step_that_the_envelope_holds() {
    let step = StepEvent { flow_instance_id: "f".into(), step_id: "1".into(), ..StepEvent::default() };
    let alone = HistoryEvent { event: Some(Wire::Step(step)) }.encode_to_vec();
    assert!(framing::only_a_step(&alone.clone().into()).is_some());
    let expected = decode(Some(b"f"), Some(&alone.clone().into()), LIMIT, None).unwrap();
    // The same event twice is one, and a field of a later version is none that is known.
    for more in [alone.as_slice(), b"\x7a\x00"] {
        let envelope: Bytes = [&alone, more].concat().into();
        assert_eq!(framing::only_a_step(&envelope), None);
        assert_eq!(decode(Some(b"f"), Some(&envelope), LIMIT, None).unwrap(), expected);
    }
    let flow = flow_event(sample()).encode_to_vec();
    assert_eq!(framing::only_a_step(&flow.into()), None);
    let cut: Bytes = alone[..alone.len() - 1].to_vec().into();
    assert_eq!(decode(Some(b"f"), Some(&cut), LIMIT, None).unwrap_err().reason(), "undecodable");
}

#[test]
fn numbers_that_the_contract_does_not_name_are_the_same_in_every_framing() {
    let flow =
        flow_event(FlowEvent { status: 4711, phase: 9, run: 7, flow_instance_id: "f".into(), ..sample() });
    let json = br#"{"flow": {"flowInstanceId": "f", "run": "7", "status": 4711, "phase": 9}}"#;
    let step =
        StepEvent { flow_instance_id: "f".into(), step_id: "1".into(), status: -3, ..StepEvent::default() };
    let step = HistoryEvent { event: Some(Wire::Step(step)) };
    let json_step =
        br#"{"step": {"flow_instance_id": "f", "step_id": "1", "status": -3, "phase": "PHASE_UNSPECIFIED"}}"#;
    for (event, json) in [(flow, &json[..]), (step, &json_step[..])] {
        let payload = Bytes::copy_from_slice(json);
        assert_eq!(
            decode(Some(b"f"), Some(&payload), LIMIT, None).unwrap(),
            decode_event(&event, "f").unwrap()
        );
    }
    let wrong = Bytes::from_static(br#"{"flow": {"flowInstanceId": "f", "status": 4711, "run": "x"}}"#);
    assert_eq!(decode(Some(b"f"), Some(&wrong), LIMIT, None).unwrap_err().reason(), "undecodable");
}

#[test]
fn an_index_of_another_message_is_rejected() {
    for header in [&[0, 0, 0, 0, 9, 2, 2][..], &[0, 0, 0, 0, 9, 4, 0, 0], &[0, 0, 0, 0, 9], &[0]] {
        let payload = Bytes::copy_from_slice(header);
        let reject = decode(None, Some(&payload), LIMIT, None).unwrap_err();
        assert_eq!(reject.reason(), "undecodable", "{header:?}: {reject}");
    }
}

#[test]
fn what_is_no_event_is_rejected_with_its_reason() {
    assert_eq!(decode(Some(b"f"), None, LIMIT, None), Err(Reject::Empty));
    assert_eq!(decode(Some(b"f"), Some(&Bytes::new()), LIMIT, None), Err(Reject::Empty));
    let garbage = Bytes::from_static(b"\xff\xff\xff");
    assert_eq!(decode(Some(b"f"), Some(&garbage), LIMIT, None).unwrap_err().reason(), "undecodable");
    let json = Bytes::from_static(b"{\"flow\": 7}");
    assert_eq!(decode(Some(b"f"), Some(&json), LIMIT, None).unwrap_err().reason(), "undecodable");
    // A field number that a later version may use for an event of a new kind.
    let newer = Bytes::from_static(b"\x7a\x00");
    assert_eq!(decode(Some(b"f"), Some(&newer), LIMIT, None), Err(Reject::UnknownEvent));
}

#[test]
fn what_a_reject_quotes_of_the_message_is_short_and_on_one_line() {
    let said = |phase: &str| {
        let json = format!("{{\"flow\":{{\"phase\":\"{phase}\"}}}}");
        decode(Some(b"f"), Some(&json.into()), LIMIT, None).unwrap_err().to_string()
    };
    let sentence = said("a\\n\\u0000\\u001b[2J");
    assert!(sentence.contains("unknown variant `a\\n\\u{0}\\u{1b}[2J`"), "{sentence}");
    assert!(said(&"x".repeat(LIMIT)).len() < 500);
}

#[test]
fn text_that_is_not_utf_8_is_rejected_with_the_name_of_its_field() {
    let of = |task_name: &'static [u8], flow_instance_id: &'static [u8]| {
        let step = crate::proto::sliced::StepEvent {
            flow_instance_id: flow_instance_id.into(),
            step_id: "1".into(),
            task_name: task_name.into(),
            ..Default::default()
        };
        let event = crate::proto::sliced::HistoryEvent { event: Some(super::Wire::Step(step)) };
        decode(None, Some(&event.encode_to_vec().into()), LIMIT, None).map_err(|reject| reject.to_string())
    };
    let not = |field: &str| Err(format!("the value is not a HistoryEvent: protobuf: {field} is not UTF-8"));
    assert!(of(b"task", b"f").is_ok());
    assert_eq!(of(b"t\xffsk", b"f"), not("task_name"));
    assert_eq!(of(b"task", b"\xc3"), not("flow_instance_id"));
}

#[test]
fn the_id_of_the_payload_wins_over_the_key() {
    let event = flow_event(sample());
    let of =
        |key: Option<&[u8]>| decode(key, Some(&event.encode_to_vec().into()), LIMIT, None).unwrap().sanitized;
    assert_eq!(of(None), [Oddity::EmptyKey]);
    assert_eq!(of(Some(b"")), [Oddity::EmptyKey]);
    assert_eq!(of(Some(b"g")), [Oddity::KeyMismatch]);
    assert_eq!(of(Some(b"f")), []);
}

#[test]
fn without_an_id_in_the_payload_the_key_is_it_and_without_both_it_is_rejected() {
    let event = flow_event(FlowEvent { flow_instance_id: String::new(), ..sample() });
    let decoded = decode_event(&event, "k").unwrap();
    assert_eq!(decoded.sanitized, [Oddity::IdFromKey]);
    assert!(matches!(only(decoded), Event::Flow { flow, .. } if flow.as_str() == "k"));
    assert_eq!(decode_event(&event, "").unwrap_err().reason(), "no_id");
    let step = HistoryEvent { event: Some(Wire::Step(StepEvent::default())) };
    assert_eq!(decode_event(&step, "f").unwrap_err(), Reject::NoId("step_id"));
}

#[test]
fn an_id_above_1_kb_is_rejected() {
    let fits = "x".repeat(MAX_ID_BYTES);
    let too_long = "x".repeat(MAX_ID_BYTES + 1);
    let with = |id: &str| flow_event(FlowEvent { flow_instance_id: id.into(), ..sample() });
    assert!(decode_event(&with(&fits), &fits).is_ok());
    assert_eq!(decode_event(&with(&too_long), "f").unwrap_err().reason(), "id_too_long");
    let original = flow_event(FlowEvent { rerun_of_flow_instance_id: too_long, ..sample() });
    assert_eq!(decode_event(&original, "f").unwrap_err().reason(), "id_too_long");
}

fn variable(event: VariableEvent) -> Result<Decoded, Reject> {
    let event = VariableEvent { flow_instance_id: "f".into(), ..event };
    decode_event(&HistoryEvent { event: Some(Wire::Variable(event)) }, "f")
}

#[test]
fn a_variable_has_a_name_and_with_its_scope_that_is_no_longer_than_an_id() {
    let named = |scope: usize, name: usize| {
        variable(VariableEvent {
            scope: "s".repeat(scope),
            name: "n".repeat(name),
            ..VariableEvent::default()
        })
    };
    assert_eq!(named(1, 0).unwrap_err(), Reject::NoId("name"));
    assert!(matches!(only(named(0, 1).unwrap()), Event::Variable { scope, .. } if scope.is_empty()));
    assert!(named(24, MAX_ID_BYTES - 24).is_ok());
    assert_eq!(named(25, MAX_ID_BYTES - 24).unwrap_err().reason(), "id_too_long");
}

#[test]
fn what_is_odd_about_a_variable_is_put_right_and_what_is_removed_has_no_value() {
    let sent = VariableEvent {
        name: "a\0b".into(),
        value: "1".repeat(LIMIT + 1).into(),
        created_at: Some(time(i64::MAX, 0)),
        updated_at: Some(time(1, 500)),
        ..VariableEvent::default()
    };
    let decoded = variable(sent.clone()).unwrap();
    assert_eq!(decoded.sanitized, [Oddity::Nul, Oddity::Time, Oddity::Oversized]);
    let Event::Variable { name, row, .. } = only(decoded) else { panic!("not a variable") };
    assert_eq!((&*name, row.created, row.updated), ("a\u{fffd}b", None, Micros::new(1_000_000)));
    assert!(row.value.unwrap().ends_with("bytes in all]".as_bytes()));
    let gone = only(variable(VariableEvent { removed: true, ..sent }).unwrap());
    assert!(matches!(gone, Event::Variable { row, .. } if row.removed && row.value.is_none()), "removed");
}

#[test]
fn nul_in_text_becomes_the_replacement_character() {
    let event = flow_event(FlowEvent {
        flow_instance_id: "a\0b".into(),
        flow_name: "\0".into(),
        input: Bytes::from_static(b"\0"),
        ..sample()
    });
    for key in ["a\u{fffd}b", "a\0b"] {
        assert_eq!(decode_event(&event, key).unwrap().sanitized, [Oddity::Nul]);
    }
    let decoded = decode_event(&event, "a\0b").unwrap();
    let row = run_row(decoded);
    assert_eq!(row.name.as_deref(), Some("\u{fffd}"));
    assert_eq!(row.input.as_deref(), Some(&b"\0"[..]), "bytes keep theirs");
}

#[test]
fn a_time_that_no_timestamp_holds_is_null() {
    let event = flow_event(FlowEvent {
        started_at: Some(time(i64::MAX, 0)),
        ended_at: Some(time(1, 499)),
        phase: 0,
        ..sample()
    });
    let decoded = decode_event(&event, "f").unwrap();
    assert_eq!(decoded.sanitized, [Oddity::Time]);
    let row = run_row(decoded);
    assert_eq!((row.start, row.end, row.phase), (None, Micros::new(1_000_000), Phase::Closed));
}

#[test]
fn an_unset_phase_is_closed_with_an_end_and_running_without() {
    let of = |phase, ended_at| {
        let decoded = decode_event(&flow_event(FlowEvent { phase, ended_at, ..sample() }), "f").unwrap();
        let odd = decoded.sanitized.clone();
        (run_row(decoded).phase, odd)
    };
    assert_eq!(of(0, Some(time(1, 0))), (Phase::Closed, vec![]));
    assert_eq!(of(0, None), (Phase::Running, vec![Oddity::Phase]));
    assert_eq!(of(99, Some(time(1, 0))), (Phase::Running, vec![Oddity::Phase]));
}

#[test]
fn what_is_not_closed_has_no_end_output_or_error() {
    let bytes = || Bytes::from_static(b"x");
    let open = StepEvent {
        flow_instance_id: "f".into(),
        step_id: "1".into(),
        phase: 1,
        ended_at: Some(time(1, 0)),
        output: bytes(),
        error: bytes(),
        data: bytes(),
        ..StepEvent::default()
    };
    let row = step_row(decode_event(&HistoryEvent { event: Some(Wire::Step(open)) }, "f").unwrap());
    assert_eq!((row.end, row.output, row.error), (None, None, None));
    assert_eq!(row.data, Some(bytes()));
}

#[test]
fn a_status_is_the_runtimes_word_or_the_numbers_or_its_digits() {
    let of = |status_word: &str, status| {
        let event = flow_event(FlowEvent { status_word: status_word.into(), status, ..sample() });
        run_row(decode_event(&event, "f").unwrap()).status
    };
    assert_eq!(of("", 700).as_deref(), Some("Failed"));
    assert_eq!(of("Active", 700).as_deref(), Some("Active"));
    assert_eq!(of("", 4711).as_deref(), Some("4711"));
    assert_eq!(of("", 0), None);
}

#[test]
fn a_field_above_the_limit_is_cut_with_a_marker() {
    let event = flow_event(FlowEvent {
        input: vec![b'x'; 2000].into(),
        flow_name: "é".repeat(1000),
        output: vec![b'y'; 1001].into(),
        error: vec![b'z'; 1000].into(),
        ..sample()
    });
    let decoded = decode(Some(b"f"), Some(&event.encode_to_vec().into()), 1001, None).unwrap();
    assert!(decoded.is_oversized());
    let row = run_row(decoded);
    let input = String::from_utf8(row.input.unwrap().to_vec()).unwrap();
    assert_eq!(input, format!("{}…[cut by flowtrail, 2000 bytes in all]", "x".repeat(1001)));
    assert!(row.name.unwrap().starts_with(&format!("{}…[", "é".repeat(500))));
    assert_eq!((row.output.unwrap().len(), row.error.unwrap().len()), (1001, 1000));
}

proptest! {
    #[test]
    fn no_bytes_make_decode_panic(
        key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..8)),
        payload in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let _ = decode(key.as_deref(), Some(&payload.into()), 64, None);
    }

    #[test]
    fn a_broken_event_never_panics(at in 0usize..200, byte: u8) {
        let event = flow_event(FlowEvent {
            flow_name: "name".into(), input: vec![1; 90].into(), started_at: Some(time(1, 1)), ..sample()
        });
        let mut payload = event.encode_to_vec();
        let at = at % payload.len();
        payload[at] = byte;
        let _ = decode(Some(b"f"), Some(&payload.into()), 64, None);
    }
}

fn rules() -> Arc<Rules> {
    let target = RedactionTarget::Key("pin".to_owned());
    let rule = RedactionRule { app: "*".to_owned(), target, action: RedactionAction::Mask };
    let redaction = Redaction { rules: vec![rule], ..Redaction::default() };
    Rules::compile(&redaction).unwrap().unwrap()
}

#[test]
fn what_rules_name_is_masked_before_anything_is_cut() {
    let long = format!("{{\"pin\":\"{}\"}}", "1".repeat(2_000));
    let step = StepEvent {
        flow_instance_id: "f".into(),
        step_id: "1".into(),
        data: long.into(),
        ..StepEvent::default()
    };
    let payload = HistoryEvent { event: Some(Wire::Step(step)) }.encode_to_vec().into();
    let decoded = decode(Some(b"f"), Some(&payload), 1_000, Some(&rules())).unwrap();
    assert!(!decoded.is_oversized());
    assert_eq!(step_row(decoded).data.as_deref(), Some(&br#"{"pin":"***"}"#[..]));
}

#[test]
fn a_field_that_is_masked_as_a_whole_is_counted() {
    let sanitized = |error: &'static str, rules: Option<&Rules>| {
        let event = flow_event(FlowEvent { error: error.into(), ..sample() });
        decode(Some(b"f"), Some(&event.encode_to_vec().into()), LIMIT, rules).unwrap().sanitized
    };
    assert_eq!(sanitized("no route to host", Some(&rules())), [Oddity::Unreadable]);
    assert_eq!(sanitized("no route to host", None), []);
    assert_eq!(sanitized("\"***\"", Some(&rules())), []);
}

#[test]
fn with_rules_a_reason_quotes_nothing_of_the_record() {
    let json = Bytes::from_static(br#"{"flow":{"phase":"hunter2"}}"#);
    let quoting = decode(Some(b"f"), Some(&json), LIMIT, None).unwrap_err().to_string();
    assert!(quoting.contains("hunter2"), "{quoting}");
    let silent = decode(Some(b"f"), Some(&json), LIMIT, Some(&rules())).unwrap_err().to_string();
    assert_eq!(silent, "the value is not a HistoryEvent: JSON: Data error at line 1 column 26");
}
