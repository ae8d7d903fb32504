//! Whether the tables hold what is on the topic: a slice is read, folded by the merge law, and compared row by row.
//!
//! It takes part in no group and changes nothing. [`judge`] says what a difference is.

mod columns;
mod comparing;
pub mod judge;
mod reading;
mod report;
mod spill;

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::TryStreamExt as _;
use tokio::{
    sync::mpsc,
    task::{JoinSet, spawn_blocking},
};

pub use self::{
    columns::ColumnDifference,
    report::{Difference, Part, Report},
    spill::SpillError,
};
use self::{
    comparing::{Comparer, HeldBack},
    judge::{Key, Kind, RowDifference},
    reading::{Reader, Refused, Rejected},
    spill::{Bucket, Entry, Spill},
};
use crate::{
    config::Config,
    kafka::{
        self,
        admin::Admin,
        slice::{SliceError, Slicer, Stretch, Wanted},
    },
    model::{Micros, Offset, Partition},
    pipeline::decode::foreign::Foreign,
    postgres::{
        Holdings,
        connect::{self, PostgresError},
        read_offsets,
    },
    redaction::{RuleError, Rules},
};

/// Name of the sessions.
const APPLICATION: &str = "flowtrail-verify";

/// How many sessions compare at the same time.
const COMPARERS: usize = 2;

/// Differences that wait to be taken.
const WAITING: usize = 1_024;

/// What to compare.
#[derive(Debug, Clone)]
pub struct Options {
    /// The slice.
    pub wanted: Wanted,
    /// Only these flows, if any are named.
    pub flows: Option<HashSet<String>>,
    /// Records that the group has not stored yet count too.
    pub with_lag: bool,
    /// Only what is not stored is told; nothing is called extra.
    pub only_unstored: bool,
    /// Bytes of records that are kept in memory before they are written to files.
    pub memory: usize,
    /// Where those files are.
    pub spill_folder: PathBuf,
}

/// Why nothing can be said.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The slice can't be read.
    #[error(transparent)]
    Slice(#[from] SliceError),
    /// The tables can't be read.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// There is no room for what was read.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// What is to be masked can't be told.
    #[error(transparent)]
    Redaction(#[from] RuleError),
    /// A part of it died without a word.
    #[error("a part of the comparison ended by itself; this is a defect of flowtrail")]
    Died,
}

impl From<kafka::client::Error> for VerifyError {
    fn from(error: kafka::client::Error) -> Self {
        Self::Slice(error.into())
    }
}

/// How far it is. Bytes are those of records that were read, then of records that were compared.
#[derive(Debug, Default)]
pub struct Progress {
    /// Offsets to read.
    pub offsets: AtomicU64,
    /// Offsets that were read.
    pub read: AtomicU64,
    /// Bytes to compare, once all is read.
    pub bytes: AtomicU64,
    /// Bytes that were compared.
    pub compared: AtomicU64,
}

/// What does not change while a slice is compared.
struct Setting {
    slicer: Slicer,
    stretches: Vec<Stretch>,
    /// The slice ends where the topic does: what is stored can be held against it.
    to_the_end: bool,
    max_payload_bytes: usize,
    /// What is masked before anything is compared.
    rules: Option<Arc<Rules>>,
    /// How records are read that are not the contract's own.
    foreign: Foreign,
    /// Finished flows that started before this were removed by retention.
    removed_before: Option<Micros>,
    progress: Arc<Progress>,
    differences: mpsc::Sender<Difference>,
}

impl Setting {
    /// The record at an offset of a stretch.
    fn place(&self, stretch: usize, offset: i64) -> Option<(Partition, Offset)> {
        Some((self.stretches.get(stretch)?.partition.clone(), Offset(offset)))
    }

    /// Hands a difference to whoever takes them; if nobody does any more, it need not be known.
    async fn tell(&self, difference: Difference) {
        let _ = self.differences.send(difference).await;
    }

    /// The stretches from where this slice ends to where the topics end now.
    fn tail(&self) -> Result<Vec<Stretch>, VerifyError> {
        let tail = |stretch: &Stretch| {
            let end = self.slicer.end(&stretch.partition)?;
            Ok(Stretch { partition: stretch.partition.clone(), from: stretch.to, to: end.max(stretch.to) })
        };
        self.stretches.iter().map(tail).collect()
    }
}

/// Compares a slice with the tables; `found` gets each difference as it is found, in no order.
///
/// Dropping the future ends it; a read that is under way ends within a second or with the process.
pub async fn verify(
    config: &Config,
    options: Options,
    progress: Arc<Progress>,
    mut found: impl FnMut(Difference),
) -> Result<Report, VerifyError> {
    let (differences, mut taken) = mpsc::channel(WAITING);
    let comparison = Comparison::prepare(config, &options, progress, differences);
    let mut counted = Report::default();
    let mut report = {
        let work = async { Box::pin(comparison.await?.run(&options)).await };
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                Some(difference) = taken.recv() => {
                    counted.count(difference.row.kind);
                    found(difference);
                }
                done = &mut work => break done?,
            }
        }
    };
    while let Some(difference) = taken.recv().await {
        counted.count(difference.row.kind);
        found(difference);
    }
    (report.missing, report.different, report.extra) = (counted.missing, counted.different, counted.extra);
    Ok(report)
}

