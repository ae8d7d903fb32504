//! A slice → another topic: records as they are, and how far the slice is read, in the same transactions of Kafka.

use std::{
    collections::HashSet,
    ops::ControlFlow,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rdkafka::consumer::ConsumerGroupMetadata;
use serde::Serialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{
    Job, Part, Progress, Read, ReplayError, ids,
    reading::{Reading, blocking},
};
use crate::{
    clock,
    config::Config,
    kafka::{
        admin::Admin,
        block::Block,
        broker::Record,
        client,
        transaction::{Outgoing, TransactionError, Transactions},
    },
    model::{Offset, Partition},
    pipeline::decode::foreign::Foreign,
    postgres::{
        audit, audit_outcome,
        connect::{self, PostgresError},
    },
    publish::pace::EvenPace,
};

/// `application_name` of the session that notes what was done.
const APPLICATION: &str = "flowtrail-replay";

/// How long Kafka may take to tell of a topic.
const ASK: Duration = Duration::from_secs(10);

/// Header that says where a record came from, as `topic[partition]@offset`.
pub const FROM_HEADER: &str = "flowtrail-replayed-from";

/// Header that says which replay put it there, by the replay's group.
pub const BY_HEADER: &str = "flowtrail-replayed-by";

/// What is in one transaction at most: records, and bytes of them beside the last one. librdkafka's queue holds 64 MiB.
const MOST: (u64, usize) = (10_000, 16 << 20);

/// So many records that are left out are noted in one piece.
const LEFT_OUT: u64 = 50_000;

/// How long a transaction stays open while records come slowly: until it ends nobody sees what is in it.
const OPEN: Duration = Duration::from_secs(1);

/// So long where a rate is wanted: for those who read what is committed, all records of a transaction come at once.
const OPEN_AT_A_RATE: Duration = EvenPace::SLICE;

/// What is committed beside an offset: the replay goes on there, or it was brought to its end there.
const GOING_ON: &str = "";
const DONE: &str = "done";

/// Where a slice is copied to.
#[derive(Debug, Clone)]
pub struct Target {
    /// The topic. It has to be there.
    pub topic: String,
    /// Records a second at most, spread evenly, also for those who read what is committed; 0 is as fast as possible.
    pub rate: u32,
    /// Instances get fresh ids, as [`ids`] has it. Only records of instances are copied then.
    pub new_instance_ids: bool,
}

/// What came of a replay into a topic. What earlier processes of the same replay copied is not counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// Its group.
    pub group: String,
    /// Where to.
    pub topic: String,
    /// What was read.
    pub partitions: Vec<Part>,
    /// What was read of it.
    pub read: Read,
    /// Records that were copied.
    pub replayed: u64,
    /// Transactions that it took.
    pub transactions: u64,
}

