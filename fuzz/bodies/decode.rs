//! A whole record: key and value, in each framing.

use bytes::Bytes;
use flowtrail::{
    model,
    pipeline::decode::{Decoded, Reject, decode as decode_record, redacted},
    proto::v1::{HistoryEvent, history_event::Event},
};
use prost::Message as _;

use super::{AT_LEAST, bounded, event, redaction::masking, sentence};

/// How much of the message a sentence about it may quote.
const QUOTED: usize = 64;

/// Two bytes and a key before the message. Of the first, bits 0 and 1 are the framing (bare, Confluent with a short
/// and with a long index, JSON), bit 2 takes the key away, bit 3 makes the limit 64 bytes. The second is the length of
/// the key.
pub fn decode(input: &[u8]) {
    let [how, length, rest @ ..] = input else { return };
    let (key, message) = rest.split_at(usize::from(*length).min(rest.len()));
    let key = (how & 4 == 0).then_some(key);
    let limit = if how & 8 == 0 { 1 << 20 } else { 64 };
    let payload = framed(how & 3, message);

    let decoded = checked(key, &payload, limit);
    if how & 3 != 3 {
        strictly_read(key, message, limit, &decoded);
    }
    masks_the_same(key, &payload, limit);
}

fn framed(framing: u8, message: &[u8]) -> Bytes {
    let head: &[u8] = match framing {
        1 => &[0, 0, 0, 0, 9, 0],
        2 => &[0, 0, 0, 0, 9, 2, 0],
        3 if message.first() != Some(&b'{') => b"{",
        _ => b"",
    };
    [head, message].concat().into()
}

/// What the record decodes to, after all that holds of it was looked at.
pub(crate) fn checked(key: Option<&[u8]>, payload: &Bytes, limit: usize) -> Result<Decoded, Reject> {
    let given = payload.len() + key.map_or(0, <[u8]>::len);
    // The tag of several events: as many may come in one record as fit, each with a row of its own.
    let several = if payload.contains(&0x42) || payload.contains(&b's') { 1_024 * given } else { 0 };
    let decoded = bounded(AT_LEAST + 8 * given + several, || decode_record(key, Some(payload), limit, None));
    assert_eq!(decoded, decode_record(key, Some(payload), limit, None), "the same record is the same event");
    match &decoded {
        Ok(decoded) => {
            decoded.events.iter().for_each(|it| event::check(it, limit));
            assert!(
                decoded.sanitized.is_sorted_by(|a, b| a < b),
                "each oddity once: {:?}",
                decoded.sanitized
            );
            decoded.events.iter().for_each(clean_stays_clean);
        }
        Err(reject) => {
            sentence::sentence(reject, QUOTED);
        }
    }
    decoded
}

/// The message that is kept as a dead letter decodes to the event that is stored.
fn masks_the_same(key: Option<&[u8]>, payload: &Bytes, limit: usize) {
    let rules = masking();
    let decoded = decode_record(key, Some(payload), limit, Some(rules));
    match redacted(payload, rules) {
        Ok(kept) => {
            let again = decode_record(key, Some(&kept), limit, None);
            // What was put right before is not put right again.
            assert_eq!(again.map(|it| it.events), decoded.map(|it| it.events));
            assert_eq!(redacted(&kept, rules), Ok(kept));
        }
        Err(_) => assert!(decoded.as_ref().map_or(true, |it| it.refused().is_some()), "{decoded:?}"),
    }
}

/// An event that was put right, written again, is the same event with nothing to put right.
fn clean_stays_clean(event: &model::Event) {
    use model::Event;

    let key = match event {
        Event::Flow { flow, .. }
        | Event::Step { flow, .. }
        | Event::Rewind { flow, .. }
        | Event::Deleted { flow, .. }
        | Event::Snapshot { flow, .. }
        | Event::Variable { flow, .. } => flow.as_str(),
        Event::App(_) => "",
    };
    let again = event::written(event).encode_to_vec().into();
    let again = decode_record(Some(key.as_bytes()), Some(&again), usize::MAX, None).unwrap();
    assert_eq!(again, Decoded { events: [event.clone()].into_iter().collect(), ..Decoded::default() });
}

/// A message that other programs can read, written again by them in either form, means the same.
fn strictly_read(key: Option<&[u8]>, message: &[u8], limit: usize, decoded: &Result<Decoded, Reject>) {
    let Ok(event @ HistoryEvent { event: Some(said) }) = &HistoryEvent::decode(message) else { return };
    // Of several events in several fields the last are taken, which others join.
    if matches!(said, Event::Several(_)) {
        return;
    }
    if !matches!(message.first(), Some(0 | b'{' | b'[')) {
        assert_eq!(&decode_record(key, Some(&event.encode_to_vec().into()), limit, None), decoded);
    }
    // Numbers without a name and years beyond 9999 have no JSON.
    let json = serde_json::to_vec(event).ok().map(Bytes::from);
    let json = json.filter(|json| serde_json::from_slice::<HistoryEvent>(json).is_ok());
    if let Some(json) = json {
        let read: HistoryEvent = serde_json::from_slice(&json).unwrap();
        assert_eq!(&read, event);
        assert_eq!(
            decode_record(key, Some(&json), limit, None),
            decode_record(key, Some(&framed(1, &event.encode_to_vec())), limit, None)
        );
    }
}
