//! Dead letters once more through decode, merge and write, after their cause was put right.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    decode::{
        Decoded, Events, decode_knowing,
        foreign::{Foreign, SOURCE_HEADER},
    },
    group::not_known,
    merge::Fold,
};
use crate::{
    config::Config,
    flowable::identity::Known,
    model::Event,
    postgres::{self, Batch, Fault, Session, WriteError, read::Letter},
    redaction::Rules,
};

/// What became of dead letters.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// Numbers of those that are stored now. Their letters are still there, to be removed.
    pub stored: Vec<i64>,
    /// Numbers of those that still can't be, and why.
    pub left: Vec<(i64, String)>,
}

/// How letters are read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// Bytes of a payload field beyond which a letter stays.
    pub max_payload_bytes: usize,
    /// What is masked: a letter may be older than they are.
    pub rules: Option<Arc<Rules>>,
    /// How records are read that are not the contract's own.
    pub foreign: Foreign,
}

impl Reading {
    /// As a collector with this configuration reads records.
    pub fn of(config: &Config, rules: Option<Arc<Rules>>) -> Self {
        Self {
            max_payload_bytes: config.collector.max_payload_bytes,
            rules,
            foreign: Foreign::of(&config.flowable),
        }
    }

    fn decode(&self, letter: &Letter, known: &mut Known) -> Result<Decoded, String> {
        let payload = letter.payload.clone().map(Bytes::from);
        let told = payload.as_ref().and_then(|payload| {
            self.foreign.read(payload, || letter.header(SOURCE_HEADER), self.rules.is_none())
        });
        let told = told.transpose().map_err(|reject| reject.to_string())?;
        let (key, message) = (letter.key.as_deref(), told.as_ref().map(|told| &told.payload));
        let message = message.or(payload.as_ref());
        let rules = self.rules.as_deref();
        let decoded = decode_knowing(key, message, self.max_payload_bytes, rules, known);
        let mut decoded = decoded.map_err(|reject| reject.to_string())?;
        decoded.also(told.and_then(|told| told.refused), false);
        Ok(decoded)
    }

    /// Why a letter stays though what can be of it is stored.
    fn left(&self, decoded: &Decoded) -> Option<String> {
        if let Some(reject) = decoded.refused() {
            return Some(reject.to_string());
        }
        if !decoded.missing().is_empty() {
            return Some(not_known(decoded.missing()));
        }
        let limit = self.max_payload_bytes;
        decoded
            .is_oversized()
            .then(|| format!("a field is above {limit} bytes (collector.max_payload_bytes)"))
    }
}

/// What a letter says now.
struct Said {
    id: i64,
    events: Events,
    left: Option<String>,
}

/// Stores what can be stored now. Rows are idempotent, so letters whose removal then fails may be tried again.
///
/// An error is one that is not about a letter: an outage, a missing right. What was stored by then stays.
pub async fn retry(
    session: &mut Session,
    letters: &[Letter],
    reading: &Reading,
) -> Result<Retried, WriteError> {
    let mut retried = Retried::default();
    let mut said = Vec::new();
    let mut known = look_up(session, letters, reading).await?;
    for letter in letters {
        match reading.decode(letter, &mut known) {
            Ok(decoded) => {
                let left = reading.left(&decoded);
                // Of what is too large all is in its row already.
                let events = if decoded.is_oversized() { Events::new() } else { decoded.events };
                said.push(Said { id: letter.summary.id, events, left });
            }
            Err(why) => retried.left.push((letter.summary.id, why)),
        }
    }
    let refused = write(session, said.iter().flat_map(|said| &said.events)).await?.is_some();
    for Said { id, events, left } in said {
        let refusal = if refused { write(session, events.iter()).await? } else { None };
        match refusal.or(left) {
            None => retried.stored.push(id),
            Some(why) => retried.left.push((id, why)),
        }
    }
    retried.left.sort_unstable();
    Ok(retried)
}

/// Whose the things are by which letters are of flow instances that they do not say, as far as that is stored.
async fn look_up(session: &mut Session, letters: &[Letter], reading: &Reading) -> Result<Known, WriteError> {
    let mut missing = Vec::new();
    let mut known = Known::new(usize::MAX);
    for letter in letters {
        if let Ok(decoded) = reading.decode(letter, &mut known) {
            missing.extend_from_slice(decoded.missing());
        }
    }
    missing.sort_unstable();
    missing.dedup();
    if !missing.is_empty() {
        for (thing, owner) in postgres::owners(session, &missing).await? {
            known.note(thing, owner);
        }
    }
    Ok(known)
}

/// Writes events; says why Postgres refused them, if it did.
async fn write(
    session: &mut Session,
    events: impl Iterator<Item = &Event>,
) -> Result<Option<String>, WriteError> {
    let mut fold = Fold::default();
    for event in events {
        fold.add(event.clone());
    }
    // Without offsets there is no group.
    match postgres::write(session, "", &Batch { fold, ..Batch::default() }).await {
        Ok(_) => Ok(None),
        Err(error) if error.fault() == Fault::Reject => Ok(Some(error.into_refusal().sentence)),
        Err(error) => Err(error),
    }
}