/// Copies a slice to a topic: key, value, timestamp and headers as they are, and the headers [`FROM_HEADER`] and [`BY_HEADER`] behind them.
/// The partition is murmur2's of the key, so records of one key that were in order on one partition are in order again.
///
/// Whoever reads what is committed sees each record once, whatever happens to the process: how far the slice is read is
/// committed with the records, as offsets of the job's group. A replay that was brought to its end copies nothing when it is
/// repeated, but for what has come to the slice since. A later process of the same group ends an earlier one. Records that the
/// replay itself put on a topic that it reads are left out. With a database it is noted in `ft_audit`.
pub async fn into_topic(
    config: &Config,
    job: &Job,
    target: Target,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<Copied, ReplayError> {
    let found = Admin::new(&config.kafka)?.topic(&target.topic, ASK).await?;
    found.ok_or_else(|| client::Error::NoTopic {
        topic: target.topic.clone(),
        servers: config.kafka.bootstrap_servers.clone(),
    })?;
    let (kafka, group) = (config.kafka.clone(), job.group.clone());
    // First of all: what an earlier process left open on a topic that is read keeps what is behind it from being read.
    let transactions = blocking(move || Ok(Transactions::take_over(&kafka, &group)?)).await?;
    let all_flows = target.new_instance_ids;
    let reading = Reading::prepare(config, &job.selection, &job.group, all_flows, progress, stop).await?;
    let note = Note::begin(config, job).await?;
    let group = job.group.clone();
    let copied = blocking(move || Copier::new(reading, transactions, target, group)?.run()).await;
    let noted = match &copied {
        Ok(copied) => note.end(config, &json!({ "copied": copied })).await,
        Err(error) => note.end(config, &json!({ "error": error.to_string() })).await,
    };
    // Why it ended says more than why that was not noted.
    let copied = copied?;
    noted?;
    Ok(copied)
}

/// What is noted in `ft_audit`, if there is a database.
struct Note(Option<(tokio_postgres::Client, i64)>);

impl Note {
    async fn begin(config: &Config, job: &Job) -> Result<Self, PostgresError> {
        if config.postgres.url.is_none() {
            return Ok(Self(None));
        }
        let client = connect::connect(&config.postgres, APPLICATION).await?;
        let number = audit(&client, &job.by, "replay", &job.group, &job.asked).await;
        let number = number.map_err(|error| PostgresError::of_statement(&config.postgres, error))?;
        Ok(Self(Some((client, number))))
    }

    async fn end(self, config: &Config, came: &serde_json::Value) -> Result<(), PostgresError> {
        let Some((client, number)) = self.0 else { return Ok(()) };
        let noted = audit_outcome(&client, number, came).await;
        noted.map_err(|error| PostgresError::of_statement(&config.postgres, error))
    }
}

/// The transaction that is open, if one is.
#[derive(Debug, Default)]
struct Open {
    since: Option<Instant>,
    records: u64,
    bytes: usize,
    left_out: u64,
}

impl Open {
    fn is_due(&self, now: Instant, longest: Duration) -> bool {
        self.records >= MOST.0
            || self.bytes >= MOST.1
            || self.left_out >= LEFT_OUT
            || self.since.is_some_and(|since| now.duration_since(since) >= longest)
    }
}

struct Copier {
    reading: Reading,
    copying: Copying,
}

/// All but what is read.
struct Copying {
    transactions: Transactions,
    reader: ConsumerGroupMetadata,
    target: Target,
    group: String,
    /// Flows that get fresh ids, where any do: all that are replayed.
    renamed: Option<Arc<HashSet<String>>>,
    max_payload_bytes: usize,
    foreign: Foreign,
    /// The topic that is written is read too.
    reads_itself: bool,
    partitions: Vec<Partition>,
    /// First offsets that are not read yet, by partition.
    next: Vec<i64>,
    open: Open,
    pace: Option<EvenPace>,
    stop: CancellationToken,
    block: Block,
    replayed: u64,
    committed: u64,
}

impl Copier {
    /// Goes on where the group has stopped.
    fn new(
        mut reading: Reading,
        transactions: Transactions,
        target: Target,
        group: String,
    ) -> Result<Self, ReplayError> {
        let partitions = reading.partitions();
        let committed = reading.slicer.committed(&partitions)?;
        let begins: Vec<i64> = reading.stretches.iter().map(|stretch| stretch.from).collect();
        let resumed = committed.into_iter().map(|(partition, next, word)| {
            let begin = partitions.iter().zip(&begins).find(|(known, _)| **known == partition);
            // Of one that was done, only what is asked for now and was not copied then is left.
            let first = begin.filter(|_| word == DONE).map_or(next, |(_, begin)| next.max(Offset(*begin)));
            (partition, first)
        });
        reading.resume(&resumed.collect::<Vec<_>>());
        let died = || client::Error::Other { doing: "begin a replay", reason: "it has no group".to_owned() };
        let reader = reading.slicer.group_metadata().ok_or_else(died)?;
        let renamed =
            target.new_instance_ids.then(|| Arc::new(reading.filter.flows.clone().unwrap_or_default()));
        let copying = Copying {
            pace: EvenPace::new(target.rate, clock::monotonic()),
            reads_itself: partitions.iter().any(|partition| *partition.topic == *target.topic),
            next: reading.stretches.iter().map(|stretch| stretch.from).collect(),
            max_payload_bytes: reading.filter.max_payload_bytes,
            foreign: reading.filter.foreign.clone(),
            stop: reading.stop.clone(),
            open: Open::default(),
            block: Block::default(),
            replayed: 0,
            committed: 0,
            transactions,
            reader,
            target,
            group,
            renamed,
            partitions,
        };
        Ok(Self { reading, copying })
    }

    /// Copies it all. Blocks.
    fn run(self) -> Result<Copied, ReplayError> {
        let Self { reading, mut copying } = self;
        let mut failed = None;
        let read =
            reading.read(|stretch, record, is_wanted| match copying.take(stretch, record, is_wanted) {
                Ok(flow) => flow,
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            });
        if failed.is_some() || read.is_err() {
            copying.abort();
        }
        if let Some(error) = failed {
            return Err(error.into());
        }
        read?;
        if copying.stop.is_cancelled() {
            copying.abort();
            return Err(ReplayError::Stopped);
        }
        copying.next = reading.stretches.iter().map(|stretch| stretch.to).collect();
        copying.commit(DONE)?;
        Ok(Copied {
            group: copying.group,
            topic: copying.target.topic,
            partitions: reading.parts(),
            read: reading.progress.read(),
            replayed: copying.replayed,
            transactions: copying.committed,
        })
    }
}

impl Copying {
    fn take(
        &mut self,
        stretch: usize,
        record: &dyn Record,
        is_wanted: bool,
    ) -> Result<ControlFlow<()>, TransactionError> {
        let copied = if is_wanted { self.copy(record)? } else { false };
        if self.stop.is_cancelled() {
            // Before the offset moves past a record that did not go any more.
            return Ok(ControlFlow::Break(()));
        }
        if !copied {
            self.open.left_out += 1;
        }
        if let Some(next) = self.next.get_mut(stretch) {
            *next = record.offset().next().0;
        }
        let longest = if self.pace.is_some() { OPEN_AT_A_RATE } else { OPEN };
        if self.open.is_due(clock::monotonic(), longest) {
            self.commit(GOING_ON)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Puts a record on the topic, if it is one that goes there.
    fn copy(&mut self, record: &dyn Record) -> Result<bool, TransactionError> {
        let mut headers = record.headers();
        let own = |(name, value): &(String, Option<Bytes>)| {
            name == BY_HEADER && value.as_deref() == Some(self.group.as_bytes())
        };
        if self.reads_itself && headers.iter().any(own) {
            return Ok(false);
        }
        let from = format!("{}[{}]@{}", record.topic(), record.partition(), record.offset());
        headers.push((FROM_HEADER.to_owned(), Some(from.into())));
        headers.push((BY_HEADER.to_owned(), Some(self.group.clone().into())));
        let Some(flows) = &self.renamed else {
            return self.put(record.key(), record.payload(), record.time(), &headers);
        };
        let [key, payload] = self.foreign.copied(&mut self.block, record);
        let (limit, is_replayed) = (self.max_payload_bytes, |flow: &str| flows.contains(flow));
        let mut is_put = false;
        for (key, payload) in ids::renamed(&self.group, key.as_deref(), payload.as_ref(), limit, is_replayed)
        {
            is_put |= self.put(Some(key.as_bytes()), Some(&payload), record.time(), &headers)?;
        }
        Ok(is_put)
    }

    fn put(
        &mut self,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        time: Option<i64>,
        headers: &[(String, Option<Bytes>)],
    ) -> Result<bool, TransactionError> {
        if !self.wait_for_turn()? {
            return Ok(false);
        }
        self.begin()?;
        self.transactions.send(&self.target.topic, &Outgoing { key, payload, time, headers })?;
        self.replayed += 1;
        self.open.records += 1;
        self.open.bytes += key.map_or(0, <[u8]>::len) + payload.map_or(0, <[u8]>::len);
        Ok(true)
    }

    /// Waits until a record may go; `false` says stop. What is open does not wait for long with it.
    fn wait_for_turn(&mut self) -> Result<bool, TransactionError> {
        let ahead = self.pace.map_or(Duration::ZERO, |pace| pace.ahead(clock::monotonic()));
        if self.open.since.is_some() && ahead >= OPEN_AT_A_RATE {
            self.commit(GOING_ON)?;
        }
        Ok(self.pace.as_mut().map_or(!self.stop.is_cancelled(), |pace| pace.wait_for_turn(&self.stop)))
    }

    fn begin(&mut self) -> Result<(), TransactionError> {
        if self.open.since.is_none() {
            self.transactions.begin()?;
            self.open.since = Some(clock::monotonic());
        }
        Ok(())
    }

    fn commit(&mut self, word: &str) -> Result<(), TransactionError> {
        self.begin()?;
        let offsets = self.partitions.iter().zip(&self.next);
        let offsets: Vec<_> = offsets.map(|(partition, next)| (partition.clone(), Offset(*next))).collect();
        self.transactions.commit(&offsets, &self.reader, word)?;
        self.open = Open::default();
        self.committed += 1;
        Ok(())
    }

    fn abort(&mut self) {
        if self.open.since.take().is_some() {
            self.transactions.abort();
        }
    }
}
