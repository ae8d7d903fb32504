//! Storing flows whose rows depend on each other, under the exclusive lock: no other batch is being written.
//!
//! Rewinds and re-runs supersede executions, deletions remove and keep out, a flow with several runs shows the
//! greatest of them, and naming an original counts there. Each statement is one rule of the merge law; the order is
//! that of the law: what is deleted goes first, then rows join rows of their key, then facts move rows.
//!
//! The tables are met by the keys of what is staged, whatever the planner thinks of their sizes and however its version
//! weighs what is switched off: a lateral query with a limit or an offset can't become the outer side of a join, nor can a
//! scalar one. Tables that are changed can't be asked like that. Their flow is `= ANY (ARRAY[…])` of one, which an index
//! finds and partitions are left out by, but no merge join: for that the planner would read all of an index in its order.

use std::{
    collections::{HashMap, HashSet},
    sync::LazyLock,
};

use tokio_postgres::{Error, Row};

use super::{
    batch::{Flows, Tally},
    law::{RUN, STEP, execution_time},
    plain::UPDATE_RUNS,
    refusal::WriteError,
    session::{Parameters, Session},
    snapshot,
    stage::{RUN_COLUMNS, Run, STEP_COLUMNS, Step, Stored, qualified, stage},
    variable,
    write::{LOCK, LOCK_EXCLUSIVE},
};
use crate::{
    model::FlowId,
    pipeline::merge::{FlowFold, Tombstone},
};

/// Statements without parameters.
const NOTHING: Parameters<'static> = &[];

/// Flows with a single run, and which it is.
const SINGLE_RUNS: &str = "SELECT flowinstanceid, run FROM flowstate t WHERE flowinstanceid = ANY ($1) AND \
    (SELECT r.run FROM ft_run r WHERE r.flowinstanceid = t.flowinstanceid LIMIT 1) IS NULL";

const STAGE_FLOWS: &str = "INSERT INTO ft_stage_flow SELECT * FROM unnest($1::text[], $2::boolean[])";

/// Originals that the flows name now; they may lose them.
const STAGE_NAMED: &str = "INSERT INTO ft_stage_named SELECT t.rerunofflowinstanceid FROM ft_stage_flow f \
    CROSS JOIN LATERAL (SELECT * FROM flowstate t WHERE t.flowinstanceid = f.flowinstanceid LIMIT 1) t \
    WHERE t.rerunofflowinstanceid IS NOT NULL";

// Rule 7: the greatest deletion stays, null being the greatest. One that a runtime said is not forgotten as retention's is.
const PUT_TOMBSTONES: &str = "INSERT INTO ft_tombstone AS t SELECT * FROM unnest($1::text[], $2::bigint[]) \
    ON CONFLICT (flowinstanceid) DO UPDATE SET before = excluded.before, removedat = NULL \
    WHERE t.before IS NOT NULL AND (excluded.before IS NULL OR excluded.before > t.before)";

const DROP_STAGED_STEPS: &str = "DELETE FROM ft_stage_step s WHERE (SELECT true FROM ft_tombstone d \
    WHERE d.flowinstanceid = s.flowinstanceid AND (d.before IS NULL OR s.execution < d.before) LIMIT 1)";
const DROP_STAGED_RUNS: &str = "DELETE FROM ft_stage_run s WHERE (SELECT true FROM ft_tombstone d \
    WHERE d.flowinstanceid = s.flowinstanceid AND (d.before IS NULL OR s.run < d.before) LIMIT 1)";

/// What is staged of payloads that are not kept any more.
const STRIP_STAGED: [&str; 2] = [
    "UPDATE ft_stage_step s SET stepdata = NULL, input = NULL, output = NULL, misc = NULL \
     WHERE (SELECT true FROM ft_payload_mark LIMIT 1) AND (SELECT true FROM ft_payload_mark m \
     WHERE m.flowinstanceid = s.flowinstanceid AND s.execution < m.before LIMIT 1)",
    "UPDATE ft_stage_run s SET flowinput = NULL, flowoutput = NULL \
     WHERE (SELECT true FROM ft_payload_mark LIMIT 1) AND (SELECT true FROM ft_payload_mark m \
     WHERE m.flowinstanceid = s.flowinstanceid AND s.run < m.before LIMIT 1)",
];

