//! All there is about one flow instance.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::{Client, Error, IsolationLevel, Row, Transaction, types::Type};

use super::{Payload, Summary, duration_ms, text, time};

/// One flow instance with its runs, steps and kin.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Flow {
    /// Flow instance id.
    pub id: String,
    /// What is known of the flow itself; nothing where only steps of it have been seen.
    pub state: Option<State>,
    /// Instances that are re-runs of this one, oldest first.
    pub rerun_by: Vec<Summary>,
    /// The instance this one is a re-run of, where it is known.
    pub original: Option<Summary>,
    /// Runs of this instance, oldest first; empty where there is only one.
    pub runs: Vec<Run>,
    /// Its steps in order.
    pub steps: Vec<Step>,
    /// Its variables, but those that were removed, by scope and name.
    pub variables: Vec<Value>,
    /// Executions of steps that later ones took the place of.
    pub superseded_executions: i64,
}

/// What is known of the flow itself: its latest run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct State {
    /// Everything but the payloads.
    #[serde(flatten)]
    pub summary: Summary,
    /// Number of the run that is shown.
    pub run: Option<i64>,
    /// 0 opened, 1 running, 2 closed.
    pub phase: Option<i16>,
    /// Trace id.
    pub trace_id: Option<String>,
    /// Milliseconds from start to end as the table holds them.
    pub execution_time: Option<String>,
    /// What the first run was given.
    pub input: Option<Payload>,
    /// What it gave.
    pub output: Option<Payload>,
    /// What went wrong.
    pub error: Option<Payload>,
    /// What else the runtime said.
    pub misc: Option<Payload>,
}

/// One run of an instance that has several.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// Its number; the greatest is the latest.
    pub run: i64,
    /// The runtime's own word.
    pub status: Option<String>,
    /// Start, UTC.
    pub started: Option<Timestamp>,
    /// End, UTC.
    pub ended: Option<Timestamp>,
    /// From start to end in milliseconds.
    pub duration_ms: Option<f64>,
    /// Version of the app.
    pub version: Option<String>,
    /// Host it ran on.
    pub host: Option<String>,
    /// User who ran it.
    pub user: Option<String>,
    /// What it was given.
    pub input: Option<Payload>,
    /// What it gave.
    pub output: Option<Payload>,
    /// What went wrong.
    pub error: Option<Payload>,
}

/// One step: the execution that counts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Step id.
    pub id: String,
    /// Task name.
    pub task: Option<String>,
    /// The runtime's own word.
    pub status: Option<String>,
    /// Start, UTC.
    pub started: Option<Timestamp>,
    /// End, UTC.
    pub ended: Option<Timestamp>,
    /// From start to end in milliseconds.
    pub duration_ms: Option<f64>,
    /// It belongs to a re-run of the instance.
    pub rerun: bool,
    /// Number of the execution.
    pub execution: Option<i64>,
    /// 0 opened, 1 running, 2 closed.
    pub phase: Option<i16>,
    /// Flow that the task belongs to.
    pub flow: Option<String>,
    /// Subflow that the task ran in.
    pub subflow: Option<String>,
    /// Step that this one belongs to.
    pub parent: Option<String>,
    /// What it was given.
    pub input: Option<Payload>,
    /// What it gave.
    pub output: Option<Payload>,
    /// What went wrong.
    pub error: Option<Payload>,
    /// The runtime's own record of it.
    pub data: Option<Payload>,
    /// What else the runtime said.
    pub misc: Option<Payload>,
}

/// A variable.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Value {
    /// What has it, by the runtime's own id; empty if that is the instance.
    pub scope: String,
    /// Name.
    pub name: String,
    /// The runtime's word for what the value is.
    pub r#type: Option<String>,
    /// Value; nothing where it is null, or is not kept any more.
    pub value: Option<Payload>,
}

/// Reads all there is about one instance, as of one moment; nothing where neither it nor a step of it is known.
pub async fn show(client: &mut Client, id: &str) -> Result<Option<Flow>, Error> {
    // One snapshot for all statements, or a run could be missing that its steps belong to.
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let state = state(&transaction, id).await?;
    let steps = steps(&transaction, id).await?;
    let variables = variables(&transaction, id).await?;
    if state.is_none() && steps.is_empty() && variables.is_empty() {
        return Ok(None);
    }
    let original = match state.as_ref().and_then(|state| state.summary.rerun_of.as_deref()) {
        Some(original) => summaries(&transaction, "flowinstanceid = $1", original).await?.pop(),
        None => None,
    };
    let rerun_by = summaries(&transaction, "rerunofflowinstanceid = $1 AND flowinstanceid <> $1", id).await?;
    let runs = rows(&transaction, "SELECT * FROM ft_run WHERE flowinstanceid = $1 ORDER BY run", id).await?;
    let mut runs = runs.iter().map(Run::of).collect::<Result<Vec<_>, _>>()?;
    if runs.len() < 2 {
        runs.clear();
    }
    let superseded =
        rows(&transaction, "SELECT count(*) FROM ft_superseded_step WHERE flowinstanceid = $1", id).await?;
    let superseded_executions = superseded.first().map_or(Ok(0), |row| row.try_get(0))?;
    transaction.commit().await?;
    let id = id.to_owned();
    Ok(Some(Flow { id, state, rerun_by, original, runs, steps, variables, superseded_executions }))
}

