use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

use super::*;
use crate::pipeline::decode::{Decoded, decode};

const START: &str = r#"{"type":"activity-start","data":{"runtimeActivityInstanceId":"75","processInstanceId":"66","activityId":"call","activityType":"callActivity"}}"#;
const UPDATE: &str =
    r#"{"type":"activity-update","data":{"runtimeActivityInstanceId":"75","calledProcessInstanceId":"78"}}"#;
const LINK: &str = r#"{"type":"identitylink-created","data":{"id":"1"}}"#;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn read(payload: impl Into<Vec<u8>>, source: Option<&'static str>) -> Option<Result<Told, Reject>> {
    let source = || source.map(|name| Bytes::from_static(name.as_bytes()));
    Foreign::default().read(&payload.into().into(), source, true)
}

fn decoded(told: Told) -> Decoded {
    let mut decoded = decode(Some(b"66"), Some(&told.payload), 1 << 20, None).unwrap();
    decoded.also(told.refused, told.not_kept);
    decoded
}

#[test]
fn an_element_an_array_and_either_gzipped_say_the_same_of_the_engine_that_the_header_names() {
    let array = format!(" [{UPDATE}, {START}]");
    let both = [array.trim_start().as_bytes().to_vec(), gzip(array.as_bytes())];
    let mut events = Vec::new();
    for payload in both {
        let decoded = decoded(read(payload, Some("orders")).unwrap().unwrap());
        assert_eq!((decoded.rest, decoded.sanitized), (Some(Box::default()), vec![]));
        events.push(decoded.events);
    }
    assert_eq!(events[0], events[1]);
    assert!(events[0].iter().all(|event| event.flow().unwrap().as_str() == "orders:66"));
    for payload in [START.as_bytes().to_vec(), gzip(START.as_bytes())] {
        let events = decoded(read(payload, None).unwrap().unwrap()).events;
        assert_eq!(events[0].flow().unwrap().as_str(), "flowable:66");
    }
}

#[test]
fn what_is_the_contracts_own_is_left_alone() {
    for own in [r#"{"flow":{"flowInstanceId":"f"}}"#, "{\"type\":1", "", "\u{0}\u{1}", r#"{"type":"x"}"#] {
        assert_eq!(read(own, None), None, "{own}");
    }
    assert_eq!(Foreign::default().contract(Some("x".into()), || None), Some("x".into()));
}

#[test]
fn what_is_refused_and_what_is_not_kept_is_told_and_leaves_the_rest() {
    let told =
        read(format!("[{START},{LINK},{{\"type\":\"x\",\"data\":{{}}}},{{}}]"), None).unwrap().unwrap();
    assert!(told.not_kept);
    let decoded = decoded(told);
    assert_eq!(decoded.events.len(), 2);
    assert_eq!(decoded.refused(), Some(&Reject::UnknownEvent));
    assert_eq!(decoded.sanitized, [crate::pipeline::decode::Oddity::NotKept]);
}

#[test]
fn a_bomb_is_not_inflated() {
    let bomb = gzip(&vec![b' '; (16 << 20) + 1]);
    assert!(bomb.len() < 20_000);
    let reject = read(bomb, None).unwrap().unwrap_err();
    assert!(reject.to_string().contains("more than 16777216 bytes"), "{reject}");
    let mut cut = gzip(START.as_bytes());
    cut.truncate(cut.len() / 2);
    assert!(read(cut, None).unwrap().unwrap_err().to_string().contains("gzip"));
}

#[test]
fn a_source_that_is_no_name_is_refused() {
    for name in ["", "a:b", "a b"] {
        let reject = read(START, Some(name)).unwrap().unwrap_err();
        assert_eq!(reject.reason(), "undecodable");
    }
}

#[test]
fn a_reason_quotes_the_record_only_where_it_may() {
    let payload = Bytes::from(r#"{"type":"process-instance-start","data":{"id":"1","startTime":"hunter2"}}"#);
    let why = |may_quote| {
        let told = Foreign::default().read(&payload, || None, may_quote).unwrap().unwrap();
        told.refused.unwrap().to_string()
    };
    assert!(why(true).contains("hunter2"));
    assert!(!why(false).contains("hunter2"));
}
