//! What a flow or a step was given or gave: bytes that are mostly JSON.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::value::RawValue;
use tokio_postgres::{Error, Row};
use utoipa::ToSchema;

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

/// Bytes as they are stored, or their beginning: exactly one of `json`, `text` and `base64` is there.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Content {
    /// The payload, where it is JSON and whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<serde_json::Value>)]
    pub json: Option<Box<RawValue>>,
    /// The payload, where it is other text, or not whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The payload, where it is no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// How many bytes are stored.
    pub bytes: usize,
    /// This is the beginning only.
    pub truncated: bool,
}

impl Content {
    /// Of the first `most` of these bytes.
    pub fn of(stored: &[u8], most: usize) -> Self {
        Self::of_beginning(stored.get(..most).unwrap_or(stored), stored.len())
    }

    /// Of the beginning of so many bytes.
    fn of_beginning(beginning: &[u8], bytes: usize) -> Self {
        let truncated = beginning.len() < bytes;
        let mut content = Self { json: None, text: None, base64: None, bytes, truncated };
        let whole_characters = match std::str::from_utf8(beginning) {
            Ok(text) => Some(text),
            // A cut may have gone through the last character.
            Err(error) if truncated && error.error_len().is_none() => {
                beginning.get(..error.valid_up_to()).and_then(|text| std::str::from_utf8(text).ok())
            }
            Err(_) => None,
        };
        match whole_characters {
            None => content.base64 = Some(BASE64_STANDARD.encode(beginning)),
            Some(text) if truncated => content.text = Some(text.to_owned()),
            Some(text) => match serde_json::from_str(text) {
                Ok(json) => content.json = Some(json),
                Err(_) => content.text = Some(text.to_owned()),
            },
        }
        content
    }

    /// What [`Content::read`] reads of a column with bytes: at most so many of them.
    pub(super) fn columns(column: &str, most: usize) -> String {
        format!("substring({column} FROM 1 FOR {most}) AS {column}, octet_length({column}) AS {column}bytes")
    }

    pub(super) fn read(row: &Row, column: &str) -> Result<Option<Self>, Error> {
        let Some(beginning) = row.try_get::<_, Option<&[u8]>>(column)? else { return Ok(None) };
        let bytes: i32 = row.try_get(format!("{column}bytes").as_str())?;
        Ok(Some(Self::of_beginning(beginning, usize::try_from(bytes).unwrap_or(0))))
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
    fn a_content_says_what_it_is_and_whether_it_is_whole() {
        let shown = |bytes: &[u8], most| serde_json::to_string(&Content::of(bytes, most)).unwrap();
        assert_eq!(shown(b"{\"a\": 1e2}", 99), r#"{"json":{"a": 1e2},"bytes":10,"truncated":false}"#);
        assert_eq!(shown(b"{\"a\": 1e2}", 4), r#"{"text":"{\"a\"","bytes":10,"truncated":true}"#);
        assert_eq!(shown(b"plain", 99), r#"{"text":"plain","bytes":5,"truncated":false}"#);
        assert_eq!(shown("hö".as_bytes(), 2), r#"{"text":"h","bytes":3,"truncated":true}"#);
        assert_eq!(shown(&[0xff, 0x00], 99), r#"{"base64":"/wA=","bytes":2,"truncated":false}"#);
        assert_eq!(shown(&[b'h', 0xc3], 99), r#"{"base64":"aMM=","bytes":2,"truncated":false}"#);
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
