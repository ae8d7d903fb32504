//! Storing flows of which each row stands alone, under the shared lock.
//!
//! What these rows become does not depend on other rows, so transactions of other lanes may run beside this one.
//! It is looked up what is stored ([`super::found`]). Rows that would change nothing are done with; those of whose keys
//! nothing is stored go straight into the tables ([`super::straight`]); the others change what is stored, where they are few
//! in one go ([`super::replace`]), or are staged.
//!
//! Flows for which that is not so are handed back, to be stored by [`super::special`] under the exclusive lock:
//! those of which another run or execution is stored, or a rewind, or a deletion, or re-run steps for a new run.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use futures_util::future::try_join;
use tokio_postgres::Error;

use super::{
    batch::{Flows, Tally},
    found::{self, Found, Met, find},
    law::{RUN, STEP, execution_time},
    left_out,
    refusal::WriteError,
    replace,
    session::{Parameters, Session},
    snapshot,
    stage::{RUN_COLUMNS, Run, STEP_COLUMNS, Step, Stored, qualified, stage},
    straight, variable,
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
    /// Nothing is written: of these flows payloads are not kept any more, of runs and executions below a number. Everything
    /// is to be written without them, in a new transaction.
    Bare(HashMap<&'a FlowId, i64>),
}

/// Joined rows take the place of those that they were joined with, if these are still there. That is looked at again
/// should another transaction change them at this moment; at `xmin` by every server, at `ctid` by those of late 2025 on.
static REPLACE_STEPS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE steps t SET ({STEP_COLUMNS}) = ROW ({}) FROM ft_stage_step s WHERE t.ctid = s.at AND t.xmin = s.by \
         AND t.flowinstanceid = ANY (ARRAY[s.flowinstanceid]) AND t.stepid = s.stepid",
        qualified("s", STEP_COLUMNS)
    )
});

/// The condition is looked at again on the newest version of a row, should another transaction have changed it.
static UPDATE_STEPS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE steps t SET {} FROM ft_stage_step s WHERE s.known AND t.flowinstanceid = ANY (ARRAY[s.flowinstanceid]) \
         AND t.stepid = s.stepid AND t.execution = s.execution AND {}",
        STEP.set("t", "s"),
        STEP.changes("t", "s"),
    )
});

/// Whether a row that was put was not there: in tables of one piece, and in parted ones, where Postgres does not tell and it is
/// taken for new. Only the metrics ask.
const FRESH: [&str; 2] = ["xmax = 0", "true"];

/// The conflict clause is for rows that another transaction stored meanwhile; of another execution it gives no row
/// back, which the caller counts.
static INSERT_STEPS: LazyLock<[String; 2]> = LazyLock::new(|| {
    FRESH.map(|fresh| {
        format!(
            "WITH put AS (INSERT INTO steps (flowinstanceid, stepid, execution, {STEP_COLUMNS}) \
         SELECT flowinstanceid, stepid, execution, {STEP_COLUMNS} FROM ft_stage_step WHERE NOT known \
         ON CONFLICT (flowinstanceid, stepid) DO UPDATE SET {} WHERE steps.execution = excluded.execution \
         RETURNING {fresh} AS fresh) SELECT count(*), count(*) FILTER (WHERE fresh) FROM put",
            STEP.set("steps", "excluded"),
        )
    })
});

static REPLACE_RUNS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE flowstate t SET ({RUN_COLUMNS}) = ROW ({}), executiontime = {} FROM ft_stage_run s \
         WHERE t.ctid = s.at AND t.xmin = s.by AND t.flowinstanceid = ANY (ARRAY[s.flowinstanceid])",
        qualified("s", RUN_COLUMNS),
        execution_time("s.starttime", "s.endtime"),
    )
});

/// Also for flows that are stored under the exclusive lock and whose one run is the stored one.
pub(super) static UPDATE_RUNS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE flowstate t SET {}, executiontime = {} FROM ft_stage_run s \
         WHERE s.known AND t.flowinstanceid = ANY (ARRAY[s.flowinstanceid]) AND {}",
        RUN.set("t", "s"),
        RUN.execution_time("t", "s"),
        RUN.changes("t", "s"),
    )
});

