//! One flow beside its kin, its runs, and its steps counted.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::{Row, Transaction, types::Type};
use utoipa::ToSchema;

use super::{
    Content, FAILED, Summary, Utc, duration_ms,
    flogo::ReadError,
    list::MOST_CANDIDATES,
    statement::Statement,
    step_line::{self, StepLine},
    text, time,
};
use crate::model::RunState;

/// Children and re-runs that are shown.
const MOST_KIN: i64 = 100;

/// Failed steps that are shown.
const MOST_FAILED: i64 = 10;

/// Runs that are shown: the newest of them.
const MOST_RUNS: i64 = 100;

/// One flow instance.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Detail {
    /// Flow instance id.
    pub id: String,
    /// What is known of the flow itself; null where only steps of it have been seen.
    pub flow: Option<WholeFlow>,
    /// Instances that have to do with it.
    pub kin: Kin,
    /// Its runs if there are two or more, oldest first; the newest hundred.
    pub runs: Vec<WholeRun>,
    /// Its steps, counted.
    pub steps: StepCounts,
}

/// What is known of the flow itself: its latest run.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WholeFlow {
    /// As in the list.
    #[serde(flatten)]
    pub summary: Summary,
    /// Number of the run that is shown.
    pub run: Option<i64>,
    /// 0 opened, 1 running, 2 closed.
    pub phase: Option<i16>,
    /// Trace id.
    pub trace_id: Option<String>,
    /// What the first run was given.
    pub input: Option<Content>,
    /// What it gave.
    pub output: Option<Content>,
    /// What went wrong.
    pub error: Option<Content>,
    /// What else the runtime said.
    pub misc: Option<Content>,
}

/// Instances that have to do with one.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Kin {
    /// The instance that called it.
    pub parent: Option<Summary>,
    /// The instance that it is a re-run of.
    pub original: Option<Summary>,
    /// Instances that it called, oldest first; the first hundred.
    pub children: Vec<Summary>,
    /// Whether all instances that may be children were looked at.
    pub children_complete: bool,
    /// Instances that are re-runs of it, oldest first; the first hundred.
    pub reruns: Vec<Summary>,
}

/// One run of an instance that has several.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct WholeRun {
    /// Its number; the greatest is the latest.
    pub run: i64,
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
    /// Version of the app.
    pub version: Option<String>,
    /// Host it ran on.
    pub host: Option<String>,
    /// User who ran it.
    pub user: Option<String>,
    /// Executions of steps from this run on and before the next that later ones took the place of.
    pub superseded_steps: i64,
    /// What it was given.
    pub input: Option<Content>,
    /// What it gave.
    pub output: Option<Content>,
    /// What went wrong.
    pub error: Option<Content>,
}

/// The steps of a flow, counted.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct StepCounts {
    /// How many there are.
    pub total: i64,
    /// Executions that later ones took the place of.
    pub superseded: i64,
    /// How many of the steps are in each state, the most first.
    pub by_state: Vec<StateCount>,
    /// The ten that failed last, the latest first.
    pub failed: Vec<StepLine>,
}

/// How many steps are in a state.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StateCount {
    /// The state.
    pub state: RunState,
    /// How many steps.
    pub steps: i64,
}

/// All there is about one instance but its steps; nothing where neither it nor a step of it is known. Kin of other users
/// than `only_user` are left out; payloads are cut after `most` bytes.
pub async fn detail(
    moment: &Transaction<'_>,
    id: &str,
    only_user: Option<&str>,
    most: usize,
) -> Result<Option<Detail>, ReadError> {
    let flow = whole_flow(moment, id, most).await?;
    let steps = step_counts(moment, id).await?;
    if flow.is_none() && steps.total == 0 && steps.superseded == 0 {
        return Ok(None);
    }
    let mut kin = Kin { children_complete: true, ..Kin::default() };
    let relatives = Relatives { moment, only_user };
    if let Some(WholeFlow { summary, .. }) = &flow {
        kin.parent = relatives.one(summary.parent.as_deref()).await?;
        kin.original = relatives.one(summary.rerun_of.as_deref()).await?;
        (kin.children, kin.children_complete) = relatives.children(summary).await?;
    }
    kin.reruns = relatives.reruns(id).await?;
    let runs = runs(moment, id, most).await?;
    Ok(Some(Detail { id: id.to_owned(), flow, kin, runs, steps }))
}

/// An instance's state as the list has it; nothing where only steps of it have been seen, or nothing at all.
pub async fn summary(moment: &Transaction<'_>, id: &str) -> Result<Option<Summary>, ReadError> {
    Ok(Relatives { moment, only_user: None }.one(Some(id)).await?)
}

