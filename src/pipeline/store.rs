//! A lane's second half: writes batches to Postgres, one at a time, and says what is stored.
//!
//! An outage is waited for with the batch in hand. Offsets that are not what was expected send the lane's partitions
//! back to what is stored. What Postgres refuses for what it holds is sifted out ([`super::sieve`]) and kept as dead
//! letters. Anything else ends the process with a sentence, and nothing is lost: what is not stored is read again.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::sync::mpsc::{Receiver, Sender};
use tokio_util::sync::CancellationToken;

use super::{
    Envelope, Kept,
    consume::Command,
    gather::HandedOver,
    group::{Gathered, Limits, Reached, UNRESOLVED, last_record},
    shares::{Owners, Sizes, Traffic},
    sieve::Sieve,
    watermark::{Found, Ledger, Verdict, judge},
};
use crate::{
    clock,
    http::{Condition, Health},
    kafka::{Lease, mirror::Mirror},
    metrics::{self, RowOp},
    model::{Offset, Partition},
    postgres::{
        AtOnce, Batch, Database, DeadLetter, Fault, Ops, Progress, Refusal, StoreError, Tally, Trouble, Ways,
        Written,
    },
    redaction::Rules,
    retention::Sparing,
    telemetry::{BatchTrace, Seldom},
};

/// A batch whose write takes longer than this is given up with its session, and tried again in another: a server
/// that hangs, or a network that swallows packets, says nothing by itself.
const WRITE_LIMIT: Duration = Duration::from_mins(2);

/// How long to wait before a batch is tried again, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// What a lane's writer is connected to.
#[derive(Debug)]
pub struct Writer<D> {
    /// Which lane this is, for logs.
    pub lane: usize,
    /// Where to write.
    pub store: Arc<D>,
    /// Seed of the back-off's jitter: lanes and collectors that met the same outage don't come back at the same moment.
    pub jitter: u64,
    /// Where dead letters are put as well.
    pub(crate) mirror: Option<Arc<Mirror>>,
    /// What retention would take away at once is not stored.
    pub(crate) sparing: Option<Arc<Sparing>>,
    /// By whom rows and bytes are counted.
    pub(crate) owners: Vec<Owners>,
    /// Batches.
    pub(crate) input: Receiver<HandedOver>,
    /// Says that the next batch may come.
    pub ready: Sender<()>,
    /// To the consumer.
    pub commands: mpsc::Sender<Command>,
    /// Told of progress, and of the database.
    pub health: Arc<Health>,
    /// What became of rows, added up over the writers that share it.
    pub tally: Arc<Mutex<Tally>>,
    /// Told of dead letters that may come right by themselves.
    pub(crate) unresolved: Kept,
}

/// A batch, the leases that its offsets move under, and what it was made of.
struct Job {
    batch: Batch,
    leases: Vec<Arc<Lease>>,
    oldest: Option<i64>,
    records: Vec<Envelope>,
    limits: Limits,
    rules: Option<Arc<Rules>>,
    /// Dead letters that are on their topic.
    mirrored: HashSet<(Partition, Offset)>,
    /// Ends with the job.
    trace: BatchTrace,
}

/// What became of a batch.
enum Outcome {
    Written(Written),
    /// A row of it is refused for what it holds.
    Refused(Refusal),
}

