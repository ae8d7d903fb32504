//! A slice → the tables, by the lanes of a collector: the same pipeline, the same law.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use super::{Job, Part, Progress, Read, ReplayError, feed::Feeder, reading::Reading, reading::blocking};
use crate::{
    collector::{self, CollectError, Lanes, Shown},
    config::Config,
    kafka::{Lease, Start},
    model::{Offset, Partition},
    pipeline::{
        Kept,
        consume::{Command, LaneInput},
        decode::foreign::Foreign,
        shares::Counting,
    },
    postgres::{
        Ops, Store, Tally, audit, audit_outcome,
        connect::{self, PostgresError},
        forget_offsets, holds_rows, make_list_index, put_off_list_index, read_offsets,
    },
    redaction::Rules,
    retention::Sparing,
};

/// `application_name` of the session beside the lanes.
const APPLICATION: &str = "flowtrail-replay";

/// How long lanes may take to end once they are told to.
const ENDING: Duration = Duration::from_secs(10);

/// How emptied tables are filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuild {
    /// The index that only lists of flows use is taken away, and made when all is stored.
    pub put_off_index: bool,
    /// Tables that hold rows are merged with. Otherwise that is an error, unless the rebuild was begun before.
    pub even_if_not_empty: bool,
}

/// What came of a replay into Postgres. Rows of earlier processes of the same replay are not counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stored {
    /// Its group.
    pub group: String,
    /// What was read.
    pub partitions: Vec<Part>,
    /// What was read of it.
    pub read: Read,
    /// Records that went to the pipeline.
    pub replayed: u64,
    /// Rows of `steps`. One that several batches touch counts in each.
    pub steps: Ops,
    /// Rows of `flowstate`, likewise.
    pub flows: Ops,
    /// Rows of `ft_variable`.
    pub variables: Ops,
    /// Rows that came to `ft_superseded_step`.
    pub superseded: u64,
    /// Dead letters that were not kept before.
    pub dead_letters: u64,
}