static INSERT_RUNS: LazyLock<[String; 2]> = LazyLock::new(|| {
    FRESH.map(|fresh| format!(
        "WITH put AS (INSERT INTO flowstate (flowinstanceid, run, reruncount, executiontime, {RUN_COLUMNS}) \
         SELECT flowinstanceid, run, reruncount, {}, {RUN_COLUMNS} FROM ft_stage_run WHERE NOT known \
         ON CONFLICT (flowinstanceid) DO UPDATE SET {}, executiontime = {} WHERE flowstate.run = excluded.run \
         RETURNING {fresh} AS fresh) SELECT count(*), count(*) FILTER (WHERE fresh) FROM put",
        execution_time("starttime", "endtime"),
        RUN.set("flowstate", "excluded"),
        RUN.execution_time("flowstate", "excluded"),
    ))
});

/// Writes flows, which come sorted by id, in a transaction that holds the shared lock and stays open. Those that are to be
/// left out are, if nothing of them is stored.
pub(super) async fn write<'a>(
    session: &mut Session,
    flows: Flows<'a>,
    to_leave_out: &HashSet<FlowId>,
    tally: &mut Tally,
) -> Result<Plain<'a>, WriteError> {
    found::prepare(session).await?;
    let lock: (_, Parameters<'_>) = (LOCK_SHARED, &[&LOCK, &session.table()]);
    let mut found = session.begin(lock, find(session, &flows)).await?;
    let bare = bare(&flows, &found);
    if !bare.is_empty() {
        return Ok(Plain::Bare(bare));
    }
    let mut plan = Plan::of(&flows, &found, to_leave_out);
    if session.goes_straight() {
        if straight::write(session, &plan.new_steps, &plan.new_runs, tally).await? {
            (plan.new_steps, plan.new_runs) = (Vec::new(), Vec::new());
        } else {
            // What another lane has stored meanwhile is to be seen now.
            found = find(session, &flows).await?;
            plan = Plan::of(&flows, &found, to_leave_out);
        }
    }
    let [steps, runs] = replace::few(session, &mut plan.changing_steps, &mut plan.changing_runs).await?;
    tally.steps.update += steps;
    tally.flows.update += runs;
    tally.ways.replaced = u64::from(steps + runs > 0);
    if !write_staged(session, &plan, tally).await? {
        return Ok(Plain::Raced);
    }
    snapshot::put(session, plan.plain.iter().copied()).await?;
    tally.variables += variable::put(session, plan.plain.iter().copied()).await?;
    left_out::put_removed(session, plan.left_out.iter().copied()).await?;
    tally.steps.unchanged += plan.same_steps;
    tally.flows.unchanged += plan.same_runs;
    tally.steps.kept_out += plan.kept_out_steps;
    tally.flows.kept_out += plan.kept_out_runs;
    tally.variables.kept_out += plan.kept_out_variables;
    for (_, fold) in &plan.left_out {
        tally.steps.left_out += count_of(fold.steps.len());
        tally.flows.left_out += count_of(fold.runs.len());
        tally.variables.left_out += count_of(fold.variables.len());
    }
    Ok(Plain::Written(plan.special))
}

