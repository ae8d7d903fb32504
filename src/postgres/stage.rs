//! Copies a batch into the temp tables of a session (`stage.sql`), where it meets what is stored.

use tokio_postgres::Error;

use super::{
    copy::{CopyRows, Encoder},
    session::Session,
};
use crate::{
    model::{FlowId, RunRow, StepId, StepRow},
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
pub(super) async fn steps(session: &mut Session, flows: &[Staged<'_>]) -> Result<u64, Error> {
    if flows.iter().all(|staged| staged.fold.steps.is_empty()) {
        return Ok(0);
    }
    let statement = session.prepared(COPY_STEP).await?;
    let mut copy = CopyRows::begin(session.client(), &statement).await?;
    for Staged { flow, fold, known_steps, .. } in flows {
        for ((step, execution), row) in &fold.steps {
            let to = copy.row(18).await?;
            step_key(to, flow, step, *execution);
            to.bool(*known_steps);
            step_fields(to, row);
        }
    }
    let rows = copy.finish().await?;
    session.note_staged(rows);
    Ok(rows)
}

/// Copies the runs of flows, which come sorted by id; says how many rows that were.
pub(super) async fn runs(session: &mut Session, flows: &[Staged<'_>]) -> Result<u64, Error> {
    if flows.iter().all(|staged| staged.fold.runs.is_empty()) {
        return Ok(0);
    }
    let statement = session.prepared(COPY_RUN).await?;
    let mut copy = CopyRows::begin(session.client(), &statement).await?;
    for Staged { flow, fold, known_run, named_by, .. } in flows {
        for (run, row) in &fold.runs {
            let to = copy.row(20).await?;
            to.text(Some(flow.as_str()));
            to.int8(*run);
            to.bool(*known_run);
            to.int4(*named_by);
            run_fields(to, row);
        }
    }
    let rows = copy.finish().await?;
    session.note_staged(rows);
    Ok(rows)
}

pub(super) fn step_key(to: &mut Encoder, flow: &FlowId, step: &StepId, execution: i64) {
    to.text(Some(flow.as_str()));
    to.text(Some(step.as_str()));
    to.int8(execution);
}

/// In the order of [`STEP_COLUMNS`].
pub(super) fn step_fields(to: &mut Encoder, row: &StepRow) {
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
pub(super) fn run_fields(to: &mut Encoder, row: &RunRow) {
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
