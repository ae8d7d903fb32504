use std::sync::Arc;

use super::*;
use crate::{
    config::{Redaction, RedactionAction, RedactionRule, RedactionTarget},
    model::Event,
    pipeline::decode::{Oddity, decode as decode_record, decode_knowing, flows_of, redacted},
    proto::v1::{self, FlowDeleted, Several, StepEvent, VariableEvent, history_event::Event as Wire},
};

fn step(flow: &str, step: &str) -> v1::HistoryEvent {
    let step =
        StepEvent { flow_instance_id: flow.into(), step_id: step.into(), phase: 2, ..StepEvent::default() };
    v1::HistoryEvent { event: Some(Wire::Step(step)) }
}

fn part(flow: &str, scope: &str, value: &'static str) -> v1::HistoryEvent {
    let variable = VariableEvent {
        flow_instance_id: flow.into(),
        scope: scope.into(),
        name: "n".into(),
        value: value.into(),
        ..VariableEvent::default()
    };
    v1::HistoryEvent { event: Some(Wire::Variable(variable)) }
}

fn record(events: Vec<v1::HistoryEvent>) -> v1::HistoryEvent {
    v1::HistoryEvent { event: Some(Wire::Several(Several { events })) }
}

fn bytes(event: &v1::HistoryEvent) -> Bytes {
    prost::Message::encode_to_vec(event).into()
}

fn decoded(events: Vec<v1::HistoryEvent>) -> Decoded {
    decode_record(Some(b"any"), Some(&bytes(&record(events))), 1 << 20, None).unwrap()
}

fn flows(decoded: &Decoded) -> Vec<&str> {
    decoded.events.iter().map(|event| event.flow().unwrap().as_str()).collect()
}

#[test]
fn a_record_holds_events_of_many_flows_in_every_framing_whatever_its_key() {
    let several = record(vec![step("a", "1"), step("b", "1"), step("a", "2")]);
    let bare = bytes(&several);
    let framed = [&[0, 0, 0, 0, 9, 0], &bare[..]].concat();
    let json = serde_json::to_vec(&several).unwrap();
    for payload in [bare.to_vec(), framed, json] {
        let payload = payload.into();
        let decoded = decode_record(Some(b"any"), Some(&payload), 1 << 20, None).unwrap();
        assert_eq!(flows(&decoded), ["a", "b", "a"]);
        assert_eq!((decoded.sanitized, decoded.rest), (vec![], Some(Box::default())));
        assert_eq!(flows_of(None, Some(&payload)), ["a", "b"]);
    }
    assert_eq!(decoded(vec![]).events.len(), 0);
}

#[test]
fn an_event_that_is_refused_leaves_the_others() {
    let nothing = v1::HistoryEvent::default();
    for (bad, reason) in [
        (step("a", ""), "no_id"),
        (step("", "1"), "no_id"),
        (nothing, "unknown_event"),
        (record(vec![step("a", "1")]), "undecodable"),
    ] {
        let decoded = decoded(vec![step("a", "1"), bad, step("b", "1")]);
        assert_eq!(flows(&decoded), ["a", "b"]);
        assert_eq!(decoded.refused().map(Reject::reason), Some(reason));
    }
    let cut = bytes(&record(vec![step("a", "1"), step("b", "1")]));
    let mut cut = cut.to_vec();
    cut.truncate(cut.len() - 1);
    cut[1] -= 1;
    let reject = decode_record(None, Some(&cut.into()), 1 << 20, None).unwrap_err();
    assert_eq!(reject.reason(), "undecodable");
}

#[test]
fn what_is_odd_is_counted_once_for_a_record() {
    let odd = |flow: &str| step(flow, "x\0");
    let decoded = decoded(vec![odd("a"), odd("b")]);
    assert_eq!(decoded.sanitized, [Oddity::Nul]);
}

#[test]
fn a_flow_that_is_not_said_is_found_in_the_record_or_in_those_before_or_is_missing() {
    let begun = step("e:7", "21");
    let later = [step("e:", "21"), part("e:", "@step:21", "1")];
    let together = decoded([later.as_slice(), std::slice::from_ref(&begun)].concat());
    assert_eq!((flows(&together), together.missing().len()), (vec!["e:7", "e:7", "e:7"], 0));

    let alone = bytes(&record(later.to_vec()));
    let apart = decode_record(None, Some(&alone), 1 << 20, None).unwrap();
    assert!(apart.events.is_empty());
    assert_eq!(apart.missing().len(), 1);
    assert_eq!(apart.missing()[0].to_string(), "activity instance 21 of e");

    let mut known = Known::new(10);
    decode_knowing(None, Some(&bytes(&record(vec![begun]))), 1 << 20, None, &mut known).unwrap();
    let found = decode_knowing(None, Some(&alone), 1 << 20, None, &mut known).unwrap();
    assert_eq!(flows(&found), ["e:7", "e:7"]);
    // What it was told is a record that needs no other.
    let told = found.rest.unwrap().told.unwrap();
    assert_eq!(decode_record(None, Some(&told), 1 << 20, None).unwrap().events, found.events);
}

#[test]
fn a_masked_copy_keeps_every_event_those_of_flows_not_known_too() {
    let target = RedactionTarget::Key("pin".to_owned());
    let rule = RedactionRule { app: "*".to_owned(), target, action: RedactionAction::Mask };
    let rules = Rules::compile(&Redaction { rules: vec![rule], ..Redaction::default() });
    let rules: Arc<Rules> = rules.unwrap().unwrap();
    let secret = r#"{"pin":"1234"}"#;
    let payload = bytes(&record(vec![part("e:7", "@step:1", secret), part("e:", "@step:2", secret)]));
    let masked = redacted(&payload, &rules).unwrap();
    assert!(!masked.windows(4).any(|window| window == b"1234"));
    let decoded = decode_record(None, Some(&masked), 1 << 20, None).unwrap();
    assert_eq!((decoded.events.len(), decoded.missing().len()), (1, 1));
    assert_eq!(decoded, decode_record(None, Some(&payload), 1 << 20, Some(&rules)).unwrap());
    // With one that can't be read nothing is known of what is to be masked.
    let unread = bytes(&record(vec![part("e:7", "@step:1", secret), v1::HistoryEvent::default()]));
    assert_eq!(redacted(&unread, &rules), Err(Reject::UnknownEvent));
}

#[test]
fn a_record_with_more_events_than_any_may_hold_is_refused() {
    let gone = v1::HistoryEvent {
        event: Some(Wire::FlowDeleted(FlowDeleted { flow_instance_id: "f".into(), before: None })),
    };
    let of = |count: usize| {
        let mut writer = Writer::default();
        (0..count).for_each(|_| writer.add(&gone));
        decode_record(None, Some(&writer.finish()), 1 << 20, None)
    };
    assert_eq!(of(1_000).unwrap().events.len(), 1_000);
    assert!(matches!(of(1_000).unwrap().events[0], Event::Deleted { .. }));
    assert_eq!(of(MOST_EVENTS + 1).unwrap_err().reason(), "undecodable");
}