/// The instances that this one called, oldest first and at most a hundred, and whether these are all.
pub async fn children(
    moment: &Transaction<'_>,
    flow: &Summary,
    only_user: Option<&str>,
) -> Result<(Vec<Summary>, bool), ReadError> {
    Ok(Relatives { moment, only_user }.children(flow).await?)
}

async fn whole_flow(moment: &Transaction<'_>, id: &str, most: usize) -> Result<Option<WholeFlow>, ReadError> {
    let payloads = ["flowinput", "flowoutput", "error", "misc"].map(|column| Content::columns(column, most));
    let mut statement = Statement::new(format!(
        "SELECT {}, run, traceid, {} FROM flowstate WHERE flowinstanceid = ",
        Summary::COLUMNS,
        payloads.join(", ")
    ));
    statement.push("?", id, Type::TEXT);
    let rows = statement.rows(moment).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    Ok(Some(WholeFlow {
        summary: Summary::of(row)?,
        run: row.try_get("run")?,
        phase: row.try_get("phase")?,
        trace_id: text(row, "traceid")?,
        input: Content::read(row, "flowinput")?,
        output: Content::read(row, "flowoutput")?,
        error: Content::read(row, "error")?,
        misc: Content::read(row, "misc")?,
    }))
}

/// Other instances, as far as the caller may see them.
struct Relatives<'a> {
    moment: &'a Transaction<'a>,
    only_user: Option<&'a str>,
}

impl Relatives<'_> {
    async fn one(&self, id: Option<&str>) -> Result<Option<Summary>, tokio_postgres::Error> {
        let Some(id) = id else { return Ok(None) };
        Ok(self.where_equal("flowinstanceid", id).await?.pop())
    }

    async fn reruns(&self, id: &str) -> Result<Vec<Summary>, tokio_postgres::Error> {
        let mut reruns = self.where_equal("rerunofflowinstanceid", id).await?;
        reruns.retain(|flow| flow.id != id);
        Ok(reruns)
    }

    async fn where_equal(&self, column: &str, id: &str) -> Result<Vec<Summary>, tokio_postgres::Error> {
        let mut statement =
            Statement::new(format!("SELECT {} FROM flowstate WHERE {column} = ", Summary::COLUMNS));
        statement.push("?", id, Type::TEXT);
        statement.push(" AND (?::text IS NULL", self.only_user, Type::TEXT);
        statement.push(" OR userid = ?)", self.only_user, Type::TEXT);
        statement.push(" ORDER BY starttime, flowinstanceid LIMIT ?", MOST_KIN, Type::INT8);
        statement.rows(self.moment).await?.iter().map(Summary::of).collect()
    }

    /// No index knows who called whom: a child begins after its parent, so the flows that began next are looked at.
    async fn children(&self, parent: &Summary) -> Result<(Vec<Summary>, bool), tokio_postgres::Error> {
        let Some(start) = parent.started else { return Ok((Vec::new(), false)) };
        let mut statement = Statement::new(
            "WITH candidates AS (SELECT *, row_number() OVER () AS place FROM (SELECT * FROM flowstate",
        );
        statement.push(" WHERE starttime >= ?", Utc(Some(start)), Type::TIMESTAMP);
        statement.push(" AND starttime <= COALESCE(?, 'infinity')", Utc(parent.ended), Type::TIMESTAMP);
        statement.push(" ORDER BY starttime, flowinstanceid LIMIT ?) AS next)", MOST_CANDIDATES, Type::INT8);
        statement.sql(&format!(
            " SELECT {}, (SELECT count(*) FROM candidates) AS seen FROM candidates",
            Summary::COLUMNS
        ));
        statement.push(" WHERE parentflowinstanceid = ?", parent.id.as_str(), Type::TEXT);
        statement.push(" AND (?::text IS NULL", self.only_user, Type::TEXT);
        statement.push(" OR userid = ?)", self.only_user, Type::TEXT);
        statement.push(" ORDER BY place LIMIT ?", MOST_KIN, Type::INT8);
        let rows = statement.rows(self.moment).await?;
        let seen = match rows.first() {
            Some(row) => row.try_get("seen")?,
            None => self.count_after(start, parent.ended).await?,
        };
        let children = rows.iter().map(Summary::of).collect::<Result<_, _>>()?;
        Ok((children, seen < MOST_CANDIDATES))
    }

    async fn count_after(
        &self,
        start: Timestamp,
        end: Option<Timestamp>,
    ) -> Result<i64, tokio_postgres::Error> {
        let mut statement = Statement::new("SELECT count(*) FROM (SELECT FROM flowstate");
        statement.push(" WHERE starttime >= ?", Utc(Some(start)), Type::TIMESTAMP);
        statement.push(" AND starttime <= COALESCE(?, 'infinity')", Utc(end), Type::TIMESTAMP);
        statement.push(" LIMIT ?) AS next", MOST_CANDIDATES, Type::INT8);
        statement.rows(self.moment).await?.first().map_or(Ok(0), |row| row.try_get(0))
    }
}

