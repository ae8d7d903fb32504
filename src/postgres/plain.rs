//! Storing flows of which each row stands alone, under the shared lock.
//!
//! What these rows become does not depend on other rows, so transactions of other lanes may run beside this one.
//! It is looked up what is stored ([`super::found`]). Rows that would change nothing are done with; those of whose keys
//! nothing is stored go straight into the tables ([`super::straight`]); the others are staged and change what is stored.
//!
//! Flows for which that is not so are handed back, to be stored by [`super::special`] under the exclusive lock:
//! those of which another run or execution is stored, or a rewind, or a deletion, or re-run steps for a new run.

use std::sync::LazyLock;

use futures_util::future::try_join;
use tokio_postgres::Error;

use super::{
    batch::{Flows, Tally},
    found::{self, Found, Met, find},
    law::{RUN, STEP, execution_time},
    refusal::WriteError,
    session::{Parameters, Session},
    snapshot,
    stage::{Changing, RUN_COLUMNS, Run, STEP_COLUMNS, Step, stage},
    straight,
    write::{LOCK, LOCK_SHARED},
};
use crate::{model::FlowId, pipeline::merge::FlowFold};

/// What became of the flows.
pub(super) enum Plain<'a> {
    /// They are written, but for these, which have to be stored under the exclusive lock.
    Written(Flows<'a>),
    /// Another transaction stored another run or execution of the same key meanwhile; everything has to be stored
    /// under the exclusive lock, in a new transaction.
    Raced,
}

/// A row that is where it was is the row that was looked at; whether it would change is known of most.
static UPDATE_STEPS_AT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE steps t SET {} FROM ft_stage_step s WHERE t.ctid = s.at AND t.flowinstanceid = s.flowinstanceid \
         AND t.stepid = s.stepid AND t.execution = s.execution AND (s.surely OR {})",
        STEP.set("t", "s"),
        STEP.changes("t", "s"),
    )
});

/// For rows that another transaction has moved meanwhile. The condition is looked at again on the newest version of a
/// row, should yet another one change it.
static UPDATE_STEPS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE steps t SET {} FROM ft_stage_step s WHERE s.at IS NOT NULL AND t.flowinstanceid = s.flowinstanceid \
         AND t.stepid = s.stepid AND t.execution = s.execution AND {}",
        STEP.set("t", "s"),
        STEP.changes("t", "s"),
    )
});

/// The conflict clause is for rows that another transaction stored meanwhile; of another execution it gives no row
/// back, which the caller counts.
static INSERT_STEPS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH put AS (INSERT INTO steps (flowinstanceid, stepid, execution, {STEP_COLUMNS}) \
         SELECT flowinstanceid, stepid, execution, {STEP_COLUMNS} FROM ft_stage_step WHERE at IS NULL \
         ON CONFLICT (flowinstanceid, stepid) DO UPDATE SET {} WHERE steps.execution = excluded.execution \
         RETURNING xmax = 0 AS fresh) SELECT count(*), count(*) FILTER (WHERE fresh) FROM put",
        STEP.set("steps", "excluded"),
    )
});

static UPDATE_RUNS_AT: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE flowstate t SET {}, executiontime = {} FROM ft_stage_run s \
         WHERE t.ctid = s.at AND t.flowinstanceid = s.flowinstanceid AND t.run = s.run AND (s.surely OR {})",
        RUN.set("t", "s"),
        RUN.execution_time("t", "s"),
        RUN.changes("t", "s"),
    )
});

/// Also for flows that are stored under the exclusive lock and whose one run is the stored one.
pub(super) static UPDATE_RUNS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE flowstate t SET {}, executiontime = {} FROM ft_stage_run s \
         WHERE s.known AND t.flowinstanceid = s.flowinstanceid AND {}",
        RUN.set("t", "s"),
        RUN.execution_time("t", "s"),
        RUN.changes("t", "s"),
    )
});

static INSERT_RUNS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "WITH put AS (INSERT INTO flowstate (flowinstanceid, run, reruncount, executiontime, {RUN_COLUMNS}) \
         SELECT flowinstanceid, run, reruncount, {}, {RUN_COLUMNS} FROM ft_stage_run WHERE NOT known \
         ON CONFLICT (flowinstanceid) DO UPDATE SET {}, executiontime = {} WHERE flowstate.run = excluded.run \
         RETURNING xmax = 0 AS fresh) SELECT count(*), count(*) FILTER (WHERE fresh) FROM put",
        execution_time("starttime", "endtime"),
        RUN.set("flowstate", "excluded"),
        RUN.execution_time("flowstate", "excluded"),
    )
});

/// Writes flows, which come sorted by id, in a transaction that holds the shared lock and stays open.
pub(super) async fn write<'a>(
    session: &mut Session,
    flows: Flows<'a>,
    tally: &mut Tally,
) -> Result<Plain<'a>, WriteError> {
    found::prepare(session).await?;
    let lock: (_, Parameters<'_>) = (LOCK_SHARED, &[&LOCK, &session.table()]);
    let mut plan = Plan::of(&flows, &session.begin(lock, find(session, &flows)).await?);
    if session.goes_straight() {
        if straight::write(session, &plan.new_steps, &plan.new_runs, tally).await? {
            (plan.new_steps, plan.new_runs) = (Vec::new(), Vec::new());
        } else {
            // What another lane has stored meanwhile is to be seen now.
            plan = Plan::of(&flows, &find(session, &flows).await?);
        }
    }
    if !write_staged(session, &plan, tally).await? {
        return Ok(Plain::Raced);
    }
    snapshot::put(session, plan.plain.iter().copied()).await?;
    tally.steps.unchanged += plan.same_steps;
    tally.flows.unchanged += plan.same_runs;
    Ok(Plain::Written(plan.special))
}