/// Unnamed statements with their types given: nothing is prepared that a session pooler would mix up.
async fn rows(transaction: &Transaction<'_>, sql: &str, id: &str) -> Result<Vec<Row>, Error> {
    transaction.query_typed(sql, &[(&id, Type::TEXT)]).await
}

async fn state(transaction: &Transaction<'_>, id: &str) -> Result<Option<State>, Error> {
    let found = rows(
        transaction,
        "SELECT *, error IS NOT NULL AS haserror FROM flowstate WHERE flowinstanceid = $1",
        id,
    )
    .await?;
    found.first().map(State::of).transpose()
}

async fn summaries(transaction: &Transaction<'_>, which: &str, id: &str) -> Result<Vec<Summary>, Error> {
    let sql = format!(
        "SELECT {} FROM flowstate WHERE {which} ORDER BY starttime, flowinstanceid",
        Summary::COLUMNS
    );
    rows(transaction, &sql, id).await?.iter().map(Summary::of).collect()
}

async fn steps(transaction: &Transaction<'_>, id: &str) -> Result<Vec<Step>, Error> {
    let found = rows(transaction, "SELECT * FROM steps WHERE flowinstanceid = $1", id).await?;
    let mut steps = found.iter().map(Step::of).collect::<Result<Vec<_>, _>>()?;
    steps.sort_by(|one, other| order(one).cmp(&order(other)));
    Ok(steps)
}

/// Parts of records, which a runtime keeps beside its variables, are left to whoever knows that runtime.
async fn variables(transaction: &Transaction<'_>, id: &str) -> Result<Vec<Value>, Error> {
    let sql = "SELECT scope, name, type, value FROM ft_variable \
        WHERE flowinstanceid = $1 AND NOT removed AND NOT starts_with(scope, '@') ORDER BY scope, name";
    rows(transaction, sql, id).await?.iter().map(Value::of).collect()
}

/// Ids that are numbers come first, by number; the others by start, then by id.
fn order(step: &Step) -> (u64, Option<Timestamp>, &str) {
    let numeric = (1..=18).contains(&step.id.len()) && step.id.bytes().all(|byte| byte.is_ascii_digit());
    match step.id.parse::<u64>() {
        Ok(number) if numeric => (number, None, &step.id),
        _ => (u64::MAX, step.started, &step.id),
    }
}

impl State {
    fn of(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            summary: Summary::of(row)?,
            run: row.try_get("run")?,
            phase: row.try_get("phase")?,
            trace_id: text(row, "traceid")?,
            execution_time: text(row, "executiontime")?,
            input: payload(row, "flowinput")?,
            output: payload(row, "flowoutput")?,
            error: payload(row, "error")?,
            misc: payload(row, "misc")?,
        })
    }
}

impl Run {
    fn of(row: &Row) -> Result<Self, Error> {
        let (started, ended) = (time(row, "starttime")?, time(row, "endtime")?);
        Ok(Self {
            run: row.try_get("run")?,
            status: text(row, "status")?,
            duration_ms: duration_ms(started, ended),
            started,
            ended,
            version: text(row, "appversion")?,
            host: text(row, "hostid")?,
            user: text(row, "userid")?,
            input: payload(row, "flowinput")?,
            output: payload(row, "flowoutput")?,
            error: payload(row, "error")?,
        })
    }
}

impl Step {
    fn of(row: &Row) -> Result<Self, Error> {
        let (started, ended) = (time(row, "starttime")?, time(row, "endtime")?);
        Ok(Self {
            id: row.try_get("stepid")?,
            task: text(row, "taskname")?,
            status: text(row, "status")?,
            duration_ms: duration_ms(started, ended),
            started,
            ended,
            rerun: row.try_get::<_, Option<bool>>("rerun")?.unwrap_or(false),
            execution: row.try_get("execution")?,
            phase: row.try_get("phase")?,
            flow: text(row, "flowname")?,
            subflow: text(row, "subflowid")?,
            parent: text(row, "parentstepid")?,
            input: payload(row, "input")?,
            output: payload(row, "output")?,
            error: payload(row, "error")?,
            data: payload(row, "stepdata")?,
            misc: payload(row, "misc")?,
        })
    }
}

impl Value {
    fn of(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            scope: row.try_get("scope")?,
            name: row.try_get("name")?,
            r#type: text(row, "type")?,
            value: payload(row, "value")?,
        })
    }
}

fn payload(row: &Row, column: &str) -> Result<Option<Payload>, Error> {
    Ok(row.try_get::<_, Option<Vec<u8>>>(column)?.map(Payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(id: &str, second: Option<i64>) -> Step {
        Step {
            id: id.to_owned(),
            task: None,
            status: None,
            started: second.and_then(|second| Timestamp::from_second(second).ok()),
            ended: None,
            duration_ms: None,
            rerun: false,
            execution: None,
            phase: None,
            flow: None,
            subflow: None,
            parent: None,
            input: None,
            output: None,
            error: None,
            data: None,
            misc: None,
        }
    }

    #[test]
    fn numbers_come_in_their_order_and_others_by_their_start() {
        let mut steps = [
            step("later", Some(2)),
            step("10", Some(1)),
            step("early", Some(1)),
            step("9", Some(3)),
            step("1234567890123456789", Some(3)),
            step("0", None),
        ];
        steps.sort_by(|one, other| order(one).cmp(&order(other)));
        let ids: Vec<_> = steps.iter().map(|step| step.id.as_str()).collect();
        assert_eq!(ids, ["0", "9", "10", "early", "later", "1234567890123456789"]);
    }
}
