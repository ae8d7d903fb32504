//! Copies a batch into the temp tables of a session (`stage.sql`), where it meets what is stored.

use super::{
    copy::{CopyRows, Encoder},
    found::Seen,
    refusal::WriteError,
    session::Session,
};
use crate::{
    model::{FlowId, RunRow, StepRow},
    pipeline::merge::ExecutionKey,
};

/// Columns of a step but its key and its execution, in every table that holds one.
pub(super) const STEP_COLUMNS: &str = "phase, taskname, status, starttime, endtime, stepdata, flowname, subflowid, \
    misc, rerun, parentstepid, input, output, error";

/// Columns of a run but its key, in every table that holds one.
pub(super) const RUN_COLUMNS: &str = "phase, userid, appname, appversion, flowname, hostid, starttime, endtime, \
    status, parentflowinstanceid, parentflowname, rerunofflowinstanceid, flowinput, flowoutput, error, traceid";

/// Columns, each with the name of its row.
pub(super) fn qualified(row: &str, columns: &str) -> String {
    columns.split(',').map(|column| format!("{row}.{}", column.trim())).collect::<Vec<_>>().join(", ")
}

const COPY_STEP: &str = "COPY ft_stage_step FROM STDIN (FORMAT binary)";
const COPY_RUN: &str = "COPY ft_stage_run FROM STDIN (FORMAT binary)";

/// A step to be stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) flow: &'a FlowId,
    pub(super) key: &'a ExecutionKey,
    pub(super) row: &'a StepRow,
    pub(super) stored: Stored,
}

/// A run to be stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    pub(super) flow: &'a FlowId,
    pub(super) number: i64,
    pub(super) row: &'a RunRow,
    pub(super) stored: Stored,
    /// How many stored instances name this one as their original.
    pub(super) named_by: i32,
}

/// What is stored under the key of a row.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stored {
    /// Nothing.
    Nothing,
    /// A row that joins this one.
    Row,
    /// This version of a row; joined with it, it is this one.
    Version(Seen),
}

/// Copies steps and runs into the temp tables.
pub(super) async fn stage(
    session: &mut Session,
    steps: &[Step<'_>],
    runs: &[Run<'_>],
) -> Result<(), WriteError> {
    let counted = |to: &mut Encoder, run: &Run<'_>| {
        stored(to, run.stored);
        to.int4(run.named_by);
    };
    let steps = copy_steps(session, COPY_STEP, 3, steps, |to, step| stored(to, step.stored)).await?;
    let runs = copy_runs(session, COPY_RUN, 4, runs, counted).await?;
    session.note_staged(steps + runs);
    Ok(())
}

fn stored(to: &mut Encoder, stored: Stored) {
    version(to, stored);
    to.bool(!matches!(stored, Stored::Nothing));
}

/// Where the version lies that was seen, and whose it is.
pub(super) fn version(to: &mut Encoder, stored: Stored) {
    let seen = match &stored {
        Stored::Version(seen) => Some(seen),
        Stored::Nothing | Stored::Row => None,
    };
    to.bytes(seen.map(|seen| seen.at.as_slice()));
    to.bytes(seen.map(|seen| seen.by.as_slice()));
}

/// `COPY` of steps: their key, then so many fields that `more` writes, then [`STEP_COLUMNS`].
pub(super) async fn copy_steps(
    session: &Session,
    statement: &'static str,
    fields: i16,
    steps: &[Step<'_>],
    more: impl Fn(&mut Encoder, &Step<'_>),
) -> Result<u64, WriteError> {
    if steps.is_empty() {
        return Ok(0);
    }
    let statement = session.prepared(statement).await?;
    let mut copy = CopyRows::begin(session.client(), &statement).await?;
    for step in steps {
        let to = copy.row(17 + fields).await?;
        put_step(to, step, &more);
    }
    copy.finish().await.map_err(|error| WriteError::of_copy(error, steps.iter().map(|step| step.flow)))
}

/// `COPY` of runs: their key, then so many fields that `more` writes, then [`RUN_COLUMNS`].
pub(super) async fn copy_runs(
    session: &Session,
    statement: &'static str,
    fields: i16,
    runs: &[Run<'_>],
    more: impl Fn(&mut Encoder, &Run<'_>),
) -> Result<u64, WriteError> {
    if runs.is_empty() {
        return Ok(0);
    }
    let statement = session.prepared(statement).await?;
    let mut copy = CopyRows::begin(session.client(), &statement).await?;
    for run in runs {
        let to = copy.row(18 + fields).await?;
        put_run(to, run, &more);
    }
    copy.finish().await.map_err(|error| WriteError::of_copy(error, runs.iter().map(|run| run.flow)))
}

/// A step as [`copy_steps`] has it.
pub(super) fn put_step(to: &mut Encoder, step: &Step<'_>, more: impl Fn(&mut Encoder, &Step<'_>)) {
    to.text(Some(step.flow.as_str()));
    to.text(Some(step.key.0.as_str()));
    to.int8(step.key.1);
    more(to, step);
    step_fields(to, step.row);
}

/// A run as [`copy_runs`] has it.
pub(super) fn put_run(to: &mut Encoder, run: &Run<'_>, more: impl Fn(&mut Encoder, &Run<'_>)) {
    to.text(Some(run.flow.as_str()));
    to.int8(run.number);
    more(to, run);
    run_fields(to, run.row);
}

/// In the order of [`STEP_COLUMNS`].
fn step_fields(to: &mut Encoder, row: &StepRow) {
    to.int2(row.phase.number());
    to.text(row.task.as_deref());
    to.text(row.status.as_deref());
    to.time(row.start);
    to.time(row.end);
    to.bytes(row.data.as_deref());
    to.text(row.flow_name.as_deref());
    to.text(row.subflow.as_deref());
    to.bytes(row.misc.as_deref());
    to.bool(row.rerun);
    to.text(row.parent_step.as_deref());
    to.bytes(row.input.as_deref());
    to.bytes(row.output.as_deref());
    to.bytes(row.error.as_deref());
}

/// In the order of [`RUN_COLUMNS`].
fn run_fields(to: &mut Encoder, row: &RunRow) {
    to.int2(row.phase.number());
    to.text(row.user.as_deref());
    to.text(row.app.as_deref());
    to.text(row.version.as_deref());
    to.text(row.name.as_deref());
    to.text(Some(row.host.as_deref().unwrap_or_default()));
    to.time(row.start);
    to.time(row.end);
    to.text(row.status.as_deref());
    to.text(row.parent.as_deref());
    to.text(row.parent_name.as_deref());
    to.text(row.original.as_deref());
    to.bytes(row.input.as_deref());
    to.bytes(row.output.as_deref());
    to.bytes(row.error.as_deref());
    to.text(row.trace.as_deref());
}
