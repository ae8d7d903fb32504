//! Rows of whose keys nothing is stored, straight into the tables by binary `COPY`: every row is written once, where a
//! staged one is written, read and written again.
//!
//! Nothing was stored when it was looked up. If another lane has stored a row of the same key since, the `COPY` fails;
//! it is rolled back to a savepoint and the rows are staged instead, as are the next batches of this session.

use std::sync::LazyLock;

use futures_util::future::try_join;
use tokio_postgres::error::SqlState;

use super::{
    batch::Tally,
    copy::Encoder,
    refusal::WriteError,
    session::Session,
    stage::{RUN_COLUMNS, Run, STEP_COLUMNS, Step, copy_runs, copy_steps},
};

static COPY_STEPS: LazyLock<String> = LazyLock::new(|| {
    format!("COPY steps (flowinstanceid, stepid, execution, {STEP_COLUMNS}) FROM STDIN (FORMAT binary)")
});

static COPY_RUNS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "COPY flowstate (flowinstanceid, run, reruncount, executiontime, {RUN_COLUMNS}) FROM STDIN (FORMAT binary)"
    )
});

/// Writes rows, which come sorted by key; `false` if another lane has stored a row of a key of theirs, and then nothing
/// is written.
pub(super) async fn write(
    session: &mut Session,
    steps: &[Step<'_>],
    runs: &[Run<'_>],
    tally: &mut Tally,
) -> Result<bool, WriteError> {
    if steps.is_empty() && runs.is_empty() {
        return Ok(true);
    }
    match copy(session, steps, runs).await {
        Ok((steps, runs)) => {
            tally.steps.insert += steps;
            tally.flows.insert += runs;
            tally.ways.straight = 1;
            Ok(true)
        }
        Err(WriteError { error, .. }) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            session.client().batch_execute("ROLLBACK TO SAVEPOINT straight").await?;
            session.stay_staged();
            tally.ways.conflict = 1;
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

async fn copy(session: &Session, steps: &[Step<'_>], runs: &[Run<'_>]) -> Result<(u64, u64), WriteError> {
    session.prepare_all([COPY_STEPS.as_str(), &COPY_RUNS]).await?;
    let savepoint = async { Ok(session.client().batch_execute("SAVEPOINT straight").await?) };
    let ((), steps) = try_join(savepoint, copy_steps(session, &COPY_STEPS, 0, steps, |_, _| ())).await?;
    // Not sent ahead: if the first one failed, this one would not begin, and the driver then loses the connection.
    Ok((steps, copy_runs(session, &COPY_RUNS, 2, runs, counted).await?))
}

/// `reruncount` and `executiontime`.
pub(super) fn counted(to: &mut Encoder, run: &Run<'_>) {
    to.int4(run.named_by);
    let time = run.row.start.zip(run.row.end).map(|(start, end)| start.millis_until(end));
    to.text(time.as_deref());
}
