//! Flows on their way out, as files that `flowtrail publish --from json` takes.
//!
//! An archive has a folder for each day on which flows started, UTC; in it files for each chunk of flows that went: gzip of
//! one event a line, as proto3 JSON. A file has its name only once all of it is kept, on the disk or by object storage, and
//! flows are erased only after that. Files may be joined with `cat`. What was archived twice, since a run was killed, is
//! stored once.

#[cfg(feature = "object-storage")]
mod bucket;
#[cfg(feature = "object-storage")]
mod http;
mod place;

use std::{
    collections::{BTreeMap, HashSet},
    io::{self, BufRead, BufReader, Read, Write as _},
    mem,
    path::Path,
    sync::Arc,
    vec,
};

use flate2::{Compression, write::GzEncoder};
use jiff::tz::TimeZone;
use tokio::task::spawn_blocking;

use self::place::ARCHIVED;
pub(super) use self::place::Place;
use super::{APPLICATION, RetentionError, of_statement};
use crate::{
    clock,
    config::Config,
    export,
    model::Micros,
    pipeline::merge::FlowTables,
    postgres::{Held, Holdings, connect, retention::Purge},
    publish,
};

/// So many flows are read at once.
const AT_ONCE: usize = 50;

/// Once so many bytes are compressed they are put into files: as much of a chunk is held in memory.
const PART: usize = 16 << 20;

/// Writes flows to files.
#[derive(Debug)]
pub(super) struct Archivist {
    place: Arc<Place>,
    holdings: Holdings,
    /// How many chunks were written.
    chunks: u64,
    /// Tells the files of one run from those of another.
    run: String,
}

/// Lines by the day on which their flow started.
type Lines = BTreeMap<String, Vec<u8>>;

impl Archivist {
    /// Nothing if no archive is wanted. A folder is made when there is something to write, a bucket is not.
    pub(super) async fn new(config: &Config) -> Result<Option<Self>, RetentionError> {
        let Some(place) = place(config)? else { return Ok(None) };
        let client = connect::connect(&config.postgres, APPLICATION).await?;
        let holdings = Holdings::prepare(client).await.map_err(of_statement(config))?;
        let run = clock::now().strftime("%Y%m%dT%H%M%S%.6fZ").to_string();
        Ok(Some(Self { place: Arc::new(place), holdings, chunks: 0, run }))
    }

    /// Writes flows to files, which are kept for good when it ends well; says how many of them held anything.
    pub(super) async fn archive(
        &mut self,
        config: &Config,
        purge: &Purge,
        flows: &[String],
    ) -> Result<u64, RetentionError> {
        let (mut archived, mut chunk) = (0, Chunk::new(&self.place, format!("{}-{}", self.run, self.chunks)));
        self.chunks += 1;
        for flows in flows.chunks(AT_ONCE) {
            let (count, lines) = self.lines(config, purge, flows).await?;
            archived += count;
            chunk = blocking(move || chunk.write(lines)).await?;
        }
        blocking(move || chunk.put()).await?;
        Ok(archived)
    }

    async fn lines(
        &mut self,
        config: &Config,
        purge: &Purge,
        flows: &[String],
    ) -> Result<(u64, Lines), RetentionError> {
        let ids: Vec<&str> = flows.iter().map(String::as_str).collect();
        let held = self.holdings.of_flows(&ids).await.map_err(of_statement(config))?;
        let mut snapshots = purge.snapshots(&ids).await.map_err(of_statement(config))?;
        let (mut archived, mut lines) = (0, Lines::new());
        for (flow, Held { mut tables, .. }) in held {
            let of_flow = snapshots.extract_if(.., |(id, ..)| id.as_str() == &*flow);
            tables.snapshots = of_flow.map(|(_, key, data)| (key, data)).collect();
            // The mark that it goes by is nothing that was said.
            tables.tombstone = None;
            let events = export::lines(&flow, &tables).map_err(|error| failed(&self.place)(error.into()))?;
            if events.is_empty() {
                continue;
            }
            archived += 1;
            let day = started(&tables).and_then(|time| jiff::Timestamp::from_microsecond(time.get()).ok());
            let day = day
                .map_or_else(|| "unknown".to_owned(), |time| time.to_zoned(TimeZone::UTC).date().to_string());
            lines.entry(day).or_default().extend(events);
        }
        Ok((archived, lines))
    }
}

/// When the shown run of a flow started, or else the first of its steps.
fn started(tables: &FlowTables) -> Option<Micros> {
    let shown = tables.shown.as_ref().and_then(|shown| shown.row.start);
    shown.or_else(|| tables.steps.values().filter_map(|(_, row)| row.start).min())
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RetentionError> + Send + 'static,
) -> Result<T, RetentionError> {
    spawn_blocking(work).await.map_err(|_| RetentionError::Died)?
}

