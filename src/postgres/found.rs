//! What is stored of the flows of a batch, and which of the batch's rows would change nothing.
//!
//! Three questions go to Postgres at once: runs, steps, and what makes a flow one that has to be stored under the
//! exclusive lock. Stored rows are joined with those of the batch here, by the same law; rows only grow, so what would
//! change nothing now never will. Of the others it is kept which version of the stored row was seen ([`Seen`]): as long
//! as it is there, the joined row is what has to take its place, and Postgres need neither search nor join.

use std::{pin::pin, sync::LazyLock};

use futures_util::{
    TryStreamExt as _,
    future::{try_join, try_join3},
};
use tokio_postgres::{
    Client, Error, Row, RowStream, Statement,
    types::{FromSql, ToSql, Type},
};

use super::{
    batch::Flows,
    held::{RUN_FIELDS, STEP_FIELDS, run_row, step_row},
    session::{Parameters, Session},
};
use crate::{
    model::{FlowId, RunRow, StepId, StepRow},
    pipeline::merge::{ExecutionKey, FlowFold, Tombstone},
};

/// Of a flow with no more steps than this in the batch these alone are asked for. To find one by its key takes as long as
/// to read a few of a flow whose first is found.
const FEW_STEPS: usize = 3;

/// So is a flow of which so many are stored.
const MANY_STEPS: usize = 64;

/// The version of a stored row that was seen: its `ctid` and `xmin`, as `COPY` has them. Whoever changes the row gives it
/// others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) at: [u8; 6],
    pub(super) by: [u8; 4],
}

/// A system column as it comes.
struct System<const N: usize>([u8; N]);

impl<'a, const N: usize> FromSql<'a> for System<N> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw.try_into()?))
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::TID | Type::XID)
    }
}

/// What a stored row of the same key means for a row of a batch.
#[derive(Debug)]
pub(super) enum Met<T> {
    /// The stored row says all of it already.
    Same,
    /// The stored row, as long as it is this version, becomes this.
    Becomes(Seen, Box<T>),
    /// The stored row is large: whether it changes Postgres finds out.
    Unknown,
}

/// What is stored of one flow.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    /// The shown run, and what it means for a row of the same run.
    pub(super) run: Option<(i64, Met<RunRow>)>,
    /// Executions of the batch that are shown; in the order of the flow's fold.
    pub(super) steps: Vec<(&'a ExecutionKey, Met<StepRow>)>,
    /// It has steps that belong to a re-run.
    pub(super) rerun: bool,
    /// There are several runs or executions, a rewind or a deletion.
    pub(super) special: bool,
    /// All that the batch says of it was deleted before, or removed.
    pub(super) kept_out: bool,
    /// Runs and executions below this are kept without payloads.
    pub(super) bare_below: Option<i64>,
    /// How many other instances name it as their original.
    pub(super) named_by: i32,
    /// So many of its steps were seen.
    seen: usize,
}

/// Payloads of more bytes than this are left where they are; whether such a row changes Postgres finds out.
const SMALL: usize = 2_048;

/// What is read of a stored row from its number of columns `first` on: whether it is small, and then the whole of it.
fn columns(fields: &str, more: &str) -> (String, String) {
    let fields: Vec<&str> = fields.split(',').map(str::trim).collect();
    let size: Vec<String> =
        fields.iter().map(|field| format!("COALESCE(octet_length({field}), 0)")).collect();
    let own = format!(
        "ctid AS at, xmin AS by, {} <= {SMALL} AS small, COALESCE(phase, 2)::smallint AS phase, starttime, endtime{more}, {}",
        size.join(" + "),
        fields.join(", ")
    );
    let shown: Vec<String> =
        fields.iter().map(|field| format!("CASE WHEN t.small THEN t.{field} END")).collect();
    (own, shown.join(", "))
}

/// The shown runs of flows.
fn runs() -> String {
    let (own, shown) = columns(RUN_FIELDS, "");
    // The limit keeps the planner from working out the sizes for each field anew.
    format!(
        "SELECT t.flowinstanceid, t.run, t.at, t.by, t.small, t.phase, t.starttime, t.endtime, {shown} \
         FROM (SELECT flowinstanceid, run, {own} FROM flowstate WHERE flowinstanceid = ANY ($1) OFFSET 0) t"
    )
}

