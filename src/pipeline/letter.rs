//! A record that can't become rows → what is kept of it. Pure.

use sha2::{Digest as _, Sha256};

use super::{
    Envelope,
    decode::{flows_of, redacted},
};
use crate::{postgres::DeadLetter, redaction::Rules};

/// A record as it is kept when it can't become rows.
///
/// With `rules`, its value is the message with what they name masked, as bare protobuf; of a record that is not the
/// contract's own, what it says in the contract's words. A value that is no message can't be
/// masked: it is left out, unless the rules say that what can't be read is kept. Key and headers are kept as they are.
pub(super) fn dead_letter(
    envelope: &Envelope,
    reason: &'static str,
    sqlstate: Option<String>,
    mut detail: String,
    rules: Option<&Rules>,
) -> DeadLetter {
    let value = envelope.payload.as_ref();
    let meant = envelope.meant();
    let masked = rules.zip(meant).map(|(rules, value)| (redacted(value, rules), rules.keep_unreadable()));
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
        flows: flows_of(envelope.key.as_deref(), envelope.meant()),
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use prost::Message as _;

    use super::*;
    use crate::{
        config::{Redaction, RedactionAction, RedactionRule, RedactionTarget},
        kafka::{Lease, Start},
        model::{Offset, Partition},
        proto::v1::{HistoryEvent, Snapshot, history_event::Event},
    };

    fn rules(keep_unreadable: bool) -> Arc<Rules> {
        let target = RedactionTarget::Key("pin".to_owned());
        let rule = RedactionRule { app: "*".to_owned(), target, action: RedactionAction::Mask };
        let redaction = Redaction { rules: vec![rule], salt: None, keep_unreadable };
        Rules::compile(&redaction).unwrap().unwrap()
    }

    fn letter(value: Option<&[u8]>, rules: Option<&Rules>) -> DeadLetter {
        let partition = Partition { topic: "t".into(), number: 0 };
        let envelope = Envelope {
            lease: Arc::new(Lease::new(partition, 1, 0, Start::at(None))),
            offset: Offset(7),
            time: None,
            key: Some("pin".into()),
            payload: value.map(Bytes::copy_from_slice),
            headers: vec![("pin".to_owned(), Some("1234".into()))],
            told: None,
        };
        dead_letter(&envelope, "reason", None, "why".to_owned(), rules)
    }

    fn message(data: &'static str) -> Vec<u8> {
        let snapshot =
            Snapshot { flow_instance_id: "f".to_owned(), data: data.into(), ..Snapshot::default() };
        HistoryEvent { event: Some(Event::Snapshot(snapshot)) }.encode_to_vec()
    }

    fn sha256(bytes: &[u8]) -> [u8; 32] {
        Sha256::digest(bytes).into()
    }

    #[test]
    fn without_rules_a_record_is_kept_as_it_is() {
        for value in [&b"\xff"[..], &message(r#"{"pin":1}"#), b""] {
            let letter = letter(Some(value), None);
            assert_eq!((letter.payload.as_deref(), letter.hash), (Some(value), sha256(value)));
            assert_eq!(letter.detail, "why");
        }
        assert_eq!(letter(None, None).payload, None);
    }

    #[test]
    fn with_rules_a_message_is_kept_masked_under_the_hash_of_what_is_kept() {
        let wanted = message(r#"{"pin":"***"}"#);
        let bare = message(r#"{"pin":1}"#);
        let framed = [&[0, 0, 0, 0, 9, 0], bare.as_slice()].concat();
        for value in [bare, framed] {
            let letter = letter(Some(&value), Some(&rules(false)));
            assert_eq!((letter.payload.as_deref(), letter.hash), (Some(&wanted[..]), sha256(&wanted)));
            assert_eq!(letter.detail, "why");
            assert_eq!((letter.key.as_deref(), letter.headers.len()), (Some(&b"pin"[..]), 1));
        }
    }

    #[test]
    fn with_rules_what_is_no_message_is_left_out_unless_it_is_to_be_kept() {
        // The last holds no event that this version knows, which may hold anything.
        for value in [&b"pin 1234"[..], b"{\"pin\":", b"\x7a\x041234"] {
            let left_out = letter(Some(value), Some(&rules(false)));
            assert_eq!((left_out.payload, left_out.hash), (None, sha256(value)));
            let said = format!("why; its {} bytes are not kept", value.len());
            assert!(left_out.detail.starts_with(&said), "{}", left_out.detail);
            let kept = letter(Some(value), Some(&rules(true)));
            assert_eq!(
                (kept.payload.as_deref(), kept.hash, &*kept.detail),
                (Some(value), sha256(value), "why")
            );
        }
        let nothing = letter(None, Some(&rules(false)));
        assert_eq!((nothing.payload, &*nothing.detail), (None, "why"));
    }
}
