//! Records that are not the contract's own → records that are.
//!
//! A runtime's own words are told from the contract's framings by how they begin: an element of Flowable's history is JSON with
//! `type` and `data`, which no message has; several of them are an array; and either may be gzip'd.

use std::{io::Read as _, sync::Arc};

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::{
    Reject,
    framing::{ARRAY, GZIP, JSON, of_json},
    several::{MOST_EVENTS, Writer},
};
use crate::{
    config,
    flowable::{self, Engine, is_source},
    kafka::{block::Block, broker::Record},
    proto::v1::HistoryEvent,
};

/// Header of a record that names the engine which wrote it.
pub const SOURCE_HEADER: &str = "flowtrail-source";

/// How records are read that are not the contract's own.
#[derive(Debug, Clone)]
pub struct Foreign {
    source: Arc<str>,
    sequence_flows: bool,
    most_inflated: usize,
}

/// What a record says in the words of the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// An envelope of several events; of an element that is refused one that says nothing.
    pub payload: Bytes,
    /// Why the first of its elements that are refused is.
    pub refused: Option<Reject>,
    /// Some of its elements are of kinds that are not kept.
    pub not_kept: bool,
}

impl Default for Foreign {
    fn default() -> Self {
        Self::of(&config::Flowable::default())
    }
}

impl Foreign {
    /// As it is configured.
    pub fn of(flowable: &config::Flowable) -> Self {
        Self {
            source: flowable.source.as_str().into(),
            sequence_flows: flowable.sequence_flows,
            most_inflated: flowable.max_inflated_bytes,
        }
    }

    /// What a record says, or why it can't be told; nothing where it is the contract's own. `source` is asked for the value of
    /// [`SOURCE_HEADER`] where that matters. The reason may quote the record if `may_quote`.
    pub fn read(
        &self,
        payload: &Bytes,
        source: impl FnOnce() -> Option<Bytes>,
        may_quote: bool,
    ) -> Option<Result<Told, Reject>> {
        let is_element = |payload: &[u8]| payload.first() == Some(&JSON) && flowable::is_element(payload);
        if !(payload.first() == Some(&ARRAY) || payload.starts_with(&GZIP) || is_element(payload)) {
            return None;
        }
        let named = source();
        let source = named.as_deref().map_or(Ok(&*self.source), std::str::from_utf8);
        let Some(source) = source.ok().filter(|source| is_source(source)) else {
            let why = format!("the header {SOURCE_HEADER} is not the name of an engine");
            return Some(Err(Reject::Undecodable(why)));
        };
        let engine = Engine { source, sequence_flows: self.sequence_flows };
        Some(self.inflated(payload).and_then(|json| told(engine, &json, may_quote)))
    }

    /// The record in the contract's words. What is the contract's own, and what can't be read, stays as it is.
    pub(crate) fn contract(
        &self,
        payload: Option<Bytes>,
        source: impl FnOnce() -> Option<Bytes>,
    ) -> Option<Bytes> {
        match self.read(payload.as_ref()?, source, false) {
            Some(Ok(told)) => Some(told.payload),
            Some(Err(_)) | None => payload,
        }
    }

    /// Key and value of a record of a topic, the value in the contract's words.
    pub(crate) fn copied(&self, block: &mut Block, record: &(impl Record + ?Sized)) -> [Option<Bytes>; 2] {
        let (key, payload) = block.copy(record);
        [key, self.contract(payload, || record.header(SOURCE_HEADER))]
    }

    fn inflated(&self, payload: &Bytes) -> Result<Bytes, Reject> {
        if !payload.starts_with(&GZIP) {
            return Ok(payload.clone());
        }
        let most = u64::try_from(self.most_inflated).unwrap_or(u64::MAX);
        let mut json = Vec::new();
        let read = MultiGzDecoder::new(&payload[..]).take(most.saturating_add(1)).read_to_end(&mut json);
        read.map_err(|error| Reject::Undecodable(format!("gzip: {error}")))?;
        if json.len() > self.most_inflated {
            let why = format!("gzip: it is more than {most} bytes (flowable.max_inflated_bytes)");
            return Err(Reject::Undecodable(why));
        }
        Ok(json.into())
    }
}

fn told(engine: Engine<'_>, json: &[u8], may_quote: bool) -> Result<Told, Reject> {
    let (mut written, mut refused, mut not_kept) = (Writer::default(), None, false);
    let mut take = |element: &[u8]| match flowable::element(engine, element) {
        _ if written.is_beyond() => {}
        Ok(events) => {
            not_kept |= events.is_empty();
            for event in &events {
                written.add(event);
            }
        }
        Err(error) => {
            // In its place stands an event that says nothing: the record is not whole without it.
            written.add(&HistoryEvent::default());
            refused.get_or_insert_with(|| reject(&error, may_quote));
        }
    };
    if json.trim_ascii_start().first() == Some(&ARRAY) {
        flowable::array(json, |element| take(element.get().as_bytes()))
            .map_err(|error| of_json(&error, may_quote))?;
    } else {
        take(json);
    }
    if written.is_beyond() {
        return Err(Reject::Undecodable(format!("it holds more than {MOST_EVENTS} events")));
    }
    Ok(Told { payload: written.finish(), refused, not_kept })
}

fn reject(error: &flowable::Error, may_quote: bool) -> Reject {
    match error {
        flowable::Error::Type(_) => Reject::UnknownEvent,
        error if may_quote => Reject::Undecodable(error.to_string()),
        error => Reject::Undecodable(error.unquoted()),
    }
}

#[cfg(test)]
mod tests;
