//! Steps without their payloads, and one with them.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::{Error, Row, Transaction, types::Type};
use utoipa::ToSchema;

use super::{Content, FAILED, Utc, duration_ms, flogo::ReadError, statement::Statement, text, time};
use crate::model::RunState;

/// A step without its payloads.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StepLine {
    /// Step id.
    pub id: String,
    /// Task name.
    pub task: Option<String>,
    /// The runtime's own word.
    pub status: Option<String>,
    /// How it stands.
    pub state: RunState,
    /// Start, UTC.
    pub started: Option<Timestamp>,
    /// End, UTC.
    pub ended: Option<Timestamp>,
    /// From start to end in milliseconds; negative where a clock was set back.
    pub duration_ms: Option<f64>,
    /// It belongs to a re-run of the instance.
    pub rerun: bool,
    /// Number of the execution; the greatest is the latest.
    pub execution: Option<i64>,
    /// 0 opened, 1 running, 2 closed.
    pub phase: Option<i16>,
    /// Flow that the task belongs to.
    pub flow: Option<String>,
    /// Subflow that the task ran in.
    pub subflow: Option<String>,
    /// Step that this one belongs to.
    pub parent: Option<String>,
    /// Bytes of what it was given.
    pub input_bytes: Option<i32>,
    /// Bytes of what it gave.
    pub output_bytes: Option<i32>,
    /// Bytes of its error.
    pub error_bytes: Option<i32>,
    /// Bytes of the runtime's own record of it.
    pub data_bytes: Option<i32>,
}

const COLUMNS: &str = "stepid, taskname, status, starttime, endtime, rerun, execution, phase, flowname, subflowid, parentstepid, \
    octet_length(input) AS inputbytes, octet_length(output) AS outputbytes, octet_length(error) AS errorbytes, \
    octet_length(stepdata) AS stepdatabytes, error IS NOT NULL AS haserror";

/// Ids that are numbers come first, by number; the others by start, then by id. As three columns that are never null.
const PLACE: &str = "CASE WHEN stepid ~ '^[0-9]{1,18}$' THEN stepid::bigint ELSE 9223372036854775807 END AS number, \
    CASE WHEN stepid ~ '^[0-9]{1,18}$' THEN '-infinity' ELSE COALESCE(starttime, '-infinity') END AS since";

/// Which steps of a flow are wanted; what is not given does not narrow.
#[derive(Debug, Clone, Default)]
pub struct StepFilter {
    /// Any of these statuses, in letters of any case.
    pub statuses: Vec<String>,
    /// Only steps that failed.
    pub failed: bool,
    /// This task.
    pub task: Option<String>,
    /// This subflow.
    pub subflow: Option<String>,
    /// Only what comes after this step.
    pub after: Option<StepCursor>,
}

/// A place among the steps of a flow: behind this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepCursor {
    /// Its start; what is not known comes first.
    pub start: Option<Timestamp>,
    /// Its id.
    pub id: String,
}

/// A step with its payloads, and its executions.
#[derive(Debug, Clone)]
pub struct WholeStep {
    /// All but the payloads.
    pub line: StepLine,
    /// A later execution took its place.
    pub superseded: bool,
    /// What it was given.
    pub input: Option<Content>,
    /// What it gave.
    pub output: Option<Content>,
    /// What went wrong.
    pub error: Option<Content>,
    /// The runtime's own record of it.
    pub data: Option<Content>,
    /// What else the runtime said.
    pub misc: Option<Content>,
    /// The runtime's own record of it, whole.
    pub record: Vec<u8>,
}

/// A step, and hashes of what it was given and gave.
#[derive(Debug, Clone, PartialEq)]
pub struct HashedStep {
    /// All but the payloads.
    pub line: StepLine,
    /// SHA-256 of its input, if it has one.
    pub input: Option<Vec<u8>>,
    /// The same of its output.
    pub output: Option<Vec<u8>>,
    /// The same of its error.
    pub error: Option<Vec<u8>>,
}