/// How the rows of a batch are to be written; each list is sorted by key.
#[derive(Default)]
struct Plan<'a> {
    /// Under the exclusive lock.
    special: Flows<'a>,
    /// Those whose rows these are:
    plain: Flows<'a>,
    new_steps: Vec<Step<'a>>,
    new_runs: Vec<Run<'a>>,
    changing_steps: Vec<Step<'a>>,
    changing_runs: Vec<Run<'a>>,
    /// So many would change nothing.
    same_steps: u64,
    same_runs: u64,
}

impl<'a> Plan<'a> {
    fn of(flows: &Flows<'a>, found: &[Found<'a>]) -> Self {
        let mut plan = Self::default();
        for (&(flow, fold), found) in flows.iter().zip(found) {
            plan.add(flow, fold, found);
        }
        plan
    }

    fn add(&mut self, flow: &'a FlowId, fold: &'a FlowFold, found: &Found<'a>) {
        let shown = found.run.map(|(run, _)| run);
        let new_run = fold.runs.keys().any(|run| shown != Some(*run));
        if found.special || (new_run && (shown.is_some() || found.rerun)) {
            self.special.push((flow, fold));
            return;
        }
        self.plain.push((flow, fold));
        let mut stored = found.steps.iter().peekable();
        for (key, row) in &fold.steps {
            let step = Step { flow, key, row, stored: None };
            match stored.next_if(|(found, _)| *found == key) {
                None => self.new_steps.push(step),
                Some((_, Met::Same)) => self.same_steps += 1,
                Some(&(_, Met::Differs { at, surely })) => {
                    self.changing_steps.push(Step { stored: Some(Changing { at, surely }), ..step });
                }
            }
        }
        for (&number, row) in &fold.runs {
            let named_by = found.named_by;
            let run = Run { flow, number, row, stored: None, known: found.run.is_some(), named_by };
            match found.run {
                None => self.new_runs.push(run),
                Some((_, Met::Same)) => self.same_runs += 1,
                Some((_, Met::Differs { at, surely })) => {
                    self.changing_runs.push(Run { stored: Some(Changing { at, surely }), ..run });
                }
            }
        }
    }
}

fn count<T>(rows: &[T]) -> u64 {
    u64::try_from(rows.len()).unwrap_or(u64::MAX)
}

/// Says whether no other transaction came between.
async fn write_staged(session: &mut Session, plan: &Plan<'_>, tally: &mut Tally) -> Result<bool, WriteError> {
    let steps = Staged { new: count(&plan.new_steps), changing: count(&plan.changing_steps) };
    let runs = Staged { new: count(&plan.new_runs), changing: count(&plan.changing_runs) };
    if steps.is_none() && runs.is_none() {
        return Ok(true);
    }
    stage(
        session,
        &[&plan.new_steps[..], &plan.changing_steps].concat(),
        &[&plan.new_runs[..], &plan.changing_runs].concat(),
    )
    .await?;
    session
        .prepare_all([&UPDATE_STEPS_AT, &INSERT_STEPS, &UPDATE_RUNS_AT, &INSERT_RUNS].map(|it| it.as_str()))
        .await?;
    let (step, run) = try_join(
        steps.write(session, [&UPDATE_STEPS_AT, &INSERT_STEPS]),
        runs.write(session, [&UPDATE_RUNS_AT, &INSERT_RUNS]),
    )
    .await?;
    for (staged, [mut updated, put, fresh], update, tally) in
        [(&steps, step, &UPDATE_STEPS, &mut tally.steps), (&runs, run, &UPDATE_RUNS, &mut tally.flows)]
    {
        if updated < staged.changing {
            updated += session.execute(update, &[]).await?;
        }
        tally.insert += fresh;
        tally.update += updated + (put - fresh);
        tally.unchanged += staged.changing.saturating_sub(updated);
        if put != staged.new {
            return Ok(false);
        }
    }
    Ok(true)
}

/// How many rows of a table are staged.
struct Staged {
    new: u64,
    changing: u64,
}

impl Staged {
    fn is_none(&self) -> bool {
        self.new + self.changing == 0
    }

    /// How many were changed where they lie, how many of the new ones were put, and how many of these were not there.
    async fn write(&self, session: &Session, [update, insert]: [&'static str; 2]) -> Result<[u64; 3], Error> {
        let changed = async { if self.changing == 0 { Ok(0) } else { session.execute(update, &[]).await } };
        let put = async {
            if self.new == 0 {
                return Ok([0, 0]);
            }
            let row = session.query_one(insert, &[]).await?;
            Ok([row.get::<_, i64>(0).unsigned_abs(), row.get::<_, i64>(1).unsigned_abs()])
        };
        let (changed, [put, fresh]) = try_join(changed, put).await?;
        Ok([changed, put, fresh])
    }
}
