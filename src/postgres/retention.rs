//! Removing flows that have been kept long enough.
//!
//! A flow goes in two steps. First it is *marked*: a row of `ft_tombstone` says that its runs and executions so far are
//! gone, as if the runtime had said so (rule 7 of the merge law). That takes the law's lock exclusively, for a moment: no
//! batch is being written then, and every later one sees the mark. So nothing can come to the flow any more, and its rows
//! are *erased* beside the collectors, a batch of flows at a time.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{try_join, try_join_all, try_join3};
use jiff::Timestamp;
use tokio_postgres::{
    Client, Error, Row, Transaction,
    error::SqlState,
    types::{ToSql, Type},
};

use super::{
    marks::{mark_bare, mark_removed},
    read::Utc,
    write::{LOCK, LOCK_EXCLUSIVE, LOCK_SHARED},
};
use crate::{
    clock,
    model::{Micros, StepId},
    pipeline::merge::SnapshotKey,
};

mod erasure;
mod payloads;

pub use self::erasure::Rows;

/// First half of the key of the lock that whoever removes flows holds: "ftrt" as bytes. The second half is the `steps`
/// table.
const TURN: i32 = i32::from_be_bytes(*b"ftrt");

/// How long the law's lock is waited for. All batches wait behind whoever waits for it exclusively.
const LOCK_PATIENCE: &str = "SET lock_timeout = '1s'";

/// Tables are met by keys that are given, and nothing runs without end.
const SETTINGS: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; \
    SET statement_timeout = '5min'; SET idle_in_transaction_session_timeout = '15s'";

/// Where a flow stands in the order of starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aged {
    pub(crate) flow: String,
    pub(crate) started: Timestamp,
    pub(crate) app: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) finished: bool,
    run: i64,
}

/// Flows that were marked, and how long the lock was waited for.
#[derive(Debug)]
pub(crate) struct Marked {
    pub(crate) flows: Vec<String>,
    pub(crate) waited: Duration,
}

/// What goes of flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Whole,
    Payloads,
}

/// What was taken away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) flows: u64,
    /// Shown and superseded executions that were erased.
    pub(crate) steps: u64,
}

/// What flows take in the tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) steps: u64,
    pub(crate) bytes: u64,
}

/// What is kept for a time, beside flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    Letters,
    Audit,
    /// Marks of flows that went, and what a replay brought back of such a flow's snapshots. Those of erased flows stay.
    Marks,
}

/// Flows that are still as they were read, and a number above all that is stored of each.
macro_rules! stored {
    () => {
        "SELECT s.flowinstanceid, 1 + LEAST(9223372036854775806, GREATEST(s.run,
                (SELECT max(e.execution) FROM steps e WHERE e.flowinstanceid = s.flowinstanceid),
                (SELECT max(e.execution) FROM ft_superseded_step e WHERE e.flowinstanceid = s.flowinstanceid),
                (SELECT max(r.run) FROM ft_run r WHERE r.flowinstanceid = s.flowinstanceid),
                (SELECT max(v.run) FROM ft_variable v WHERE v.flowinstanceid = s.flowinstanceid), 0))
            FROM unnest($1::text[], $2::bigint[], $3::boolean[], $4::text[]) AS u(id, run, finished, status)
                JOIN flowstate s ON s.flowinstanceid = u.id AND COALESCE(s.run, 0) = u.run
                    AND (COALESCE(s.phase, 2) = 2) = u.finished AND s.status IS NOT DISTINCT FROM u.status"
    };
}

/// A session that removes what has been kept long enough.
#[derive(Debug)]
pub(crate) struct Purge {
    client: Client,
    /// The `steps` table, as half of a lock's key.
    table: i32,
}

impl Purge {
    /// Over a session that is used for nothing else.
    pub(crate) async fn prepare(client: Client) -> Result<Self, Error> {
        client.batch_execute(SETTINGS).await?;
        client.batch_execute(LOCK_PATIENCE).await?;
        // An oid is unsigned; as a lock key only its bits matter.
        let table = client
            .query_one("SELECT 'steps'::regclass::oid::bigint::bit(32)::integer", &[])
            .await?
            .try_get(0)?;
        Ok(Self { client, table })
    }