fn steps(keys: &str, which: &str) -> String {
    let (own, shown) = columns(STEP_FIELDS, ", COALESCE(rerun, false) AS rerun");
    format!(
        "SELECT k.n, t.stepid, t.execution, t.at, t.by, t.small, t.phase, t.starttime, t.endtime, t.rerun, {shown} \
         FROM {keys} CROSS JOIN LATERAL (SELECT stepid, execution, {own} FROM steps WHERE {which}) t"
    )
}

/// Steps of flows; of a flow with many, some.
fn steps_of_flows() -> String {
    steps(
        "unnest($1::integer[], $2::text[]) AS k(n, flow)",
        &format!("flowinstanceid = k.flow LIMIT {MANY_STEPS}"),
    )
}

/// Steps by their keys.
fn steps_by_key() -> String {
    steps(
        "unnest($1::integer[], $2::text[], $3::text[]) AS k(n, flow, step)",
        "flowinstanceid = k.flow AND stepid = k.step LIMIT 1",
    )
}

/// What else there is about flows. Most of these tables are empty where nothing is ever run again, and to look into an
/// empty index for each flow costs as much as to find it in a full one.
///
/// Each table is met by the sorted keys at once, which costs a tenth of a query for each key. That the index is taken
/// is what the session's settings are for, and the order where one row is enough: of a partition that Postgres takes for
/// empty it would otherwise gather all rows for a bitmap first.
const FACTS: &str = r"
SELECT DISTINCT flowinstanceid, 1::smallint AS what, NULL::bigint AS number FROM steps
    WHERE (SELECT true FROM steps WHERE rerun ORDER BY flowinstanceid LIMIT 1) AND rerun AND flowinstanceid = ANY ($1)
UNION ALL SELECT flowinstanceid, 2::smallint, NULL::bigint FROM ft_run
    WHERE (SELECT true FROM ft_run LIMIT 1) AND flowinstanceid = ANY ($1)
UNION ALL SELECT flowinstanceid, 2::smallint, NULL::bigint FROM ft_superseded_step
    WHERE (SELECT true FROM ft_superseded_step LIMIT 1) AND flowinstanceid = ANY ($1)
UNION ALL SELECT flowinstanceid, 2::smallint, NULL::bigint FROM ft_rewind
    WHERE (SELECT true FROM ft_rewind LIMIT 1) AND flowinstanceid = ANY ($1)
UNION ALL SELECT flowinstanceid, 4::smallint, before FROM ft_tombstone
    WHERE (SELECT true FROM ft_tombstone LIMIT 1) AND flowinstanceid = ANY ($1)
UNION ALL SELECT flowinstanceid, 5::smallint, before FROM ft_payload_mark
    WHERE (SELECT true FROM ft_payload_mark LIMIT 1) AND flowinstanceid = ANY ($1)
UNION ALL SELECT rerunofflowinstanceid, 3::smallint, count(*) FILTER (WHERE flowinstanceid <> rerunofflowinstanceid)
    FROM flowstate WHERE (SELECT true FROM flowstate WHERE rerunofflowinstanceid IS NOT NULL
            ORDER BY rerunofflowinstanceid LIMIT 1)
        AND rerunofflowinstanceid = ANY ($1) GROUP BY rerunofflowinstanceid";

static RUNS: LazyLock<String> = LazyLock::new(runs);
static STEPS_OF_FLOWS: LazyLock<String> = LazyLock::new(steps_of_flows);
static STEPS_BY_KEY: LazyLock<String> = LazyLock::new(steps_by_key);

/// Prepares the questions.
pub(super) async fn prepare(session: &Session) -> Result<(), Error> {
    session.prepare_all([RUNS.as_str(), FACTS, &STEPS_OF_FLOWS, &STEPS_BY_KEY]).await
}

