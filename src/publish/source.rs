//! Events out of a file: one format each, bad input named by its place.

use std::{
    fmt,
    io::{self, BufRead, Read},
};

use prost::Message as _;

use super::{
    Record,
    flowable::{Elements, Source},
};
use crate::{
    flogo::recording::{self, Recording},
    flowable::{self, identity::Thing},
    postgres::sentence,
    proto::{from_json, v1::HistoryEvent},
    sentence::quotable,
};

/// The largest encoded event that is read: what a topic takes.
const MAX_EVENT_BYTES: usize = crate::kafka::producer::MAX_MESSAGE_BYTES;

/// How events are written in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One event a line, as proto3 JSON
    Json,
    /// Encoded events, each after its length as a varint
    Protobuf,
    /// Recorded requests of a Flogo app, one a line
    FlogoRecording,
    /// Asynchronous history of a Flowable engine (6.1 to 6.8): elements or arrays of them, one a line; also gzip'd
    FlowableAsyncHistory,
    /// History tables of a Flowable engine (6 to 8) in PostgreSQL; FILE is their database, postgres://…
    FlowableDatabase,
}

/// Where in a source something is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A line; the first is 1.
    Line(usize),
    /// A row of a table, by its id.
    Row(String),
    /// An encoded event; the first is 1, and the file begins with byte 0.
    Event {
        /// Its number.
        number: usize,
        /// The byte at which its length begins.
        byte: u64,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Row(id) => write!(f, "row {}", quotable(id)),
            Self::Event { number, byte } => write!(f, "event {number} at byte {byte}"),
        }
    }
}

/// One piece of a source that is no event.
#[derive(Debug, thiserror::Error)]
#[error("{source_name}, {place}")]
pub struct Error {
    /// What is read: a file's name, or standard input.
    pub source_name: String,
    /// Where in it.
    pub place: Place,
    /// What is wrong there.
    #[source]
    pub cause: Box<Cause>,
}

impl Error {
    /// Whether what comes after it cannot be read either.
    pub fn is_the_end(&self) -> bool {
        matches!(
            *self.cause,
            Cause::Read(_) | Cause::Frame(_) | Cause::Flogo(recording::Error::Read(_)) | Cause::Database(_)
        )
    }
}

/// What is wrong with a piece of a source.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The source cannot be read.
    #[error("cannot read on")]
    Read(#[source] io::Error),
    /// The length of an event is none, so nobody knows where the next begins.
    #[error("{0}")]
    Frame(&'static str),
    /// Not a `HistoryEvent` in proto3 JSON.
    #[error("not a HistoryEvent in proto3 JSON: {}", recording::in_line(.0))]
    Json(serde_json::Error),
    /// Not an encoded `HistoryEvent`.
    #[error("not an encoded HistoryEvent")]
    Protobuf(#[source] prost::DecodeError),
    /// A `HistoryEvent` with none of its events set.
    #[error(
        "a HistoryEvent that says nothing: none of flow, step, rewind, flowDeleted, snapshot, variable, several, app is set"
    )]
    Empty,
    /// Not a recorded request that can be understood.
    #[error(transparent)]
    Flogo(recording::Error),
    /// Not an element of Flowable's history that can be understood.
    #[error(transparent)]
    Flowable(flowable::Error),
    /// The database that rows are read from fails.
    #[error("the database can't be read on: {}", sentence(.0))]
    Database(tokio_postgres::Error),
    /// It names what belongs to a process instance, and nothing says to which.
    #[error(
        "{thing}: nothing in the file says which process instance it is of{}",
        match others {
            0 => String::new(),
            others => format!(", and {others} more like it"),
        }
    )]
    Unresolved {
        /// What it names.
        thing: Thing,
        /// As many come behind it.
        others: usize,
    },
}

/// The records of a file, in its order; those of a database are [`super::database`]'s. `engine` is the one whose history a file of
/// Flowable's is. An error does not end it unless [`Error::is_the_end`].
pub fn read(
    format: Format,
    name: impl Into<String>,
    input: impl BufRead + 'static,
    engine: &Source,
) -> Box<dyn Iterator<Item = Result<Record, Error>>> {
    let source_name = name.into();
    let named = move |(place, event): (Place, Result<HistoryEvent, Cause>)| match event {
        Ok(event) if event.event.is_some() => Ok(Record::from(event)),
        Ok(_) => Err(Error { source_name: source_name.clone(), place, cause: Cause::Empty.into() }),
        Err(cause) => Err(Error { source_name: source_name.clone(), place, cause: cause.into() }),
    };
    match format {
        Format::Json => Box::new(JsonLines { input, line: 0, ended: false }.map(named)),
        Format::Protobuf => Box::new(Delimited { input, number: 0, byte: 0, ended: false }.map(named)),
        Format::FlowableAsyncHistory => Box::new(Elements::new(engine.clone(), input).map(named)),
        Format::FlowableDatabase => {
            let cause = Cause::Frame("a database is not read as a file is");
            Box::new(std::iter::once((Place::Line(1), Err(cause))).map(named))
        }
        Format::FlogoRecording => {
            let events = Recording::new(input);
            Box::new(events.map(|(line, event)| (Place::Line(line), event.map_err(Cause::Flogo))).map(named))
        }
    }
}

