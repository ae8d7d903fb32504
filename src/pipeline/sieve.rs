//! A batch that Postgres refused → the events that it refuses, and the batch without them. Pure.
//!
//! The batch is taken apart by flow instance, and a flow by its events, until what is refused is a single event: one
//! that Postgres refuses after everything that was read before it. Pieces are written in transactions of their own
//! that move no offset, which rows that are idempotent allow. They only show what is refused: the batch that remains is
//! written as a whole once more, with its dead letters and offsets, since a database that crashed meanwhile may have
//! lost pieces that it had stored.

use std::{collections::HashSet, ops::Range, sync::Arc};

use super::{Envelope, decode::decode, group::Limits, letter::dead_letter, merge::Fold};
use crate::{
    model::{Event, FlowId, Text},
    postgres::{DeadLetter, Refusal},
    redaction::Rules,
};

/// `flowtrail_dead_letters_total{reason}` of what Postgres refused.
pub const REFUSED: &str = "refused";

/// What may be written apart from the rest, in the order in which batches are written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Flow(FlowId),
    App(Text, Text),
}

/// Where an event is: the number of its record, and its own among those of the record.
type Place = (usize, usize);

/// Finds what Postgres refuses of a batch. [`Sieve::next`] is what to write next; what became of it is told by
/// [`Sieve::stored`] or [`Sieve::refused`].
#[derive(Debug)]
pub struct Sieve {
    records: Vec<Envelope>,
    max_payload_bytes: usize,
    rules: Option<Arc<Rules>>,
    /// Units of the records' events, each with its place; sorted, so that a unit's events stand together in the order in
    /// which they were read.
    events: Vec<(Unit, Place)>,
    /// Ranges of `events` that are to be written, the next one last.
    pieces: Vec<Range<usize>>,
    culprits: Vec<(Place, Refusal)>,
}

impl Sieve {
    /// Takes the records of a batch that was refused as a whole.
    pub fn new(records: Vec<Envelope>, limits: Limits, rules: Option<Arc<Rules>>, refusal: Refusal) -> Self {
        let max_payload_bytes = limits.payload_bytes;
        let mut events = Vec::with_capacity(records.len());
        for (number, record) in records.iter().enumerate() {
            // Ids are never masked.
            let decoded = decode(record.key.as_deref(), record.meant(), max_payload_bytes, None);
            let of_record = decoded.into_iter().flat_map(|decoded| decoded.events).enumerate();
            events.extend(of_record.map(|(index, event)| (unit(event), (number, index))));
        }
        events.sort_unstable();
        let whole = 0..events.len();
        let mut sieve =
            Self { records, max_payload_bytes, rules, events, pieces: Vec::new(), culprits: Vec::new() };
        sieve.take_apart(whole, refusal);
        sieve
    }

    /// The piece to write next; `None` once all that can be is stored.
    pub fn next(&self) -> Option<Fold> {
        let piece = self.events.get(self.pieces.last()?.clone())?;
        Some(self.fold(piece.iter().map(|(_, place)| *place).collect()))
    }

    fn fold(&self, mut places: Vec<Place>) -> Fold {
        // A record of several events is decoded once.
        places.sort_unstable();
        let mut fold = Fold::default();
        for of_record in places.chunk_by(|a, b| a.0 == b.0) {
            let number = of_record.first().map(|(number, _)| *number);
            let Some(record) = number.and_then(|number| self.records.get(number)) else { continue };
            // It was decoded before.
            let (key, rules) = (record.key.as_deref(), self.rules.as_deref());
            let decoded = decode(key, record.meant(), self.max_payload_bytes, rules);
            for (index, event) in decoded.into_iter().flat_map(|decoded| decoded.events).enumerate() {
                if of_record.binary_search_by_key(&index, |(_, index)| *index).is_ok() {
                    fold.add(event);
                }
            }
        }
        fold
    }

    /// The piece is stored.
    pub fn stored(&mut self) {
        self.pieces.pop();
    }

