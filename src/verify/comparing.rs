//! Buckets beside the tables: a bucket is folded, its flows are looked up some hundred at a time, and judged.

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{Arc, atomic::Ordering},
};

use tokio::task::spawn_blocking;

use super::{
    Difference, Setting, VerifyError,
    judge::{self, RowDifference},
    spill::{self, Bucket, Entry, Spill},
};
use crate::{
    config,
    kafka::slice::Stretch,
    model::{AppRow, Event, FlowId, Phase, Text},
    pipeline::{
        decode::decode,
        merge::{FlowFold, Fold},
    },
    postgres::{Held, Holdings, connect::PostgresError},
};

/// So many flows are looked up at once, or fewer where their records are large.
const FLOWS: usize = 400;
const BYTES: u64 = 4 << 20;

/// Bytes of rows that wait for a second look, for each comparer.
const HELD_BACK: u64 = 32 << 20;

/// A flow's own beginning is in the slice if it was opened this much later than the slice begins: producers are not
/// always in order. In ms.
const MARGIN: i64 = 60_000;

/// What one comparer found out.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) flows: u64,
    pub(super) rows: u64,
    pub(super) removed: u64,
    pub(super) told_whole: u64,
    pub(super) in_motion: u64,
    pub(super) held_back: Vec<HeldBack>,
    held_back_bytes: u64,
}

/// A flow of which more is stored than the slice says; records behind the slice may say it.
#[derive(Debug)]
pub(super) struct HeldBack {
    pub(super) flow: FlowId,
    held: Held,
    /// What is wrong already.
    found: Vec<RowDifference>,
    records: Option<(String, String)>,
}

/// What was seen of a flow.
#[derive(Debug, Default)]
struct Seen {
    /// First and last record: stretch and offset.
    span: Option<[(u32, i64); 2]>,
    /// Some record is of a stretch that begins behind the partition's beginning.
    is_cut: bool,
    /// It was opened, by a record well behind the beginning of the slice.
    opened: bool,
    bytes: u64,
}

/// The flows of a bucket.
#[derive(Debug, Default)]
struct Loaded {
    fold: Fold,
    seen: HashMap<FlowId, Seen>,
}

/// Compares buckets, one after the other.
pub(super) struct Comparer {
    setting: Arc<Setting>,
    holdings: Holdings,
    /// When the slice begins, by stretch.
    begins: Arc<[Option<i64>]>,
    /// Bytes of records that are folded at once.
    most: usize,
    compared: Compared,
}

impl Comparer {
    pub(super) fn new(
        setting: Arc<Setting>,
        holdings: Holdings,
        begins: Arc<[Option<i64>]>,
        most: usize,
    ) -> Self {
        Self { setting, holdings, begins, most: most.max(1), compared: Compared::default() }
    }

    /// Compares these buckets, and gives them back.
    pub(super) async fn run(
        mut self,
        buckets: Vec<(usize, Bucket)>,
        postgres: &config::Postgres,
    ) -> Result<(Vec<(usize, Bucket)>, Compared), VerifyError> {
        let mut done = Vec::with_capacity(buckets.len());
        for (number, mut bucket) in buckets {
            let most = u64::try_from(self.most).unwrap_or(u64::MAX);
            let passes = bucket.bytes().div_ceil(most).max(1);
            for pass in 0..passes {
                let (setting, begins) = (self.setting.clone(), self.begins.clone());
                let load = move || {
                    let loaded = Loaded::of(&mut bucket, &setting, &begins, pass, passes);
                    (bucket, loaded)
                };
                let (back, loaded) = spawn_blocking(load).await.map_err(|_| VerifyError::Died)?;
                bucket = back;
                let loaded = loaded.map_err(|_| VerifyError::Died)?;
                let compared = self.compare(loaded).await;
                compared.map_err(|error| match error {
                    Failed::Database(error) => PostgresError::of_statement(postgres, error).into(),
                    Failed::Other(error) => error,
                })?;
            }
            done.push((number, bucket));
        }
        Ok((done, self.compared))
    }

