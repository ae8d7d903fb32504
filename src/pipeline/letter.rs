//! A record that can't become rows → what is kept of it. Pure.

use std::fmt::Write as _;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::{Envelope, decode::redacted};
use crate::{postgres::DeadLetter, redaction::Rules};

/// A record as it is kept when it can't become rows. With `rules`, its value is the message with what they name masked.
/// A value that is no message can't be masked: its length and SHA-256 are kept in its place, unless the rules say that
/// what can't be read is kept.
pub(super) fn dead_letter(
    envelope: &Envelope,
    reason: &'static str,
    sqlstate: Option<String>,
    mut detail: String,
    rules: Option<&Rules>,
) -> DeadLetter {
    let payload = match (rules, &envelope.payload) {
        (Some(rules), Some(payload)) => match redacted(payload, rules) {
            Ok(masked) => Some(masked),
            Err(_) if rules.keep_unreadable() => Some(payload.clone()),
            Err(_) => {
                describe(&mut detail, payload);
                None
            }
        },
        (_, payload) => payload.clone(),
    };
    DeadLetter {
        partition: envelope.lease.partition.clone(),
        offset: envelope.offset,
        time: envelope.time,
        key: envelope.key.clone(),
        payload,
        headers: envelope.headers.clone(),
        reason,
        sqlstate,
        detail,
    }
}

fn describe(detail: &mut String, payload: &Bytes) {
    let _ =
        write!(detail, "; its {} bytes are not kept, since they can't be masked; SHA-256 ", payload.len());
    for byte in Sha256::digest(payload) {
        let _ = write!(detail, "{byte:02x}");
    }
}