async fn runs(moment: &Transaction<'_>, id: &str, most: usize) -> Result<Vec<WholeRun>, ReadError> {
    let payloads = ["flowinput", "flowoutput", "error"].map(|column| Content::columns(column, most));
    let mut statement = Statement::new(format!(
        "SELECT run, phase, status, starttime, endtime, appversion, hostid, userid, error IS NOT NULL AS haserror, \
            (SELECT count(*) FROM ft_superseded_step s WHERE s.flowinstanceid = r.flowinstanceid \
                AND s.execution >= r.run AND s.execution < r.next) AS superseded, {} \
         FROM (SELECT *, lead(run, 1, 9223372036854775807) OVER (ORDER BY run) AS next FROM ft_run \
            WHERE flowinstanceid = ",
        payloads.join(", ")
    ));
    statement.push("?) AS r", id, Type::TEXT);
    statement.push(" ORDER BY run DESC LIMIT ?", MOST_RUNS, Type::INT8);
    let rows = statement.rows(moment).await?;
    if rows.len() < 2 {
        return Ok(Vec::new());
    }
    rows.iter().rev().map(run).collect()
}

fn run(row: &Row) -> Result<WholeRun, ReadError> {
    let (started, ended) = (time(row, "starttime")?, time(row, "endtime")?);
    let status = text(row, "status")?;
    Ok(WholeRun {
        run: row.try_get("run")?,
        state: RunState::of(status.as_deref(), row.try_get("phase")?, row.try_get("haserror")?),
        status,
        duration_ms: duration_ms(started, ended),
        started,
        ended,
        version: text(row, "appversion")?,
        host: text(row, "hostid")?,
        user: text(row, "userid")?,
        superseded_steps: row.try_get("superseded")?,
        input: Content::read(row, "flowinput")?,
        output: Content::read(row, "flowoutput")?,
        error: Content::read(row, "error")?,
    })
}

async fn step_counts(moment: &Transaction<'_>, id: &str) -> Result<StepCounts, ReadError> {
    let mut statement = Statement::new(
        "SELECT lower(status) AS status, phase, error IS NOT NULL AS haserror, count(*) AS steps, false AS superseded \
         FROM steps WHERE flowinstanceid = ",
    );
    statement.push("? GROUP BY 1, 2, 3 UNION ALL SELECT NULL, NULL, false, count(*), true", id, Type::TEXT);
    statement.push(" FROM ft_superseded_step WHERE flowinstanceid = ?", id, Type::TEXT);
    let mut counts = StepCounts::default();
    for row in statement.rows(moment).await? {
        let steps: i64 = row.try_get("steps")?;
        if row.try_get("superseded")? {
            counts.superseded = steps;
            continue;
        }
        counts.total += steps;
        let status: Option<&str> = row.try_get("status")?;
        let state = RunState::of(status, row.try_get("phase")?, row.try_get("haserror")?);
        match counts.by_state.iter_mut().find(|count| count.state == state) {
            Some(count) => count.steps += steps,
            None => counts.by_state.push(StateCount { state, steps }),
        }
    }
    counts.by_state.sort_by_key(|count| (std::cmp::Reverse(count.steps), count.state));
    if counts.by_state.iter().any(|count| count.state == RunState::Failed) {
        let mut failed = step_line::of_flow(id);
        failed.sql(&format!(" AND {FAILED}"));
        failed.push(" ORDER BY starttime DESC NULLS LAST, stepid DESC LIMIT ?", MOST_FAILED, Type::INT8);
        counts.failed = failed.rows(moment).await?.iter().map(StepLine::of).collect::<Result<_, _>>()?;
    }
    Ok(counts)
}

/// Whether anything is known of a flow: a run, or a step.
pub async fn is_known(moment: &Transaction<'_>, id: &str) -> Result<bool, ReadError> {
    let mut statement = Statement::new("SELECT EXISTS (SELECT FROM flowstate WHERE flowinstanceid = ");
    statement.push("?) OR ", id, Type::TEXT);
    statement.push("EXISTS (SELECT FROM steps WHERE flowinstanceid = ?) OR ", id, Type::TEXT);
    statement.push("EXISTS (SELECT FROM ft_variable WHERE flowinstanceid = ?) AS known", id, Type::TEXT);
    Ok(statement.rows(moment).await?.first().map_or(Ok(false), |row| row.try_get("known"))?)
}