/// proto3 JSON, one event a line; empty lines are passed over.
struct JsonLines<R> {
    input: R,
    line: usize,
    ended: bool,
}

impl<R: BufRead> Iterator for JsonLines<R> {
    type Item = (Place, Result<HistoryEvent, Cause>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        while !self.ended {
            self.line += 1;
            line.clear();
            let event = match self.input.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) if line.trim_ascii().is_empty() => continue,
                Ok(_) => from_json(line.trim_ascii_end()).map_err(Cause::Json),
                Err(error) => {
                    self.ended = true;
                    Err(Cause::Read(error))
                }
            };
            return Some((Place::Line(self.line), event));
        }
        None
    }
}

/// Encoded events, each after its length as a varint.
struct Delimited<R> {
    input: R,
    number: usize,
    byte: u64,
    ended: bool,
}

impl<R: BufRead> Iterator for Delimited<R> {
    type Item = (Place, Result<HistoryEvent, Cause>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        self.number += 1;
        let place = Place::Event { number: self.number, byte: self.byte };
        let event = match self.frame().transpose()? {
            Ok(frame) => HistoryEvent::decode(frame.as_slice()).map_err(Cause::Protobuf),
            Err(cause) => {
                self.ended = true;
                Err(cause)
            }
        };
        Some((place, event))
    }
}

impl<R: BufRead> Delimited<R> {
    fn frame(&mut self) -> Result<Option<Vec<u8>>, Cause> {
        let Some(length) = self.length()? else { return Ok(None) };
        if usize::try_from(length).is_ok_and(|length| length > MAX_EVENT_BYTES) {
            return Err(Cause::Frame("its length is over 16 MiB: the file is not length-delimited events"));
        }
        let mut frame = Vec::new();
        let read = self.input.by_ref().take(length).read_to_end(&mut frame).map_err(Cause::Read)?;
        if u64::try_from(read).is_ok_and(|read| read < length) {
            return Err(Cause::Frame("the file ends inside it"));
        }
        self.byte += length;
        Ok(Some(frame))
    }

    /// A varint; nothing at the end of the file.
    fn length(&mut self) -> Result<Option<u64>, Cause> {
        let mut length = 0_u64;
        for shift in (0..63).step_by(7) {
            let mut byte = [0];
            match self.input.read_exact(&mut byte) {
                Ok(()) => self.byte += 1,
                Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(Cause::Read(error)),
                Err(_) if shift == 0 => return Ok(None),
                Err(_) => return Err(Cause::Frame("the file ends inside its length")),
            }
            let [byte] = byte;
            length |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(Some(length));
            }
        }
        Err(Cause::Frame("its length is no varint: the file is not length-delimited events"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(format: Format, input: &'static [u8]) -> Vec<Result<String, String>> {
        read(format, "events.x", input, &Source::default())
            .map(|r| r.map(|r| r.key).map_err(|e| format!("{:#}", anyhow::Error::from(e))))
            .collect()
    }

    #[test]
    fn json_lines_are_read_and_bad_ones_named() {
        let got = said(
            Format::Json,
            b"{\"flow\":{\"flowInstanceId\":\"a\",\"run\":\"7\"}}\r\n\n{\"flow\":\n{\"other\":1}\n{\"step\":{\"flow_instance_id\":\"b\"}}",
        );
        assert_eq!(got[0], Ok("a".to_owned()));
        assert_eq!(
            got[1],
            Err("events.x, line 3: not a HistoryEvent in proto3 JSON: EOF while parsing a value at column 8"
                .to_owned())
        );
        assert!(
            got[2].as_ref().unwrap_err().starts_with("events.x, line 4: a HistoryEvent that says nothing")
        );
        assert_eq!(got[3], Ok("b".to_owned()));
        assert_eq!(got.len(), 4);
    }

    #[test]
    fn delimited_events_are_read_and_bad_ones_named() {
        let event: HistoryEvent = serde_json::from_str(r#"{"flow":{"flowInstanceId":"a"}}"#).unwrap();
        let mut file = event.encode_length_delimited_to_vec();
        file.extend_from_slice(&[2, 0x0a, 0x55]);
        file.extend(event.encode_length_delimited_to_vec());
        file.extend_from_slice(&[200, 1, 0]);
        let got = said(Format::Protobuf, file.leak());
        assert_eq!(got.len(), 4);
        assert_eq!((&got[0], &got[2]), (&Ok("a".to_owned()), &Ok("a".to_owned())));
        assert!(
            got[1]
                .as_ref()
                .unwrap_err()
                .starts_with("events.x, event 2 at byte 6: not an encoded HistoryEvent:")
        );
        assert_eq!(got[3], Err("events.x, event 4 at byte 15: the file ends inside it".to_owned()));
        let text = said(Format::Protobuf, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff");
        assert!(text[0].as_ref().unwrap_err().contains("no varint"));
    }

    #[test]
    fn a_recording_is_read_through_the_same_door() {
        let recording = include_bytes!("../../tests/fixtures/flogo/recorded.jsonl");
        let got = said(Format::FlogoRecording, recording);
        assert_eq!(got.len(), 123);
        assert!(got.iter().all(Result::is_ok));
        let bad = said(Format::FlogoRecording, b"\n\xff\n");
        assert!(bad[0].as_ref().unwrap_err().starts_with("events.x, line 2: not a recorded request"));
    }
}
