//! Recordings of a Flogo app's traffic: one request a line, as JSON with `method`, `path`, `headers`, `t` and `body`.
//!
//! A recording was read and written again by the program that made it, so a body's bytes are brought back to how Go
//! writes them; the recorded `Content-Length` agrees then.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, BufRead},
};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::json;
use crate::{
    proto::v1::{HistoryEvent, history_event::Event},
    sentence::quotable,
};

/// Why a line of a recording is no event.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source cannot be read.
    #[error("cannot read on")]
    Read(#[source] io::Error),
    /// The line is not JSON, or lacks what makes a request.
    #[error("not a recorded request: {}", in_line(.0))]
    Line(serde_json::Error),
    /// The request says nothing that can be understood.
    #[error("{} {}", quotable(method), quotable(path))]
    Request {
        /// Its method.
        method: String,
        /// Its path.
        path: String,
        /// What is wrong with it.
        #[source]
        source: super::Error,
    },
    /// `app/state` needs a time, which only the recording has.
    #[error("`t`, the time of the request in seconds, is missing or out of range")]
    Time,
}

#[derive(Deserialize)]
struct Request<'a> {
    method: String,
    path: String,
    #[serde(default, deserialize_with = "json::null_as_default")]
    headers: BTreeMap<String, String>,
    t: Option<f64>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
}

impl Request<'_> {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }

    fn bytes(&self) -> Bytes {
        self.body.map(json::as_go_writes).unwrap_or_default().into()
    }
}

/// The events of a recording, with the number of the line each comes from (the first is 1).
///
/// Requests that say nothing about history (reads) are passed over. An error does not end it, but for
/// [`Error::Read`].
#[derive(Debug)]
pub struct Recording<R> {
    source: R,
    line: usize,
    seen: Seen,
    failed: bool,
}

/// The greatest execution of each flow so far: what a rewind may name.
#[derive(Debug, Default)]
struct Seen(HashMap<String, i64>);

impl<R: BufRead> Recording<R> {
    /// Reads from `source`, a line at a time.
    pub fn new(source: R) -> Self {
        Self { source, line: 0, seen: Seen::default(), failed: false }
    }
}

impl<R: BufRead> Iterator for Recording<R> {
    type Item = (usize, Result<HistoryEvent, Error>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        while !self.failed {
            self.line += 1;
            line.clear();
            match self.source.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) if line.trim_ascii().is_empty() => {}
                Ok(_) => {
                    if let Some(event) = self.seen.event(&line).transpose() {
                        return Some((self.line, event));
                    }
                }
                Err(source) => {
                    self.failed = true;
                    return Some((self.line, Err(Error::Read(source))));
                }
            }
        }
        None
    }
}

impl Seen {
    fn event(&mut self, line: &[u8]) -> Result<Option<HistoryEvent>, Error> {
        let request: Request<'_> = serde_json::from_slice(line.trim_ascii_end()).map_err(Error::Line)?;
        let path = request.path.split('?').next().unwrap_or_default();
        let path: Vec<String> = path.trim_matches('/').split('/').map(unescape).collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let event = match (request.method.as_str(), path.as_slice()) {
            ("POST", ["v1", "instances", "start"]) => super::start(&request.bytes()),
            ("POST", ["v1", "instances", "end"]) => super::end(&request.bytes()),
            ("POST", ["v1", "instances", "steps"]) => super::step(&request.bytes()),
            ("POST", ["v1", "instances", "snapshot"]) => super::snapshot(&request.bytes()),
            ("DELETE", ["v1", "instances", flow, "step", step]) => {
                super::rewind(flow, step, self.0.get(*flow).map_or(0, |greatest| greatest + 1))
            }
            ("DELETE", ["v1", "instances", flow]) => super::deleted(flow),
            (method @ ("POST" | "DELETE"), ["v1", "app", "state", app]) => {
                let at = time_of(&request).ok_or(Error::Time)?;
                super::app_state(request.header("username"), app, method == "POST", at)
            }
            _ => return Ok(None),
        };
        let event = event.map_err(|source| Error::Request {
            method: request.method.clone(),
            path: request.path.clone(),
            source,
        })?;
        if let Some(Event::Step(step)) = &event.event {
            let greatest = self.0.entry(step.flow_instance_id.clone()).or_insert(step.execution);
            *greatest = step.execution.max(*greatest);
        }
        Ok(Some(event))
    }
}

/// What is wrong with the JSON of one line; its own count of lines would mislead.
pub(crate) fn in_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    text.strip_suffix(&place)
        .map_or_else(|| text.clone(), |what| format!("{what} at column {}", error.column()))
}

fn time_of(request: &Request<'_>) -> Option<jiff::Timestamp> {
    let since_1970 = jiff::SignedDuration::try_from_secs_f64(request.t?).ok()?;
    jiff::Timestamp::from_duration(since_1970).ok()
}

/// A segment of a path without its percent escapes; a bad one stays as it is.
fn unescape(segment: &str) -> String {
    let mut out = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match (first, after) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        out.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_named_without_its_control_characters() {
        let line = br#"{"method":"POST","path":"/v1/instances/end?\n\u001b[2J","body":{}}"#;
        let error = Seen::default().event(line).unwrap_err();
        assert_eq!(error.to_string(), "POST /v1/instances/end?\\n\\u{1b}[2J");
    }

    #[test]
    fn paths_are_unescaped() {
        assert_eq!(unescape("my%20app%2Fx%c3%bc"), "my app/xü");
        assert_eq!(unescape("100%"), "100%");
        assert_eq!(unescape("%zz%4"), "%zz%4");
    }
}
