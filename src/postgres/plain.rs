//! Storing flows of which each row stands alone, under the shared lock.
//!
//! What these rows become does not depend on other rows, so transactions of other lanes may run beside this one.
//! Rows of flows about which nothing is stored go straight into the tables ([`super::straight`]); the others are staged,
//! and only those that are missing or would change go on from there.
//!
//! Flows for which that is not so are handed back, to be stored by [`super::special`] under the exclusive lock:
//! those of which another run or execution is stored, or a rewind, or a deletion, or re-run steps for a new run.

use std::{collections::HashMap, sync::LazyLock};

use tokio_postgres::Error;

use super::{
    batch::{Flows, Tally},
    law::{RUN, STEP, execution_time},
    refusal::WriteError,
    session::Session,
    snapshot,
    stage::{self, RUN_COLUMNS, STEP_COLUMNS, Staged},
    straight,
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

/// What is stored of flows, a row for each thing that is: the number of its run, or how many name it as their original.
///
/// Each table is met by the sorted keys at once, which costs a tenth of a query for each key. That the index is taken
/// is what the session's settings are for. Steps are looked for only where no run is stored: mostly there is one.
const LOOK_UP: &str = r"
WITH run AS MATERIALIZED (SELECT flowinstanceid, run FROM flowstate WHERE flowinstanceid = ANY ($1))
SELECT flowinstanceid, 1::smallint AS what, run AS number FROM run
UNION ALL SELECT DISTINCT flowinstanceid, 2::smallint, NULL::bigint FROM steps WHERE flowinstanceid = ANY (
    ARRAY (SELECT unnest($1) EXCEPT SELECT flowinstanceid FROM run))
UNION ALL SELECT DISTINCT flowinstanceid, 3::smallint, NULL::bigint FROM steps WHERE rerun AND flowinstanceid = ANY ($1)
UNION ALL SELECT flowinstanceid, 4::smallint, NULL::bigint FROM ft_run WHERE flowinstanceid = ANY ($1)
UNION ALL SELECT flowinstanceid, 4::smallint, NULL::bigint FROM ft_superseded_step WHERE flowinstanceid = ANY ($1)
UNION ALL SELECT flowinstanceid, 4::smallint, NULL::bigint FROM ft_rewind WHERE flowinstanceid = ANY ($1)
UNION ALL SELECT flowinstanceid, 4::smallint, NULL::bigint FROM ft_tombstone WHERE flowinstanceid = ANY ($1)
UNION ALL SELECT rerunofflowinstanceid, 5::smallint, count(*) FILTER (WHERE flowinstanceid <> rerunofflowinstanceid)
    FROM flowstate WHERE rerunofflowinstanceid = ANY ($1) GROUP BY rerunofflowinstanceid";

/// How many staged steps have their execution stored already, how many of these it would change, and flows of which
/// another one is stored. Rows only grow, so what it would not change now it never will.
static MATCH_STEPS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT count(*) FILTER (WHERE t.execution = s.execution), \
            count(*) FILTER (WHERE t.execution = s.execution AND {}), \
            COALESCE(array_agg(DISTINCT s.flowinstanceid) FILTER (WHERE t.execution <> s.execution), '{{}}') \
         FROM ft_stage_step s JOIN steps t ON t.flowinstanceid = s.flowinstanceid AND t.stepid = s.stepid \
         WHERE s.known",
        STEP.changes("t", "s"),
    )
});

const UNSTAGE_STEPS: &str = "DELETE FROM ft_stage_step WHERE flowinstanceid = ANY ($1)";

/// The condition is looked at again on the newest version of a row, should another transaction have changed it.
static UPDATE_STEPS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE steps t SET {} FROM ft_stage_step s WHERE s.known AND t.flowinstanceid = s.flowinstanceid \
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
         SELECT flowinstanceid, stepid, execution, {STEP_COLUMNS} FROM ft_stage_step s WHERE NOT s.known OR \
            (SELECT true FROM steps t WHERE t.flowinstanceid = s.flowinstanceid AND t.stepid = s.stepid) IS NULL \
         ON CONFLICT (flowinstanceid, stepid) DO UPDATE SET {} WHERE steps.execution = excluded.execution \
         RETURNING xmax = 0 AS fresh) SELECT count(*), count(*) FILTER (WHERE fresh) FROM put",
        STEP.set("steps", "excluded"),
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

/// What is stored of a flow.
#[derive(Debug, Default)]
struct Stored {
    /// Number of the shown run.
    run: Option<i64>,
    /// There are steps; not looked for where there is a run.
    steps: bool,
    /// Some of them belong to a re-run.
    rerun: bool,
    /// There are several runs or executions, a rewind or a deletion.
    special: bool,
    /// How many other instances name it as their original.
    named_by: i32,
}

/// Writes flows, which come sorted by id, in the transaction that is open and holds the shared lock.
pub(super) async fn write<'a>(
    session: &mut Session,
    flows: Flows<'a>,
    tally: &mut Tally,
) -> Result<Plain<'a>, WriteError> {
    let mut sorted = Sorted::default();
    sorted.sort(flows.iter().copied(), &look_up(session, &flows).await?);
    let mut straight = Vec::new();
    if session.goes_straight() {
        let fresh = std::mem::take(&mut sorted.fresh);
        if straight::write(session, &fresh, tally).await? {
            straight = fresh;
        } else {
            // What another lane has stored meanwhile is to be seen now.
            let flows: Flows<'a> = fresh.iter().map(|staged| (staged.flow, staged.fold)).collect();
            sorted.sort(flows.iter().copied(), &look_up(session, &flows).await?);
        }
    }
    let Sorted { mut special, fresh, met } = sorted;
    let mut staged = [fresh, met].concat();
    staged.sort_unstable_by_key(|staged| staged.flow);
    if !write_steps(session, &mut staged, &mut special, tally).await? {
        return Ok(Plain::Raced);
    }
    if !write_runs(session, &staged, tally).await? {
        return Ok(Plain::Raced);
    }
    let written = straight.iter().chain(&staged);
    snapshot::put(session, written.map(|staged| (staged.flow, staged.fold))).await?;
    special.sort_unstable_by_key(|(flow, _)| *flow);
    Ok(Plain::Written(special))
}

