//! What operators ask: how far groups are, what went wrong, what people had flowtrail do.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::{Error, Row, Transaction, types::Type};
use utoipa::ToSchema;

use super::{flogo::ReadError, statement::Statement, time};

/// How far a group has stored a partition.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Stored {
    /// Consumer group.
    pub group: String,
    /// Topic.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// Everything before this offset is stored.
    pub next_offset: i64,
    /// Offset of the last record that was stored.
    pub last_offset: Option<i64>,
    /// Timestamp of that record.
    pub last_record: Option<Timestamp>,
    /// When it was stored.
    pub updated: Option<Timestamp>,
}

/// A session of flowtrail's with Postgres.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Backend {
    /// Its `application_name`.
    pub application: String,
    /// Process of the server.
    pub pid: i32,
    /// `active`, `idle`, `idle in transaction`, as Postgres has it.
    pub state: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// What it waits for; null if for nothing.
    pub waits_for: Option<String>,
    /// For how long its statement runs; null where none does.
    pub statement_ms: Option<f64>,
}

/// A stretch of a partition that Kafka no longer had when it was to be read.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct GapFound {
    /// Number to name it by.
    pub id: i64,
    /// Consumer group.
    pub group: String,
    /// Topic.
    pub topic: String,
    /// Partition number.
    pub partition: i32,
    /// How it came about.
    pub cause: String,
    /// First offset that is missing.
    pub from_offset: i64,
    /// First offset that is there again, if any.
    pub to_offset: Option<i64>,
    /// What was found, in a sentence.
    pub detail: Option<String>,
    /// When it was found.
    pub found: Option<Timestamp>,
}

/// What somebody had flowtrail do.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Note {
    /// Number to name it by.
    pub id: i64,
    /// When.
    pub at: Option<Timestamp>,
    /// Who asked for it.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub object: String,
    /// Parameters and outcome.
    pub detail: Option<serde_json::Value>,
}

/// What retention has removed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Cutoff {
    /// Name of the policy.
    pub policy: String,
    /// Finished flows of the policy that started before this were removed.
    pub started_before: Option<Timestamp>,
    /// When it last ran.
    pub ran: Option<Timestamp>,
}

/// A change of the tables that was applied.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AppliedChange {
    /// Its number.
    pub number: i32,
    /// What it is about.
    pub name: String,
    /// A program works with it if it knows at least the change of this number.
    pub needs: i32,
    /// When it was applied.
    pub applied: Option<Timestamp>,
    /// Database user who applied it.
    pub applied_by: String,
}

/// Rows of a statement without values, each as `read` has it.
async fn all<T>(
    moment: &Transaction<'_>,
    sql: &str,
    read: impl Fn(&Row) -> Result<T, Error>,
) -> Result<Vec<T>, ReadError> {
    Ok(Statement::new(sql).rows(moment).await?.iter().map(read).collect::<Result<_, _>>()?)
}

/// At most `limit` rows of a table with a number below `before`, the newest first.
async fn newest<T>(
    moment: &Transaction<'_>,
    table: &str,
    before: Option<i64>,
    limit: u32,
    read: impl Fn(&Row) -> Result<T, Error>,
) -> Result<Vec<T>, ReadError> {
    let mut statement = Statement::new(format!("SELECT * FROM {table}"));
    statement.push(" WHERE id < ?", before.unwrap_or(i64::MAX), Type::INT8);
    statement.push(" ORDER BY id DESC LIMIT ?", i64::from(limit), Type::INT8);
    Ok(statement.rows(moment).await?.iter().map(read).collect::<Result<_, _>>()?)
}

/// How far all groups have stored all partitions; at most ten thousand.
pub async fn progress(moment: &Transaction<'_>) -> Result<Vec<Stored>, ReadError> {
    let sql = "SELECT * FROM ft_offset ORDER BY consumergroup, topic, partition LIMIT 10000";
    all(moment, sql, |row| {
        let last: Option<i64> = row.try_get("lasttime")?;
        Ok(Stored {
            group: row.try_get("consumergroup")?,
            topic: row.try_get("topic")?,
            partition: row.try_get("partition")?,
            next_offset: row.try_get("nextoffset")?,
            last_offset: row.try_get("lastoffset")?,
            last_record: last.and_then(|ms| Timestamp::from_millisecond(ms).ok()),
            updated: time(row, "updatedat")?,
        })
    })
    .await
}

/// flowtrail's sessions with this database. Of another user's, Postgres may not say what they do.
pub async fn backends(moment: &Transaction<'_>) -> Result<Vec<Backend>, ReadError> {
    let sql = "SELECT application_name, pid, state, state_change, concat_ws(': ', wait_event_type, wait_event) AS waits, \
            CASE WHEN state = 'active' THEN ft_ms(clock_timestamp() - query_start) END AS ms, \
            COALESCE(state <> 'active' OR wait_event IS NULL, true) AS rests \
        FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'flowtrail%' \
        ORDER BY application_name, pid LIMIT 1000";
    all(moment, sql, |row| {
        let waits: Option<String> = row.try_get("waits")?;
        // A session without a statement waits for its client, which is no news.
        let rests: bool = row.try_get("rests")?;
        Ok(Backend {
            application: row.try_get("application_name")?,
            pid: row.try_get("pid")?,
            state: row.try_get("state")?,
            since: time(row, "state_change")?,
            waits_for: waits.filter(|waits| !rests && !waits.is_empty()),
            statement_ms: row.try_get("ms")?,
        })
    })
    .await
}

/// Gaps with a number below `before`, the newest first.
pub async fn gaps(
    moment: &Transaction<'_>,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<GapFound>, ReadError> {
    newest(moment, "ft_gap", before, limit, |row| {
        Ok(GapFound {
            id: row.try_get("id")?,
            group: row.try_get("consumergroup")?,
            topic: row.try_get("topic")?,
            partition: row.try_get("partition")?,
            cause: row.try_get("cause")?,
            from_offset: row.try_get("fromoffset")?,
            to_offset: row.try_get("tooffset")?,
            detail: row.try_get("detail")?,
            found: time(row, "foundat")?,
        })
    })
    .await
}

/// Notes of the audit with a number below `before`, the newest first.
pub async fn notes(
    moment: &Transaction<'_>,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Note>, ReadError> {
    newest(moment, "ft_audit", before, limit, |row| {
        Ok(Note {
            id: row.try_get("id")?,
            at: time(row, "at")?,
            actor: row.try_get("actor")?,
            action: row.try_get("action")?,
            object: row.try_get("object")?,
            detail: row.try_get("detail")?,
        })
    })
    .await
}

/// What retention has removed, by policy.
pub async fn cutoffs(moment: &Transaction<'_>) -> Result<Vec<Cutoff>, ReadError> {
    all(moment, "SELECT * FROM ft_retention_cutoff ORDER BY policy LIMIT 1000", |row| {
        Ok(Cutoff {
            policy: row.try_get("policy")?,
            started_before: time(row, "startedbefore")?,
            ran: time(row, "ranat")?,
        })
    })
    .await
}

/// Changes of the tables that were applied, in order.
pub async fn applied_changes(moment: &Transaction<'_>) -> Result<Vec<AppliedChange>, ReadError> {
    all(moment, "SELECT * FROM ft_schema_change ORDER BY number LIMIT 1000", |row| {
        Ok(AppliedChange {
            number: row.try_get("number")?,
            name: row.try_get("name")?,
            needs: row.try_get("needs")?,
            applied: time(row, "appliedat")?,
            applied_by: row.try_get("appliedby")?,
        })
    })
    .await
}
