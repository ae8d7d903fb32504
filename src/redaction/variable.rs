//! Variables: a name is what a key is elsewhere, and a text stands without quotes.

use bytes::Bytes;

use super::{
    Active, Looked, MASK, Rules, mask,
    tokens::{Unreadable, is_json},
};

impl Rules {
    /// Masks a variable as if it stood in the object `{"name": value}`, where a value that is no JSON is a text. What else is
    /// kept of it goes as a whole if anything of the value does: it may say the same once more.
    pub(super) fn variable(&self, name: &[u8], value: &mut Bytes, misc: &mut Bytes) -> Looked {
        let active = self.active(b"");
        if active == Active(0) || value.is_empty() {
            return self.fields(b"", [misc]);
        }
        let looked = match self.value(active, name, value) {
            Ok(None) => return self.fields(b"", [misc]),
            Ok(Some(masked)) => {
                *value = masked.into();
                Looked::IntoAll
            }
            Err(Unreadable) if self.keep_unreadable => return self.fields(b"", [misc]),
            Err(Unreadable) => {
                *value = Bytes::from_static(MASK.as_bytes());
                Looked::NotIntoAll
            }
        };
        if !misc.is_empty() {
            *misc = Bytes::from_static(MASK.as_bytes());
        }
        looked
    }

    fn value(&self, active: Active, name: &[u8], value: &[u8]) -> Result<Option<Vec<u8>>, Unreadable> {
        let text = std::str::from_utf8(value).map_err(|_| Unreadable)?;
        let is_json = is_json(text);
        // It was to be JSON: what is in it can't be told.
        if !is_json && text.trim_start().starts_with(['{', '[']) {
            return Err(Unreadable);
        }
        let before = format!("{{{}:", serde_json::Value::from(String::from_utf8_lossy(name)));
        let quoted = if is_json { text.to_owned() } else { serde_json::Value::from(text).to_string() };
        let Some(masked) = mask::field(format!("{before}{quoted}}}").as_bytes(), self, active)? else {
            return Ok(None);
        };
        // Only the value can have changed.
        let masked = masked.get(before.len()..masked.len() - 1).ok_or(Unreadable)?;
        match serde_json::from_slice::<String>(masked) {
            Ok(text) if !is_json => Ok(Some(text.into_bytes())),
            _ => Ok(Some(masked.to_vec())),
        }
    }
}