impl<D: Database> Writer<D> {
    /// Runs until `stop` or until the gatherer is gone; a batch that is being written is finished first.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), StoreError> {
        let mut ledger = Ledger::default();
        let mut session = None;
        loop {
            if self.ready.send(()).await.is_err() {
                return Ok(());
            }
            let Some(Some(handed)) = stop.run_until_cancelled(self.input.recv()).await else {
                return Ok(());
            };
            let Some(mut job) = prepare(handed, &ledger) else { continue };
            self.count_shares(&job);
            self.spare(&mut job.batch);
            let Some(written) = self.store(&mut session, &mut job, &stop).await? else { return Ok(()) };
            match written {
                Written::Stored(tally) => {
                    self.count(tally);
                    self.stored(&mut ledger, &job);
                }
                Written::Elsewhere(found) => match judge(&job.batch.progress, &found) {
                    Verdict::Stored => self.stored(&mut ledger, &job),
                    Verdict::Elsewhere(found) => self.send_back(&job, &found),
                },
            }
        }
    }

    /// Stores a batch, less what Postgres refuses of it, which becomes dead letters. `None`: told to stop before that.
    async fn store(
        &self,
        session: &mut Option<D::Session>,
        job: &mut Job,
        stop: &CancellationToken,
    ) -> Result<Option<Written>, StoreError> {
        let mut in_vain = false;
        loop {
            if !self.mirror(job, stop).await {
                return Ok(None);
            }
            let refusal = match self.write_until_decided(session, &job.batch, &job.trace, stop).await? {
                None => return Ok(None),
                Some(Outcome::Written(written)) => return Ok(Some(written)),
                Some(Outcome::Refused(refusal)) => refusal,
            };
            let sentence = refusal.sentence.clone();
            match self.sift(session, job, refusal, stop).await? {
                None => return Ok(None),
                // It is refused as a whole, again, and none of its events is.
                Some(0) if in_vain => return Err(StoreError::Refused(sentence)),
                Some(refused) => in_vain = refused == 0,
            }
        }
    }

    /// Counts whose the batch is: once, however often it is tried.
    fn count_shares(&mut self, job: &Job) {
        if self.owners.is_empty() {
            return;
        }
        let records = job.records.iter().map(|record| {
            let size = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
            (record.key.as_deref(), size(record.key.as_deref()) + size(record.payload.as_deref()))
        });
        let sizes = Sizes::of(records);
        for owners in &mut self.owners {
            for (name, Traffic { rows, bytes }) in owners.shares(&job.batch.fold, &sizes) {
                metrics::share(owners.whose, &name, rows, bytes);
            }
        }
    }

    /// Takes out of a batch what retention would take away at once.
    fn spare(&self, batch: &mut Batch) {
        if let Some(sparing) = &self.sparing {
            batch.at_once = sparing.apply(&mut batch.fold);
        }
    }

    /// Puts dead letters that are not there yet on their topic, before they are stored: none is missing there, and one
    /// may come twice. `false`: told to stop before that.
    async fn mirror(&self, job: &mut Job, stop: &CancellationToken) -> bool {
        let Some(mirror) = &self.mirror else { return true };
        let is_new =
            |letter: &&DeadLetter| !job.mirrored.contains(&(letter.partition.clone(), letter.offset));
        let letters: Vec<DeadLetter> = job.batch.dead_letters.iter().filter(is_new).cloned().collect();
        let (mut delays, mut trouble) = (self.delays(), Seldom::default());
        while let Err(reason) = mirror.send(&letters).await {
            if trouble.is_due(&reason, clock::monotonic()) {
                tracing::warn!(
                    event = "dead_letter_topic_delayed",
                    lane = self.lane,
                    reason,
                    "a batch waits for its dead letters"
                );
            }
            let delay = delays.next().unwrap_or(BACKOFF.1);
            if stop.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
                return false;
            }
        }
        job.mirrored.extend(letters.into_iter().map(|letter| (letter.partition, letter.offset)));
        true
    }

    /// How long to wait before one thing is tried again and again.
    fn delays(&self) -> impl Iterator<Item = Duration> {
        let backoff = ExponentialBuilder::default().with_min_delay(BACKOFF.0).with_max_delay(BACKOFF.1);
        backoff.with_jitter().with_jitter_seed(self.jitter).without_max_times().build()
    }

    /// Finds what Postgres refuses of a batch, leaves the batch with that as dead letters, and says how many events that
    /// is. `None`: told to stop before that.
    async fn sift(
        &self,
        session: &mut Option<D::Session>,
        job: &mut Job,
        refusal: Refusal,
        stop: &CancellationToken,
    ) -> Result<Option<usize>, StoreError> {
        let records = std::mem::take(&mut job.records);
        tracing::warn!(
            event = "row_refused",
            lane = self.lane,
            records = records.len(),
            reason = refusal.sentence,
            "Postgres refuses a row of a batch; the batch is stored without what it refuses"
        );
        let mut sieve = Sieve::new(records, job.limits, job.rules.clone(), refusal);
        while let Some(fold) = sieve.next() {
            let piece = Batch { fold, ..Batch::default() };
            match self.write_until_decided(session, &piece, &job.trace, stop).await? {
                None => return Ok(None),
                Some(Outcome::Written(written)) => {
                    if let Written::Stored(tally) = written {
                        self.count(tally);
                    }
                    sieve.stored();
                }
                Some(Outcome::Refused(refusal)) => sieve.refused(refusal),
            }
            self.health.note_progress(clock::monotonic());
        }
        let (fold, rest, letters) = sieve.finish();
        (job.batch.fold, job.records) = (fold, rest);
        self.spare(&mut job.batch);
        let refused = letters.len();
        for letter in letters {
            let Batch { dead_letters, progress, .. } = &mut job.batch;
            // Whoever has the partition now keeps it.
            if progress.iter().any(|progress| progress.partition == letter.partition) {
                dead_letters
                    .retain(|other| (&other.partition, other.offset) != (&letter.partition, letter.offset));
                dead_letters.push(letter);
            }
        }
        Ok(Some(refused))
    }

    /// Writes a batch again and again until it is known what became of it. `None`: told to stop before that.
    async fn write_until_decided(
        &self,
        session: &mut Option<D::Session>,
        batch: &Batch,
        trace: &BatchTrace,
        stop: &CancellationToken,
    ) -> Result<Option<Outcome>, StoreError> {
        let (mut delays, mut trouble) = (self.delays(), Seldom::default());
        let mut since = None;
        loop {
            let attempt = trace.attempt();
            let tried = self.try_write(session, batch).await;
            attempt.end(tried.as_ref().err().map(|trouble| trouble.fault().name()));
            match tried {
                Ok(outcome) => {
                    self.health.met(Condition::Database);
                    if let Some(since) = since {
                        let waited_ms = milliseconds(clock::monotonic().duration_since(since));
                        tracing::info!(
                            event = "postgres_back",
                            lane = self.lane,
                            waited_ms,
                            "Postgres takes batches again"
                        );
                    }
                    return Ok(Some(outcome));
                }
                Err(Trouble::Halt(error)) => return Err(error),
                Err(Trouble::Refused(refusal)) => return Ok(Some(Outcome::Refused(refusal))),
                Err(Trouble::Retry(reason)) => {
                    let delay = delays.next().unwrap_or(BACKOFF.1);
                    let now = clock::monotonic();
                    since.get_or_insert(now);
                    if trouble.is_due(&reason, now) {
                        tracing::warn!(
                            event = "batch_delayed",
                            lane = self.lane,
                            reason,
                            retry_in_ms = milliseconds(delay),
                            "a batch could not be stored yet"
                        );
                    }
                    self.health.unmet(Condition::Database, reason);
                    if stop.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
                        return Ok(None);
                    }
                }
            }
        }
    }

    async fn try_write(&self, slot: &mut Option<D::Session>, batch: &Batch) -> Result<Outcome, Trouble> {
        // Taken out while it is used: a session that was left in the middle of something is dropped, not used again.
        let mut session = match slot.take().filter(|session| !D::is_closed(session)) {
            Some(session) => session,
            None => self.store.open().await?,
        };
        let began = clock::monotonic();
        let written = tokio::time::timeout(WRITE_LIMIT, self.store.write(&mut session, batch)).await;
        metrics::stage("store", began.elapsed());
        let written = written.map_err(|_| {
            metrics::postgres_error(Fault::Retry.name());
            Trouble::Retry(format!("no answer for {} s", WRITE_LIMIT.as_secs()))
        })?;
        if !D::is_closed(&session) {
            *slot = Some(session);
        }
        written.map(Outcome::Written)
    }

    fn count(&self, tally: Tally) {
        count_rows(&tally);
        *self.tally.lock().unwrap_or_else(PoisonError::into_inner) += tally;
    }

    fn stored(&self, ledger: &mut Ledger, job: &Job) {
        count_letters(self.lane, &job.batch.dead_letters);
        let held = job.batch.dead_letters.iter().filter(|letter| letter.reason == UNRESOLVED).count();
        if held > 0 {
            metrics::unresolved("held", u64::try_from(held).unwrap_or(u64::MAX));
            self.unresolved.note();
        }
        for (lease, progress) in job.leases.iter().zip(&job.batch.progress) {
            ledger.advance(lease, progress.next);
            lease.note_stored(progress.next, progress.last.as_ref().and_then(|last| last.time));
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
            tracing::warn!(event = "offset_not_expected",
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

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What is to be written of what was gathered. Partitions whose lease has ended move no offset and keep no dead
/// letter; if that is all of them, there is nothing to write.
fn prepare(HandedOver { gathered, trace }: HandedOver, ledger: &Ledger) -> Option<Job> {
    metrics::batch(gathered.rows, gathered.bytes);
    metrics::events_merged(gathered.merged);
    for (oddity, times) in &gathered.sanitized {
        metrics::events_sanitized(oddity.name(), *times);
    }
    let Gathered { limits, rules, fold, mut dead_letters, records, mut reached, oldest, .. } = gathered;
    reached.sort_unstable_by(|a, b| a.lease.partition.cmp(&b.lease.partition));
    let (mut leases, mut progress) = (Vec::new(), Vec::new());
    for Reached { lease, next, last } in reached {
        let partition = lease.partition.clone();
        if !lease.is_live() {
            dead_letters.retain(|letter| letter.partition != partition);
            continue;
        }
        let last = last.and_then(|number| records.get(number)).map(last_record);
        progress.push(Progress { from: ledger.expected(&lease), next, last, partition });
        leases.push(lease);
    }
    if leases.is_empty() {
        return None;
    }
    Some(Job {
        batch: Batch { fold, dead_letters, progress, at_once: AtOnce::default() },
        leases,
        oldest,
        records,
        limits,
        rules,
        mirrored: HashSet::new(),
        trace,
    })
}

fn count_rows(tally: &Tally) {
    for (table, ops) in [("steps", tally.steps), ("flowstate", tally.flows), ("ft_variable", tally.variables)]
    {
        let Ops { insert, update, unchanged, kept_out, left_out } = ops;
        metrics::rows(table, RowOp::Insert, insert);
        metrics::rows(table, RowOp::Update, update);
        metrics::rows(table, RowOp::Unchanged, unchanged);
        metrics::rows(table, RowOp::KeptOut, kept_out);
        metrics::rows(table, RowOp::LeftOut, left_out);
    }
    metrics::rows("ft_superseded_step", RowOp::Insert, tally.superseded);
    let Ways { straight, conflict, replaced, staged, exclusive } = tally.ways;
    for (way, times) in [
        ("straight", straight),
        ("conflict", conflict),
        ("replaced", replaced),
        ("staged", staged),
        ("exclusive", exclusive),
    ] {
        metrics::ways(way, times);
    }
}

/// Counts dead letters, and says of each reason how many there were and which was the first.
fn count_letters(lane: usize, letters: &[DeadLetter]) {
    let mut reasons: BTreeMap<&'static str, (u64, &DeadLetter)> = BTreeMap::new();
    for letter in letters {
        reasons.entry(letter.reason).or_insert((0, letter)).0 += 1;
    }
    for (reason, (messages, first)) in reasons {
        metrics::dead_letters(reason, messages);
        tracing::warn!(event = "dead_letters_kept",
            lane,
            reason,
            messages,
            first = %format_args!("{}@{}", first.partition, first.offset),
            detail = first.detail,
            "messages were kept as dead letters"
        );
    }
}