    /// The session, for notes.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether it is this session's turn; until it ends, no other gets one.
    pub(crate) async fn take_turn(&self) -> Result<bool, Error> {
        const SQL: &str = "SELECT pg_try_advisory_lock($1, $2)";
        let key: [(&(dyn ToSql + Sync), Type); 2] = [(&TURN, Type::INT4), (&self.table, Type::INT4)];
        self.client.query_typed_one(SQL, &key).await?.try_get(0)
    }

    /// At most `limit` flows that started before a time, the oldest first, behind one of them.
    pub(crate) async fn page(
        &self,
        behind: Option<&Aged>,
        before: Micros,
        limit: i64,
    ) -> Result<Vec<Aged>, Error> {
        const SQL: &str = "SELECT flowinstanceid, starttime, appname, flowname, status, COALESCE(phase, 2) = 2, \
                COALESCE(run, 0) FROM flowstate \
            WHERE starttime < $1 AND (starttime, flowinstanceid) > ($2, $3) ORDER BY starttime, flowinstanceid LIMIT $4";
        let (since, flow) = match behind {
            Some(last) => (Utc(Some(last.started)), last.flow.as_str()),
            None => (Utc::of(Micros::FIRST), ""),
        };
        let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
            (&Utc::of(before), Type::TIMESTAMP),
            (&since, Type::TIMESTAMP),
            (&flow, Type::TEXT),
            (&limit, Type::INT8),
        ];
        let rows = self.client.query_typed(SQL, &parameters).await?;
        let read = |row: &Row| -> Result<Option<Aged>, Error> {
            let Utc(started) = row.try_get(1)?;
            let Some(started) = started else { return Ok(None) };
            Ok(Some(Aged {
                flow: row.try_get(0)?,
                started,
                app: row.try_get(2)?,
                name: row.try_get(3)?,
                status: row.try_get(4)?,
                finished: row.try_get(5)?,
                run: row.try_get(6)?,
            }))
        };
        rows.iter().filter_map(|row| read(row).transpose()).collect()
    }

    /// What flows take: executions, and about how many bytes with payloads as they are stored, without indexes.
    pub(crate) async fn size(&self, flows: &[&str]) -> Result<Size, Error> {
        // 120 bytes are about what the other columns of a row and its head take.
        const SQL: &str = "WITH row AS (
                SELECT 1 AS step, 120 + COALESCE(pg_column_size(stepdata), 0) + COALESCE(pg_column_size(misc), 0)
                    + COALESCE(pg_column_size(input), 0) + COALESCE(pg_column_size(output), 0)
                    + COALESCE(pg_column_size(error), 0) AS bytes FROM steps WHERE flowinstanceid = ANY ($1)
                UNION ALL SELECT 1, 120 + COALESCE(pg_column_size(stepdata), 0) + COALESCE(pg_column_size(misc), 0)
                    + COALESCE(pg_column_size(input), 0) + COALESCE(pg_column_size(output), 0)
                    + COALESCE(pg_column_size(error), 0) FROM ft_superseded_step WHERE flowinstanceid = ANY ($1)
                UNION ALL SELECT 0, 120 + COALESCE(pg_column_size(flowinput), 0) + COALESCE(pg_column_size(flowoutput), 0)
                    + COALESCE(pg_column_size(error), 0) FROM flowstate WHERE flowinstanceid = ANY ($1)
                UNION ALL SELECT 0, 120 + COALESCE(pg_column_size(flowinput), 0) + COALESCE(pg_column_size(flowoutput), 0)
                    + COALESCE(pg_column_size(error), 0) FROM ft_run WHERE flowinstanceid = ANY ($1)
                UNION ALL SELECT 0, 120 + pg_column_size(data) FROM ft_snapshot WHERE flowinstanceid = ANY ($1)
                UNION ALL SELECT 0, 120 + COALESCE(pg_column_size(value), 0) + COALESCE(pg_column_size(misc), 0)
                    FROM ft_variable WHERE flowinstanceid = ANY ($1)
            ) SELECT COALESCE(sum(step), 0)::bigint, COALESCE(sum(bytes), 0)::bigint FROM row";
        self.sized(SQL, flows).await
    }

    async fn sized(&self, sql: &str, flows: &[&str]) -> Result<Size, Error> {
        let row = self.client.query_typed_one(sql, &[(&flows, Type::TEXT_ARRAY)]).await?;
        let [steps, bytes] = [row.try_get::<_, i64>(0)?, row.try_get(1)?].map(i64::unsigned_abs);
        Ok(Size { steps, bytes })
    }

    /// Marks flows that are still as they were read; `None` if the lock could not be had within a second. Of those whose
    /// payloads are to go only such as have any.
    ///
    /// What comes to a flow later with a run or an execution above all that is stored now belongs to a re-run, and is kept
    /// whole.
    pub(crate) async fn mark(&mut self, part: Part, flows: &[Aged]) -> Result<Option<Marked>, Error> {
        let sql = match part {
            Part::Whole => mark_removed!(stored!()),
            Part::Payloads => mark_bare!(stored!()),
        };
        let Some((transaction, waited)) = begin_alone(&mut self.client, self.table).await? else {
            return Ok(None);
        };
        let read = Read::of(flows);
        let rows = transaction.query_typed(sql, &read.parameters()).await?;
        let flows = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        transaction.commit().await?;
        Ok(Some(Marked { flows, waited }))
    }

    /// Marked flows of which there still are rows. Whoever marked them may have ended before they were erased; and where a
    /// collector left one out, another may have been storing rows of it at that moment.
    pub(crate) async fn marked_and_there(&self) -> Result<Vec<String>, Error> {
        let there = "EXISTS (SELECT FROM flowstate t WHERE t.flowinstanceid = d.flowinstanceid AND COALESCE(t.run, 0) < d.before) \
            OR EXISTS (SELECT FROM steps t WHERE t.flowinstanceid = d.flowinstanceid AND COALESCE(t.execution, 0) < d.before) \
            OR EXISTS (SELECT FROM ft_run t WHERE t.flowinstanceid = d.flowinstanceid AND t.run < d.before) \
            OR EXISTS (SELECT FROM ft_variable t WHERE t.flowinstanceid = d.flowinstanceid AND t.run < d.before)";
        self.marked_lately(there).await
    }

    /// Marked flows of which there are snapshots alone: they came again when their topic was read once more.
    pub(crate) async fn marked_with_snapshots(&self) -> Result<Vec<String>, Error> {
        let there = "EXISTS (SELECT FROM ft_snapshot t WHERE t.flowinstanceid = d.flowinstanceid) \
            AND NOT EXISTS (SELECT FROM flowstate t WHERE t.flowinstanceid = d.flowinstanceid)";
        self.marked_lately(there).await
    }

    /// Flows that were marked since a day before the last run, of which something is there: whatever was being stored then is by
    /// now.
    async fn marked_lately(&self, there: &str) -> Result<Vec<String>, Error> {
        let sql = format!(
            "SELECT d.flowinstanceid FROM ft_tombstone d WHERE d.removedat >= \
             COALESCE((SELECT min(ranat) FROM ft_retention_cutoff) - interval '1 day', '-infinity') AND ({there})"
        );
        self.client.query_typed(&sql, &[]).await?.iter().map(|row| row.try_get(0)).collect()
    }

    /// Erases what flows have below their marks, in one transaction; `None` if the law's lock could not be had within a
    /// second. Repeating it changes nothing.
    pub(crate) async fn erase(&mut self, flows: &[&str]) -> Result<Option<Taken>, Error> {
        let ids: [(&(dyn ToSql + Sync), Type); 1] = [(&flows, Type::TEXT_ARRAY)];
        // The number of re-runs of an original is counted anew, which nobody else may do meanwhile.
        let lock = if self.name_originals(flows).await? { LOCK_EXCLUSIVE } else { LOCK_SHARED };
        let Some(transaction) = begin(&mut self.client, lock, self.table).await? else { return Ok(None) };
        let below = BELOW.each_ref().map(|(table, is_below)| below(table, is_below));
        let flows_below = format!(
            "{} RETURNING t.rerunofflowinstanceid",
            self::below("flowstate", "COALESCE(t.run, 0) < d.before")
        );
        // All of them are sent at once; Postgres takes them one after the other, in this order.
        let (counts, gone, _) = try_join3(
            try_join_all(below.iter().map(|sql| transaction.execute_typed(sql, &ids))),
            transaction.query_typed(&flows_below, &ids),
            transaction.execute_typed(ERASE_SNAPSHOTS, &ids),
        )
        .await?;
        let originals = gone.iter().map(|row| row.try_get(0)).collect::<Result<Vec<Option<String>>, _>>()?;
        let originals: Vec<String> = originals.into_iter().flatten().collect();
        if !originals.is_empty() {
            transaction.execute_typed(COUNT_RERUNS, &[(&originals, Type::TEXT_ARRAY)]).await?;
        }
        transaction.commit().await?;
        let flows = u64::try_from(gone.len()).unwrap_or(u64::MAX);
        Ok(Some(Taken { flows, steps: counts.iter().take(EXECUTIONS).sum() }))
    }

    /// Takes the marks of flows away: what is published of them is stored again, payloads too. Says how many were
    /// marked.
    pub(crate) async fn readmit(&self, flows: &[&str]) -> Result<u64, Error> {
        const SQL: &str = "WITH gone AS (DELETE FROM ft_tombstone WHERE flowinstanceid = ANY ($1) \
                AND removedat IS NOT NULL AND before IS NOT NULL RETURNING flowinstanceid), \
            bare AS (DELETE FROM ft_payload_mark WHERE flowinstanceid = ANY ($1) RETURNING flowinstanceid) \
            SELECT count(*) FROM (SELECT * FROM gone UNION SELECT * FROM bare) AS a";
        let row = self.client.query_typed_one(SQL, &[(&flows, Type::TEXT_ARRAY)]).await?;
        row.try_get::<_, i64>(0).map(i64::unsigned_abs)
    }

    /// Snapshots of flows: flow, key and bytes. Not those whose bytes went with the payloads.
    pub(crate) async fn snapshots(&self, flows: &[&str]) -> Result<Vec<(String, SnapshotKey, Bytes)>, Error> {
        const SQL: &str = "SELECT flowinstanceid, stepid, hash, data FROM ft_snapshot WHERE flowinstanceid = ANY ($1) \
            AND octet_length(data) > 0";
        let rows = self.client.query_typed(SQL, &[(&flows, Type::TEXT_ARRAY)]).await?;
        let read = |row: &Row| -> Result<_, Error> {
            let (step, hash): (&str, &[u8]) = (row.try_get(1)?, row.try_get(2)?);
            let step = (!step.is_empty()).then(|| StepId::held(step.into()));
            let data: Vec<u8> = row.try_get(3)?;
            Ok((row.try_get(0)?, (step, hash.try_into().unwrap_or([0; 32])), data.into()))
        };
        rows.iter().map(read).collect()
    }

    async fn name_originals(&self, flows: &[&str]) -> Result<bool, Error> {
        const SQL: &str = "SELECT EXISTS (SELECT FROM flowstate WHERE flowinstanceid = ANY ($1) \
            AND rerunofflowinstanceid IS NOT NULL)";
        self.client.query_typed_one(SQL, &[(&flows, Type::TEXT_ARRAY)]).await?.try_get(0)
    }

    /// Keeps that flows of a policy which started before a time are gone. It never goes back, whatever the policy says now.
    pub(crate) async fn keep_cutoff(&self, policy: &str, started_before: Micros) -> Result<(), Error> {
        const SQL: &str = "INSERT INTO ft_retention_cutoff AS t (policy, startedbefore) VALUES ($1, $2) \
            ON CONFLICT (policy) DO UPDATE SET ranat = now(), startedbefore = GREATEST(t.startedbefore, excluded.startedbefore)";
        let before = Utc::of(started_before);
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&policy, Type::TEXT), (&before, Type::TIMESTAMP)];
        self.client.execute_typed(SQL, &parameters).await.map(drop)
    }

    /// Removes at most `limit` rows of what was kept before a time; says how many there were.
    pub(crate) async fn remove_older(&self, kept: Kept, before: Timestamp, limit: i64) -> Result<u64, Error> {
        let sql = match kept {
            Kept::Letters => {
                "DELETE FROM ft_dead_letter WHERE id = ANY (ARRAY \
                 (SELECT id FROM ft_dead_letter WHERE keptat < $1 ORDER BY id LIMIT $2))"
            }
            Kept::Audit => {
                "DELETE FROM ft_audit WHERE id = ANY (ARRAY \
                 (SELECT id FROM ft_audit WHERE at < $1 ORDER BY id LIMIT $2))"
            }
            Kept::Marks => FORGET,
        };
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&Utc(Some(before)), Type::TIMESTAMPTZ), (&limit, Type::INT8)];
        if kept != Kept::Marks {
            return self.client.execute_typed(sql, &parameters).await;
        }
        let row = self.client.query_typed_one(sql, &parameters).await?;
        row.try_get::<_, i64>(0).map(i64::unsigned_abs)
    }
}