/// Flows by how they are to be written.
#[derive(Default)]
struct Sorted<'a> {
    /// Under the exclusive lock.
    special: Flows<'a>,
    /// Nothing of them is stored.
    fresh: Vec<Staged<'a>>,
    /// Something of them is stored.
    met: Vec<Staged<'a>>,
}

impl<'a> Sorted<'a> {
    fn sort(
        &mut self,
        flows: impl Iterator<Item = (&'a FlowId, &'a FlowFold)>,
        stored: &HashMap<String, Stored>,
    ) {
        for (flow, fold) in flows {
            self.sort_one(flow, fold, stored.get(flow.as_str()));
        }
    }

    fn sort_one(&mut self, flow: &'a FlowId, fold: &'a FlowFold, found: Option<&Stored>) {
        let new_run = fold.runs.keys().any(|run| found.is_none_or(|found| found.run != Some(*run)));
        let other_run = new_run && found.is_some_and(|found| found.run.is_some());
        if found.is_some_and(|found| found.special || other_run || (found.rerun && new_run)) {
            self.special.push((flow, fold));
            return;
        }
        let staged = Staged {
            flow,
            fold,
            // Where a run is stored, steps mostly are too; where they are not, they are just not found.
            known_steps: found.is_some_and(|found| found.steps || found.run.is_some()),
            known_run: found.is_some_and(|found| found.run.is_some()),
            named_by: found.map_or(0, |found| found.named_by),
        };
        let met = staged.known_steps || staged.known_run;
        if met { self.met.push(staged) } else { self.fresh.push(staged) }
    }
}

async fn look_up(
    session: &mut Session,
    flows: &[(&FlowId, &FlowFold)],
) -> Result<HashMap<String, Stored>, Error> {
    let ids: Vec<&str> = flows.iter().map(|(flow, _)| flow.as_str()).collect();
    let mut found: HashMap<String, Stored> = HashMap::new();
    for row in session.query(LOOK_UP, &[&ids]).await? {
        let stored = found.entry(row.get(0)).or_default();
        let number: Option<i64> = row.get(2);
        match row.get::<_, i16>(1) {
            1 => stored.run = number,
            2 => stored.steps = true,
            3 => stored.rerun = true,
            4 => stored.special = true,
            _ => stored.named_by = i32::try_from(number.unwrap_or(0)).unwrap_or(i32::MAX),
        }
    }
    Ok(found)
}

/// Says whether no other transaction came between.
async fn write_steps<'a>(
    session: &mut Session,
    staged: &mut Vec<Staged<'a>>,
    special: &mut Flows<'a>,
    tally: &mut Tally,
) -> Result<bool, WriteError> {
    let mut count = stage::steps(session, staged).await?;
    if count == 0 {
        return Ok(true);
    }
    let mut matched = 0;
    if staged.iter().any(|staged| staged.known_steps) {
        let row = session.query_one(&MATCH_STEPS, &[]).await?;
        let mut changing = row.get::<_, i64>(1);
        matched = row.get::<_, i64>(0).unsigned_abs();
        let others: Vec<String> = row.get(2);
        if !others.is_empty() {
            count -= session.execute(UNSTAGE_STEPS, &[&others]).await?;
            let row = session.query_one(&MATCH_STEPS, &[]).await?;
            (matched, changing) = (row.get::<_, i64>(0).unsigned_abs(), row.get(1));
            staged.retain(|staged| {
                let stays = others.iter().all(|other| other != staged.flow.as_str());
                if !stays {
                    special.push((staged.flow, staged.fold));
                }
                stays
            });
        }
        let updated = if changing > 0 { session.execute(&UPDATE_STEPS, &[]).await? } else { 0 };
        tally.steps.update += updated;
        tally.steps.unchanged += matched.saturating_sub(updated);
    }
    if matched == count {
        return Ok(true);
    }
    let row = session.query_one(&INSERT_STEPS, &[]).await?;
    let (put, fresh) = (row.get::<_, i64>(0).unsigned_abs(), row.get::<_, i64>(1).unsigned_abs());
    tally.steps.insert += fresh;
    tally.steps.update += put - fresh;
    Ok(matched + put == count)
}

/// Says whether no other transaction came between.
async fn write_runs(
    session: &mut Session,
    staged: &[Staged<'_>],
    tally: &mut Tally,
) -> Result<bool, WriteError> {
    let count = stage::runs(session, staged).await?;
    if count == 0 {
        return Ok(true);
    }
    let runs = |staged: &&Staged<'_>| staged.known_run && !staged.fold.runs.is_empty();
    let known = u64::try_from(staged.iter().filter(runs).count()).unwrap_or(u64::MAX);
    if known > 0 {
        let updated = session.execute(&UPDATE_RUNS, &[]).await?;
        tally.flows.update += updated;
        tally.flows.unchanged += known.saturating_sub(updated);
    }
    if known == count {
        return Ok(true);
    }
    let row = session.query_one(&INSERT_RUNS, &[]).await?;
    let (put, fresh) = (row.get::<_, i64>(0).unsigned_abs(), row.get::<_, i64>(1).unsigned_abs());
    tally.flows.insert += fresh;
    tally.flows.update += put - fresh;
    Ok(known + put == count)
}