/// One execution of a step.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Execution {
    /// Its number; the greatest is the latest.
    pub execution: i64,
    /// A later one took its place.
    pub superseded: bool,
    /// The runtime's own word.
    pub status: Option<String>,
    /// How it stands.
    pub state: RunState,
    /// Start, UTC.
    pub started: Option<Timestamp>,
    /// End, UTC.
    pub ended: Option<Timestamp>,
    /// From start to end in milliseconds.
    pub duration_ms: Option<f64>,
}

impl StepLine {
    pub(super) fn of(row: &Row) -> Result<Self, Error> {
        let (started, ended) = (time(row, "starttime")?, time(row, "endtime")?);
        let (status, phase) = (text(row, "status")?, row.try_get("phase")?);
        Ok(Self {
            id: row.try_get("stepid")?,
            task: text(row, "taskname")?,
            state: RunState::of(status.as_deref(), phase, row.try_get("haserror")?),
            status,
            duration_ms: duration_ms(started, ended),
            started,
            ended,
            rerun: row.try_get::<_, Option<bool>>("rerun")?.unwrap_or(false),
            execution: row.try_get("execution")?,
            phase,
            flow: text(row, "flowname")?,
            subflow: text(row, "subflowid")?,
            parent: text(row, "parentstepid")?,
            input_bytes: row.try_get("inputbytes")?,
            output_bytes: row.try_get("outputbytes")?,
            error_bytes: row.try_get("errorbytes")?,
            data_bytes: row.try_get("stepdatabytes")?,
        })
    }
}

/// Steps of a flow without their payloads; conditions and an order may follow.
pub(super) fn of_flow(flow: &str) -> Statement<'_> {
    let mut statement = Statement::new(format!("SELECT {COLUMNS} FROM steps WHERE flowinstanceid = "));
    statement.push("?", flow, Type::TEXT);
    statement
}

/// At most `limit` steps of a flow in their order, and whether there are more.
pub async fn steps(
    moment: &Transaction<'_>,
    flow: &str,
    filter: &StepFilter,
    limit: u32,
) -> Result<(Vec<StepLine>, bool), ReadError> {
    let mut statement = Statement::new(format!(
        "SELECT * FROM (SELECT {COLUMNS}, {PLACE} FROM steps WHERE flowinstanceid = "
    ));
    statement.push("?", flow, Type::TEXT);
    if !filter.statuses.is_empty() {
        let statuses: Vec<String> = filter.statuses.iter().map(|status| status.to_lowercase()).collect();
        statement.push(" AND lower(status) = ANY (?)", statuses, Type::TEXT_ARRAY);
    }
    if filter.failed {
        statement.sql(&format!(" AND {FAILED}"));
    }
    if let Some(task) = &filter.task {
        statement.push(" AND taskname = ?", task.as_str(), Type::TEXT);
    }
    if let Some(subflow) = &filter.subflow {
        statement.push(" AND subflowid = ?", subflow.as_str(), Type::TEXT);
    }
    statement.sql(") AS steps");
    if let Some(StepCursor { start, id }) = &filter.after {
        // The cursor's own place is worked out as each row's is.
        statement.sql(" WHERE (number, since, stepid COLLATE \"C\") > (SELECT number, since, stepid COLLATE \"C\" FROM (SELECT ");
        statement.sql(PLACE);
        statement.push(", stepid FROM (SELECT ? AS stepid,", id.as_str(), Type::TEXT);
        statement.push(" ? AS starttime) AS named) AS placed)", Utc(*start), Type::TIMESTAMP);
    }
    statement.sql(" ORDER BY number, since, stepid COLLATE \"C\"");
    statement.push(" LIMIT ?", i64::from(limit) + 1, Type::INT8);
    let mut steps = statement.rows(moment).await?.iter().map(StepLine::of).collect::<Result<Vec<_>, _>>()?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let are_more = steps.len() > wanted;
    steps.truncate(wanted);
    Ok((steps, are_more))
}

