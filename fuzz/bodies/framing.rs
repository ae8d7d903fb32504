//! Confluent's header: every spelling of it, and what only looks like one.

use bytes::Bytes;
use flowtrail::pipeline::decode::{Reject, decode as decode_record};

use super::decode::checked;

const LIMIT: usize = 1 << 20;
/// The index of the first message of a file, as it may be spelled: short, long, and with varints longer than needed.
const SPELLINGS: [&[u8]; 4] = [&[0], &[2, 0], &[0x82, 0x00, 0x80, 0x00], &[0x80, 0x80, 0x00]];

/// Four bytes of a schema id; then a message, around which headers are put, and which is itself put behind a magic
/// byte and that id, as if it began with an index.
pub fn framing(input: &[u8]) {
    let Some((schema, message)) = input.split_at_checked(4) else { return };

    let plain = checked(Some(b"f"), &behind(&[0, 0, 0, 0], &[0], message), LIMIT);
    for index in SPELLINGS {
        let framed = behind(schema, index, message);
        assert_eq!(decode_record(Some(b"f"), Some(&framed), LIMIT, None), plain, "index {index:?}");
    }
    if !matches!(message.first(), None | Some(0 | b'{' | b'[')) {
        assert_eq!(checked(Some(b"f"), &Bytes::copy_from_slice(message), LIMIT), plain);
    }

    let alone = checked(Some(b"f"), &behind(schema, &[], message), LIMIT);
    match index_of(message) {
        Some(rest) if !message.is_empty() => {
            assert_eq!(alone, decode_record(Some(b"f"), Some(&behind(schema, &[0], rest)), LIMIT, None));
        }
        _ => assert!(matches!(alone, Err(Reject::Undecodable(_))), "{alone:?}"),
    }
}

fn behind(schema: &[u8], index: &[u8], message: &[u8]) -> Bytes {
    [&[0], schema, index, message].concat().into()
}

/// What comes after the index of the first message; nothing if the bytes begin with another one, or with none.
fn index_of(bytes: &[u8]) -> Option<&[u8]> {
    let (count, rest) = varint(bytes)?;
    match count {
        0 => Some(rest),
        // One number, zigzag.
        2 => varint(rest).and_then(|(number, rest)| (number == 0).then_some(rest)),
        _ => None,
    }
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes.iter().take(10).position(|byte| byte & 0x80 == 0)? + 1;
    let (varint, rest) = bytes.split_at(end);
    let value = varint.iter().rev().fold(0_u128, |value, byte| value << 7 | u128::from(byte & 0x7f));
    Some((u64::try_from(value).ok()?, rest))
}