/// One comparison.
struct Comparison {
    config: Config,
    setting: Arc<Setting>,
    asking: Holdings,
    not_yet_stored: Vec<u64>,
}

impl Comparison {
    async fn prepare(
        config: &Config,
        options: &Options,
        progress: Arc<Progress>,
        differences: mpsc::Sender<Difference>,
    ) -> Result<Self, VerifyError> {
        let client = connect::connect(&config.postgres, APPLICATION).await?;
        let (slicer, mut stretches) = {
            let (kafka, wanted) = (config.kafka.clone(), options.wanted.clone());
            blocking(move || {
                let slicer = Slicer::new(&kafka)?;
                let stretches = slicer.stretches(&wanted)?;
                Ok((slicer, stretches))
            })
            .await?
        };
        let mut not_yet_stored = vec![0; stretches.len()];
        if !options.with_lag {
            let partitions: Vec<_> = stretches.iter().map(|stretch| stretch.partition.clone()).collect();
            let stored = read_offsets(&client, &config.kafka.group, &partitions).await;
            let stored = stored.map_err(|error| PostgresError::of_statement(&config.postgres, error))?;
            for (stretch, left_out) in stretches.iter_mut().zip(&mut not_yet_stored) {
                let next = stored.iter().find(|(partition, _)| *partition == stretch.partition);
                let next = next.map_or(stretch.from, |(_, stored)| stored.next.0.max(stretch.from));
                let to = stretch.to.min(next);
                *left_out = u64::try_from(stretch.to - to).unwrap_or(0);
                stretch.to = to;
            }
        }
        let asking = holdings(config, client).await?;
        let removed_before = asking.removed_before().await.map_err(failed(config))?;
        let until = &options.wanted.until;
        let mut to_the_end = !options.only_unstored && until.time.is_none() && until.offsets.is_empty();
        if to_the_end {
            // What compaction removed can't be told from what was never said.
            let admin = Admin::new(&config.kafka)?;
            for topic in &options.wanted.topics {
                to_the_end = to_the_end && admin.keeps_every_record(topic).await?;
            }
        }
        progress.offsets.store(stretches.iter().map(Stretch::len).sum(), Ordering::Relaxed);
        let max_payload_bytes = config.collector.max_payload_bytes;
        let setting = Setting {
            slicer,
            stretches,
            to_the_end,
            max_payload_bytes,
            rules: Rules::compile(&config.redaction)?,
            foreign: Foreign::of(&config.flowable),
            removed_before,
            progress,
            differences,
        };
        Ok(Self { config: config.clone(), setting: Arc::new(setting), asking, not_yet_stored })
    }

