//! Which runs and executions of a flow are stored, and which of them show.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use tokio_postgres::{Transaction, types::Type};

use super::{flogo::ReadError, statement::Statement, time};

/// Executions that are read; of a flow with more, those of the others count as not stored.
const MOST: i64 = 100_000;

/// Numbers of the runs and executions of a flow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown {
    /// The run that shows.
    pub run: Option<i64>,
    /// All runs, where there are two or more.
    pub runs: HashSet<i64>,
    /// The execution that shows, by step.
    pub executions: HashMap<String, i64>,
    /// All others.
    pub superseded: HashSet<(String, i64)>,
}

/// What is stored of a flow, or of one step of it.
pub async fn shown(moment: &Transaction<'_>, flow: &str, step: Option<&str>) -> Result<Shown, ReadError> {
    let mut shown = Shown::default();
    let mut runs = Statement::new(
        "SELECT COALESCE(run, 0) AS run, true AS shows FROM flowstate WHERE flowinstanceid = ",
    );
    runs.push("? UNION ALL ", flow, Type::TEXT);
    runs.push("SELECT run, false FROM ft_run WHERE flowinstanceid = ?", flow, Type::TEXT);
    for row in runs.rows(moment).await? {
        let run = row.try_get("run")?;
        if row.try_get("shows")? {
            shown.run = Some(run);
        } else {
            shown.runs.insert(run);
        }
    }
    let mut steps = Statement::new(
        "SELECT * FROM (SELECT stepid, COALESCE(execution, 0) AS execution, true AS shows FROM steps WHERE flowinstanceid = ",
    );
    steps.push("? UNION ALL SELECT stepid, execution, false FROM ft_superseded_step", flow, Type::TEXT);
    steps.push(" WHERE flowinstanceid = ?) AS stored", flow, Type::TEXT);
    steps.push(" WHERE (?::text IS NULL", step, Type::TEXT);
    steps.push(" OR stepid = ?)", step, Type::TEXT);
    steps.push(" LIMIT ?", MOST, Type::INT8);
    for row in steps.rows(moment).await? {
        let (step, execution) = (row.try_get("stepid")?, row.try_get("execution")?);
        if row.try_get("shows")? {
            shown.executions.insert(step, execution);
        } else {
            shown.superseded.insert((step, execution));
        }
    }
    Ok(shown)
}

/// The earliest start that is known of a flow: of a run, or of a step.
pub async fn first_start(moment: &Transaction<'_>, flow: &str) -> Result<Option<Timestamp>, ReadError> {
    let mut statement =
        Statement::new("SELECT LEAST((SELECT min(starttime) FROM flowstate WHERE flowinstanceid = ");
    statement.push("?), ", flow, Type::TEXT);
    statement.push("(SELECT min(starttime) FROM ft_run WHERE flowinstanceid = ?), ", flow, Type::TEXT);
    statement.push("(SELECT min(starttime) FROM steps WHERE flowinstanceid = ?)) AS start", flow, Type::TEXT);
    let rows = statement.rows(moment).await?;
    Ok(rows.first().map_or(Ok(None), |row| time(row, "start"))?)
}
