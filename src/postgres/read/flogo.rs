//! What the Flogo state service's questions are answered from. Values are bound, never part of a statement's text.

use futures_util::TryStreamExt as _;
use thiserror::Error;
use tokio_postgres::{
    Error, Row, Transaction,
    types::{ToSql, Type},
};

use super::{text, time};
use crate::{
    flogo::answer::{StepData, StepRow, sort_by_id},
    postgres::{Fault, sentence},
};

mod condition;
mod instances;

pub use self::instances::{MOST_INSTANCES, Wanted, app_versions, count, flow_names, instance, list, status};

/// The rows of one answer hold at most so many bytes: an instance may have millions of steps, and the answer is made in
/// memory.
const MOST_BYTES: usize = 64 << 20;

/// Why a question has no answer.
#[derive(Debug, Error)]
pub enum ReadError {
    /// A statement failed.
    #[error("{}", sentence(.0))]
    Postgres(#[from] Error),
    /// There is more than an answer may hold.
    #[error("there are more than {} MiB of it", MOST_BYTES >> 20)]
    TooLarge,
}

impl ReadError {
    /// What was asked for can't be: Postgres refused a value for what it is.
    pub fn is_refused_value(&self) -> bool {
        matches!(self, Self::Postgres(error) if error.code().is_some() && Fault::of(error) == Fault::Reject)
    }

    /// It passes: an outage, or a statement that took too long.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Postgres(error) if Fault::of(error) == Fault::Retry)
    }
}

/// The posted steps of an instance, the executions that show, in the order of their ids.
pub async fn steps(moment: &Transaction<'_>, flow: &str) -> Result<Vec<StepData>, ReadError> {
    const SQL: &str =
        "SELECT stepid, COALESCE(execution, 0) AS execution, stepdata FROM steps WHERE flowinstanceid = $1";
    let mut steps = step_data(&bounded(moment, SQL, &[(&flow, Type::TEXT)]).await?)?;
    sort_by_id(&mut steps, |step| &step.id);
    Ok(steps)
}

/// The executions that the shown ones took the place of, in no order.
pub async fn superseded(moment: &Transaction<'_>, flow: &str) -> Result<Vec<StepData>, ReadError> {
    const SQL: &str = "SELECT stepid, execution, stepdata FROM ft_superseded_step \
        WHERE flowinstanceid = $1 AND stepdata IS NOT NULL";
    step_data(&bounded(moment, SQL, &[(&flow, Type::TEXT)]).await?)
}

/// One posted step; of this task only, where one is given.
pub async fn step(
    moment: &Transaction<'_>,
    flow: &str,
    step: &str,
    task: Option<&str>,
) -> Result<Option<StepData>, ReadError> {
    const SQL: &str = "SELECT stepid, COALESCE(execution, 0) AS execution, stepdata FROM steps \
        WHERE flowinstanceid = $1 AND stepid = $2 AND ($3 IS NULL OR taskname = $3)";
    let parameters: [(&(dyn ToSql + Sync), Type); 3] =
        [(&flow, Type::TEXT), (&step, Type::TEXT), (&task, Type::TEXT)];
    Ok(step_data(&bounded(moment, SQL, &parameters).await?)?.pop())
}

/// The first step after this one in which a task ended that waited for its subflow.
pub async fn closing_step(
    moment: &Transaction<'_>,
    flow: &str,
    after: i64,
    (task, subflow): (&str, i64),
) -> Result<Option<StepData>, ReadError> {
    // The numbers come first: the cast would fail for an id that is none.
    const SQL: &str = "WITH ended AS MATERIALIZED (SELECT stepid, execution, stepdata FROM steps \
            WHERE flowinstanceid = $1 AND taskname = $2 AND subflowid = $3 AND stepid ~ '^[0-9]{1,18}$' \
            AND status IN ('Completed', 'Failed', 'Cancelled')) \
        SELECT stepid, COALESCE(execution, 0) AS execution, stepdata FROM ended WHERE stepid::bigint > $4 \
        ORDER BY stepid::bigint LIMIT 1";
    let subflow = subflow.to_string();
    let parameters: [(&(dyn ToSql + Sync), Type); 4] =
        [(&flow, Type::TEXT), (&task, Type::TEXT), (&subflow, Type::TEXT), (&after, Type::INT8)];
    Ok(step_data(&bounded(moment, SQL, &parameters).await?)?.pop())
}