/// At most `limit` steps of a flow in their order with hashes of their payloads, and whether there are more.
pub async fn hashed_steps(
    moment: &Transaction<'_>,
    flow: &str,
    limit: u32,
) -> Result<(Vec<HashedStep>, bool), ReadError> {
    let mut statement = Statement::new(format!(
        "SELECT {COLUMNS}, {PLACE}, sha256(input) AS inputhash, sha256(output) AS outputhash, sha256(error) AS errorhash \
         FROM steps WHERE flowinstanceid = "
    ));
    statement.push("?", flow, Type::TEXT);
    statement.push(" ORDER BY number, since, stepid COLLATE \"C\" LIMIT ?", i64::from(limit) + 1, Type::INT8);
    let read = |row: &Row| {
        Ok(HashedStep {
            line: StepLine::of(row)?,
            input: row.try_get("inputhash")?,
            output: row.try_get("outputhash")?,
            error: row.try_get("errorhash")?,
        })
    };
    let steps = statement.rows(moment).await?.iter().map(read).collect::<Result<Vec<_>, Error>>()?;
    let are_more = u32::try_from(steps.len()).is_ok_and(|count| count > limit);
    Ok((steps, are_more))
}

/// A step with its payloads, each cut after `most` bytes: the execution that counts, or the one of this number.
pub async fn whole_step(
    moment: &Transaction<'_>,
    flow: &str,
    step: &str,
    execution: Option<i64>,
    most: usize,
) -> Result<Option<WholeStep>, ReadError> {
    for (table, superseded) in [("steps", false), ("ft_superseded_step", true)] {
        if superseded && execution.is_none() {
            break;
        }
        let mut statement = Statement::new(format!(
            "SELECT *, octet_length(input) AS inputbytes, octet_length(output) AS outputbytes, \
                octet_length(error) AS errorbytes, octet_length(stepdata) AS stepdatabytes, error IS NOT NULL AS haserror, \
                octet_length(misc) AS miscbytes FROM {table} WHERE flowinstanceid = "
        ));
        statement.push("?", flow, Type::TEXT);
        statement.push(" AND stepid = ?", step, Type::TEXT);
        if let Some(execution) = execution {
            statement.push(" AND COALESCE(execution, 0) = ?", execution, Type::INT8);
        }
        if let Some(row) = statement.rows(moment).await?.first() {
            return Ok(Some(whole(row, superseded, most)?));
        }
    }
    Ok(None)
}

fn whole(row: &Row, superseded: bool, most: usize) -> Result<WholeStep, Error> {
    let content = |column: &str| -> Result<Option<Content>, Error> {
        let stored = row.try_get::<_, Option<&[u8]>>(column)?;
        Ok(stored.map(|stored| Content::of(stored, most)))
    };
    Ok(WholeStep {
        line: StepLine::of(row)?,
        superseded,
        input: content("input")?,
        output: content("output")?,
        error: content("error")?,
        data: content("stepdata")?,
        misc: content("misc")?,
        record: row.try_get::<_, Option<Vec<u8>>>("stepdata")?.unwrap_or_default(),
    })
}

/// Executions of a step, the latest first and at most a hundred; none where the step is not known.
pub async fn executions(
    moment: &Transaction<'_>,
    flow: &str,
    step: &str,
) -> Result<Vec<Execution>, ReadError> {
    const FIELDS: &str = "status, phase, starttime, endtime, error IS NOT NULL AS haserror";
    let mut statement = Statement::new(format!(
        "SELECT COALESCE(execution, 0) AS execution, false AS superseded, {FIELDS} FROM steps WHERE flowinstanceid = "
    ));
    statement.push("?", flow, Type::TEXT);
    statement.push(" AND stepid = ?", step, Type::TEXT);
    statement.sql(&format!(
        " UNION ALL SELECT execution, true, {FIELDS} FROM ft_superseded_step WHERE flowinstanceid = "
    ));
    statement.push("?", flow, Type::TEXT);
    statement.push(" AND stepid = ?", step, Type::TEXT);
    statement.sql(" ORDER BY execution DESC LIMIT 100");
    let read = |row: &Row| {
        let (started, ended) = (time(row, "starttime")?, time(row, "endtime")?);
        let status = text(row, "status")?;
        Ok(Execution {
            execution: row.try_get("execution")?,
            superseded: row.try_get("superseded")?,
            state: RunState::of(status.as_deref(), row.try_get("phase")?, row.try_get("haserror")?),
            status,
            duration_ms: duration_ms(started, ended),
            started,
            ended,
        })
    };
    statement.rows(moment).await?.iter().map(read).collect()
}
