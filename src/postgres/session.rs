//! One database session of a lane, with its settings, temp tables and prepared statements.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures_util::future::{try_join_all, try_join3};
use tokio_postgres::{Client, Error, Row, Statement, types::ToSql};

/// What an ingest session sets.
///
/// - A commit need not reach the disk before it is answered: rows and offsets vanish together in a crash, and are
///   read from Kafka again.
/// - A batch meets the tables by index only. With a staged table of unknown size the planner would now and then
///   read a whole history table instead, or keep what it read for the next staged row.
/// - Keys come as arrays of hundreds: to estimate each of them anew for every batch would take longer than to look them up.
/// - A full batch is staged in memory: with the usual 8 MB of buffers most of it would be written to a file and read
///   back. A session takes no more than its largest batch needs.
/// - Waiting for a lock ends in an error that is logged and tried again, instead of in silence.
/// - A collector that is frozen, or whose machine is gone, in the middle of a transaction keeps its locks no longer than
///   the group takes to give its partitions to others. A live one never says nothing for so long.
const SETTINGS: &str = "
SET synchronous_commit = off;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_seqscan = off;
SET enable_material = off;
SET jit = off;
SET plan_cache_mode = force_generic_plan;
SET temp_buffers = '32MB';
SET lock_timeout = '10s';
SET idle_in_transaction_session_timeout = '15s';
SET client_min_messages = warning;
SET timezone = 'UTC';
";

const UNSTAGE_AND_COMMIT: &str = "DELETE FROM ft_stage_step; DELETE FROM ft_stage_run; DELETE FROM ft_stage_flow; \
    DELETE FROM ft_stage_named; COMMIT";
const TRUNCATE: &str = "TRUNCATE ft_stage_step, ft_stage_run, ft_stage_flow, ft_stage_named";

const TEMP_TABLES: &str = include_str!("stage.sql");

/// Parameters of a statement.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// One database session of a lane.
///
/// Statements that do not need each other's answers are sent at once: a database that is some milliseconds away is
/// waited for a few times in a batch, not once for each statement. Futures of one session that are polled in an order
/// have their statements run in that order, if these were prepared before.
pub struct Session {
    client: Client,
    statements: Mutex<HashMap<&'static str, Statement>>,
    /// Key of the advisory lock, second half: which `steps` table this is about.
    table: i32,
    /// That table lies in partitions.
    parted: bool,
    /// Batches that were begun.
    batches: u64,
    /// Batches that are still staged as a whole, after one that went straight met a row of its key.
    staged_batches: u32,
    /// This transaction put rows into the temp tables.
    staging: bool,
    /// Rows of a batch that change are replaced in one go up to so many, and staged beyond.
    few: usize,
    /// Rows put into the temp tables since they were last truncated. Deleted ones are still read past.
    garbage: u64,
}

/// The temp tables are truncated after so many rows: reading past as many takes less than a millisecond.
const MOST_GARBAGE: u64 = 4_096;

/// Rows of a batch that are few. A batch of a backlog has some dozens that change, unless its events come in another order.
const FEW: usize = 512;

/// So many batches are staged after one that met a row of its key on the straight way: an aborted COPY is dear, it
/// leaves all its rows behind as garbage.
const STAY_STAGED: u32 = 8;

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("closed", &self.client.is_closed()).finish_non_exhaustive()
    }
}

