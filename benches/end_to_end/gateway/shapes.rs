//! What small apps post: the recorded instances of a real app, request by request, each time under an id of its own.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};
use serde_json::Value;

/// Characters of an instance's id, in the recording as here: bodies keep their length.
const ID: usize = 32;

/// The recorded instances.
#[derive(Debug)]
pub(crate) struct Shapes(Vec<Vec<Request>>);

/// One request, whole, as an app writes it to its connection.
#[derive(Debug)]
struct Request {
    bytes: Vec<u8>,
    /// Where the instance's id stands.
    ids: Vec<usize>,
    /// It makes a row; the others change one.
    makes_row: bool,
}

/// An app that runs one flow after the other.
#[derive(Debug)]
pub(crate) struct App<'a> {
    shapes: &'a Shapes,
    /// Ids of its instances begin with it.
    name: String,
    /// Instances so far.
    instances: usize,
    /// Requests of the present one that were made.
    requests: usize,
    /// Its requests so far that make a row.
    pub(crate) rows: u64,
}

impl Shapes {
    /// Reads the recording.
    pub(crate) fn recorded() -> anyhow::Result<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/flogo/recorded.jsonl");
        let mut instances: Vec<(String, Vec<Request>)> = Vec::new();
        for line in fs::read_to_string(&path).with_context(|| path.display().to_string())?.lines() {
            let line: Value = serde_json::from_str(line)?;
            let (path, body) = (text(&line, "path")?, line.get("body").context("no body")?);
            let id = text(body, "flow_instance_id").or_else(|_| text(body, "flowId"))?;
            ensure!(id.len() == ID, "an id of another length: {id}");
            let request = Request::new(path, &body.to_string(), id);
            match instances.iter_mut().find(|(known, _)| known == id) {
                Some((_, requests)) => requests.push(request),
                None => instances.push((id.to_owned(), vec![request])),
            }
        }
        ensure!(!instances.is_empty(), "nothing is recorded");
        Ok(Self(instances.into_iter().map(|(_, requests)| requests).collect()))
    }

    /// An app among others; `run` and `number` together are its alone.
    pub(crate) fn app(&self, run: u32, number: u32) -> App<'_> {
        // Not all begin with the same flow.
        let instances = usize::try_from(number).unwrap_or(0) % self.0.len();
        App { shapes: self, name: format!("{run:08x}{number:08x}"), instances, requests: 0, rows: 0 }
    }
}

fn text<'a>(of: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    of.get(name).and_then(Value::as_str).with_context(|| format!("no {name}"))
}

impl Request {
    fn new(path: &str, body: &str, id: &str) -> Self {
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: Go-http-client/1.1\r\ncontent-length: {}\r\n\
             content-type: application/json\r\naccept-encoding: gzip\r\n\r\n",
            body.len()
        );
        let whole = head + body;
        let ids = whole.match_indices(id).map(|(at, _)| at).collect();
        Self { ids, makes_row: !path.ends_with("/end"), bytes: whole.into_bytes() }
    }
}

impl App<'_> {
    /// Puts the next request into `into`, in place of what was there.
    pub(crate) fn next(&mut self, into: &mut Vec<u8>) {
        let shapes = &self.shapes.0;
        let Some(shape) = shapes.get(self.instances % shapes.len()) else { return };
        let Some(request) = shape.get(self.requests) else {
            (self.instances, self.requests) = (self.instances + 1, 0);
            return self.next(into);
        };
        into.clear();
        into.extend_from_slice(&request.bytes);
        let id = format!("{}{:016x}", self.name, self.instances);
        for at in &request.ids {
            if let Some(place) = into.get_mut(*at..at + ID) {
                place.copy_from_slice(id.as_bytes());
            }
        }
        self.requests += 1;
        self.rows += u64::from(request.makes_row);
    }
}
