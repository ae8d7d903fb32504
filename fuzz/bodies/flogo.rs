//! One request of a Flogo app, as a recording has it and as its bytes.

use bytes::Bytes;
use flowtrail::{
    flogo::{self, recording::Recording},
    pipeline::decode::{Oddity, Reject},
    proto::v1::{HistoryEvent, history_event::Event},
    publish::Record,
};
use prost::Message as _;
use serde_json::value::RawValue;

use super::{AT_LEAST, bounded, decode, sentence};

/// A method, a space, a path and a line end, and then a body. All of it is read as lines of a recording too.
pub fn flogo(input: &[u8]) {
    lines(input);
    let (head, body) = split(input, b'\n');
    let (method, path) = split(head, b' ');
    let (method, path) = (String::from_utf8_lossy(method), String::from_utf8_lossy(path));
    let raw = serde_json::from_slice::<&RawValue>(body).ok();
    let request = serde_json::json!({"method": method, "path": path, "headers": {"username": "u"}, "t": 1.5});
    let mut line = request.to_string();
    if let Some(raw) = raw {
        // A recording has no line ends but between requests.
        let raw = raw.get().replace(['\n', '\r'], " ");
        line.truncate(line.len() - 1);
        line = format!("{line},\"body\":{raw}}}");
    }
    lines(line.as_bytes());
    bodies(&Bytes::copy_from_slice(body));
}

fn split(bytes: &[u8], at: u8) -> (&[u8], &[u8]) {
    let mut parts = bytes.splitn(2, |byte| *byte == at);
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// Every request of a recording is an event, nothing, or a sentence.
fn lines(recording: &[u8]) {
    let (mut requests, mut again) = (Recording::new(recording), Recording::new(recording));
    let mut last = 0;
    while let Some((line, event)) = bounded(AT_LEAST + 40 * recording.len(), || requests.next()) {
        assert!(line > last, "line after line");
        last = line;
        let said = |event| Result::map_err(event, |error| sentence::sentence(&error, recording.len()));
        let event = said(event);
        assert_eq!(again.next().map(|(line, event)| (line, said(event))), Some((line, event.clone())));
        if let Ok(event) = event {
            becomes_a_row(event);
        }
    }
}

/// The bytes of a body, taken for each kind of request that has one.
fn bodies(body: &Bytes) {
    type Read = fn(&Bytes) -> Result<HistoryEvent, flogo::Error>;
    let read: [Read; 4] = [flogo::start, flogo::end, flogo::step, flogo::snapshot];
    for read in read {
        match bounded(AT_LEAST + 40 * body.len(), || read(body)) {
            Ok(event) => {
                // Data, input and output of a step are at most the body each.
                assert!(event.encoded_len() <= 4 * body.len() + 256, "{} bytes", event.encoded_len());
                as_posted(&event, body);
                becomes_a_row(event);
            }
            Err(error) => {
                sentence::sentence(&error, body.len());
            }
        }
    }
}

/// JSON of the body is in the event with the same meaning.
fn as_posted(event: &HistoryEvent, body: &[u8]) {
    match event.event.as_ref().unwrap() {
        Event::Flow(flow) => {
            json(&flow.input, body, "flow_inputs");
            json(&flow.output, body, "flow_outputs");
        }
        Event::Step(step) => {
            for bytes in [&step.input, &step.output, &step.error] {
                is_compact(bytes);
            }
            assert_eq!(step.data, body, "the record of a step is what was posted");
        }
        Event::Snapshot(snapshot) => assert_eq!(snapshot.data, body),
        other => panic!("no request with a body makes this: {other:?}"),
    }
}

fn json(kept: &Bytes, body: &[u8], field: &str) {
    is_compact(kept);
    // Of a body with numbers that no double holds, or lone surrogates, nothing can be said here.
    let Ok(posted) = serde_json::from_slice::<serde_json::Value>(body) else { return };
    let posted = posted.get(field).filter(|posted| !posted.is_null());
    if let (Some(posted), false) = (posted, kept.is_empty()) {
        assert_eq!(&serde_json::from_slice::<serde_json::Value>(kept).unwrap(), posted, "{field}");
    }
}

/// JSON without white space between tokens, if anything.
fn is_compact(kept: &[u8]) {
    if kept.is_empty() {
        return;
    }
    let text = serde_json::from_slice::<&RawValue>(kept).unwrap().get();
    let mut in_string = false;
    let mut escaped = false;
    for character in text.chars() {
        assert!(in_string || !character.is_whitespace(), "white space in {text}");
        in_string ^= character == '"' && !escaped;
        escaped = in_string && character == '\\' && !escaped;
    }
}

/// What the mapping makes is taken by the collector, with nothing to put right but what JSON may hold and rows may not.
fn becomes_a_row(event: HistoryEvent) {
    let record = Record::from(event);
    let payload = record.event.encode_to_vec().into();
    match decode::checked(Some(record.key.as_bytes()), &payload, 1 << 28) {
        Ok(decoded) => {
            let odd = |oddity: &Oddity| !matches!(oddity, Oddity::Nul | Oddity::Time);
            assert!(!decoded.sanitized.iter().any(odd), "{:?}", decoded.sanitized);
        }
        Err(reject) => assert!(matches!(reject, Reject::IdTooLong { .. }), "{reject}"),
    }
}
