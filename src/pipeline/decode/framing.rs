//! Three framings of one message, told apart by the first byte.

use bytes::{Buf, Bytes};
use prost::{Message, encoding::decode_varint};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Reject, several};
use crate::{flowable, proto::from_json, sentence::quotable};

/// First byte of Confluent's framing. It is never the first byte of protobuf: field number 0 does not exist.
const CONFLUENT: u8 = 0x00;
/// First byte of proto3 JSON. As a protobuf tag it would be field 15 as a group, which the contract never has.
pub(super) const JSON: u8 = b'{';
/// First byte of an array, which no message is. As a protobuf tag it would be field 11 as a group.
pub(super) const ARRAY: u8 = b'[';
/// First bytes of what is gzip'd. No protobuf begins so: there is no such type of field.
pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Takes the framing off: what is left is the envelope. The reason why it can't may quote the payload if `may_quote`.
pub(super) fn open(payload: &Bytes, may_quote: bool) -> Result<Bytes, Reject> {
    match payload.first() {
        Some(&CONFLUENT) => confluent(payload),
        Some(&JSON) => json(payload, may_quote),
        Some(&ARRAY) => Err(Reject::Undecodable("it is an array".to_owned())),
        _ => Ok(payload.clone()),
    }
}

fn json(payload: &Bytes, may_quote: bool) -> Result<Bytes, Reject> {
    let refused = |error| of_json(&error, may_quote);
    match several_in(payload) {
        None => Ok(from_json(payload).map_err(refused)?.encode_to_vec().into()),
        Some(events) => {
            let (mut written, mut refused) = (several::Writer::default(), None);
            let read = flowable::array(events.get().as_bytes(), |event| {
                if refused.is_none() && !written.is_beyond() {
                    match from_json(event.get().as_bytes()) {
                        Ok(event) => written.add(&event),
                        Err(error) => refused = Some(of_json(&error, may_quote)),
                    }
                }
            });
            read.map_err(|error| of_json(&error, may_quote))?;
            refused.map_or_else(|| Ok(written.finish()), Err)
        }
    }
}

/// The reason why JSON is not understood, which quotes it only if it may: all of it and as it is.
pub(super) fn of_json(error: &serde_json::Error, may_quote: bool) -> Reject {
    Reject::Undecodable(if may_quote {
        format!("JSON: {}", quotable(&error.to_string()))
    } else {
        format!("JSON: {:?} error at line {} column {}", error.classify(), error.line(), error.column())
    })
}

/// The array of several events, in an envelope of those. They are read one by one: a message in memory is far larger than one
/// that says nothing.
fn several_in(payload: &[u8]) -> Option<&RawValue> {
    #[derive(Deserialize)]
    struct Envelope<'a> {
        #[serde(borrow)]
        several: Option<Several<'a>>,
    }
    #[derive(Deserialize)]
    struct Several<'a> {
        #[serde(borrow)]
        events: Option<&'a RawValue>,
    }
    const NAME: &[u8] = b"\"several\"";
    payload.windows(NAME.len()).any(|text| text == NAME).then_some(())?;
    serde_json::from_slice::<Envelope<'_>>(payload).ok()?.several?.events
}

/// Decodes a message. From `Bytes` its fields become slices of it.
pub(super) fn protobuf<M: Message + Default>(message: Bytes) -> Result<M, Reject> {
    M::decode(message).map_err(|error| Reject::Undecodable(format!("protobuf: {error}")))
}

/// The step that is all there is in an envelope, still encoded. Nearly every envelope is one; decoded as an envelope, the
/// step would be moved from place to place.
pub(super) fn only_a_step(envelope: &Bytes) -> Option<Bytes> {
    /// `StepEvent step = 2`, as a field with a length.
    const STEP: u64 = (2 << 3) | 2;
    let mut rest = envelope.as_ref();
    let (tag, len) = (decode_varint(&mut rest).ok()?, decode_varint(&mut rest).ok()?);
    (tag == STEP && u64::try_from(rest.len()) == Ok(len))
        .then(|| envelope.slice(envelope.len() - rest.len()..))
}

/// Magic byte, schema id (4 bytes), message index (count and numbers as zigzag varints; the index [0] is the single
/// byte 0), message. The envelope is the first message of its file, so its index is [0], in either spelling.
fn confluent(payload: &Bytes) -> Result<Bytes, Reject> {
    let broken = |what: &str| Reject::Undecodable(format!("Confluent framing: {what}"));
    let mut rest = payload.clone();
    if rest.len() < 6 {
        return Err(broken("it is shorter than its header"));
    }
    rest.advance(5);
    let index = match zigzag(&mut rest) {
        Some(0) => 0,
        Some(1) => zigzag(&mut rest).ok_or_else(|| broken("the message index is cut off"))?,
        Some(_) => return Err(broken("the message index names a nested message")),
        None => return Err(broken("the message index is cut off")),
    };
    if index == 0 { Ok(rest) } else { Err(broken("the message index is not that of HistoryEvent")) }
}

fn zigzag(bytes: &mut Bytes) -> Option<i64> {
    let value = decode_varint(bytes).ok()?;
    i64::try_from(value >> 1).ok().map(|half| if value & 1 == 0 { half } else { -half - 1 })
}
