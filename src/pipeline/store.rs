//! A lane's second half: writes batches to Postgres, one at a time, and says what is stored.
//!
//! An outage is waited for with the batch in hand. Offsets that are not what was expected send the lane's partitions
//! back to what is stored. Anything else ends the process with a sentence, and nothing is lost: what is not stored is
//! read again.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio_util::sync::CancellationToken;

use super::{
    consume::Command,
    group::{Gathered, last_record},
    watermark::{Found, Ledger, Verdict, judge},
};
use crate::{
    clock, config,
    http::{Condition, Health},
    kafka::Lease,
    metrics::{self, RowOp},
    postgres::{
        self, Batch, Fault, Ops, Progress, Session, Tally, Written,
        connect::{self, PostgresError},
    },
};

/// A batch whose write takes longer than this is given up with its session, and tried again in another: a server
/// that hangs, or a network that swallows packets, says nothing by itself.
const WRITE_LIMIT: Duration = Duration::from_mins(2);

/// How long to wait before a batch is tried again, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Why a lane can't go on.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Postgres refused the batch for what a person has to put right.
    #[error(
        "Postgres refused to store a batch: {0}; nothing is lost, it will be stored once this is put right"
    )]
    Refused(String),
    /// A session could not be opened for what a person has to put right.
    #[error(transparent)]
    Session(#[from] PostgresError),
}

/// What a lane's writer is connected to.
#[derive(Debug)]
pub struct Writer {
    /// Which lane this is, for logs.
    pub lane: usize,
    /// Where to write.
    pub postgres: config::Postgres,
    /// Consumer group, as `ft_offset` has it.
    pub group: String,
    /// Batches.
    pub input: Receiver<Gathered>,
    /// Says that the next batch may come.
    pub ready: Sender<()>,
    /// To the consumer.
    pub commands: mpsc::Sender<Command>,
    /// Told of progress, and of the database.
    pub health: Arc<Health>,
}

/// A batch and the leases that its offsets move under.
struct Job {
    batch: Batch,
    leases: Vec<Arc<Lease>>,
    oldest: Option<i64>,
}