    async fn run(self, options: &Options) -> Result<Report, VerifyError> {
        let mut report = Report { partitions: self.parts(), ..Report::default() };
        let spill = Spill::new(&options.spill_folder, options.memory);
        let flows = options.flows.clone();
        let (mut spill, mut begins) =
            self.read(&self.setting.stretches, spill, flows, Some(&mut report)).await?;
        let since = &options.wanted.since;
        for (stretch, begin) in self.setting.stretches.iter().zip(&mut begins) {
            if let Some(time) = since.time.filter(|_| !since.offsets.contains_key(&stretch.partition.number))
            {
                *begin = Some(time.as_millisecond());
            }
        }
        if options.flows.is_none() && self.is_whole(&options.wanted) {
            self.note_all_flows(&mut spill).await?;
        }
        let (buckets, held_back) = self.compare(spill, begins, options.memory, &mut report).await?;
        if !held_back.is_empty() {
            self.look_again(Spill::of(buckets, &options.spill_folder, options.memory), held_back).await?;
        }
        Ok(report)
    }

    fn parts(&self) -> Vec<Part> {
        let part = |(stretch, left_out): (&Stretch, &u64)| Part {
            topic: stretch.partition.topic.to_string(),
            partition: stretch.partition.number,
            from: stretch.from,
            to: stretch.to,
            not_yet_stored: *left_out,
        };
        self.setting.stretches.iter().zip(&self.not_yet_stored).map(part).collect()
    }

    /// Whether the slice is all there ever was on the topics.
    fn is_whole(&self, wanted: &Wanted) -> bool {
        let from_the_beginning = self.setting.stretches.iter().all(|stretch| stretch.from == 0);
        self.setting.to_the_end
            && wanted.partitions.is_none()
            && wanted.since.offsets.is_empty()
            && from_the_beginning
    }

    /// Reads stretches into buckets. What can't become rows is looked for among the dead letters, if there is a report.
    async fn read(
        &self,
        stretches: &[Stretch],
        spill: Spill,
        flows: Option<HashSet<String>>,
        report: Option<&mut Report>,
    ) -> Result<(Spill, Vec<Option<i64>>), VerifyError> {
        let places: Vec<_> =
            stretches.iter().map(|stretch| (stretch.partition.clone(), stretch.from, stretch.to)).collect();
        let refused = self.asking.refused(&places).await.map_err(failed(&self.config))?;
        let (rejecting, mut rejected) = mpsc::channel::<Rejected>(16);
        let reader = Reader::new(stretches.to_vec(), flows, Refused::of(stretches, refused), spill);
        let reader = reader.telling(report.is_some().then_some(rejecting));
        let setting = self.setting.clone();
        let reading = spawn_blocking(move || reader.read(&setting));
        while let Some(places) = rejected.recv().await {
            self.look_for_letters(places).await?;
        }
        let read = reading.await.map_err(|_| VerifyError::Died)??;
        if let Some(report) = report {
            (report.records, report.rejected, report.refused) = (read.records, read.rejected, read.refused);
            report.spilled_bytes = read.spill.spilled();
        }
        Ok((read.spill, read.first_times))
    }

    /// Tells of records that should have become dead letters and did not.
    async fn look_for_letters(&self, places: Rejected) -> Result<(), VerifyError> {
        let kept = self.asking.letters(&places).await.map_err(failed(&self.config))?;
        let kept: HashSet<(Partition, Offset)> = kept.into_iter().collect();
        let places = places.into_iter().map(|(partition, offset, _)| (partition, offset));
        for (partition, offset) in places.filter(|place| !kept.contains(place)) {
            let row = RowDifference {
                table: "ft_dead_letter",
                key: Key::default(),
                kind: Kind::Missing,
                columns: Vec::new(),
            };
            self.setting.tell(Difference { of: format!("{partition}@{offset}"), row, records: None }).await;
        }
        Ok(())
    }