/// What a deletion removes of what is stored; runs go with [`DROP_RUNS`].
const DROP_STORED: [&str; 6] = [
    "DELETE FROM ft_payload_mark t USING ft_stage_flow f, ft_tombstone d \
     WHERE d.flowinstanceid = ANY (ARRAY[f.flowinstanceid]) AND t.flowinstanceid = ANY (ARRAY[f.flowinstanceid]) \
     AND (d.before IS NULL OR t.before <= d.before)",
    "DELETE FROM steps t USING ft_stage_flow f, ft_tombstone d \
     WHERE d.flowinstanceid = ANY (ARRAY[f.flowinstanceid]) AND t.flowinstanceid = ANY (ARRAY[f.flowinstanceid]) \
     AND (d.before IS NULL OR t.execution < d.before)",
    "DELETE FROM ft_superseded_step t USING ft_stage_flow f, ft_tombstone d \
     WHERE d.flowinstanceid = ANY (ARRAY[f.flowinstanceid]) AND t.flowinstanceid = ANY (ARRAY[f.flowinstanceid]) \
     AND (d.before IS NULL OR t.execution < d.before)",
    "DELETE FROM ft_rewind t USING ft_stage_flow f, ft_tombstone d \
     WHERE d.flowinstanceid = ANY (ARRAY[f.flowinstanceid]) AND t.flowinstanceid = ANY (ARRAY[f.flowinstanceid]) \
     AND (d.before IS NULL OR t.before <= d.before)",
    "DELETE FROM ft_snapshot t USING ft_stage_flow f, ft_tombstone d \
     WHERE d.flowinstanceid = ANY (ARRAY[f.flowinstanceid]) AND t.flowinstanceid = ANY (ARRAY[f.flowinstanceid]) \
     AND d.before IS NULL",
    "DELETE FROM ft_variable t USING ft_stage_flow f, ft_tombstone d \
     WHERE d.flowinstanceid = ANY (ARRAY[f.flowinstanceid]) AND t.flowinstanceid = ANY (ARRAY[f.flowinstanceid]) \
     AND (d.before IS NULL OR t.run < d.before)",
];

/// Rewinds that the tombstone leaves.
const PUT_REWINDS: &str = "INSERT INTO ft_rewind (flowinstanceid, n, before) \
    SELECT r.id, r.n, r.before FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS r(id, n, before) \
    WHERE (SELECT true FROM ft_tombstone d \
        WHERE d.flowinstanceid = r.id AND (d.before IS NULL OR r.before <= d.before) LIMIT 1) IS NULL \
    ON CONFLICT DO NOTHING";

// Rule 5: every run of the flows whose runs may change is in ft_run while this goes on; flowstate is made from it.
static UNFOLD_RUNS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO ft_run (flowinstanceid, run, {RUN_COLUMNS}) SELECT t.flowinstanceid, t.run, {} \
         FROM ft_stage_flow f CROSS JOIN LATERAL \
            (SELECT * FROM flowstate t WHERE t.flowinstanceid = f.flowinstanceid LIMIT 1) t \
         WHERE f.runs AND (SELECT r.run FROM ft_run r WHERE r.flowinstanceid = f.flowinstanceid LIMIT 1) IS NULL",
        qualified("t", RUN_COLUMNS),
    )
});
static PUT_RUNS: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO ft_run AS t (flowinstanceid, run, {RUN_COLUMNS}) \
         SELECT flowinstanceid, run, {RUN_COLUMNS} FROM ft_stage_run WHERE NOT known \
         ON CONFLICT (flowinstanceid, run) DO UPDATE SET {} WHERE {}",
        RUN.set("t", "excluded"),
        RUN.changes("t", "excluded"),
    )
});
const DROP_RUNS: &str = "DELETE FROM ft_run t USING ft_stage_flow f, ft_tombstone d WHERE f.runs \
    AND d.flowinstanceid = ANY (ARRAY[f.flowinstanceid]) AND t.flowinstanceid = ANY (ARRAY[f.flowinstanceid]) \
    AND (d.before IS NULL OR t.run < d.before)";