impl Writer {
    /// Runs until `stop` or until the gatherer is gone; a batch that is being written is finished first.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), StoreError> {
        let mut ledger = Ledger::default();
        let mut session = None;
        loop {
            if self.ready.send(()).await.is_err() {
                return Ok(());
            }
            let Some(Some(gathered)) = stop.run_until_cancelled(self.input.recv()).await else {
                return Ok(());
            };
            let Some(job) = prepare(gathered, &ledger) else { continue };
            match self.write_until_decided(&mut session, &job, &stop).await? {
                Some(Verdict::Stored) => self.stored(&mut ledger, &job),
                Some(Verdict::Elsewhere(found)) => self.send_back(&job, &found),
                None => return Ok(()),
            }
        }
    }

    /// Writes a batch again and again until it is known what became of it. `None`: told to stop before that.
    async fn write_until_decided(
        &self,
        session: &mut Option<Session>,
        job: &Job,
        stop: &CancellationToken,
    ) -> Result<Option<Verdict>, StoreError> {
        let backoff = ExponentialBuilder::default().with_min_delay(BACKOFF.0).with_max_delay(BACKOFF.1);
        let mut delays = backoff.with_jitter().without_max_times().build();
        loop {
            match self.try_write(session, job).await {
                Ok(verdict) => {
                    self.health.met(Condition::Database);
                    return Ok(Some(verdict));
                }
                Err(Failure::Halt(error)) => return Err(error),
                Err(Failure::Retry(reason)) => {
                    let delay = delays.next().unwrap_or(BACKOFF.1);
                    let wait = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                    tracing::warn!(
                        lane = self.lane,
                        reason,
                        retry_in_ms = wait,
                        "a batch could not be stored yet"
                    );
                    self.health.unmet(Condition::Database, reason);
                    if stop.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn try_write(&self, slot: &mut Option<Session>, job: &Job) -> Result<Verdict, Failure> {
        // Taken out while it is used: a session that was left in the middle of something is dropped, not used again.
        let mut session = match slot.take().filter(|session| !session.is_closed()) {
            Some(session) => session,
            None => self.open().await?,
        };
        let began = clock::monotonic();
        let written =
            tokio::time::timeout(WRITE_LIMIT, postgres::write(&mut session, &self.group, &job.batch)).await;
        metrics::stage("store", began.elapsed());
        match written {
            Err(_) => Err(Failure::retry(format!("no answer for {} s", WRITE_LIMIT.as_secs()))),
            Ok(Err(error)) => {
                let fault = Fault::of(&error);
                metrics::postgres_error(fault.name());
                let sentence = postgres::sentence(&error);
                if !session.is_closed() {
                    *slot = Some(session);
                }
                match fault {
                    Fault::Retry => Err(Failure::Retry(sentence)),
                    Fault::Reject | Fault::Halt => Err(Failure::Halt(StoreError::Refused(sentence))),
                }
            }
            Ok(Ok(Written::Stored(tally))) => {
                *slot = Some(session);
                count(&tally, job);
                Ok(Verdict::Stored)
            }
            Ok(Ok(Written::Elsewhere(found))) => {
                *slot = Some(session);
                Ok(judge(&job.batch.progress, &found))
            }
        }
    }

    async fn open(&self) -> Result<Session, Failure> {
        let opened = connect::connect(&self.postgres, "flowtrail-collect").await;
        let client = opened.map_err(|error| match error {
            PostgresError::Connect { ref error, .. } if Fault::of(error) == Fault::Retry => {
                Failure::retry(postgres::sentence(error))
            }
            PostgresError::Timeout { .. } => Failure::retry(error.to_string()),
            error => Failure::Halt(error.into()),
        })?;
        Session::prepare(client).await.map_err(|error| {
            let sentence = postgres::sentence(&error);
            match Fault::of(&error) {
                Fault::Retry => Failure::retry(sentence),
                Fault::Reject | Fault::Halt => Failure::Halt(StoreError::Refused(sentence)),
            }
        })
    }

    fn stored(&self, ledger: &mut Ledger, job: &Job) {
        for (lease, progress) in job.leases.iter().zip(&job.batch.progress) {
            ledger.advance(lease, progress.next);
            lease.note_stored(progress.next, progress.last.time);
        }
        self.health.note_progress(clock::monotonic());
        if let Some(oldest) = job.oldest {
            let age = clock::now().as_millisecond().saturating_sub(oldest);
            let age = Duration::from_millis(u64::try_from(age).unwrap_or(0));
            metrics::visible_latency(age);
        }
    }

    /// Ends the leases of a batch that is not stored; the consumer begins others from what is.
    fn send_back(&self, job: &Job, found: &[Found]) {
        let mut again = Vec::new();
        for (lease, found) in job.leases.iter().zip(found) {
            tracing::warn!(
                lane = self.lane,
                partition = %found.partition,
                expected = ?found.expected.map(|offset| offset.0),
                stored = ?found.stored.map(|offset| offset.0),
                "the stored offset is not what was expected; reading goes on from it"
            );
            lease.end();
            again.push((lease.clone(), found.stored));
        }
        // Without a consumer the process is ending.
        let _ = self.commands.send(Command::Again(again));
    }
}

enum Failure {
    Retry(String),
    Halt(StoreError),
}

impl Failure {
    fn retry(reason: String) -> Self {
        metrics::postgres_error(Fault::Retry.name());
        Self::Retry(reason)
    }
}

/// What is to be written of what was gathered. Partitions whose lease has ended move no offset and keep no dead
/// letter; if that is all of them, there is nothing to write.
fn prepare(gathered: Gathered, ledger: &Ledger) -> Option<Job> {
    metrics::batch(gathered.rows, gathered.bytes);
    metrics::events_merged(gathered.merged);
    for (oddity, times) in &gathered.sanitized {
        metrics::events_sanitized(oddity.name(), *times);
    }
    let Gathered { fold, mut dead_letters, mut reached, oldest, .. } = gathered;
    reached.sort_unstable_by(|a, b| a.lease.partition.cmp(&b.lease.partition));
    let (mut leases, mut progress) = (Vec::new(), Vec::new());
    for last in reached {
        let (lease, partition) = (&last.lease, last.lease.partition.clone());
        if !lease.is_live() {
            dead_letters.retain(|letter| letter.partition != partition);
            continue;
        }
        progress.push(Progress {
            from: ledger.expected(lease),
            next: last.offset.next(),
            last: last_record(&last),
            partition,
        });
        leases.push(last.lease);
    }
    if leases.is_empty() {
        return None;
    }
    Some(Job { batch: Batch { fold, dead_letters, progress }, leases, oldest })
}

fn count(tally: &Tally, job: &Job) {
    for (table, Ops { insert, update, unchanged }) in [("steps", tally.steps), ("flowstate", tally.flows)] {
        metrics::rows(table, RowOp::Insert, insert);
        metrics::rows(table, RowOp::Update, update);
        metrics::rows(table, RowOp::Unchanged, unchanged);
    }
    metrics::rows("ft_superseded_step", RowOp::Insert, tally.superseded);
    for letter in &job.batch.dead_letters {
        metrics::dead_letters(letter.reason, 1);
        tracing::warn!(
            partition = %letter.partition,
            offset = letter.offset.0,
            reason = letter.reason,
            detail = letter.detail,
            "a message was kept as a dead letter"
        );
    }
}
