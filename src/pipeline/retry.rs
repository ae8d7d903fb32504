//! Dead letters once more through decode, merge and write, after their cause was put right.

use bytes::Bytes;

use super::{decode::decode, merge::Fold};
use crate::{
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

/// Stores what can be stored now, with what `rules` name masked: a letter may be older than they are. Rows are idempotent, so letters whose removal then fails may be tried again.
///
/// An error is one that is not about a letter: an outage, a missing right. What was stored by then stays.
pub async fn retry(
    session: &mut Session,
    letters: &[Letter],
    max_payload_bytes: usize,
    rules: Option<&Rules>,
) -> Result<Retried, WriteError> {
    let mut retried = Retried::default();
    let mut events: Vec<(i64, Event)> = Vec::new();
    for letter in letters {
        match event(letter, max_payload_bytes, rules) {
            Ok(event) => events.push((letter.summary.id, event)),
            Err(why) => retried.left.push((letter.summary.id, why)),
        }
    }
    let refused = write(session, events.iter().map(|(_, event)| event)).await?;
    if refused.is_none() {
        retried.stored.extend(events.into_iter().map(|(id, _)| id));
        return Ok(retried);
    }
    for (id, event) in &events {
        match write(session, [event].into_iter()).await? {
            None => retried.stored.push(*id),
            Some(why) => retried.left.push((*id, why)),
        }
    }
    retried.left.sort_unstable();
    Ok(retried)
}

fn event(letter: &Letter, max_payload_bytes: usize, rules: Option<&Rules>) -> Result<Event, String> {
    let payload = letter.payload.clone().map(Bytes::from);
    let decoded = decode(letter.key.as_deref(), payload.as_ref(), max_payload_bytes, rules);
    let decoded = decoded.map_err(|reject| reject.to_string())?;
    if decoded.is_oversized() {
        return Err(format!("a field is above {max_payload_bytes} bytes (collector.max_payload_bytes)"));
    }
    Ok(decoded.event)
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
