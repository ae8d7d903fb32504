//! A record that can't become rows → what is kept of it. Pure.

use sha2::{Digest as _, Sha256};

use super::{Envelope, decode::redacted};
use crate::{postgres::DeadLetter, redaction::Rules};

/// A record as it is kept when it can't become rows.
///
/// With `rules`, its value is the message with what they name masked, as bare protobuf. A value that is no message can't be
/// masked: it is left out, unless the rules say that what can't be read is kept. Key and headers are kept as they are.
pub(super) fn dead_letter(
    envelope: &Envelope,
    reason: &'static str,
    sqlstate: Option<String>,
    mut detail: String,
    rules: Option<&Rules>,
) -> DeadLetter {
    let value = envelope.payload.as_ref();
    let masked = rules.zip(value).map(|(rules, value)| (redacted(value, rules), rules.keep_unreadable()));
    let payload = match masked {
        Some((Ok(masked), _)) => Some(masked),
        Some((Err(_), false)) => None,
        Some((Err(_), true)) | None => value.cloned(),
    };
    if let (Some(value), None) = (value, &payload) {
        let left_out = format!(
            "; its {} bytes are not kept, since they can't be masked: payloadhash is their SHA-256",
            value.len()
        );
        detail.push_str(&left_out);
    }
    // Not that of a masked message as it was: who knows the rest of it could try what was masked.
    let hashed = payload.as_ref().or(value);
    DeadLetter {
        partition: envelope.lease.partition.clone(),
        offset: envelope.offset,
        time: envelope.time,
        key: envelope.key.clone(),
        hash: Sha256::digest(hashed.map(|bytes| &bytes[..]).unwrap_or_default()).into(),
        payload,
        headers: envelope.headers.clone(),
        reason,
        sqlstate,
        detail,
    }
}
