//! A member of the consumer group: Kafka → Postgres, until it is told to stop or can't go on.

mod unresolved;

use std::{
    sync::{Arc, Mutex, mpsc},
    thread,
    time::Duration,
};

use tokio::{runtime::Handle, sync, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    clock,
    config::{self, Config, SchemaMode},
    http::{Condition, Health},
    kafka::{
        client,
        hollow::Looker,
        mirror::Mirror,
        rebalance::{Assignment, GroupContext},
        source,
    },
    metrics::LagTable,
    pipeline::{
        Kept, Load,
        consume::{Command, Consume, ConsumeError, LaneInput, Setup},
        decode::foreign::Foreign,
        gather::Gatherer,
        group::Limits,
        shares::Counting,
        store::Writer,
    },
    postgres::{
        Database, Store, StoreError, Tally,
        connect::{self, PostgresError},
        keeps_sessions,
    },
    redaction::{RuleError, Rules},
    retention::{PolicyError, Sparing},
    schema::{self, Difference, SchemaError},
    telemetry::{Tracer, Traces, TracesError},
};

/// How long Kafka may take to answer at start.
const KAFKA_LIMIT: Duration = Duration::from_secs(10);

/// How long to wait for another instance that is changing the schema.
const SCHEMA_PATIENCE: Duration = Duration::from_mins(5);