/// The steps of an instance without their payloads, in no order.
pub async fn step_rows(moment: &Transaction<'_>, flow: &str) -> Result<Vec<StepRow>, ReadError> {
    const SQL: &str = "SELECT stepid, taskname, status, flowname, subflowid, rerun, starttime, \
        COALESCE(phase, 2) = 2 AS closed FROM steps WHERE flowinstanceid = $1";
    let rows = bounded(moment, SQL, &[(&flow, Type::TEXT)]).await?;
    let read = |row: &Row| {
        Ok(StepRow {
            id: row.try_get("stepid")?,
            task: text(row, "taskname")?,
            status: text(row, "status")?,
            flow: text(row, "flowname")?,
            subflow: text(row, "subflowid")?,
            rerun: row.try_get("rerun")?,
            started: time(row, "starttime")?,
            closed: row.try_get("closed")?,
        })
    };
    rows.iter().map(read).collect()
}

/// The snapshots that were posted for an instance, each distinct one once.
pub async fn posted_snapshots(moment: &Transaction<'_>, flow: &str) -> Result<Vec<Vec<u8>>, ReadError> {
    const SQL: &str = "SELECT data FROM ft_snapshot WHERE flowinstanceid = $1";
    let rows = bounded(moment, SQL, &[(&flow, Type::TEXT)]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Whether the history of an app is to be kept; nothing where it was never switched.
pub async fn app_state(moment: &Transaction<'_>, user: &str, app: &str) -> Result<Option<bool>, ReadError> {
    const SQL: &str = "SELECT persistenceenabled FROM appstate WHERE userid = $1 AND appname = $2";
    let row = moment.query_typed_opt(SQL, &[(&user, Type::TEXT), (&app, Type::TEXT)]).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?.flatten())
}

/// Whether the tables that existing readers know are there.
pub async fn tables_exist(moment: &Transaction<'_>) -> Result<bool, ReadError> {
    const SQL: &str = "SELECT bool_and(to_regclass(name) IS NOT NULL) FROM unnest($1::text[]) AS name";
    let tables = ["steps", "flowstate", "appstate"];
    let row = moment.query_typed_one(SQL, &[(&tables.as_slice(), Type::TEXT_ARRAY)]).await?;
    Ok(row.try_get::<_, Option<bool>>(0)?.unwrap_or(false))
}

fn step_data(rows: &[Row]) -> Result<Vec<StepData>, ReadError> {
    let read = |row: &Row| {
        Ok(StepData {
            id: row.try_get("stepid")?,
            execution: row.try_get("execution")?,
            data: row.try_get::<_, Option<Vec<u8>>>("stepdata")?.unwrap_or_default(),
        })
    };
    rows.iter().map(read).collect()
}

/// The rows of a statement, as long as they are not more than an answer may hold.
pub(super) async fn bounded(
    moment: &Transaction<'_>,
    sql: &str,
    parameters: &[(&(dyn ToSql + Sync), Type)],
) -> Result<Vec<Row>, ReadError> {
    let parameters = parameters.iter().map(|(value, kind)| (*value, kind.clone()));
    let stream = moment.query_typed_raw(sql, parameters.collect::<Vec<_>>()).await?;
    let mut stream = std::pin::pin!(stream);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = stream.try_next().await? {
        // Beside its values a row takes some itself.
        bytes += row.raw_size_bytes() + size_of::<Row>();
        if bytes > MOST_BYTES {
            return Err(ReadError::TooLarge);
        }
        rows.push(row);
    }
    Ok(rows)
}
