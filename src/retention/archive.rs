//! Flows on their way out, as files that `flowtrail publish --from json` takes.
//!
//! Below the folder there is one for each day on which flows started, UTC; in it a file for each chunk of flows that went:
//! gzip of one event a line, as proto3 JSON. A file has its name only once all of it is on the disk, and flows are erased
//! only after that. Files may be joined with `cat`. What was archived twice, since a run was killed, is stored once.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufRead as _, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use flate2::{Compression, bufread::MultiGzDecoder, write::GzEncoder};
use jiff::tz::TimeZone;
use tokio::task::spawn_blocking;

use super::{APPLICATION, RetentionError, of_statement};
use crate::{
    clock,
    config::Config,
    export,
    model::Micros,
    pipeline::merge::FlowTables,
    postgres::{Held, Holdings, connect, retention::Purge},
    proto::v1::HistoryEvent,
    publish,
};

/// So many flows are read at once.
const AT_ONCE: usize = 50;

/// Writes flows to files.
#[derive(Debug)]
pub(super) struct Archivist {
    folder: PathBuf,
    holdings: Holdings,
    /// How many chunks were written.
    chunks: u64,
    /// Tells the files of one run from those of another.
    run: String,
}

/// Lines by the day on which their flow started.
type Lines = BTreeMap<String, Vec<u8>>;

impl Archivist {
    /// Nothing if no archive is wanted. The folder is made if it is not there.
    pub(super) async fn new(config: &Config) -> Result<Option<Self>, RetentionError> {
        if config.retention.archive_dir.is_empty() {
            return Ok(None);
        }
        let client = connect::connect(&config.postgres, APPLICATION).await?;
        let holdings = Holdings::prepare(client).await.map_err(of_statement(config))?;
        let folder = PathBuf::from(&config.retention.archive_dir);
        let run = clock::now().strftime("%Y%m%dT%H%M%S%.6fZ").to_string();
        Ok(Some(Self { folder, holdings, chunks: 0, run }))
    }

    /// Writes flows to files, which are on the disk when it ends well; says how many of them held anything.
    pub(super) async fn archive(
        &mut self,
        config: &Config,
        purge: &Purge,
        flows: &[String],
    ) -> Result<u64, RetentionError> {
        let (mut archived, mut chunk) =
            (0, Chunk::new(self.folder.clone(), format!("{}-{}", self.run, self.chunks)));
        self.chunks += 1;
        for flows in flows.chunks(AT_ONCE) {
            let (count, lines) = self.lines(config, purge, flows).await?;
            archived += count;
            chunk = blocking(move || chunk.write(lines)).await?;
        }
        blocking(move || chunk.finish()).await?;
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
            let events = export::lines(&flow, &tables).map_err(|error| self.failed(error.into()))?;
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

    fn failed(&self, source: io::Error) -> RetentionError {
        RetentionError::Archive { path: self.folder.clone(), source }
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

/// The files of one chunk. Those that were not finished go with it.
#[derive(Debug)]
struct Chunk {
    folder: PathBuf,
    name: String,
    /// By day.
    files: BTreeMap<String, Growing>,
}

#[derive(Debug)]
struct Growing {
    folder: PathBuf,
    path: PathBuf,
    file: Option<BufWriter<GzEncoder<File>>>,
}

impl Chunk {
    fn new(folder: PathBuf, name: String) -> Self {
        Self { folder, name, files: BTreeMap::new() }
    }

    fn write(mut self, lines: Lines) -> Result<Self, RetentionError> {
        for (day, lines) in lines {
            let growing = match self.files.entry(day) {
                std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
                std::collections::btree_map::Entry::Vacant(free) => {
                    let folder = self.folder.join(free.key());
                    free.insert(Growing::create(folder, &self.name)?)
                }
            };
            growing.write(&lines)?;
        }
        Ok(self)
    }

    fn finish(self) -> Result<(), RetentionError> {
        for growing in self.files.into_values() {
            growing.finish(&self.folder, &self.name)?;
        }
        Ok(())
    }
}

impl Growing {
    fn create(folder: PathBuf, name: &str) -> Result<Self, RetentionError> {
        fs::create_dir_all(&folder).map_err(failed(&folder))?;
        let path = folder.join(format!("{name}.partial"));
        let file = File::create_new(&path).map_err(failed(&path))?;
        let file = Some(BufWriter::new(GzEncoder::new(file, Compression::default())));
        Ok(Self { folder, path, file })
    }

    fn write(&mut self, lines: &[u8]) -> Result<(), RetentionError> {
        let Some(file) = &mut self.file else { return Err(RetentionError::Died) };
        file.write_all(lines).map_err(failed(&self.path))
    }

    /// Syncs the file, gives it its name, and syncs the folders that name it.
    fn finish(mut self, root: &Path, name: &str) -> Result<(), RetentionError> {
        let Some(file) = self.file.take() else { return Err(RetentionError::Died) };
        let finished = || -> io::Result<()> {
            file.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?.sync_all()?;
            fs::rename(&self.path, self.folder.join(format!("{name}.ndjson.gz")))?;
            File::open(&self.folder)?.sync_all()?;
            File::open(root)?.sync_all()
        };
        finished().map_err(failed(&self.path))
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        // What has got its name is not there any more; anything else is worth nothing, and stays if it has to.
        drop(self.file.take());
        let _ = fs::remove_file(&self.path);
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> RetentionError {
    |source| RetentionError::Archive { path: path.to_owned(), source }
}

/// Ids of the flows in an archived file, each once, in no order.
pub fn flows_of(path: &Path) -> io::Result<Vec<String>> {
    let mut ids = std::collections::HashSet::new();
    for line in BufReader::new(MultiGzDecoder::new(BufReader::new(File::open(path)?))).lines() {
        let event: HistoryEvent = serde_json::from_str(&line?)?;
        ids.insert(publish::key(&event));
    }
    Ok(ids.into_iter().collect())
}