// Rule 2: a row joins the row of its execution, wherever that is; one of a new execution waits among the superseded.
static JOIN_SHOWN: LazyLock<String> = LazyLock::new(|| {
    format!(
        "UPDATE steps t SET {} FROM ft_stage_step s WHERE t.flowinstanceid = ANY (ARRAY[s.flowinstanceid]) \
         AND t.stepid = s.stepid AND t.execution = s.execution AND {}",
        STEP.set("t", "s"),
        STEP.changes("t", "s"),
    )
});
static JOIN_SUPERSEDED: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO ft_superseded_step AS t (flowinstanceid, stepid, execution, {STEP_COLUMNS}) \
         SELECT flowinstanceid, stepid, execution, {STEP_COLUMNS} FROM ft_stage_step s WHERE \
            (SELECT true FROM steps o WHERE o.flowinstanceid = s.flowinstanceid AND o.stepid = s.stepid \
             AND o.execution = s.execution LIMIT 1) IS NULL \
         ON CONFLICT (flowinstanceid, stepid, execution) DO UPDATE SET {} WHERE {}",
        STEP.set("t", "excluded"),
        STEP.changes("t", "excluded"),
    )
});

/// A step id as a number, null if it is none (1–18 ASCII digits).
fn number(step: &str) -> String {
    format!(r#"CASE WHEN {step} COLLATE "C" ~ '^[0-9]{{1,18}}$' THEN {step}::bigint END"#)
}

// Rule 3: every run R and every re-run step j with an execution of R or greater say that executions of steps from j
// on below R no longer count. flowstate of a flow whose runs may change is out of date here; ft_run is not.
static IMPLY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "INSERT INTO ft_rewind (flowinstanceid, n, before)
        SELECT DISTINCT f.flowinstanceid, again.n, known.run FROM ft_stage_flow f
        CROSS JOIN LATERAL (
            SELECT t.run FROM ft_run t WHERE t.flowinstanceid = f.flowinstanceid
            UNION SELECT t.run FROM flowstate t WHERE t.flowinstanceid = f.flowinstanceid AND NOT f.runs
            OFFSET 0
        ) known
        CROSS JOIN LATERAL (
            SELECT {number} AS n FROM steps t
                WHERE t.flowinstanceid = f.flowinstanceid AND t.rerun AND t.execution >= known.run
            UNION ALL SELECT {number} FROM ft_superseded_step t
                WHERE t.flowinstanceid = f.flowinstanceid AND t.rerun AND t.execution >= known.run
            OFFSET 0
        ) again
        WHERE again.n IS NOT NULL AND (SELECT true FROM ft_tombstone d WHERE d.flowinstanceid = f.flowinstanceid
            AND (d.before IS NULL OR known.run <= d.before) LIMIT 1) IS NULL
        ON CONFLICT DO NOTHING",
        number = number("t.stepid"),
    )
});

/// True if a fact supersedes an execution, else null.
fn reached(row: &str) -> String {
    format!(
        "(SELECT true FROM ft_rewind w WHERE w.flowinstanceid = {row}.flowinstanceid \
         AND {row}.execution < w.before AND (w.n IS NULL OR w.n <= {}) LIMIT 1)",
        number(&format!("{row}.stepid")),
    )
}

/// Shown executions that a fact reaches. Facts reach downwards, so nothing stored could take their place.
static SUPERSEDE: LazyLock<String> = LazyLock::new(|| {
    move_step(
        "steps",
        "ft_superseded_step",
        "ft_stage_flow f",
        &format!("t.flowinstanceid = ANY (ARRAY[f.flowinstanceid]) AND {}", reached("t")),
    )
});

/// Shown executions below one that has come and is not reached.
static OVERTAKE: LazyLock<String> = LazyLock::new(|| {
    let later = format!(
        "t.flowinstanceid = ANY (ARRAY[s.flowinstanceid]) AND t.stepid = s.stepid \
         AND (SELECT true FROM ft_superseded_step o \
            WHERE o.flowinstanceid = t.flowinstanceid AND o.stepid = t.stepid AND o.execution > t.execution \
            AND {} IS NULL LIMIT 1)",
        reached("o"),
    );
    move_step("steps", "ft_superseded_step", STAGED_KEYS, &later)
});

