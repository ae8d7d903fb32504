//! Three framings of one message, told apart by the first byte.

use bytes::{Buf, Bytes};
use prost::Message;

use super::Reject;
use crate::{
    proto::{from_json, sliced::HistoryEvent},
    sentence::quotable,
};

/// First byte of Confluent's framing. It is never the first byte of protobuf: field number 0 does not exist.
const CONFLUENT: u8 = 0x00;
/// First byte of proto3 JSON. As a protobuf tag it would be field 15 as a group, which the contract never has.
const JSON: u8 = b'{';

/// Takes the framing off and decodes the envelope.
pub(super) fn open(payload: &Bytes) -> Result<HistoryEvent, Reject> {
    match payload.first() {
        Some(&CONFLUENT) => protobuf(&confluent(payload)?),
        Some(&JSON) => json(payload),
        _ => protobuf(payload),
    }
}

fn json(payload: &Bytes) -> Result<HistoryEvent, Reject> {
    let event = from_json(payload)
        // It may quote the message, all of it and as it is.
        .map_err(|error| Reject::Undecodable(format!("JSON: {}", quotable(&error.to_string()))))?;
    protobuf(&event.encode_to_vec().into())
}

fn protobuf(payload: &Bytes) -> Result<HistoryEvent, Reject> {
    // Decoding from `Bytes` makes fields slices of the message.
    HistoryEvent::decode(payload.clone()).map_err(|error| Reject::Undecodable(format!("protobuf: {error}")))
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
    let value = prost::encoding::decode_varint(bytes).ok()?;
    i64::try_from(value >> 1).ok().map(|half| if value & 1 == 0 { half } else { -half - 1 })
}