/// Flows as they were read, column by column: whoever marks them asks whether they are still so.
struct Read<'a> {
    ids: Vec<&'a str>,
    runs: Vec<i64>,
    finished: Vec<bool>,
    statuses: Vec<Option<&'a str>>,
}

impl<'a> Read<'a> {
    fn of(flows: &'a [Aged]) -> Self {
        Self {
            ids: flows.iter().map(|flow| flow.flow.as_str()).collect(),
            runs: flows.iter().map(|flow| flow.run).collect(),
            finished: flows.iter().map(|flow| flow.finished).collect(),
            statuses: flows.iter().map(|flow| flow.status.as_deref()).collect(),
        }
    }

    fn parameters(&self) -> [(&(dyn ToSql + Sync), Type); 4] {
        [
            (&self.ids, Type::TEXT_ARRAY),
            (&self.runs, Type::INT8_ARRAY),
            (&self.finished, Type::BOOL_ARRAY),
            (&self.statuses, Type::TEXT_ARRAY),
        ]
    }
}

/// What a mark reaches of each table but `flowstate`, executions first: what is below it; the facts and marks up to it, which
/// reach nothing that is left.
const BELOW: [(&str, &str); 6] = [
    ("steps", "COALESCE(t.execution, 0) < d.before"),
    ("ft_superseded_step", "COALESCE(t.execution, 0) < d.before"),
    ("ft_run", "t.run < d.before"),
    ("ft_variable", "t.run < d.before"),
    ("ft_payload_mark", "t.before <= d.before"),
    ("ft_rewind", "t.before <= d.before"),
];