    /// Notes of which flows anything is stored, so that those of which no record speaks are seen.
    async fn note_all_flows(&self, spill: &mut Spill) -> Result<(), VerifyError> {
        let failed = failed(&self.config);
        let ids = self.asking.ids().await.map_err(&failed)?;
        tokio::pin!(ids);
        while let Some(row) = ids.try_next().await.map_err(&failed)? {
            let id: String = row.try_get(0).map_err(&failed)?;
            let (key, payload) = (bytes::Bytes::from(id), bytes::Bytes::new());
            let hash = spill::hash(&key[..]);
            spill.add(&Entry { hash, stretch: None, offset: 0, time: 0, key, payload })?;
        }
        Ok(())
    }

    async fn compare(
        &self,
        spill: Spill,
        begins: Vec<Option<i64>>,
        memory: usize,
        report: &mut Report,
    ) -> Result<(Vec<Bucket>, Vec<HeldBack>), VerifyError> {
        let buckets = spill.into_buckets();
        self.setting.progress.bytes.store(buckets.iter().map(Bucket::bytes).sum(), Ordering::Relaxed);
        let begins: Arc<[Option<i64>]> = begins.into();
        let mut shares: Vec<Vec<(usize, Bucket)>> = (0..COMPARERS).map(|_| Vec::new()).collect();
        for (number, bucket) in buckets.into_iter().enumerate() {
            if let Some(share) = shares.get_mut(number % COMPARERS) {
                share.push((number, bucket));
            }
        }
        let mut comparing = JoinSet::new();
        for share in shares {
            let client = connect::connect(&self.config.postgres, APPLICATION).await?;
            let holdings = holdings(&self.config, client).await?;
            let comparer = Comparer::new(self.setting.clone(), holdings, begins.clone(), memory / 4);
            let postgres = self.config.postgres.clone();
            comparing.spawn(async move { comparer.run(share, &postgres).await });
        }
        let (mut buckets, mut held_back) = (Vec::new(), Vec::new());
        while let Some(done) = comparing.join_next().await {
            let (share, compared) = done.map_err(|_| VerifyError::Died)??;
            report.add(&compared);
            buckets.extend(share);
            held_back.extend(compared.held_back);
        }
        buckets.sort_by_key(|(number, _)| *number);
        Ok((buckets.into_iter().map(|(_, bucket)| bucket).collect(), held_back))
    }

    /// Rows may have come from records behind the slice: those are read now, of the flows that it matters for.
    async fn look_again(&self, spill: Spill, held_back: Vec<HeldBack>) -> Result<(), VerifyError> {
        let setting = self.setting.clone();
        let tail = blocking(move || setting.tail()).await?;
        let flows = held_back.iter().map(|held| held.flow.as_str().to_owned()).collect();
        let (spill, _) = self.read(&tail, spill, Some(flows), None).await?;
        let max_payload_bytes = self.setting.max_payload_bytes;
        let found = blocking(move || comparing::look_again(spill, held_back, max_payload_bytes)).await?;
        for difference in found {
            self.setting.tell(difference).await;
        }
        Ok(())
    }
}

/// The earliest start that is stored of these flows, if one is of each.
pub async fn earliest_start(
    config: &Config,
    flows: impl IntoIterator<Item = &str>,
) -> Result<Option<jiff::Timestamp>, VerifyError> {
    let client = connect::connect(&config.postgres, APPLICATION).await?;
    let flows: Vec<&str> = flows.into_iter().collect();
    let start = holdings(config, client).await?.earliest_start(&flows).await.map_err(failed(config))?;
    Ok(start.and_then(|start| jiff::Timestamp::from_microsecond(start.get()).ok()))
}

async fn holdings(config: &Config, client: tokio_postgres::Client) -> Result<Holdings, VerifyError> {
    Ok(Holdings::prepare(client).await.map_err(failed(config))?)
}

/// The sentence for a statement that failed.
fn failed(config: &Config) -> impl Fn(tokio_postgres::Error) -> PostgresError {
    |error| PostgresError::of_statement(&config.postgres, error)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VerifyError> + Send + 'static,
) -> Result<T, VerifyError> {
    spawn_blocking(work).await.map_err(|_| VerifyError::Died)?
}