/// Stores a slice once more. Where nothing is missing no row is written.
///
/// How far it is, is in `ft_offset` under the job's group, in the transactions that write the rows, until it is done. Two
/// processes with one group can't both go on: one ends with [`ReplayError::Moved`]. A `stop` drops what is not written.
/// What it begins and what came of it is noted in `ft_audit`. All is on Postgres's disk when this returns.
pub async fn into_postgres(
    config: &Config,
    job: &Job,
    rebuild: Option<Rebuild>,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> Result<Stored, ReplayError> {
    let shown = Shown { health: collector::health(config), lag: Arc::default() };
    collector::ready_tables(config, &shown.health).await?;
    let client = connect::connect(&config.postgres, APPLICATION).await?;
    let failed = |error| PostgresError::of_statement(&config.postgres, error);
    let mut reading =
        Reading::prepare(config, &job.selection, &job.group, false, progress, stop.clone()).await?;
    let begun = begun(&client, job, rebuild, &reading).await.map_err(failed)?;
    if let Some(rebuild) = rebuild {
        if begun.is_empty() && !rebuild.even_if_not_empty && holds_rows(&client).await.map_err(failed)? {
            return Err(ReplayError::NotEmpty);
        }
        if rebuild.put_off_index {
            put_off_list_index(&client).await.map_err(failed)?;
        }
    }
    reading.resume(&begun);
    let note = audit(&client, &job.by, "replay", &job.group, &job.asked).await.map_err(failed)?;
    let stored = Box::pin(run(config, job, reading, &begun, &shown, &stop)).await;
    if stored.is_ok() && rebuild.is_some_and(|rebuild| rebuild.put_off_index) {
        make_list_index(&client).await.map_err(failed)?;
    }
    let came = match &stored {
        Ok(stored) => json!({ "stored": stored }),
        Err(error) => json!({ "error": error.to_string() }),
    };
    let noted = audit_outcome(&client, note, &came).await.map_err(failed);
    // Why it ended says more than why that was not noted.
    let stored = stored?;
    noted?;
    // Last, since with them goes the knowledge that anything was left to do.
    forget_offsets(&client, &job.group).await.map_err(failed)?;
    Ok(stored)
}

/// Where an earlier process of the replay stopped. A rebuild that finds nothing in the tables was begun before they were
/// emptied again: what was done then is gone.
async fn begun(
    client: &Client,
    job: &Job,
    rebuild: Option<Rebuild>,
    reading: &Reading,
) -> Result<Vec<(Partition, Offset)>, tokio_postgres::Error> {
    if job.anew || (rebuild.is_some() && !holds_rows(client).await?) {
        forget_offsets(client, &job.group).await?;
        return Ok(Vec::new());
    }
    let begun = read_offsets(client, &job.group, &reading.partitions()).await?;
    Ok(begun.into_iter().map(|(partition, stored)| (partition, stored.next)).collect())
}

async fn run(
    config: &Config,
    job: &Job,
    reading: Reading,
    begun: &[(Partition, Offset)],
    shown: &Shown,
    stop: &CancellationToken,
) -> Result<Stored, ReplayError> {
    let parts = reading.parts();
    let (commands, told) = mpsc::channel();
    let tally: Arc<Mutex<Tally>> = Arc::default();
    let stop_lanes = stop.child_token();
    let _dropped = stop_lanes.clone().drop_guard();
    let mut tasks = JoinSet::new();
    let store = Arc::new(Store::new(config.postgres.clone(), job.group.clone()));
    let lanes = Lanes {
        collector: &config.collector,
        rules: Rules::compile(&config.redaction).map_err(CollectError::from)?,
        foreign: Foreign::of(&config.flowable),
        // A collector tries those again.
        unresolved: Kept::default(),
        shown,
        store: &store,
        // The collectors have put on the topic what became a dead letter.
        mirror: None,
        sparing: Sparing::compile(&config.retention).map_err(CollectError::from)?.map(Arc::new),
        // What is replayed was counted when it came.
        counting: Counting::default(),
        commands: &commands,
        tally: &tally,
        tracer: None,
        stop: &stop_lanes,
    };
    let inputs: Vec<LaneInput> =
        (0..config.collector.lanes).map(|lane| lanes.start(lane, rand::random(), &mut tasks)).collect();
    let leases = leases(&reading, begun, config.collector.lanes);
    let feeder = Feeder::new(reading, &leases, inputs, config.collector.lane_buffer_bytes);
    let fed = blocking(move || feeder.run()).await;
    if fed.is_err() {
        stop_lanes.cancel();
    }
    let ended = all_ended(&mut tasks, &stop_lanes).await;
    let moved = told.try_iter().find_map(moved);
    // Why a lane ended says more than that the others did.
    ended?;
    let (reading, replayed) = fed?;
    if let Some(partition) = moved {
        return Err(ReplayError::Moved(partition));
    }
    for (lease, stretch) in leases.iter().zip(&reading.stretches) {
        let is_stored = stretch.is_empty() || lease.stored() >= Some(Offset(stretch.to));
        if !is_stored {
            return Err(if stop.is_cancelled() { ReplayError::Stopped } else { ReplayError::Died });
        }
    }
    let Tally { steps, flows, variables, superseded, dead_letters, .. } =
        *tally.lock().unwrap_or_else(PoisonError::into_inner);
    let (group, read) = (job.group.clone(), reading.progress.read());
    Ok(Stored { group, partitions: parts, read, replayed, steps, flows, variables, superseded, dead_letters })
}

/// A lease for each stretch, from what is stored of the replay, over all lanes in turn.
fn leases(reading: &Reading, begun: &[(Partition, Offset)], lanes: usize) -> Vec<Arc<Lease>> {
    let lease = |(number, partition): (usize, Partition)| {
        let base = begun.iter().find(|(known, _)| *known == partition).map(|(_, next)| *next);
        let generation = u64::try_from(number).unwrap_or(u64::MAX);
        Arc::new(Lease::new(partition, generation, number % lanes.max(1), Start::at(base)))
    };
    reading.partitions().into_iter().enumerate().map(lease).collect()
}

/// Waits until the lanes have written what they were given. The first error ends the others.
async fn all_ended(tasks: &mut collector::Tasks, stop: &CancellationToken) -> Result<(), ReplayError> {
    let mut outcome = Ok(());
    while let Some(ended) = next_ended(tasks, stop).await {
        let ended = match ended {
            Ok(ended) => ended.map_err(ReplayError::from),
            Err(_) => Err(ReplayError::Died),
        };
        if ended.is_err() {
            stop.cancel();
            outcome = outcome.and(ended);
        }
    }
    outcome
}

/// The next task that has ended; one that does not end in time once it is told to is given up.
async fn next_ended(
    tasks: &mut collector::Tasks,
    stop: &CancellationToken,
) -> Option<Result<Result<(), collector::CollectError>, tokio::task::JoinError>> {
    tokio::select! {
        ended = tasks.join_next() => return ended,
        () = stop.cancelled() => {}
    }
    if let Ok(ended) = tokio::time::timeout(ENDING, tasks.join_next()).await {
        return ended;
    }
    tasks.shutdown().await;
    None
}

fn moved(command: Command) -> Option<Partition> {
    match command {
        Command::Again(leases) => leases.into_iter().next().map(|(lease, _)| lease.partition.clone()),
        _ => None,
    }
}