/// So many of [`BELOW`] are tables of executions.
const EXECUTIONS: usize = 2;

/// Removes rows of flows that are below the flows' marks.
fn below(table: &str, is_below: &str) -> String {
    format!(
        "DELETE FROM {table} t USING ft_tombstone d WHERE t.flowinstanceid = ANY ($1) \
         AND d.flowinstanceid = t.flowinstanceid AND (d.before IS NULL OR {is_below})"
    )
}

const COUNT_RERUNS: &str = "UPDATE flowstate t SET reruncount = c.reruns FROM (
        SELECT n.id, (SELECT count(*) FROM flowstate o WHERE o.rerunofflowinstanceid = n.id AND o.flowinstanceid <> n.id)::integer
            AS reruns FROM unnest($1::text[]) AS n(id)
    ) c WHERE t.flowinstanceid = c.id AND t.reruncount IS DISTINCT FROM c.reruns";

/// A snapshot has no number; it stays with the instance as long as that has a run.
const ERASE_SNAPSHOTS: &str = "DELETE FROM ft_snapshot t WHERE t.flowinstanceid = ANY ($1) \
    AND NOT EXISTS (SELECT FROM flowstate f WHERE f.flowinstanceid = t.flowinstanceid)";

const FORGET: &str = "WITH forgotten AS (
        DELETE FROM ft_tombstone WHERE flowinstanceid = ANY (ARRAY(
            SELECT flowinstanceid FROM ft_tombstone WHERE removedat < $1 AND before IS NOT NULL
                ORDER BY removedat LIMIT $2))
        RETURNING flowinstanceid
    ), snapshots AS (
        DELETE FROM ft_snapshot t USING forgotten d WHERE t.flowinstanceid = d.flowinstanceid
            AND NOT EXISTS (SELECT FROM flowstate f WHERE f.flowinstanceid = t.flowinstanceid)
    ) SELECT count(*) FROM forgotten";