    /// Postgres refused the piece.
    pub fn refused(&mut self, refusal: Refusal) {
        if let Some(piece) = self.pieces.pop() {
            self.take_apart(piece, refusal);
        }
    }

    fn take_apart(&mut self, piece: Range<usize>, refusal: Refusal) {
        let Some(events) = self.events.get(piece.clone()) else { return };
        match events {
            [] => {}
            [(_, place)] => self.culprits.push((*place, refusal)),
            _ => {
                let at = |place: usize| piece.start + place;
                let cuts = cuts(events, refusal.flow.as_ref());
                let mut end = piece.end;
                for cut in cuts.into_iter().rev() {
                    self.pieces.push(at(cut)..end);
                    end = at(cut);
                }
                self.pieces.push(piece.start..end);
            }
        }
    }

    /// The batch without what was refused, the records it is made of, and those of which something was refused, as dead
    /// letters in the order of reading, each once. A letter that a record has already, because a field was cut say, is to be
    /// replaced by these. A record of which other events are stored is among both.
    pub fn finish(mut self) -> (Fold, Vec<Envelope>, Vec<DeadLetter>) {
        self.culprits.sort_unstable_by_key(|(place, _)| *place);
        let is_refused = |place: &Place| self.culprits.binary_search_by_key(place, |(it, _)| *it).is_ok();
        let stored: Vec<Place> =
            self.events.iter().map(|(_, place)| *place).filter(|place| !is_refused(place)).collect();
        let numbers: HashSet<usize> = stored.iter().map(|(number, _)| *number).collect();
        let fold = self.fold(stored);
        let mut culprits = self.culprits.into_iter().peekable();
        let (mut rest, mut letters) = (Vec::new(), Vec::new());
        for (number, record) in self.records.into_iter().enumerate() {
            let mut refusal = None;
            while let Some((_, next)) = culprits.next_if(|((culprit, _), _)| *culprit == number) {
                refusal.get_or_insert(next);
            }
            let is_of_no_use = refusal.is_some() && !numbers.contains(&number);
            if let Some(Refusal { sqlstate, sentence, .. }) = refusal {
                let rules = self.rules.as_deref();
                letters.push(dead_letter(&record, REFUSED, sqlstate, sentence, rules));
            }
            if !is_of_no_use {
                rest.push(record);
            }
        }
        (fold, rest, letters)
    }
}

/// Where to cut two or more events, ascending, never at an end: around the flow that holds the refused row if that is
/// known, else in the middle, between units if there are several.
fn cuts(events: &[(Unit, Place)], flow: Option<&FlowId>) -> Vec<usize> {
    let middle = events.len() / 2;
    let (Some((first, _)), Some((last, _)), Some((in_the_middle, _))) =
        (events.first(), events.last(), events.get(middle))
    else {
        return Vec::new();
    };
    if first == last {
        return vec![middle];
    }
    let begin_of = |unit: &Unit| events.partition_point(|(other, _)| other < unit);
    let end_of = |unit: &Unit| events.partition_point(|(other, _)| other <= unit);
    let inner = |cut: &usize| (1..events.len()).contains(cut);
    let around = |unit: &Unit| [begin_of(unit), end_of(unit)].into_iter().filter(inner).collect::<Vec<_>>();
    let named = flow.map(|flow| Unit::Flow(flow.clone()));
    if let Some(unit) = named.filter(|unit| begin_of(unit) < end_of(unit)) {
        return around(&unit);
    }
    around(in_the_middle).into_iter().take(1).collect()
}

fn unit(event: Event) -> Unit {
    match event {
        Event::Flow { flow, .. }
        | Event::Step { flow, .. }
        | Event::Rewind { flow, .. }
        | Event::Deleted { flow, .. }
        | Event::Snapshot { flow, .. }
        | Event::Variable { flow, .. } => Unit::Flow(flow),
        Event::App(switch) => Unit::App(switch.user, switch.app),
    }
}

#[cfg(test)]
mod tests;