/// The greatest execution that is not reached, for steps that have come and of which none is shown.
static SHOW: LazyLock<String> = LazyLock::new(|| {
    let greatest = format!(
        "(SELECT s.flowinstanceid, s.stepid, o.execution FROM {STAGED_KEYS} CROSS JOIN LATERAL \
            (SELECT o.execution FROM ft_superseded_step o WHERE o.flowinstanceid = s.flowinstanceid \
             AND o.stepid = s.stepid AND {} IS NULL ORDER BY o.execution DESC LIMIT 1) o \
          WHERE (SELECT true FROM steps n \
            WHERE n.flowinstanceid = s.flowinstanceid AND n.stepid = s.stepid LIMIT 1) IS NULL OFFSET 0) AS g",
        reached("o"),
    );
    let same = "t.flowinstanceid = ANY (ARRAY[g.flowinstanceid]) AND t.stepid = g.stepid AND t.execution = g.execution";
    move_step("ft_superseded_step", "steps", &greatest, same)
});

const STAGED_KEYS: &str = "(SELECT DISTINCT flowinstanceid, stepid FROM ft_stage_step) AS s";

fn move_step(from: &str, to: &str, using: &str, which: &str) -> String {
    format!(
        "WITH moved AS (DELETE FROM {from} t USING {using} WHERE {which} RETURNING t.*) \
         INSERT INTO {to} (flowinstanceid, stepid, execution, {STEP_COLUMNS}) \
         SELECT flowinstanceid, stepid, execution, {STEP_COLUMNS} FROM moved"
    )
}

const HIDE_FLOWS: &str = "DELETE FROM flowstate t USING ft_stage_flow f WHERE f.runs \
    AND t.flowinstanceid = ANY (ARRAY[f.flowinstanceid]) \
    AND (SELECT true FROM ft_run r WHERE r.flowinstanceid = f.flowinstanceid LIMIT 1) IS NULL";

// Rules 4 and 5: the greatest run whole; app, flow name, user and version from the next lower run where missing;
// parents and original the greatest over all runs; the least run's input.
static SHOW_FLOWS: LazyLock<String> = LazyLock::new(|| {
    let fallback = |column: &str| {
        format!(
            "(SELECT l.{column} FROM ft_run l WHERE l.flowinstanceid = r.flowinstanceid \
             AND l.{column} IS NOT NULL ORDER BY l.run DESC LIMIT 1)"
        )
    };
    let greatest = |column: &str| {
        format!(
            r#"(SELECT max(l.{column} COLLATE "C") FROM ft_run l WHERE l.flowinstanceid = r.flowinstanceid)"#
        )
    };
    let shown: Vec<String> = RUN_COLUMNS
        .split(", ")
        .map(|column| match column.trim() {
            "userid" | "appname" | "appversion" | "flowname" => fallback(column.trim()),
            "parentflowinstanceid" | "parentflowname" | "rerunofflowinstanceid" => greatest(column.trim()),
            "flowinput" => "(SELECT l.flowinput FROM ft_run l WHERE l.flowinstanceid = r.flowinstanceid \
                            ORDER BY l.run LIMIT 1)"
                .to_owned(),
            column => format!("r.{column}"),
        })
        .collect();
    let columns: Vec<&str> = RUN_COLUMNS.split(", ").map(str::trim).chain(["run", "executiontime"]).collect();
    let set: Vec<String> = columns.iter().map(|column| format!("{column} = excluded.{column}")).collect();
    format!(
        "INSERT INTO flowstate AS t (flowinstanceid, run, reruncount, executiontime, {RUN_COLUMNS}) \
         SELECT r.flowinstanceid, r.run, 0, {time}, {shown} FROM ft_stage_flow f CROSS JOIN LATERAL \
            (SELECT * FROM ft_run r WHERE r.flowinstanceid = f.flowinstanceid ORDER BY r.run DESC LIMIT 1) r \
         WHERE f.runs \
         ON CONFLICT (flowinstanceid) DO UPDATE SET {set} WHERE ({mine}) IS DISTINCT FROM ({other})",
        time = execution_time("r.starttime", "r.endtime"),
        shown = shown.join(", "),
        set = set.join(", "),
        mine = columns.iter().map(|column| format!("t.{column}")).collect::<Vec<_>>().join(", "),
        other = columns.iter().map(|column| format!("excluded.{column}")).collect::<Vec<_>>().join(", "),
    )
});