/// Where the archive is, if one is wanted.
pub(super) fn place(config: &Config) -> Result<Option<Place>, RetentionError> {
    let setting = &config.retention.archive;
    if setting.is_empty() {
        return Ok(None);
    }
    let place = Place::of(setting);
    place.map(Some).map_err(|source| RetentionError::Archive { place: setting.clone(), source })
}

/// What of one chunk is not in a file yet.
#[derive(Debug)]
struct Chunk {
    place: Arc<Place>,
    name: String,
    /// How many files it has so far.
    parts: u32,
    /// By day.
    open: BTreeMap<String, GzEncoder<Vec<u8>>>,
}

impl Chunk {
    fn new(place: &Arc<Place>, name: String) -> Self {
        Self { place: Arc::clone(place), name, parts: 0, open: BTreeMap::new() }
    }

    fn write(mut self, lines: Lines) -> Result<Self, RetentionError> {
        for (day, lines) in lines {
            let open =
                self.open.entry(day).or_insert_with(|| GzEncoder::new(Vec::new(), Compression::default()));
            open.write_all(&lines).map_err(failed(&self.place))?;
        }
        let held: usize = self.open.values().map(|open| open.get_ref().len()).sum();
        if held < PART { Ok(self) } else { self.put() }
    }

    /// Keeps what is there as files of its own.
    fn put(mut self) -> Result<Self, RetentionError> {
        for (day, open) in mem::take(&mut self.open) {
            let name = format!("{day}/{}-{}{ARCHIVED}", self.name, self.parts);
            self.parts += 1;
            let put = open.finish().and_then(|bytes| self.place.put(&name, bytes));
            put.map_err(failed(&self.place))?;
        }
        Ok(self)
    }
}

fn failed(place: &Place) -> impl Fn(io::Error) -> RetentionError {
    |source| RetentionError::Archive { place: place.to_string(), source }
}

/// Whether a name is the URL of something in object storage.
pub fn is_url(name: &str) -> bool {
    name.contains("://")
}

/// The events in an archived file, one a line, by its path or URL. A URL may also name a day, or the whole archive: then one
/// file is read after the other.
pub fn open(name: &str) -> io::Result<Box<dyn BufRead>> {
    if !is_url(name) {
        let path = Path::new(name);
        let folder = Place::Folder(path.parent().unwrap_or(Path::new("")).to_owned());
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        return Ok(Box::new(BufReader::new(folder.text(&file)?)));
    }
    let (place, files) = match name.rsplit_once('/') {
        Some((place, file)) if file.ends_with(ARCHIVED) => (Place::of(place)?, vec![file.to_owned()]),
        _ => {
            let place = Place::of(name)?;
            let files = place.list()?.archived;
            (place, files)
        }
    };
    if files.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("nothing ends in {ARCHIVED} there")));
    }
    Ok(Box::new(BufReader::new(Files { place, rest: files.into_iter(), open: Box::new(io::empty()) })))
}

/// Files of an archive as one text; one is open at a time.
struct Files {
    place: Place,
    rest: vec::IntoIter<String>,
    open: Box<dyn Read>,
}

impl Read for Files {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.open.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(next) = self.rest.next() else { return Ok(0) };
            self.open = Box::new(self.place.text(&next)?);
        }
    }
}

/// Ids of the flows in what [`open`] opens, each once, in no order.
pub fn flows_of(name: &str) -> io::Result<HashSet<String>> {
    open(name)?.lines().map(|line| Ok(publish::key(&serde_json::from_str(&line?)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_of_a_chunk_is_put_into_a_file_before_it_gets_large() {
        let folder = tempfile::tempdir().unwrap();
        let place = Arc::new(Place::Folder(folder.path().to_owned()));
        let lines = |day: &str, lines: Vec<u8>| Lines::from([(day.to_owned(), lines)]);
        // No compression makes it less.
        let large: Vec<u8> = std::iter::repeat_with(rand::random).take(PART + 1).collect();
        let chunk = Chunk::new(&place, "run-0".to_owned());
        let chunk = chunk.write(lines("2026-01-01", b"a\n".to_vec())).unwrap();
        assert_eq!(place.list().unwrap().archived, Vec::<String>::new());
        let chunk = chunk.write(lines("2026-01-02", large.clone())).unwrap();
        let first = ["2026-01-01/run-0-0.ndjson.gz", "2026-01-02/run-0-1.ndjson.gz"];
        assert_eq!(place.list().unwrap().archived, first);
        chunk.write(lines("2026-01-02", b"b\n".to_vec())).unwrap().put().unwrap();
        let names = [first[0], first[1], "2026-01-02/run-0-2.ndjson.gz"];
        assert_eq!(place.list().unwrap().archived, names);
        let texts = names.map(|name| {
            let mut text = Vec::new();
            open(folder.path().join(name).to_str().unwrap()).unwrap().read_to_end(&mut text).unwrap();
            text
        });
        assert!(texts == [b"a\n".to_vec(), large, b"b\n".to_vec()]);
    }
}