    async fn compare(&mut self, mut loaded: Loaded) -> Result<(), Failed> {
        self.compare_apps(std::mem::take(&mut loaded.fold.apps).into_iter().collect()).await?;
        let mut flows: Vec<(FlowId, Seen)> = loaded.seen.drain().collect();
        // Neighbours in the index are read together.
        flows.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut rest = flows.into_iter().peekable();
        while rest.peek().is_some() {
            let (mut chunk, mut bytes) = (Vec::with_capacity(FLOWS), 0);
            while let Some((flow, seen)) = rest.next_if(|_| chunk.len() < FLOWS && bytes < BYTES) {
                bytes += seen.bytes;
                let said = loaded.fold.flows.remove(&flow).unwrap_or_default();
                chunk.push((flow, seen, said));
            }
            self.compare_chunk(chunk).await?;
            self.setting.progress.compared.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn compare_apps(&self, apps: Vec<((Text, Text), AppRow)>) -> Result<(), Failed> {
        for chunk in apps.chunks(FLOWS) {
            let keys: Vec<&(Text, Text)> = chunk.iter().map(|(key, _)| key).collect();
            let held = self.holdings.of_apps(&keys).await?;
            for (key, said) in chunk {
                if let Some(row) = judge::app_not_stored(said, held.get(key)) {
                    let of = format!("{}/{}", key.0, key.1);
                    self.setting.tell(Difference { of, row, records: None }).await;
                }
            }
        }
        Ok(())
    }

    async fn compare_chunk(&mut self, chunk: Vec<(FlowId, Seen, FlowFold)>) -> Result<(), Failed> {
        let ids: Vec<&str> = chunk.iter().map(|(flow, ..)| flow.as_str()).collect();
        let mut held = self.holdings.of_flows(&ids).await?;
        let mut doubtful = Vec::new();
        for (flow, seen, said) in chunk {
            let held = judge::as_it_counts(held.remove(flow.as_str()).unwrap_or_default());
            self.compared.flows += 1;
            self.compared.rows += judge::rows(&said);
            let told_whole = self.setting.to_the_end && (!seen.is_cut || seen.opened);
            self.compared.told_whole += u64::from(told_whole);
            self.compared.removed += u64::from(held.removed);
            if told_whole && judge::is_just(&said, &held) {
                continue;
            }
            if held == Held::default() && self.was_removed(&said) {
                self.compared.removed += 1;
                continue;
            }
            let found = judge::not_stored(&said, &held);
            let records = self.records(&seen);
            if told_whole {
                doubtful.push((HeldBack { flow, held, found, records }, said));
            } else {
                self.tell(&flow, found, records).await;
            }
        }
        if doubtful.is_empty() { Ok(()) } else { self.doubt(doubtful).await }
    }

    /// More is stored than was said, or other: if nothing came behind the slice by now, that is how it is.
    async fn doubt(&mut self, doubtful: Vec<(HeldBack, FlowFold)>) -> Result<(), Failed> {
        let setting = self.setting.clone();
        let tail =
            spawn_blocking(move || setting.tail()).await.map_err(|_| Failed::Other(VerifyError::Died))?;
        let is_quiet = tail.map_err(Failed::Other)?.iter().all(Stretch::is_empty);
        for (doubt, said) in doubtful {
            if is_quiet {
                let found = judge::joined(doubt.found, judge::not_said(said, &doubt.held));
                self.tell(&doubt.flow, found, doubt.records).await;
                continue;
            }
            let bytes = weight(&doubt.held);
            if self.compared.held_back_bytes + bytes > HELD_BACK {
                self.compared.in_motion += 1;
                self.tell(&doubt.flow, doubt.found, doubt.records).await;
                continue;
            }
            self.compared.held_back_bytes += bytes;
            self.compared.held_back.push(doubt);
        }
        Ok(())
    }

    fn was_removed(&self, said: &FlowFold) -> bool {
        let start = said.runs.values().filter_map(|run| run.start).min();
        let start = start.or_else(|| said.steps.values().filter_map(|step| step.start).min());
        start.zip(self.setting.removed_before).is_some_and(|(start, before)| start < before)
    }

    fn records(&self, seen: &Seen) -> Option<(String, String)> {
        let place = |(stretch, offset): (u32, i64)| {
            let (partition, offset) = self.setting.place(usize::try_from(stretch).ok()?, offset)?;
            Some(format!("{partition}@{offset}"))
        };
        let [first, last] = seen.span?;
        Some((place(first)?, place(last)?))
    }

    async fn tell(&self, flow: &FlowId, found: Vec<RowDifference>, records: Option<(String, String)>) {
        for row in found {
            let (of, records) = (flow.to_string(), records.clone());
            self.setting.tell(Difference { of, row, records }).await;
        }
    }
}

/// Why a chunk could not be compared.
enum Failed {
    Database(tokio_postgres::Error),
    Other(VerifyError),
}

impl From<tokio_postgres::Error> for Failed {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}

impl Loaded {
    /// Folds a bucket, or the part of it that is one of several passes.
    fn of(
        bucket: &mut Bucket,
        setting: &Setting,
        begins: &[Option<i64>],
        pass: u64,
        passes: u64,
    ) -> io::Result<Self> {
        let mut loaded = Self::default();
        // The bucket was chosen by the highest bits.
        let is_wanted = |hash: u64| passes == 1 || (hash >> 16) % passes == pass;
        bucket.read(is_wanted, |entry| loaded.add(entry, setting, begins))?;
        Ok(loaded)
    }

    fn add(&mut self, entry: Entry, setting: &Setting, begins: &[Option<i64>]) {
        let Some(stretch) = entry.stretch else {
            if let Ok(id) = Text::try_from(entry.key) {
                self.seen.entry(FlowId::held(id)).or_default();
            }
            return;
        };
        let Some(event) = event(&entry, setting.max_payload_bytes) else { return };
        if let Some(flow) = event.flow() {
            let seen = match self.seen.get_mut(flow) {
                Some(seen) => seen,
                None => self.seen.entry(flow.clone()).or_default(),
            };
            let number = usize::try_from(stretch).unwrap_or(usize::MAX);
            let place = (stretch, entry.offset);
            seen.span = Some([seen.span.map_or(place, |[first, _]| first), place]);
            seen.is_cut |= setting.stretches.get(number).is_none_or(|stretch| stretch.from > 0);
            let is_opening = matches!(&event, Event::Flow { row, .. } if row.phase == Phase::Opened);
            let first = begins.get(number).copied().flatten();
            seen.opened |=
                is_opening && first.is_some_and(|first| entry.time >= first.saturating_add(MARGIN));
            seen.bytes += u64::try_from(entry.payload.len()).unwrap_or(0);
        }
        self.fold.add(event);
    }
}

/// The event of an entry, which was masked and decoded before.
fn event(entry: &Entry, max_payload_bytes: usize) -> Option<Event> {
    decode(Some(&entry.key), Some(&entry.payload), max_payload_bytes, None).ok()?.events.pop()
}

/// Judges flows whose rows were held back, once the records behind the slice are in the buckets too. Blocks.
pub(super) fn look_again(
    spill: Spill,
    held_back: Vec<HeldBack>,
    max_payload_bytes: usize,
) -> Result<Vec<Difference>, VerifyError> {
    let hashes: HashSet<u64> =
        held_back.iter().map(|held| spill::hash(held.flow.as_str().as_bytes())).collect();
    let mut fold = Fold::default();
    for mut bucket in spill.into_buckets() {
        let read = bucket.read(
            |hash| hashes.contains(&hash),
            |entry| {
                if entry.stretch.is_some()
                    && let Some(event) = event(&entry, max_payload_bytes)
                {
                    fold.add(event);
                }
            },
        );
        read.map_err(|_| VerifyError::Died)?;
    }
    let mut differences = Vec::new();
    for HeldBack { flow, held, found, records } in held_back {
        let said = fold.flows.remove(&flow).unwrap_or_default();
        let found = judge::joined(found, judge::not_said(said, &held));
        let of = flow.to_string();
        differences.extend(found.into_iter().map(|row| Difference {
            of: of.clone(),
            row,
            records: records.clone(),
        }));
    }
    Ok(differences)
}

/// About how many bytes of memory it takes.
fn weight(held: &Held) -> u64 {
    let tables = &held.tables;
    let payload = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, bytes::Bytes::len);
    let steps = tables.steps.values().map(|(_, row)| row).chain(tables.superseded.values());
    let steps = steps.map(|row| 600 + payload(&row.data) + payload(&row.input) + payload(&row.output));
    let runs = tables.runs.values().chain(tables.shown.as_ref().map(|shown| &shown.row));
    let runs = runs.map(|row| 800 + payload(&row.input) + payload(&row.output));
    u64::try_from(steps.sum::<usize>() + runs.sum::<usize>()).unwrap_or(u64::MAX)
}