const STAGE_NAMED_NOW: &str = "INSERT INTO ft_stage_named SELECT t.rerunofflowinstanceid FROM ft_stage_flow f \
    CROSS JOIN LATERAL (SELECT * FROM flowstate t WHERE t.flowinstanceid = f.flowinstanceid LIMIT 1) t \
    WHERE t.rerunofflowinstanceid IS NOT NULL \
    UNION ALL SELECT flowinstanceid FROM ft_stage_flow";

// Rule 6: derived, never incremented.
const COUNT_RERUNS: &str = "UPDATE flowstate t SET reruncount = c.reruns FROM (
        SELECT n.flowinstanceid, (SELECT count(*) FROM flowstate o WHERE o.rerunofflowinstanceid = n.flowinstanceid
            AND o.flowinstanceid <> n.flowinstanceid)::integer AS reruns
        FROM (SELECT DISTINCT flowinstanceid FROM ft_stage_named) n
    ) c WHERE t.flowinstanceid = ANY (ARRAY[c.flowinstanceid]) AND t.reruncount IS DISTINCT FROM c.reruns";

/// A single run is in flowstate alone.
const FOLD_RUNS: &str = "DELETE FROM ft_run t USING ft_stage_flow f WHERE f.runs \
    AND t.flowinstanceid = ANY (ARRAY[f.flowinstanceid]) \
    AND (SELECT count(*) FROM ft_run o WHERE o.flowinstanceid = f.flowinstanceid) = 1";

/// Writes flows, which come sorted by id, in a transaction that holds the exclusive lock and stays open.
pub(super) async fn write(
    session: &mut Session,
    flows: &Flows<'_>,
    tally: &mut Tally,
) -> Result<(), WriteError> {
    let ids: Vec<&str> = flows.iter().map(|(flow, _)| flow.as_str()).collect();
    session.prepare_all([SINGLE_RUNS]).await?;
    let lock: (_, Parameters<'_>) = (LOCK_EXCLUSIVE, &[&LOCK, &session.table()]);
    let stored = session.begin(lock, session.query(SINGLE_RUNS, &[&ids])).await?;
    let stays_single = stay_single(flows, &stored);
    let change = |(flow, fold): &(&FlowId, &FlowFold)| {
        (!fold.runs.is_empty() || fold.tombstone.is_some()) && !stays_single.contains(flow.as_str())
    };
    let runs: Vec<bool> = flows.iter().map(change).collect();
    let steps = all_steps(flows);
    stage(session, &steps, &all_runs(flows, &stays_single)).await?;
    // Of flows and of the originals that they name, at most; deleted rows are read past until they are truncated.
    session.note_staged(3 * u64::try_from(flows.len()).unwrap_or(u64::MAX));

    let (tombstones, befores) = tombstones(flows);
    let facts = Facts::of(flows);
    let flow_parameters: Parameters<'_> = &[&ids, &runs];
    let tombstone_parameters: Parameters<'_> = &[&tombstones, &befores];
    let fact_parameters: Parameters<'_> = &[&facts.flows, &facts.froms, &facts.befores];
    let mut calls = vec![(STAGE_FLOWS, flow_parameters), (STAGE_NAMED, &[])];
    if !tombstones.is_empty() {
        calls.push((PUT_TOMBSTONES, tombstone_parameters));
        calls.extend(DROP_STORED.map(|statement| (statement, NOTHING)));
    }
    calls.extend([(DROP_STAGED_STEPS, NOTHING), (DROP_STAGED_RUNS, NOTHING)]);
    calls.extend(STRIP_STAGED.map(|statement| (statement, NOTHING)));
    if !facts.flows.is_empty() {
        calls.push((PUT_REWINDS, fact_parameters));
    }
    session.execute_all(&calls).await?;
    snapshot::put(session, flows.iter().copied()).await?;
    tally.variables += variable::put(session, flows.iter().copied()).await?;
    put_rows(session, !steps.is_empty(), !stays_single.is_empty(), tally).await?;
    Ok(())
}

/// Rows join rows of their key, then facts move rows.
async fn put_rows(
    session: &Session,
    steps: bool,
    stays_single: bool,
    tally: &mut Tally,
) -> Result<(), Error> {
    let mut calls = Vec::new();
    // Where each statement stands whose rows are counted.
    let mut call = |statement: &'static str, wanted: bool| {
        wanted.then(|| {
            calls.push((statement, NOTHING));
            calls.len() - 1
        })
    };
    let updated_runs = call(&UPDATE_RUNS, stays_single);
    for statement in [UNFOLD_RUNS.as_str(), &PUT_RUNS, DROP_RUNS] {
        call(statement, true);
    }
    let joined = call(&JOIN_SHOWN, steps);
    let kept = call(&JOIN_SUPERSEDED, steps);
    call(&IMPLY, true);
    let moved = [call(&SUPERSEDE, true), call(&OVERTAKE, steps)];
    let shown = call(&SHOW, steps);
    call(HIDE_FLOWS, true);
    let shown_flows = call(&SHOW_FLOWS, true);
    for statement in [STAGE_NAMED_NOW, COUNT_RERUNS, FOLD_RUNS] {
        call(statement, true);
    }
    let rows = session.execute_all(&calls).await?;
    let of = |place: Option<usize>| place.and_then(|place| rows.get(place)).copied().unwrap_or(0);
    tally.flows.update += of(updated_runs) + of(shown_flows);
    tally.steps.update += of(joined);
    tally.steps.insert += of(shown);
    // Those that are shown had only waited there.
    let superseded = of(kept) + moved.map(of).iter().sum::<u64>();
    tally.superseded += superseded.saturating_sub(of(shown));
    Ok(())
}

