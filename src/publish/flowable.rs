//! Flowable's asynchronous history out of a file: elements and arrays of them, one or more a line, gzip'd or not.
//!
//! What is of a process instance not said waits until the file says which one is meant.

use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Read},
};

use flate2::bufread::MultiGzDecoder;
use serde_json::{Deserializer, value::RawValue};

use super::source::{Cause, Place};
use crate::{
    flowable::{
        self, Engine,
        identity::{Settled, Waiting},
    },
    proto::v1::HistoryEvent,
};

/// So many ids are remembered with their process instances at least, about 100 MB; what names one that was told longer ago is
/// reported.
const KNOWN: usize = 500_000;

/// So many bytes of events wait.
const MOST_BYTES: usize = 128 << 20;

/// First bytes of what is gzip'd.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The engine whose history it is.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name.
    pub name: String,
    /// Whether sequence flows become steps.
    pub sequence_flows: bool,
}

impl Default for Source {
    fn default() -> Self {
        Self { name: flowable::DEFAULT_SOURCE.to_owned(), sequence_flows: false }
    }
}

/// The events of a file, each with the line that it comes from.
pub(super) struct Elements {
    source: Source,
    input: io::Result<Box<dyn BufRead>>,
    line: usize,
    waiting: Option<Waiting<HistoryEvent, usize>>,
    /// What comes next.
    ready: VecDeque<(usize, Result<HistoryEvent, Cause>)>,
}

impl Elements {
    pub(super) fn new(source: Source, input: impl BufRead + 'static) -> Self {
        let waiting = Some(Waiting::new(KNOWN, MOST_BYTES));
        Self { source, input: inflated(input), line: 0, waiting, ready: VecDeque::new() }
    }

    /// Reads a line; `false` at the end.
    fn read_line(&mut self) -> bool {
        let mut line = Vec::new();
        self.line += 1;
        let read = match &mut self.input {
            Ok(input) => input.read_until(b'\n', &mut line),
            Err(error) => Err(std::mem::replace(error, io::ErrorKind::Other.into())),
        };
        match read {
            Ok(0) => false,
            Ok(_) => {
                self.take(&line);
                true
            }
            Err(error) => {
                self.waiting = None;
                self.ready.push_back((self.line, Err(Cause::Read(error))));
                false
            }
        }
    }

    fn take(&mut self, line: &[u8]) {
        let (name, sequence_flows) = (self.source.name.clone(), self.source.sequence_flows);
        let engine = Engine { source: &name, sequence_flows };
        // Each record may have been an array of what belongs together, and records may stand on one line.
        for value in Deserializer::from_slice(line).into_iter::<&RawValue>() {
            let mut together = Vec::new();
            let mut element = |json: &[u8]| match flowable::element(engine, json) {
                Ok(events) => together.extend(events),
                Err(error) => self.ready.push_back((self.line, Err(Cause::Flowable(error)))),
            };
            let broken = match value {
                Ok(value) if value.get().starts_with('[') => {
                    flowable::array(value.get().as_bytes(), |json| element(json.get().as_bytes())).err()
                }
                Ok(value) => {
                    element(value.get().as_bytes());
                    None
                }
                Err(error) => Some(error),
            };
            self.settle(together);
            if let Some(error) = broken {
                self.ready.push_back((self.line, Err(Cause::Flowable(flowable::Error::Json(error)))));
                break;
            }
        }
    }

    fn settle(&mut self, events: Vec<HistoryEvent>) {
        let Some(waiting) = &mut self.waiting else { return };
        let settled = waiting.take(events, &self.line);
        self.ready.extend(settled.into_iter().map(|settled: Settled<_, _>| match settled {
            Ok((event, line)) => (line, Ok(event)),
            Err((thing, line)) => (line, Err(Cause::Unresolved { thing, others: 0 })),
        }));
    }

    /// What waits in vain, in the order of its lines, each thing of a line once.
    fn give_up(&mut self) {
        let Some(waiting) = self.waiting.take() else { return };
        let mut left: Vec<_> = waiting.left().map(|(thing, line)| (line, thing)).collect();
        left.sort_unstable();
        left.dedup();
        let all = left.len();
        let unresolved = left
            .into_iter()
            .zip(1..)
            .map(|((line, thing), count)| (line, Err(Cause::Unresolved { thing, others: all - count })));
        self.ready.extend(unresolved);
    }
}