/// What is committed is not waited for until it is on the disk. A crash takes back the end of what was done, and the next run
/// does that again; the note that is made when all is done is waited for, and everything before it is there then.
const UNWAITED: &str = "SET LOCAL synchronous_commit = off";

/// Begins a transaction with the law's lock; `None` if that could not be had in time.
async fn begin<'a>(client: &'a mut Client, lock: &str, table: i32) -> Result<Option<Transaction<'a>>, Error> {
    let transaction = client.transaction().await?;
    let ((), is_had) =
        try_join(transaction.batch_execute(UNWAITED), is_had(&transaction, lock, table)).await?;
    Ok(is_had.then_some(transaction))
}

/// The same with no batch beside it, and how long those that were under way were waited for: not at all if there was none,
/// however long Postgres takes to say so.
async fn begin_alone(client: &mut Client, table: i32) -> Result<Option<(Transaction<'_>, Duration)>, Error> {
    const TRY: &str = "SELECT pg_try_advisory_xact_lock($1, $2)";
    let transaction = client.transaction().await?;
    let key = key(&table);
    let ((), tried) =
        try_join(transaction.batch_execute(UNWAITED), transaction.query_typed_one(TRY, &key)).await?;
    if tried.try_get(0)? {
        return Ok(Some((transaction, Duration::ZERO)));
    }
    let asked = clock::monotonic();
    let is_had = is_had(&transaction, LOCK_EXCLUSIVE, table).await?;
    Ok(is_had.then(|| (transaction, asked.elapsed())))
}