fn all_steps<'a>(flows: &Flows<'a>) -> Vec<Step<'a>> {
    let of_flow = |&(flow, fold): &(&'a FlowId, &'a FlowFold)| {
        fold.steps.iter().map(move |(key, row)| Step { flow, key, row, stored: Stored::Nothing })
    };
    flows.iter().flat_map(of_flow).collect()
}

fn all_runs<'a>(flows: &Flows<'a>, stays_single: &HashSet<&str>) -> Vec<Run<'a>> {
    let of_flow = |&(flow, fold): &(&'a FlowId, &'a FlowFold)| {
        let single = stays_single.contains(flow.as_str());
        let stored = if single { Stored::Row } else { Stored::Nothing };
        fold.runs.iter().map(move |(&number, row)| Run { flow, number, row, stored, named_by: 0 })
    };
    flows.iter().flat_map(of_flow).collect()
}

/// Flows that have one run, and of which no other comes: the run is merged into `flowstate`, and `ft_run` is not needed.
fn stay_single<'a>(flows: &Flows<'a>, stored: &[Row]) -> HashSet<&'a str> {
    let stored: HashMap<&str, Option<i64>> = stored.iter().map(|row| (row.get(0), row.get(1))).collect();
    let stays = |(flow, fold): &&(&'a FlowId, &FlowFold)| {
        let mut runs = fold.runs.keys();
        let only = runs.next().filter(|_| runs.next().is_none() && fold.tombstone.is_none());
        only.is_some_and(|only| stored.get(flow.as_str()) == Some(&Some(*only)))
    };
    flows.iter().filter(stays).map(|(flow, _)| flow.as_str()).collect()
}

/// Flows that are deleted, and how much of each.
fn tombstones<'a>(flows: &Flows<'a>) -> (Vec<&'a str>, Vec<Option<i64>>) {
    let deleted = |&(flow, fold): &(&'a FlowId, &'a FlowFold)| {
        let before = match fold.tombstone? {
            Tombstone::Before(before) => Some(before),
            Tombstone::Forever => None,
        };
        Some((flow.as_str(), before))
    };
    flows.iter().filter_map(deleted).unzip()
}

/// Rewinds, column by column.
#[derive(Default)]
struct Facts<'a> {
    flows: Vec<&'a str>,
    froms: Vec<Option<i64>>,
    befores: Vec<i64>,
}

impl<'a> Facts<'a> {
    fn of(flows: &Flows<'a>) -> Self {
        let mut facts = Self::default();
        for (flow, fold) in flows {
            for fact in &fold.rewinds {
                facts.flows.push(flow.as_str());
                facts.froms.push(fact.from);
                facts.befores.push(fact.before);
            }
        }
        facts
    }
}
