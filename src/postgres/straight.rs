//! Rows of flows about which nothing is stored, straight into the tables by binary `COPY`: every row is written once,
//! where a staged one is written, read and written again.
//!
//! Nothing was stored when it was looked up. If another lane has stored a row of the same key since, the `COPY` fails;
//! it is rolled back to a savepoint and the flows are staged instead, as are the next batches of this session.

use std::sync::LazyLock;

use tokio_postgres::{Error, error::SqlState};

use super::{
    batch::Tally,
    copy::CopyRows,
    session::Session,
    stage::{RUN_COLUMNS, STEP_COLUMNS, Staged, run_fields, step_fields, step_key},
};

static COPY_STEPS: LazyLock<String> = LazyLock::new(|| {
    format!("COPY steps (flowinstanceid, stepid, execution, {STEP_COLUMNS}) FROM STDIN (FORMAT binary)")
});

static COPY_RUNS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "COPY flowstate (flowinstanceid, run, reruncount, executiontime, {RUN_COLUMNS}) FROM STDIN (FORMAT binary)"
    )
});

/// Writes flows, which come sorted by id; `false` if another lane has stored a row of a key of theirs, and then nothing
/// is written.
pub(super) async fn write(
    session: &mut Session,
    flows: &[Staged<'_>],
    tally: &mut Tally,
) -> Result<bool, Error> {
    if flows.is_empty() {
        return Ok(true);
    }
    session.client().batch_execute("SAVEPOINT straight").await?;
    match copy(session, flows).await {
        Ok((steps, runs)) => {
            tally.steps.insert += steps;
            tally.flows.insert += runs;
            Ok(true)
        }
        Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            session.client().batch_execute("ROLLBACK TO SAVEPOINT straight").await?;
            session.stay_staged();
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

async fn copy(session: &mut Session, flows: &[Staged<'_>]) -> Result<(u64, u64), Error> {
    let steps = steps(session, flows).await?;
    Ok((steps, runs(session, flows).await?))
}

async fn steps(session: &mut Session, flows: &[Staged<'_>]) -> Result<u64, Error> {
    if flows.iter().all(|staged| staged.fold.steps.is_empty()) {
        return Ok(0);
    }
    let statement = session.prepared(&COPY_STEPS).await?;
    let mut copy = CopyRows::begin(session.client(), &statement).await?;
    for Staged { flow, fold, .. } in flows {
        for ((step, execution), row) in &fold.steps {
            let to = copy.row(17).await?;
            step_key(to, flow, step, *execution);
            step_fields(to, row);
        }
    }
    copy.finish().await
}

async fn runs(session: &mut Session, flows: &[Staged<'_>]) -> Result<u64, Error> {
    if flows.iter().all(|staged| staged.fold.runs.is_empty()) {
        return Ok(0);
    }
    let statement = session.prepared(&COPY_RUNS).await?;
    let mut copy = CopyRows::begin(session.client(), &statement).await?;
    for Staged { flow, fold, named_by, .. } in flows {
        for (run, row) in &fold.runs {
            let to = copy.row(20).await?;
            to.text(Some(flow.as_str()));
            to.int8(*run);
            to.int4(*named_by);
            let time = row.start.zip(row.end).map(|(start, end)| start.millis_until(end));
            to.text(time.as_deref());
            run_fields(to, row);
        }
    }
    copy.finish().await
}
