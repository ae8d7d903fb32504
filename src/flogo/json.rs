//! JSON as it was posted: parsed where a field is needed, left alone where it is not.

use std::fmt::{self, Write as _};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

use super::Error;

/// A body, borrowing from its bytes.
pub(super) fn parse<'a, T: Deserialize<'a>>(what: &'static str, body: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|source| Error::Body { what, source })
}

/// `null` is the type's zero, as for Go's decoder.
pub(super) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// An object's members in the order they were posted, their values untouched.
#[derive(Debug, Default)]
pub(super) struct Members<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'a> Members<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// A posted value without the white space between its tokens; everything else stays as it was.
pub(super) fn compact(value: &RawValue) -> Bytes {
    let mut out = Vec::with_capacity(value.get().len());
    compact_into(&mut out, value);
    out.into()
}

/// As [`compact`], appended to `out`.
pub(super) fn compact_into(out: &mut Vec<u8>, value: &RawValue) {
    for piece in Pieces::of(value.get()) {
        out.extend_from_slice(piece.text().as_bytes());
    }
}

/// A value that another program read and wrote again, in the spelling of Go's encoder.
///
/// Go writes no white space, leaves text as UTF-8, and escapes only quotes, backslashes, control characters, U+2028,
/// U+2029 and `<`, `>`, `&`. Numbers keep the spelling found.
pub(super) fn as_go_writes(value: &RawValue) -> String {
    let mut out = String::with_capacity(value.get().len());
    for piece in Pieces::of(value.get()) {
        match piece {
            Piece::Between(text) => out.push_str(text),
            // Not every JSON string is text: a lone surrogate has no UTF-8, so such a string stays as it is.
            Piece::String(text) => match serde_json::from_str::<String>(text) {
                Ok(string) => push_go_string(&mut out, &string),
                Err(_) => out.push_str(text),
            },
        }
    }
    out
}

fn push_go_string(out: &mut String, string: &str) {
    out.push('"');
    for c in string.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                write!(out, "\\u{:04x}", u32::from(c)).expect("a String takes what it is given");
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

/// A stretch of valid JSON text: one string with its quotes, or what stands between strings and white space.
enum Piece<'a> {
    String(&'a str),
    Between(&'a str),
}

impl<'a> Piece<'a> {
    fn text(&self) -> &'a str {
        match self {
            Self::String(text) | Self::Between(text) => text,
        }
    }
}

/// Valid JSON text without its white space, piece by piece.
struct Pieces<'a> {
    rest: &'a str,
}

impl<'a> Pieces<'a> {
    fn of(valid_json: &'a str) -> Self {
        Self { rest: valid_json }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let text = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let bytes = text.as_bytes();
        let is_string = *bytes.first()? == b'"';
        let length = if is_string {
            let mut escaped = false;
            let inner = bytes.iter().skip(1).position(|&b| {
                let closes = b == b'"' && !escaped;
                escaped = b == b'\\' && !escaped;
                closes
            });
            inner.map_or(text.len(), |n| n + 2)
        } else {
            text.find(['"', ' ', '\t', '\r', '\n']).unwrap_or(text.len())
        };
        let (piece, rest) = text.split_at(length);
        self.rest = rest;
        Some(if is_string { Piece::String(piece) } else { Piece::Between(piece) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(text: &str) -> &RawValue {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn compacting_takes_white_space_between_tokens_and_nothing_else() {
        let posted = "{ \"b\\\" {\" :\t[ 1.0, 1e+21 ,-0 ],\r\n \"a \\\\\": \"x  \\u00fc <\" , \"\": { } }";
        let compacted = "{\"b\\\" {\":[1.0,1e+21,-0],\"a \\\\\":\"x  \\u00fc <\",\"\":{}}";
        assert_eq!(compact(raw(posted)), compacted);
    }

    #[test]
    fn go_escapes_markup_and_control_characters_and_leaves_text() {
        let read = r#"{"a": "\u00fc & <b>\u2028", "c": "\u0001\b\f\n\u007f\/", "n": 1.50}"#;
        let go = "{\"a\":\"ü \\u0026 \\u003cb\\u003e\\u2028\",\"c\":\"\\u0001\\b\\f\\n\u{7f}/\",\"n\":1.50}";
        assert_eq!(as_go_writes(raw(read)), go);
    }

    #[test]
    fn a_lone_surrogate_stays_as_it_was() {
        assert_eq!(as_go_writes(raw(r#"["\ud800"]"#)), r#"["\ud800"]"#);
    }

    #[test]
    fn members_keep_their_order() {
        let members: Members<'_> = serde_json::from_str(r#"{"b": 1, "a": [ 2 ]}"#).unwrap();
        let got: Vec<_> = members.0.iter().map(|(k, v)| (k.as_str(), v.get())).collect();
        assert_eq!(got, [("b", "1"), ("a", "[ 2 ]")]);
        assert_eq!(members.get("a").unwrap().get(), "[ 2 ]");
    }
}