/// Why a collector does not start, or can't go on.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// Postgres can't be reached.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// A transaction pooler is in between.
    #[error(
        "Postgres is reached through a pooler that pools transactions, and a collector needs sessions of its own: \
         connect to the server itself, or to a pool with `pool_mode = session`"
    )]
    TransactionPooler,
    /// The tables are not as wanted.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// Kafka can't be reached, or has no such topic.
    #[error(transparent)]
    Kafka(#[from] client::Error),
    /// Reading can't go on.
    #[error(transparent)]
    Consume(#[from] ConsumeError),
    /// Storing can't go on.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is to be masked can't be told.
    #[error(transparent)]
    Redaction(#[from] RuleError),
    /// A policy of retention can't be worked with.
    #[error("retention.policies: {0}")]
    Retention(#[from] PolicyError),
    /// Traces can't be sent anywhere.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// Dead letters would be read again as events.
    #[error("collector.dead_letter_topic is {0}, which is also read; name a topic of its own")]
    ReadsLetters(String),
    /// A part of it died without a word.
    #[error("{0} ended by itself; this is a defect of flowtrail")]
    Died(String),
}

/// What a collector shows of itself.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Readiness and liveness.
    pub health: Arc<Health>,
    /// Lag by partition.
    pub lag: Arc<LagTable>,
}

/// Collects until `stop`. Refuses to start, with a sentence, if Kafka, a topic, Postgres or the tables are not there;
/// later outages are waited for.
///
/// On `stop` what is being written is finished within `collector.shutdown_timeout_ms`; what is not stored by then
/// will be read again. Dropping the future abandons what is being written, and leaves the group too.
pub async fn run(config: &Config, shown: Shown, stop: CancellationToken) -> Result<(), CollectError> {
    let letters = &config.collector.dead_letter_topic;
    if config.kafka.topics.contains(letters) {
        return Err(CollectError::ReadsLetters(letters.clone()));
    }
    ready_tables(config, &shown.health).await?;
    source::check_topics(config, KAFKA_LIMIT).await?;
    let lanes_done = CancellationToken::new();
    // The consumer's thread is no task that a drop would end.
    let _dropped = (stop.clone().drop_guard(), lanes_done.clone().drop_guard());
    let traces = Traces::begin(config)?;
    let (mut tasks, consumer) =
        start(config, shown, traces.as_ref().map(Traces::tracer), &stop, &lanes_done)?;

    let mut ended = Vec::new();
    let mut consumer_ended = consumer.ended;
    tokio::select! {
        () = stop.cancelled() => {}
        lane = tasks.join_next() => ended.extend(lane.map(flatten)),
        outcome = &mut consumer_ended => ended.push(of_consumer(outcome)),
    }
    let told = stop.is_cancelled();
    stop.cancel();
    let limit = Duration::from_millis(config.collector.shutdown_timeout_ms);
    let finish = async {
        while let Some(lane) = tasks.join_next().await {
            ended.push(flatten(lane));
        }
    };
    if tokio::time::timeout(limit, finish).await.is_err() {
        tracing::warn!(
            event = "write_abandoned",
            limit_ms = limit.as_millis(),
            "what was being written is abandoned; it will be read again"
        );
        tasks.shutdown().await;
    }
    lanes_done.cancel();
    // The last group offsets are written and the group is left; a broker that is away must not keep us.
    if tokio::time::timeout(limit, wait_for(consumer.thread)).await.is_err() {
        tracing::warn!(event = "group_not_left", "the group could not be left in time");
    }
    // Lanes end without an error when the consumer does, so its word is looked for too.
    if !consumer_ended.is_terminated() {
        match consumer_ended.try_recv() {
            Ok(outcome) => ended.push(outcome),
            Err(sync::oneshot::error::TryRecvError::Closed) => {
                ended.push(Err(CollectError::Died("the consumer's thread".to_owned())));
            }
            Err(sync::oneshot::error::TryRecvError::Empty) => {}
        }
    }
    if let Some(traces) = traces {
        traces.end().await;
    }
    match ended.into_iter().find(Result::is_err) {
        Some(error) => error,
        None if told => Ok(()),
        None => Err(CollectError::Died("a lane".to_owned())),
    }
}

fn of_consumer(
    outcome: Result<Result<(), CollectError>, sync::oneshot::error::RecvError>,
) -> Result<(), CollectError> {
    outcome.unwrap_or_else(|_| Err(CollectError::Died("the consumer's thread".to_owned())))
}

/// Looks at the tables, or brings them up to date, as `schema.mode` says.
pub(crate) async fn ready_tables(config: &Config, health: &Health) -> Result<(), CollectError> {
    if !keeps_sessions(&config.postgres).await? {
        return Err(CollectError::TransactionPooler);
    }
    let mut client = connect::connect(&config.postgres, "flowtrail-schema").await?;
    health.met(Condition::Database);
    match config.schema.mode {
        SchemaMode::Validate => warn_of(&schema::validate(&client).await?),
        SchemaMode::Update => {
            for change in schema::update(&mut client, SCHEMA_PATIENCE, config.schema.partitions).await? {
                tracing::info!(
                    event = "schema_changed",
                    number = change.number,
                    name = change.name,
                    "schema change applied"
                );
            }
            warn_of(&schema::validate(&client).await?);
        }
        SchemaMode::None => {}
    }
    health.met(Condition::Schema);
    Ok(())
}

/// What is not as it should be, but no reason not to collect.
fn warn_of(differences: &[Difference]) {
    for Difference { said, mend, .. } in differences {
        tracing::warn!(
            event = "schema_differs",
            said,
            mend,
            "the tables are not as the schema changes made them"
        );
    }
}

struct ConsumerThread {
    thread: thread::JoinHandle<()>,
    ended: sync::oneshot::Receiver<Result<(), CollectError>>,
}

pub(crate) type Tasks = JoinSet<Result<(), CollectError>>;

fn start(
    config: &Config,
    shown: Shown,
    tracer: Option<Tracer>,
    stop: &CancellationToken,
    lanes_done: &CancellationToken,
) -> Result<(Tasks, ConsumerThread), CollectError> {
    let collector = &config.collector;
    let runtime = Handle::current();
    let assignment = Arc::new(Assignment::new(collector.lanes));
    let store = Arc::new(Store::new(config.postgres.clone(), config.kafka.group.clone()));
    let context = GroupContext::new(
        client::Context::new(&config.kafka),
        assignment.clone(),
        store.clone(),
        Looker::new(&config.kafka),
        runtime.clone(),
    );
    let consumer = source::consumer(&config.kafka, context)?;
    source::subscribe(&consumer, &config.kafka)?;

    let mirror = Mirror::new(config)?.map(Arc::new);
    let rules = Rules::compile(&config.redaction)?;
    let commands = mpsc::channel();
    let mut tasks = JoinSet::new();
    let together = Lanes {
        collector,
        rules,
        foreign: Foreign::of(&config.flowable),
        unresolved: Kept::default(),
        shown: &shown,
        store: &store,
        mirror,
        sparing: Sparing::compile(&config.retention)?.map(Arc::new),
        counting: Counting::of(&config.collector),
        commands: &commands.0,
        tally: &Arc::default(),
        tracer,
        stop,
    };
    let lanes = (0..collector.lanes).map(|lane| together.start(lane, rand::random(), &mut tasks)).collect();
    let (rules, kept) = (together.rules.clone(), together.unresolved.clone());
    if let Some(hold) = config.flowable.hold {
        let trying = unresolved::keep_trying(config.clone(), hold, rules, kept, stop.clone());
        tasks.spawn(async move {
            Box::pin(trying).await;
            Ok(())
        });
    }
    let consume = Consume::new(
        Setup {
            consumer,
            assignment,
            store,
            lanes,
            commands,
            lane_buffer_bytes: collector.lane_buffer_bytes,
            on_gap: collector.on_gap,
            group_offset_interval: Duration::from_millis(collector.group_offset_interval_ms),
            lag: shown.lag,
            health: shown.health,
            runtime,
        },
        clock::monotonic(),
    );
    let (end, ended) = sync::oneshot::channel();
    let (stop, lanes_done) = (stop.clone(), lanes_done.clone());
    // librdkafka calls back on the thread that polls, and a rebalance may wait for Postgres there.
    let thread = thread::Builder::new().name("consume".to_owned()).spawn(move || {
        // Nobody listens any more once the process is ending.
        let _ = end.send(consume.run(&stop, &lanes_done).map_err(CollectError::from));
    });
    let thread = thread.map_err(|error| CollectError::Died(format!("the consumer's thread ({error})")))?;
    Ok((tasks, ConsumerThread { thread, ended }))
}

/// What the lanes of a collector have in common.
pub(crate) struct Lanes<'a, D> {
    pub(crate) collector: &'a config::Collector,
    pub(crate) rules: Option<Arc<Rules>>,
    pub(crate) foreign: Foreign,
    /// Told of letters that may come right by themselves.
    pub(crate) unresolved: Kept,
    pub(crate) shown: &'a Shown,
    pub(crate) store: &'a Arc<D>,
    pub(crate) mirror: Option<Arc<Mirror>>,
    pub(crate) sparing: Option<Arc<Sparing>>,
    pub(crate) counting: Counting,
    pub(crate) commands: &'a mpsc::Sender<Command>,
    /// What became of rows, over all lanes.
    pub(crate) tally: &'a Arc<Mutex<Tally>>,
    /// Makes traces of batches, where that is wanted.
    pub(crate) tracer: Option<Tracer>,
    pub(crate) stop: &'a CancellationToken,
}

impl<D: Database> Lanes<'_, D> {
    /// Starts the tasks of a lane, which end with `stop`. `jitter` is the seed of its back-off's.
    pub(crate) fn start(&self, lane: usize, jitter: u64, tasks: &mut Tasks) -> LaneInput {
        let load = Arc::new(Load::default());
        // Unbounded in length and bounded in bytes: the consumer looks at `load` before it reads on.
        let (sender, input) = sync::mpsc::unbounded_channel();
        // One word and one batch: the writer is asked before it is handed anything.
        let (ready, free) = sync::mpsc::channel(1);
        let (output, batches) = sync::mpsc::channel(1);
        let gatherer = Gatherer {
            input,
            load: load.clone(),
            ready: free,
            output,
            limits: Limits {
                rows: self.collector.batch_rows,
                bytes: self.collector.batch_bytes,
                payload_bytes: self.collector.max_payload_bytes,
            },
            rules: self.rules.clone(),
            foreign: self.foreign.clone(),
            linger: Duration::from_millis(self.collector.linger_ms),
            tracer: self.tracer.clone(),
        };
        let writer = Writer {
            lane,
            store: self.store.clone(),
            mirror: self.mirror.clone(),
            sparing: self.sparing.clone(),
            owners: self.counting.owners(),
            jitter,
            input: batches,
            ready,
            commands: self.commands.clone(),
            health: self.shown.health.clone(),
            tally: self.tally.clone(),
            unresolved: self.unresolved.clone(),
        };
        let gathering = self.stop.clone();
        tasks.spawn(async move {
            gatherer.run(gathering).await;
            Ok(())
        });
        let writing = self.stop.clone();
        tasks.spawn(async move { Ok(writer.run(writing).await?) });
        LaneInput { sender, load }
    }
}

fn flatten(ended: Result<Result<(), CollectError>, tokio::task::JoinError>) -> Result<(), CollectError> {
    match ended {
        Ok(outcome) => outcome,
        Err(error) if error.is_cancelled() => Ok(()),
        Err(error) => Err(CollectError::Died(format!("a lane ({error})"))),
    }
}

async fn wait_for(thread: thread::JoinHandle<()>) {
    // A join blocks; a panic of the thread has been reported as its end.
    let _ = tokio::task::spawn_blocking(move || thread.join()).await;
}

/// A fresh [`Health`] for a configuration.
pub fn health(config: &Config) -> Arc<Health> {
    let stall_after = Duration::from_millis(config.collector.stall_after_ms);
    Arc::new(Health::new(&Condition::OF_A_COLLECTOR, stall_after, clock::monotonic()))
}