/// Flows that bring payloads which are not kept any more, and below which number.
fn bare<'a>(flows: &Flows<'a>, found: &[Found<'a>]) -> HashMap<&'a FlowId, i64> {
    let brings = |(&(flow, fold), found): (&(&'a FlowId, &'a FlowFold), &Found<'a>)| {
        let below = found.bare_below.filter(|below| !found.kept_out && fold.has_payloads_below(*below))?;
        Some((flow, below))
    };
    flows.iter().zip(found).filter_map(brings).collect()
}

/// How the rows of a batch are to be written; each list is sorted by key.
#[derive(Default)]
struct Plan<'a, 'f> {
    /// Under the exclusive lock.
    special: Flows<'a>,
    /// Only their marks are stored.
    left_out: Flows<'a>,
    /// Those whose rows these are:
    plain: Flows<'a>,
    new_steps: Vec<Step<'f>>,
    new_runs: Vec<Run<'f>>,
    changing_steps: Vec<Step<'f>>,
    changing_runs: Vec<Run<'f>>,
    /// So many would change nothing.
    same_steps: u64,
    same_runs: u64,
    /// So many are not stored again.
    kept_out_steps: u64,
    kept_out_runs: u64,
    kept_out_variables: u64,
}

impl<'a: 'f, 'f> Plan<'a, 'f> {
    fn of(flows: &Flows<'a>, found: &'f [Found<'a>], to_leave_out: &HashSet<FlowId>) -> Self {
        let mut plan = Self::default();
        for (&(flow, fold), found) in flows.iter().zip(found) {
            if found.kept_out {
                plan.kept_out_steps += count_of(fold.steps.len());
                plan.kept_out_runs += count_of(fold.runs.len());
                plan.kept_out_variables += count_of(fold.variables.len());
                continue;
            }
            if found.is_nothing() && to_leave_out.contains(flow) {
                plan.left_out.push((flow, fold));
                continue;
            }
            let shown = found.run.as_ref().map(|(run, _)| *run);
            let new_run = fold.runs.keys().any(|run| shown != Some(*run));
            if found.special || (new_run && (shown.is_some() || found.rerun)) {
                plan.special.push((flow, fold));
            } else {
                plan.plain.push((flow, fold));
                plan.add_steps(flow, fold, found);
                plan.add_runs(flow, fold, found);
            }
        }
        plan
    }

    fn add_steps(&mut self, flow: &'a FlowId, fold: &'a FlowFold, found: &'f Found<'a>) {
        let mut met = found.steps.iter().peekable();
        for (key, row) in &fold.steps {
            let met = met.next_if(|(found, _)| *found == key).map(|(_, met)| met);
            match to_store(met, row) {
                None => self.same_steps += 1,
                Some((row, stored @ Stored::Nothing)) => self.new_steps.push(Step { flow, key, row, stored }),
                Some((row, stored)) => self.changing_steps.push(Step { flow, key, row, stored }),
            }
        }
    }

    fn add_runs(&mut self, flow: &'a FlowId, fold: &'a FlowFold, found: &'f Found<'a>) {
        let named_by = found.named_by;
        let met = found.run.as_ref().map(|(_, met)| met);
        for (&number, row) in &fold.runs {
            match to_store(met, row) {
                None => self.same_runs += 1,
                Some((row, stored @ Stored::Nothing)) => {
                    self.new_runs.push(Run { flow, number, row, stored, named_by });
                }
                Some((row, stored)) => self.changing_runs.push(Run { flow, number, row, stored, named_by }),
            }
        }
    }
}

/// What is to be stored of a row, given the stored one of its key; nothing where that says all of it already.
fn to_store<'f, T>(met: Option<&'f Met<T>>, row: &'f T) -> Option<(&'f T, Stored)> {
    match met {
        None => Some((row, Stored::Nothing)),
        Some(Met::Same) => None,
        Some(Met::Becomes(seen, joined)) => Some((joined, Stored::Version(*seen))),
        Some(Met::Unknown) => Some((row, Stored::Row)),
    }
}

fn count<T>(rows: &[T]) -> u64 {
    count_of(rows.len())
}

fn count_of(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

/// Says whether no other transaction came between.
async fn write_staged(
    session: &mut Session,
    plan: &Plan<'_, '_>,
    tally: &mut Tally,
) -> Result<bool, WriteError> {
    let steps = Staged { new: count(&plan.new_steps), changing: count(&plan.changing_steps) };
    let runs = Staged { new: count(&plan.new_runs), changing: count(&plan.changing_runs) };
    if steps.is_none() && runs.is_none() {
        return Ok(true);
    }
    tally.ways.staged = 1;
    stage(
        session,
        &[&plan.new_steps[..], &plan.changing_steps].concat(),
        &[&plan.new_runs[..], &plan.changing_runs].concat(),
    )
    .await?;
    let (insert_steps, insert_runs) = (session.of_tables(&INSERT_STEPS), session.of_tables(&INSERT_RUNS));
    session.prepare_all([&REPLACE_STEPS, insert_steps, &REPLACE_RUNS, insert_runs]).await?;
    let (step, run) = try_join(
        steps.write(session, [&REPLACE_STEPS, insert_steps]),
        runs.write(session, [&REPLACE_RUNS, insert_runs]),
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
