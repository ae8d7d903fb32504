//! Values as the state service takes them: numbers and switches may be text. None of the messages quotes text, which may
//! be a secret that slipped into the wrong field.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use crate::config::pem;

/// What kind of value it is, with its article.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

pub(super) fn text(value: &Value) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| format!("want text, not {}", kind(value)))
}

pub(super) fn whole(value: &Value) -> Result<i64, String> {
    let number = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| format!("want a whole number, as a number or as text, not {}", odd(value)))
}

/// A port, none below `least`.
pub(super) fn port(value: &Value, least: u16) -> Result<u16, String> {
    let port = whole(value).ok().and_then(|number| u16::try_from(number).ok());
    port.filter(|port| *port >= least)
        .ok_or_else(|| format!("want a port from {least} to 65535, not {}", odd(value)))
}

pub(super) fn switch(value: &Value) -> Result<bool, String> {
    // The words are those of Go.
    let on = match value {
        Value::Bool(on) => Some(*on),
        Value::Number(number) => match number.as_i64() {
            Some(0) => Some(false),
            Some(1) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => None,
        },
        _ => None,
    };
    on.ok_or_else(|| format!("want true or false, not {}", odd(value)))
}

/// A value of the right kind that is wrong all the same.
fn odd(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::String(_) => "this text".to_owned(),
        Value::Bool(on) => on.to_string(),
        other => kind(other).to_owned(),
    }
}

/// A file's path, or the PEM itself: as it is, in base64, or as Flogo's own tools export it, `{"filename":…,"content":…}`
/// with base64 behind a comma.
pub(super) fn pem(value: &Value) -> Result<String, String> {
    match value {
        Value::Object(file) => {
            let content = file.get("content").and_then(Value::as_str).unwrap_or_default();
            let encoded = content.rsplit_once(',').map_or(content, |(_, encoded)| encoded);
            decoded(encoded).ok_or_else(|| "want PEM in base64 as its content".to_owned())
        }
        Value::String(text) if pem::is_text(text) => Ok(text.clone()),
        Value::String(text) => match serde_json::from_str(text) {
            Ok(file @ Value::Object(_)) => pem(&file),
            _ => Ok(decoded(text).unwrap_or_else(|| text.clone())),
        },
        other => Err(format!("want a path or PEM, not {}", kind(other))),
    }
}

fn decoded(text: &str) -> Option<String> {
    let compact: String = text.split_whitespace().collect();
    let bytes = STANDARD.decode(compact).ok()?;
    String::from_utf8(bytes).ok().filter(|text| pem::is_text(text))
}