/// Ends sessions of collectors that are frozen amid a `COPY`: their machine is gone or they were stopped, and what they
/// hold others wait for. The time-out of idle transactions does not see them, as Postgres waits for their next row.
/// The time is that of [`SETTINGS`]; a live one sends a batch within it.
const END_FROZEN: &str = "
SELECT count(*) FILTER (WHERE pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
    AND application_name = current_setting('application_name') AND state = 'active' AND query LIKE 'COPY %'
    AND wait_event_type = 'Client' AND wait_event = 'ClientRead' AND query_start < clock_timestamp() - interval '15 s'";

impl Session {
    /// Ends what frozen collectors hold, for one who waited for a lock in vain.
    pub(super) async fn end_frozen(&self) {
        match self.client.query_one(END_FROZEN, &[]).await.map(|row| row.get::<_, i64>(0)) {
            Ok(0) => {}
            Ok(sessions) => tracing::warn!(
                event = "frozen_session_ended",
                sessions,
                "a collector was frozen amid a batch, and others waited for what it held"
            ),
            // Whoever waits will try again.
            Err(error) => tracing::debug!(%error, "frozen sessions can't be looked for"),
        }
    }

    /// Makes a fresh connection ready for storing batches.
    pub async fn prepare(client: Client) -> Result<Self, Error> {
        client.batch_execute(SETTINGS).await?;
        client.batch_execute(TEMP_TABLES).await?;
        // An oid is unsigned; as a lock key only its bits matter.
        let sql =
            "SELECT oid::bigint::bit(32)::integer, relkind = 'p' FROM pg_class WHERE oid = 'steps'::regclass";
        let row = client.query_one(sql, &[]).await?;
        let (table, parted) = (row.get(0), row.get(1));
        Ok(Self {
            client,
            statements: Mutex::default(),
            table,
            parted,
            batches: 0,
            staged_batches: 0,
            staging: false,
            few: FEW,
            garbage: 0,
        })
    }

    /// Stages the rows that change however few they are. For tests, whose batches are small: both ways are to do the same.
    #[must_use]
    pub fn staging_all(self) -> Self {
        Self { few: 0, ..self }
    }

    /// The connection is gone.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Which `steps` table this session writes, as half of a lock's key.
    pub(super) fn table(&self) -> i32 {
        self.table
    }

    /// The statement for tables of one piece, or that for parted ones.
    pub(super) fn of_tables(&self, statements: &'static [String; 2]) -> &'static str {
        let [one_piece, parted] = statements;
        if self.parted { parted } else { one_piece }
    }

    /// Begins a transaction, takes a lock in a statement of its own, and asks: what is asked sees all that the lock waited
    /// for.
    pub(super) async fn begin<T>(
        &self,
        (lock, of): (&'static str, Parameters<'_>),
        ask: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.prepare_all([lock]).await?;
        let (.., answer) = try_join3(self.client.batch_execute("BEGIN"), self.execute(lock, of), ask).await?;
        Ok(answer)
    }

    /// Commits, and leaves the temp tables empty. What would take longer to delete than to truncate is left for
    /// [`Session::begin_batch`], if the batch ends here.
    pub(super) async fn commit(&mut self, ends_batch: bool) -> Result<(), Error> {
        let unstage = std::mem::take(&mut self.staging) && !(ends_batch && self.garbage > MOST_GARBAGE);
        self.client.batch_execute(if unstage { UNSTAGE_AND_COMMIT } else { "COMMIT" }).await
    }

    /// Rolls back.
    pub(super) async fn roll_back(&mut self) -> Result<(), Error> {
        self.staging = false;
        self.client.batch_execute("ROLLBACK").await
    }

    /// Whether so many rows of a batch are few.
    pub(super) fn are_few(&self, rows: usize) -> bool {
        rows <= self.few
    }

    /// So many rows are put into the temp tables.
    pub(super) fn note_staged(&mut self, rows: u64) {
        self.staging = true;
        self.garbage += rows;
    }

    /// Makes ready for another batch, outside of any transaction and lock. Plans are made once and kept, and the first
    /// may have been made for empty tables; so all are made anew each time the number of batches has doubled.
    pub(super) async fn begin_batch(&mut self) -> Result<(), Error> {
        if self.batches.is_power_of_two() {
            self.client.batch_execute("DISCARD PLANS").await?;
        }
        if self.garbage > MOST_GARBAGE {
            self.client.batch_execute(TRUNCATE).await?;
            self.garbage = 0;
        }
        self.batches += 1;
        Ok(())
    }

    /// Whether the batch may go straight into the tables.
    pub(super) fn goes_straight(&mut self) -> bool {
        let straight = self.staged_batches == 0;
        self.staged_batches = self.staged_batches.saturating_sub(1);
        straight
    }

    /// A batch that went straight met a row of its key.
    pub(super) fn stay_staged(&mut self) {
        self.staged_batches = STAY_STAGED;
    }

    /// Prepares statements for the life of the session.
    pub(super) async fn prepare_all(
        &self,
        statements: impl IntoIterator<Item = &'static str>,
    ) -> Result<(), Error> {
        let missing: Vec<&'static str> = {
            let known = self.statements();
            statements.into_iter().filter(|sql| !known.contains_key(sql)).collect()
        };
        let prepared = try_join_all(missing.iter().map(|sql| self.client.prepare(sql))).await?;
        self.statements().extend(missing.into_iter().zip(prepared));
        Ok(())
    }

    fn statements(&self) -> MutexGuard<'_, HashMap<&'static str, Statement>> {
        self.statements.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A statement, prepared at its first use.
    pub(super) async fn prepared(&self, sql: &'static str) -> Result<Statement, Error> {
        let known = self.statements().get(sql).cloned();
        if let Some(statement) = known {
            return Ok(statement);
        }
        let statement = self.client.prepare(sql).await?;
        self.statements().insert(sql, statement.clone());
        Ok(statement)
    }

    pub(super) async fn execute(&self, sql: &'static str, params: Parameters<'_>) -> Result<u64, Error> {
        let statement = self.prepared(sql).await?;
        self.client.execute(&statement, params).await
    }

    /// Runs statements in order, without waiting for each one's answer; says how many rows each was about. None is run
    /// after one that fails, if a transaction is open, and its error is the answer.
    pub(super) async fn execute_all(
        &self,
        calls: &[(&'static str, Parameters<'_>)],
    ) -> Result<Vec<u64>, Error> {
        self.prepare_all(calls.iter().map(|(sql, _)| *sql)).await?;
        try_join_all(calls.iter().map(|(sql, params)| self.execute(sql, params))).await
    }

    pub(super) async fn query(&self, sql: &'static str, params: Parameters<'_>) -> Result<Vec<Row>, Error> {
        let statement = self.prepared(sql).await?;
        self.client.query(&statement, params).await
    }

    pub(super) async fn query_one(&self, sql: &'static str, params: Parameters<'_>) -> Result<Row, Error> {
        let statement = self.prepared(sql).await?;
        self.client.query_one(&statement, params).await
    }
}
