//! What odd input gets, field by field.

use bytes::{Bytes, BytesMut};

use super::{MAX_ID_BYTES, Oddity, Reject};
use crate::{
    model::{Micros, Phase, Text},
    proto::v1,
};

/// Puts fields right and remembers what it had to do.
pub(super) struct Cleaner {
    limit: usize,
    found: Vec<Oddity>,
    /// The first field that should be text and isn't.
    broken: Option<&'static str>,
}

impl Cleaner {
    pub(super) fn new(max_payload_bytes: usize) -> Self {
        Self { limit: max_payload_bytes, found: Vec::new(), broken: None }
    }

    pub(super) fn note(&mut self, oddity: Oddity) {
        if !self.found.contains(&oddity) {
            self.found.push(oddity);
        }
    }

    /// What was put right, each once, in a fixed order; or that a text is none.
    pub(super) fn finish(mut self) -> Result<Vec<Oddity>, Reject> {
        self.refuse_broken()?;
        self.found.sort_unstable();
        Ok(self.found)
    }

    /// Text without NUL, which Postgres can't hold; `None` if empty. If it is no text at all, the event is rejected at
    /// the end.
    pub(super) fn text(&mut self, text: Bytes, name: &'static str) -> Option<Text> {
        let text = self.without_nul(text, name)?;
        Some(if text.len() > self.limit { self.cut_text(&text) } else { text })
    }

    /// An id: text that is never cut, since a cut id would be another id.
    pub(super) fn id(&mut self, id: Bytes, name: &'static str) -> Result<Option<Text>, Reject> {
        let id = self.without_nul(id, name);
        self.refuse_broken()?;
        match id {
            Some(id) if id.len() > MAX_ID_BYTES => Err(Reject::IdTooLong { name, bytes: id.len() }),
            id => Ok(id),
        }
    }

    /// The runtime's own word, or the word of its number, or the digits of a number without one.
    pub(super) fn status(
        &mut self,
        word: Bytes,
        number: i32,
        known: fn(i32) -> Option<&'static str>,
    ) -> Option<Text> {
        self.text(word, "status_word").or_else(|| match known(number) {
            Some("") => None,
            Some(word) => Some(Text::from_static(word)),
            None => Some(number.to_string().into()),
        })
    }

    /// Payload bytes; `None` if empty, cut with a marker if above the limit.
    pub(super) fn payload(&mut self, bytes: Bytes) -> Option<Bytes> {
        if bytes.is_empty() {
            return None;
        }
        Some(if bytes.len() > self.limit { self.cut(&bytes, self.limit) } else { bytes })
    }

    /// A time rounded to µs; `None` outside the years 1–9999.
    pub(super) fn time(&mut self, time: Option<pbjson_types::Timestamp>) -> Option<Micros> {
        let time = time?;
        let micros = Micros::rounded(time.seconds, time.nanos);
        if micros.is_none() {
            self.note(Oddity::Time);
        }
        micros
    }

    /// The phase; without one, what has an end is closed. An unknown phase is running.
    pub(super) fn phase(&mut self, phase: i32, ended: bool) -> Phase {
        match v1::Phase::try_from(phase) {
            Ok(v1::Phase::Opened) => Phase::Opened,
            Ok(v1::Phase::Running) => Phase::Running,
            Ok(v1::Phase::Closed) => Phase::Closed,
            Ok(v1::Phase::Unspecified) if ended => Phase::Closed,
            Ok(v1::Phase::Unspecified) | Err(_) => {
                self.note(Oddity::Phase);
                Phase::Running
            }
        }
    }

    fn refuse_broken(&self) -> Result<(), Reject> {
        let refuse = |name| Err(Reject::Undecodable(format!("protobuf: {name} is not UTF-8")));
        self.broken.map_or(Ok(()), refuse)
    }

    fn without_nul(&mut self, text: Bytes, name: &'static str) -> Option<Text> {
        if text.is_empty() {
            return None;
        }
        let Ok(text) = Text::try_from(text) else {
            self.broken.get_or_insert(name);
            return None;
        };
        if !text.as_bytes().contains(&0) {
            return Some(text);
        }
        self.note(Oddity::Nul);
        Some(text.replace('\0', "\u{fffd}").into())
    }

    fn cut_text(&mut self, text: &str) -> Text {
        let cut = self.cut(text.as_bytes(), text.floor_char_boundary(self.limit));
        String::from_utf8_lossy(&cut).into_owned().into()
    }

    fn cut(&mut self, bytes: &[u8], keep: usize) -> Bytes {
        self.note(Oddity::Oversized);
        let mut short = BytesMut::from(bytes.get(..keep).unwrap_or(bytes));
        short.extend_from_slice(format!("…[cut by flowtrail, {} bytes in all]", bytes.len()).as_bytes());
        short.freeze()
    }
}
