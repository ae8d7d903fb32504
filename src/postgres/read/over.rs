//! Steps of many flows at once: for statistics, and for a grid of runs.

use serde::Serialize;
use tokio_postgres::{Row, Transaction, types::Type};
use utoipa::ToSchema;

use super::{FAILED, duration_ms, flogo::ReadError, list, statement::Statement, text, time};
use crate::{model::RunState, postgres::read::Filter};

/// Flows whose steps are looked at for statistics.
const MOST_FLOWS: i64 = 500;

/// Kinds of steps of one answer.
const MOST_TASKS: i64 = 50;

/// Steps of one flow that are looked at.
const MOST_STEPS: i64 = 2_000;

/// How long the steps of a task take.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SlowTask {
    /// App of the flows.
    pub app: Option<String>,
    /// Flow that the task belongs to.
    pub flow: Option<String>,
    /// The task.
    pub task: Option<String>,
    /// Steps that were looked at.
    pub runs: i64,
    /// How many of them failed.
    pub failed: i64,
    /// Half of them took no longer, in milliseconds.
    pub p50_ms: f64,
    /// 95 of 100 of them took no longer.
    pub p95_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// A step as far as a grid shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct GridStep {
    /// Flow instance.
    pub instance: String,
    /// Step id.
    pub id: String,
    /// Task name.
    pub task: Option<String>,
    /// Flow that the task belongs to.
    pub flow: Option<String>,
    /// Subflow that the task ran in.
    pub subflow: Option<String>,
    /// How it stands.
    pub state: RunState,
    /// From start to end in milliseconds.
    pub duration_ms: Option<f64>,
}

/// The tasks whose steps take longest, of the newest flows that match; by what 95 of 100 of their steps don't exceed.
pub async fn slow_tasks(moment: &Transaction<'_>, filter: &Filter) -> Result<Vec<SlowTask>, ReadError> {
    let mut statement = Statement::new("WITH newest AS MATERIALIZED (SELECT flowinstanceid, appname FROM (");
    list::push_newest(&mut statement, filter, "flowinstanceid, appname");
    statement.push(") AS flows LIMIT ?)", MOST_FLOWS, Type::INT8);
    statement.sql(&format!(
        " SELECT appname, flowname, taskname, count(*) AS runs, count(*) FILTER (WHERE failed) AS failed, \
            percentile_disc(0.5) WITHIN GROUP (ORDER BY ms) AS p50, \
            percentile_disc(0.95) WITHIN GROUP (ORDER BY ms) AS p95, max(ms) AS longest \
         FROM newest n CROSS JOIN LATERAL (SELECT s.flowname, s.taskname, ft_ms(s.endtime - s.starttime) AS ms, \
            {FAILED} AS failed FROM steps s WHERE s.flowinstanceid = n.flowinstanceid \
                AND s.endtime IS NOT NULL AND s.starttime IS NOT NULL"
    ));
    statement.push(" LIMIT ?) AS s GROUP BY appname, flowname, taskname", MOST_STEPS, Type::INT8);
    statement.push(" ORDER BY p95 DESC, appname, flowname, taskname LIMIT ?", MOST_TASKS, Type::INT8);
    let read = |row: &Row| {
        Ok(SlowTask {
            app: text(row, "appname")?,
            flow: text(row, "flowname")?,
            task: text(row, "taskname")?,
            runs: row.try_get("runs")?,
            failed: row.try_get("failed")?,
            p50_ms: row.try_get("p50")?,
            p95_ms: row.try_get("p95")?,
            max_ms: row.try_get("longest")?,
        })
    };
    statement.rows(moment).await?.iter().map(read).collect()
}

/// The steps of these flows, each flow's in the order of [`super::steps`]; at most two thousand of each.
pub async fn steps_of(moment: &Transaction<'_>, flows: &[String]) -> Result<Vec<GridStep>, ReadError> {
    let mut statement = Statement::new("SELECT f.id AS instance, s.* FROM unnest(");
    statement.push(
        "?::text[]) WITH ORDINALITY AS f(id, place) CROSS JOIN LATERAL (",
        flows,
        Type::TEXT_ARRAY,
    );
    statement.sql(
        "SELECT stepid, taskname, flowname, subflowid, status, phase, starttime, endtime, error IS NOT NULL AS haserror, \
            CASE WHEN stepid ~ '^[0-9]{1,18}$' THEN stepid::bigint ELSE 9223372036854775807 END AS number \
         FROM steps WHERE flowinstanceid = f.id",
    );
    statement.push(
        " ORDER BY number, starttime, stepid LIMIT ?) AS s ORDER BY f.place, number, starttime, stepid",
        MOST_STEPS,
        Type::INT8,
    );
    let read = |row: &Row| {
        let status = text(row, "status")?;
        Ok(GridStep {
            instance: row.try_get("instance")?,
            id: row.try_get("stepid")?,
            task: text(row, "taskname")?,
            flow: text(row, "flowname")?,
            subflow: text(row, "subflowid")?,
            state: RunState::of(status.as_deref(), row.try_get("phase")?, row.try_get("haserror")?),
            duration_ms: duration_ms(time(row, "starttime")?, time(row, "endtime")?),
        })
    };
    statement.rows(moment).await?.iter().map(read).collect()
}
