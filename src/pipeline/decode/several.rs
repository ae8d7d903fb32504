//! A record of several events: taken apart one by one, and each decoded by itself.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, encode_varint, skip_field};

use super::{Cleaner, Decoded, Key, Reject, Rest, event, framing, masked};
use crate::{
    flowable::identity::{Identify as _, Known, identify},
    proto::sliced::HistoryEvent,
    redaction::Rules,
};

/// As many events as one record may hold: about 50 MB of memory while they are small.
pub(super) const MOST_EVENTS: usize = 100_000;

/// Number of `HistoryEvent.several`, and of `Several.events`.
const SEVERAL: u32 = 8;
const EVENTS: u32 = 1;

/// The events of an encoded `Several`, each still encoded.
pub(super) struct Pieces {
    rest: Bytes,
    count: usize,
}

impl Pieces {
    pub(super) fn of(several: Bytes) -> Self {
        Self { rest: several, count: 0 }
    }

    fn piece(&mut self) -> Result<Option<Bytes>, Reject> {
        let broken = |error| Reject::Undecodable(format!("protobuf: several events: {error}"));
        while self.rest.has_remaining() {
            let (tag, wire_type) = decode_key(&mut self.rest).map_err(broken)?;
            if (tag, wire_type) != (EVENTS, WireType::LengthDelimited) {
                skip_field(wire_type, tag, &mut self.rest, DecodeContext::default()).map_err(broken)?;
                continue;
            }
            let len = decode_varint(&mut self.rest).map_err(broken)?;
            let len = usize::try_from(len).ok().filter(|len| *len <= self.rest.len());
            let len = len.ok_or_else(|| {
                Reject::Undecodable("protobuf: several events: the last of them is cut off".to_owned())
            })?;
            self.count += 1;
            if self.count > MOST_EVENTS {
                return Err(Reject::Undecodable(format!("it holds more than {MOST_EVENTS} events")));
            }
            return Ok(Some(self.rest.split_to(len)));
        }
        Ok(None)
    }
}

impl Iterator for Pieces {
    type Item = Result<Bytes, Reject>;

    /// Nothing comes after an error.
    fn next(&mut self) -> Option<Self::Item> {
        let piece = self.piece().transpose();
        if matches!(piece, Some(Err(_))) {
            self.rest = Bytes::new();
        }
        piece
    }
}

/// Writes an envelope of several events.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    events: BytesMut,
    count: usize,
}

impl Writer {
    /// Adds an event.
    pub(crate) fn add(&mut self, event: &impl prost::Message) {
        self.count += 1;
        prost::encoding::message::encode(EVENTS, event, &mut self.events);
    }

    /// Whether a record can hold no more.
    pub(crate) fn is_beyond(&self) -> bool {
        self.count > MOST_EVENTS
    }

    /// The envelope.
    pub(crate) fn finish(self) -> Bytes {
        let mut envelope = BytesMut::with_capacity(self.events.len() + 12);
        prost::encoding::encode_key(SEVERAL, WireType::LengthDelimited, &mut envelope);
        encode_varint(u64::try_from(self.events.len()).unwrap_or(u64::MAX), &mut envelope);
        envelope.put(self.events);
        envelope.freeze()
    }
}

/// Decodes them. One that is refused does not keep the others from being events; where it can't be told where an event
/// begins, there is none.
pub(super) fn decode(
    several: Bytes,
    max_payload_bytes: usize,
    rules: Option<&Rules>,
    known: &mut Known,
) -> Result<Decoded, Reject> {
    let mut rest = Rest::default();
    let mut said: Vec<HistoryEvent> = Vec::new();
    for piece in Pieces::of(several) {
        match framing::protobuf::<HistoryEvent>(piece?) {
            // What says nothing would take more room than it came in.
            Ok(event) if event.event.is_none() => rest.refuse(Reject::UnknownEvent),
            Ok(event) => said.push(event),
            Err(reject) => rest.refuse(reject),
        }
    }
    if identify(&mut said, known) {
        let mut told = Writer::default();
        for event in &said {
            told.add(event);
        }
        rest.told = Some(told.finish());
    }
    let mut decoded = Decoded::default();
    for event_of in said {
        if let Some(thing) = event_of.missing() {
            rest.missing.push(thing);
            continue;
        }
        let mut clean = Cleaner::new(max_payload_bytes);
        let event = event(masked(event_of, rules, &mut clean), Key::OfSeveral, &mut clean);
        match event.and_then(|event| Ok((event, clean.finish()?))) {
            Ok((event, sanitized)) => {
                decoded.events.push(event);
                decoded.sanitized.extend(sanitized);
            }
            Err(reject) => rest.refuse(reject),
        }
    }
    decoded.sanitized.sort_unstable();
    decoded.sanitized.dedup();
    rest.missing.sort_unstable();
    rest.missing.dedup();
    decoded.rest = Some(Box::new(rest));
    Ok(decoded)
}

#[cfg(test)]
mod tests;
