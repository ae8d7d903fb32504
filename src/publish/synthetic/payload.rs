//! Payloads: JSON objects of a number and text that compresses as text does.

use bytes::Bytes;
use rand::{RngExt as _, seq::IndexedRandom as _};

const WORDS: [&str; 24] = [
    "account",
    "address",
    "amount",
    "approved",
    "batch",
    "carrier",
    "channel",
    "currency",
    "customer",
    "delivery",
    "discount",
    "invoice",
    "item",
    "order",
    "partner",
    "payment",
    "pending",
    "quantity",
    "reference",
    "region",
    "shipment",
    "tax",
    "total",
    "warehouse",
];

/// How much text is made once; each payload is a stretch of it.
const TEXT_BYTES: usize = 64 << 10;

/// What surrounds number and text.
const FRAME_BYTES: usize = r#"{"n":,"text":""}"#.len();

#[derive(Debug)]
pub(super) struct Payloads {
    /// At least a payload longer than `TEXT_BYTES`, ASCII, nothing to escape.
    text: Vec<u8>,
    bytes: usize,
    made: u64,
}

impl Payloads {
    pub(super) fn new(random: &mut impl rand::Rng, bytes: usize) -> Self {
        let mut text = Vec::new();
        while bytes > 0 && text.len() < TEXT_BYTES + bytes {
            text.extend_from_slice(WORDS.choose(random).unwrap_or(&"word").as_bytes());
            text.extend_from_slice(format!(" {} ", random.random_range(0..100_000)).as_bytes());
        }
        Self { text, bytes, made: 0 }
    }

    /// A payload; a cheap walk over the text, so that no two in a row are alike.
    pub(super) fn next(&mut self) -> Bytes {
        if self.bytes == 0 {
            return Bytes::new();
        }
        self.made += 1;
        let number = self.made.to_string();
        let length = self.bytes.saturating_sub(FRAME_BYTES + number.len());
        let from = usize::try_from(self.made.wrapping_mul(97)).unwrap_or(0) % TEXT_BYTES;
        let stretch = self.text.get(from..from + length).unwrap_or_default();
        let mut payload = Vec::with_capacity(FRAME_BYTES + number.len() + length);
        for part in [b"{\"n\":", number.as_bytes(), b",\"text\":\"", stretch, b"\"}"] {
            payload.extend_from_slice(part);
        }
        payload.into()
    }
}