impl Iterator for Elements {
    type Item = (Place, Result<HistoryEvent, Cause>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() && self.waiting.is_some() {
            if !self.read_line() {
                self.give_up();
            }
        }
        self.ready.pop_front().map(|(line, event)| (Place::Line(line), event))
    }
}

/// The file as it was before it was gzip'd, if it was.
fn inflated(mut input: impl BufRead + 'static) -> io::Result<Box<dyn BufRead>> {
    let mut head = Vec::new();
    input.by_ref().take(2).read_to_end(&mut head)?;
    let is_gzip = head == GZIP;
    let whole = io::Cursor::new(head).chain(input);
    Ok(if is_gzip { Box::new(BufReader::new(MultiGzDecoder::new(whole))) } else { Box::new(whole) })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;
    use crate::publish::key;

    const RECORDED: &[u8] = include_bytes!("../../tests/fixtures/flowable/async-history-6.8.1.jsonl");

    fn read(bytes: Vec<u8>) -> Vec<(Place, Result<HistoryEvent, Cause>)> {
        Elements::new(Source::default(), io::Cursor::new(bytes)).collect()
    }

    /// Each event once, whatever the order.
    fn said(bytes: Vec<u8>) -> Vec<String> {
        let mut said: Vec<String> = read(bytes)
            .into_iter()
            .map(|(_, event)| serde_json::to_string(&event.unwrap()).unwrap())
            .collect();
        said.sort_unstable();
        said
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    #[test]
    fn any_order_and_any_framing_gives_the_same_events() {
        let wanted = said(RECORDED.to_vec());
        assert!(wanted.iter().all(|event| !event.contains("\"flowable:\"")));
        let mut lines: Vec<&[u8]> = RECORDED.split(|byte| *byte == b'\n').collect();
        lines.reverse();
        assert_eq!(said(lines.join(&b'\n')), wanted);
        assert_eq!(said(gzip(RECORDED)), wanted);
        // History jobs as an engine gzips them, one behind the other.
        lines.retain(|line| !line.is_empty());
        let job = |elements: &[&[u8]]| gzip(&[b"[", &elements.join(&b',')[..], b"]"].concat());
        let jobs: Vec<u8> = lines.chunks(7).flat_map(job).collect();
        assert_eq!(said(jobs), wanted);
    }

    #[test]
    fn what_is_bad_or_is_never_resolved_is_named_by_its_line() {
        let file = [
            "{\"type\":\"activity-update\",\"data\":{\"runtimeActivityInstanceId\":\"7\",\"taskId\":\"1\"}}",
            "{\"type\":\"nonsense\",\"data\":{}}",
            "",
            "{\"type\":",
            "{\"type\":\"process-instance-deleted\",\"data\":{\"processInstanceId\":\"3\"}} {\"type\":\"variable-removed\",\"data\":{\"id\":\"5\"}}",
        ];
        let read = read(file.join("\n").into_bytes());
        let said: Vec<String> = read
            .into_iter()
            .map(|(place, event)| match event {
                Ok(event) => format!("{place}: {}", key(&event)),
                Err(cause) => format!("{place}: {cause}"),
            })
            .collect();
        assert_eq!(said.len(), 5, "{said:#?}");
        assert_eq!(said[0], "line 2: no type of Flowable's history: nonsense");
        assert!(said[1].starts_with("line 4: not an element of Flowable's history: EOF"), "{}", said[1]);
        assert_eq!(said[2], "line 5: flowable:3");
        let never = "nothing in the file says which process instance it is of";
        assert_eq!(said[3], format!("line 1: activity instance 7 of flowable: {never}, and 1 more like it"));
        assert_eq!(said[4], format!("line 5: variable 5 of flowable: {never}"));
    }

    #[test]
    fn a_file_that_is_cut_off_ends_with_an_error() {
        let mut cut = gzip(RECORDED);
        cut.truncate(cut.len() / 2);
        assert!(matches!(read(cut).last(), Some((_, Err(Cause::Read(_))))));
    }
}
