//! Hashes in the place of values, so that equal values stay equal and nobody can read them.

use std::fmt::{self, Write as _};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What a hash begins with, behind its quote.
const PREFIX: &str = "sha256:";
/// Hexadecimal digits of a hash.
const DIGITS: usize = 64;

/// Hashes by HMAC-SHA-256 with a key: without one, who guesses a card number could tell that it was this one.
pub(super) struct Hasher(Hmac<Sha256>);

impl Hasher {
    pub(super) fn new(key: &[u8]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// The hash of a text, as JSON text.
    pub(super) fn hash(&self, text: &str) -> String {
        let mut mac = self.0.clone();
        mac.update(text.as_bytes());
        let mut json = String::with_capacity(PREFIX.len() + DIGITS + 2);
        json.push('"');
        json.push_str(PREFIX);
        for byte in mac.finalize().into_bytes() {
            write!(json, "{byte:02x}").expect("a String takes what it is given");
        }
        json.push('"');
        json
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher(***)")
    }
}

/// Whether JSON text is what [`Hasher::hash`] makes, with whatever key. It is not hashed again.
pub(super) fn is_hash(json: &str) -> bool {
    let inner = json.strip_prefix('"').and_then(|json| json.strip_suffix('"'));
    let digits = inner.and_then(|inner| inner.strip_prefix(PREFIX)).unwrap_or_default();
    digits.len() == DIGITS && digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}
