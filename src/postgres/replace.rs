//! A few rows that take the place of the stored versions that they were joined with, in one statement for each table: the
//! columns of all rows are arrays among its parameters.
//!
//! The last rows of a batch are those of flows that go on, so the next one has a few that change beside many that are new.
//! To stage them would take four round trips more, as each `COPY` begins and ends, and temp tables to be emptied. Many are
//! cheaper to stage: Postgres reads an array into memory whole, and unfolds it there.

use std::sync::LazyLock;

use futures_util::future::try_join;
use tokio_postgres::{Error, Row};

use super::{
    columns::{Columns, unfolded},
    copy::Encoder,
    law::execution_time,
    session::Session,
    stage::{RUN_COLUMNS, Run, STEP_COLUMNS, Step, Stored, put_run, put_step, qualified, version},
};

/// Types of what [`put_step`] writes, with version and place.
const STEP_TYPES: &str = "text, text, bigint, tid, xid, integer, smallint, text, text, timestamp, timestamp, bytea, text, \
    text, bytea, boolean, text, bytea, bytea, bytea";

/// Types of what [`put_run`] writes, with version and place.
const RUN_TYPES: &str = "text, bigint, tid, xid, integer, smallint, text, text, text, text, text, timestamp, timestamp, \
    text, text, text, text, bytea, bytea, bytea, text";

/// A row that another transaction changes at this moment is looked at again, as in [`super::plain`].
static REPLACE_STEPS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE steps t SET ({STEP_COLUMNS}) = ROW ({}) \
         FROM {} AS s (flowinstanceid, stepid, execution, at, by, place, {STEP_COLUMNS}) \
         WHERE t.ctid = s.at AND t.xmin = s.by AND t.flowinstanceid = ANY (ARRAY[s.flowinstanceid]) AND t.stepid = s.stepid \
         RETURNING s.place",
        qualified("s", STEP_COLUMNS),
        unfolded(STEP_TYPES),
    )
});

static REPLACE_RUNS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE flowstate t SET ({RUN_COLUMNS}) = ROW ({}), executiontime = {} \
         FROM {} AS s (flowinstanceid, run, at, by, place, {RUN_COLUMNS}) \
         WHERE t.ctid = s.at AND t.xmin = s.by AND t.flowinstanceid = ANY (ARRAY[s.flowinstanceid]) RETURNING s.place",
        qualified("s", RUN_COLUMNS),
        execution_time("s.starttime", "s.endtime"),
        unfolded(RUN_TYPES),
    )
});

/// Puts rows where the versions lie that they were joined with, if they are few, and takes them from the lists; says how
/// many steps and how many runs these were. What is left is to be staged: the rows are many, another transaction was
/// faster, or the stored version was not seen.
pub(super) async fn few(
    session: &Session,
    steps: &mut Vec<Step<'_>>,
    runs: &mut Vec<Run<'_>>,
) -> Result<[u64; 2], Error> {
    if !session.are_few(steps.len() + runs.len()) {
        return Ok([0, 0]);
    }
    let (mut of_steps, mut of_runs) = (Columns::of(STEP_TYPES), Columns::of(RUN_TYPES));
    for (place, step) in (0..).zip(&*steps).filter(|(_, step)| matches!(step.stored, Stored::Version(_))) {
        of_steps.push(|to| put_step(to, step, |to, step| seen(to, step.stored, place)));
    }
    for (place, run) in (0..).zip(&*runs).filter(|(_, run)| matches!(run.stored, Stored::Version(_))) {
        of_runs.push(|to| put_run(to, run, |to, run| seen(to, run.stored, place)));
    }
    let wanted = [(&of_steps, REPLACE_STEPS.as_str()), (&of_runs, &REPLACE_RUNS)];
    session.prepare_all(wanted.iter().filter(|(rows, _)| !rows.is_empty()).map(|(_, sql)| *sql)).await?;
    let (replaced_steps, replaced_runs) =
        try_join(of_steps.send(session, &REPLACE_STEPS), of_runs.send(session, &REPLACE_RUNS)).await?;
    Ok([take(steps, &replaced_steps)?, take(runs, &replaced_runs)?])
}

fn seen(to: &mut Encoder, stored: Stored, place: i32) {
    version(to, stored);
    to.int4(place);
}

/// Takes rows from a list whose places the server says; how many these are.
fn take<T>(rows: &mut Vec<T>, replaced: &[Row]) -> Result<u64, Error> {
    let mut places = replaced.iter().map(|row| row.try_get::<_, i32>(0)).collect::<Result<Vec<_>, _>>()?;
    places.sort_unstable();
    let mut place = 0..;
    let before = rows.len();
    rows.retain(|_| place.next().is_none_or(|place| places.binary_search(&place).is_err()));
    Ok(u64::try_from(before - rows.len()).unwrap_or(u64::MAX))
}
