//! Copies a batch into the temp tables of a session (`stage.sql`), where it meets what is stored.

use std::iter::repeat_n;

use super::{
    copy::{CopyRows, Encoder},
    refusal::WriteError,
    session::Session,
};
use crate::{
    model::{FlowId, RunRow, StepRow},
    pipeline::merge::FlowFold,
};

/// Columns of a step but its key and its execution, in every table that holds one.
pub(super) const STEP_COLUMNS: &str = "phase, taskname, status, starttime, endtime, stepdata, flowname, subflowid, \
    misc, rerun, parentstepid, input, output, error";

/// Columns of a run but its key, in every table that holds one.
pub(super) const RUN_COLUMNS: &str = "phase, userid, appname, appversion, flowname, hostid, starttime, endtime, \
    status, parentflowinstanceid, parentflowname, rerunofflowinstanceid, flowinput, flowoutput, error, traceid";

const COPY_STEP: &str = "COPY ft_stage_step FROM STDIN (FORMAT binary)";
const COPY_RUN: &str = "COPY ft_stage_run FROM STDIN (FORMAT binary)";

/// A flow of a batch and what is stored of it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Staged<'a> {
    pub(super) flow: &'a FlowId,
    pub(super) fold: &'a FlowFold,
    /// Steps of the flow are stored.
    pub(super) known_steps: bool,
    /// The flow's run is stored.
    pub(super) known_run: bool,
    /// How many stored instances name this one as their original.
    pub(super) named_by: i32,
}

/// Copies the steps of flows, which come sorted by id; says how many rows that were.
pub(super) async fn steps(session: &mut Session, flows: &[Staged<'_>]) -> Result<u64, WriteError> {
    let rows = copy_steps(session, COPY_STEP, 1, flows, |to, staged| to.bool(staged.known_steps)).await?;
    session.note_staged(rows);
    Ok(rows)
}

/// Copies the runs of flows, which come sorted by id; says how many rows that were.
pub(super) async fn runs(session: &mut Session, flows: &[Staged<'_>]) -> Result<u64, WriteError> {
    let known = |to: &mut Encoder, staged: &Staged<'_>, _: &RunRow| {
        to.bool(staged.known_run);
        to.int4(staged.named_by);
    };
    let rows = copy_runs(session, COPY_RUN, 2, flows, known).await?;
    session.note_staged(rows);
    Ok(rows)
}

/// `COPY` of steps: their key, then so many fields that `more` writes, then [`STEP_COLUMNS`].
pub(super) async fn copy_steps(
    session: &mut Session,
    statement: &'static str,
    fields: i16,
    flows: &[Staged<'_>],
    more: impl Fn(&mut Encoder, &Staged<'_>),
) -> Result<u64, WriteError> {
    if flows.iter().all(|staged| staged.fold.steps.is_empty()) {
        return Ok(0);
    }
    let statement = session.prepared(statement).await?;
    let mut copy = CopyRows::begin(session.client(), &statement).await?;
    for staged in flows {
        for ((step, execution), row) in &staged.fold.steps {
            let to = copy.row(17 + fields).await?;
            to.text(Some(staged.flow.as_str()));
            to.text(Some(step.as_str()));
            to.int8(*execution);
            more(to, staged);
            step_fields(to, row);
        }
    }
    let flow_of_row = flows.iter().flat_map(|staged| repeat_n(staged.flow, staged.fold.steps.len()));
    copy.finish().await.map_err(|error| WriteError::of_copy(error, flow_of_row))
}

/// `COPY` of runs: their key, then so many fields that `more` writes, then [`RUN_COLUMNS`].
pub(super) async fn copy_runs(
    session: &mut Session,
    statement: &'static str,
    fields: i16,
    flows: &[Staged<'_>],
    more: impl Fn(&mut Encoder, &Staged<'_>, &RunRow),
) -> Result<u64, WriteError> {
    if flows.iter().all(|staged| staged.fold.runs.is_empty()) {
        return Ok(0);
    }
    let statement = session.prepared(statement).await?;
    let mut copy = CopyRows::begin(session.client(), &statement).await?;
    for staged in flows {
        for (run, row) in &staged.fold.runs {
            let to = copy.row(18 + fields).await?;
            to.text(Some(staged.flow.as_str()));
            to.int8(*run);
            more(to, staged, row);
            run_fields(to, row);
        }
    }
    let flow_of_row = flows.iter().flat_map(|staged| repeat_n(staged.flow, staged.fold.runs.len()));
    copy.finish().await.map_err(|error| WriteError::of_copy(error, flow_of_row))
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