/// Finds what is stored of flows, which come sorted by id; an answer for each, in their order.
///
/// It is asked in the order of other statements of the session if [`prepare`] was called before.
pub(super) async fn find<'a>(session: &Session, flows: &Flows<'a>) -> Result<Vec<Found<'a>>, Error> {
    let ids: Vec<&str> = flows.iter().map(|(flow, _)| flow.as_str()).collect();
    let ask: [&(dyn ToSql + Sync); 1] = [&ids];
    let mut found: Vec<Found<'a>> = flows.iter().map(|_| Found::default()).collect();
    let (runs, facts, ()) = try_join3(
        session.query(&RUNS, &ask),
        session.query(FACTS, &ask),
        find_steps(session, flows, &mut found),
    )
    .await?;
    for row in &runs {
        if let Some((found, fold)) = of(&mut found, flows, row)? {
            found.see_run(fold, row)?;
        }
    }
    for row in &facts {
        if let Some((found, fold)) = of(&mut found, flows, row)? {
            found.see_fact(fold, row)?;
        }
    }
    if found.iter().any(|found| found.seen >= MANY_STEPS) {
        find_steps_of_large_flows(session, flows, &mut found).await?;
    }
    for found in &mut found {
        found.steps.sort_unstable_by_key(|(key, _)| *key);
    }
    Ok(found)
}

/// What was found of the flow that a row begins with, and what the batch says of it.
fn of<'a, 'b>(
    found: &'b mut [Found<'a>],
    flows: &Flows<'a>,
    row: &Row,
) -> Result<Option<(&'b mut Found<'a>, &'a FlowFold)>, Error> {
    let id: &str = row.try_get(0)?;
    let place = flows.binary_search_by(|(flow, _)| flow.as_str().cmp(id)).ok();
    Ok(place.and_then(|place| Some((found.get_mut(place)?, flows.get(place)?.1))))
}

async fn find_steps<'a>(session: &Session, flows: &Flows<'a>, found: &mut [Found<'a>]) -> Result<(), Error> {
    let [of_flows, by_key] =
        [session.prepared(&STEPS_OF_FLOWS).await?, session.prepared(&STEPS_BY_KEY).await?];
    let (mut few, mut many) = (Keys::default(), Keys::default());
    for (place, (flow, fold)) in flows.iter().enumerate() {
        match fold.steps.len() {
            0 => {}
            1..=FEW_STEPS => few.push_steps(place, flow, fold),
            _ => many.push(place, flow),
        }
    }
    let client = session.client();
    // All flows in one question: in pieces, each would be waited for. Rows are taken as they come, and those that are not
    // taken yet wait on the connection. An answer begins once the one before it has been taken whole.
    let (few, rest) = try_join(
        async {
            match ask(client, &by_key, few.places.len(), &[&few.places, &few.flows, &few.steps]).await? {
                None => Ok(Vec::new()),
                Some(rows) => rows.try_collect::<Vec<Row>>().await,
            }
        },
        ask(client, &of_flows, many.places.len(), &[&many.places, &many.flows]),
    )
    .await?;
    for row in &few {
        see_step(row, flows, found)?;
    }
    see_steps(rest, flows, found).await
}

/// Of flows of which many steps are stored those of the batch are looked for one by one.
async fn find_steps_of_large_flows<'a>(
    session: &Session,
    flows: &Flows<'a>,
    found: &mut [Found<'a>],
) -> Result<(), Error> {
    let by_key = session.prepared(&STEPS_BY_KEY).await?;
    let mut keys = Keys::default();
    for (place, (found, (flow, fold))) in found.iter_mut().zip(flows).enumerate() {
        if found.seen >= MANY_STEPS {
            found.steps.clear();
            keys.push_steps(place, flow, fold);
        }
    }
    let Keys { places, flows: ids, steps } = &keys;
    see_steps(ask(session.client(), &by_key, places.len(), &[places, ids, steps]).await?, flows, found).await
}

/// What is asked for, column by column.
#[derive(Default)]
struct Keys<'a> {
    /// Which of the batch's flows it is of.
    places: Vec<i32>,
    flows: Vec<&'a str>,
    steps: Vec<&'a str>,
}

impl<'a> Keys<'a> {
    fn push(&mut self, place: usize, flow: &'a FlowId) {
        self.places.push(i32::try_from(place).unwrap_or(-1));
        self.flows.push(flow.as_str());
    }

    fn push_steps(&mut self, place: usize, flow: &'a FlowId, fold: &'a FlowFold) {
        for (step, _) in fold.steps.keys() {
            self.push(place, flow);
            self.steps.push(step.as_str());
        }
    }
}