/// Whether the law's lock could be had in time.
async fn is_had(transaction: &Transaction<'_>, lock: &str, table: i32) -> Result<bool, Error> {
    match transaction.query_typed_one(lock, &key(&table)).await {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) => Ok(false),
        Err(error) => Err(error),
    }
}

fn key(table: &i32) -> [(&(dyn ToSql + Sync), Type); 2] {
    [(&LOCK, Type::INT4), (table, Type::INT4)]
}

/// Seconds by which the stored cut-offs are behind what policies say now, which come as names and cut-offs; a policy that
/// never ran is behind by the oldest flow. 0 where none is.
pub(crate) async fn behind(client: &Client, cutoffs: &[(&str, Micros)]) -> Result<f64, Error> {
    const SQL: &str = "SELECT COALESCE(max(GREATEST(0, extract(epoch FROM u.due - COALESCE(c.startedbefore, \
            (SELECT min(starttime) FROM flowstate))))), 0)::float8 \
        FROM unnest($1::text[], $2::timestamp[]) AS u(policy, due) LEFT JOIN ft_retention_cutoff c USING (policy)";
    let names: Vec<&str> = cutoffs.iter().map(|(policy, _)| *policy).collect();
    let due: Vec<Utc> = cutoffs.iter().map(|(_, due)| Utc::of(*due)).collect();
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&names, Type::TEXT_ARRAY), (&due, Type::TIMESTAMP_ARRAY)];
    client.query_typed_one(SQL, &parameters).await?.try_get(0)
}

/// When policies were last run to their end, if ever.
pub(crate) async fn last_run(client: &Client) -> Result<Option<Timestamp>, Error> {
    const SQL: &str = "SELECT max(ranat) FROM ft_retention_cutoff";
    let row = client.query_typed_one(SQL, &[]).await?;
    Ok(row.try_get::<_, Option<Utc>>(0)?.and_then(|Utc(time)| time))
}
