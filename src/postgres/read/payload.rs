//! What a flow or a step was given or gave: bytes that are mostly JSON.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::value::RawValue;

/// Bytes as they are stored. Serialises as JSON where they are JSON, as text where they are UTF-8, and as
/// `{"base64": …}` otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload(pub Vec<u8>);

impl Payload {
    /// For people: JSON indented, text as it is, the rest as base64.
    pub fn shown(&self) -> String {
        match std::str::from_utf8(&self.0) {
            Ok(text) => indented(text).unwrap_or_else(|| text.to_owned()),
            Err(_) => format!("base64:{}", BASE64_STANDARD.encode(&self.0)),
        }
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Ok(text) = std::str::from_utf8(&self.0) else {
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_entry("base64", &BASE64_STANDARD.encode(&self.0))?;
            return map.end();
        };
        // Outside its strings JSON may hold line breaks, which would end a line of NDJSON; within them it can't.
        match RawValue::from_string(text.replace(['\n', '\r'], " ")) {
            Ok(raw) => raw.serialize(serializer),
            Err(_) => text.serialize(serializer),
        }
    }
}

/// JSON with a line for each value; nothing where that would show other numbers than the text holds.
fn indented(text: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    (serde_json::to_string(&value).ok()? == text).then(|| serde_json::to_string_pretty(&value).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(bytes: &[u8]) -> String {
        serde_json::to_string(&Payload(bytes.to_vec())).unwrap()
    }

    #[test]
    fn json_stays_json_text_becomes_text_and_the_rest_base64() {
        assert_eq!(
            json(br#"{"b":1,"a":123456789012345678901234567890}"#),
            r#"{"b":1,"a":123456789012345678901234567890}"#
        );
        assert_eq!(json(b"{\n \"a\": 1\n}"), "{  \"a\": 1 }");
        assert_eq!(json("höre".as_bytes()), "\"höre\"");
        assert_eq!(json(&[0xff, 0x00]), r#"{"base64":"/wA="}"#);
    }

    #[test]
    fn people_see_json_indented() {
        assert_eq!(Payload(br#"{"a":1}"#.to_vec()).shown(), "{\n  \"a\": 1\n}");
        let long = "{\"a\":123456789012345678901234567890}";
        assert_eq!(Payload(long.into()).shown(), long);
        assert_eq!(Payload(b"plain".to_vec()).shown(), "plain");
        assert_eq!(Payload(vec![0xff]).shown(), "base64:/w==");
    }
}