/// Asks, unless for nothing.
async fn ask(
    client: &Client,
    statement: &Statement,
    keys: usize,
    parameters: Parameters<'_>,
) -> Result<Option<RowStream>, Error> {
    if keys == 0 {
        return Ok(None);
    }
    client.query_raw(statement, parameters.iter().copied()).await.map(Some)
}

async fn see_steps<'a>(
    rows: Option<RowStream>,
    flows: &Flows<'a>,
    found: &mut [Found<'a>],
) -> Result<(), Error> {
    let Some(rows) = rows else { return Ok(()) };
    let mut rows = pin!(rows);
    while let Some(row) = rows.try_next().await? {
        see_step(&row, flows, found)?;
    }
    Ok(())
}

fn see_step<'a>(row: &Row, flows: &Flows<'a>, found: &mut [Found<'a>]) -> Result<(), Error> {
    let place = usize::try_from(row.try_get::<_, i32>(0)?).ok();
    let flow = place.and_then(|place| Some((found.get_mut(place)?, flows.get(place)?.1)));
    if let Some((found, fold)) = flow {
        found.see_step(fold, row)?;
    }
    Ok(())
}

impl<'a> Found<'a> {
    fn see_run(&mut self, fold: &'a FlowFold, row: &Row) -> Result<(), Error> {
        let Some(run) = row.try_get(1)? else {
            // Whoever wrote such a row, it is not for the short way.
            self.special = true;
            return Ok(());
        };
        let met = fold.runs.get(&run).map(|mine| meet(row, 2, &**mine, |row| run_row(row, 5)));
        // Without a run of this number in the batch it is never asked.
        self.run = Some((run, met.transpose()?.unwrap_or(Met::Same)));
        Ok(())
    }

    fn see_fact(&mut self, fold: &FlowFold, row: &Row) -> Result<(), Error> {
        match row.try_get::<_, i16>(1)? {
            1 => self.rerun = true,
            2 => self.special = true,
            4 => {
                let before: Option<i64> = row.try_get(2)?;
                let gone = before.map_or(Tombstone::Forever, Tombstone::Before);
                self.kept_out = fold.is_covered_by(gone);
                self.special |= !self.kept_out;
            }
            5 => self.bare_below = row.try_get(2)?,
            _ => {
                let others = row.try_get::<_, Option<i64>>(2)?.unwrap_or(0);
                self.named_by = i32::try_from(others).unwrap_or(i32::MAX);
            }
        }
        Ok(())
    }

    fn see_step(&mut self, fold: &'a FlowFold, row: &Row) -> Result<(), Error> {
        self.seen += 1;
        let first = (StepId::held(row.try_get::<_, &str>(1)?.into()), i64::MIN);
        let mine = fold.steps.range(&first..).next();
        let Some((key, mine)) = mine.filter(|((step, _), _)| *step == first.0) else { return Ok(()) };
        if row.try_get::<_, Option<i64>>(2)? != Some(key.1) {
            // Another execution is shown.
            self.special = true;
            return Ok(());
        }
        let met = meet(row, 3, &**mine, |row| step_row(row, 6))?;
        self.steps.push((key, met));
        Ok(())
    }
}

/// What a stored row means for one of the batch. From a column on stand its version and whether it is small.
fn meet<T: Joins>(
    row: &Row,
    column: usize,
    mine: &T,
    stored: impl Fn(&Row) -> Result<T, Error>,
) -> Result<Met<T>, Error> {
    if !row.try_get(column + 2)? {
        return Ok(Met::Unknown);
    }
    let stored = stored(row)?;
    if stored == *mine {
        return Ok(Met::Same);
    }
    let mut joined = Box::new(stored.clone());
    joined.join(mine.clone());
    if *joined == stored {
        return Ok(Met::Same);
    }
    let (System(at), System(by)) = (row.try_get(column)?, row.try_get(column + 1)?);
    Ok(Met::Becomes(Seen { at, by }, joined))
}

/// A row under the merge law.
trait Joins: Clone + PartialEq {
    fn join(&mut self, other: Self);
}

impl Joins for RunRow {
    fn join(&mut self, other: Self) {
        self.merge(other);
    }
}

impl Joins for StepRow {
    fn join(&mut self, other: Self) {
        self.merge(other);
    }
}
