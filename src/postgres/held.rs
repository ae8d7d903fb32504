//! What the tables hold of flows, in the shape that the merge law gives them, at one moment.

use std::collections::HashMap;

use bytes::{BufMut as _, Bytes, BytesMut};
use tokio_postgres::{
    Client, Error, IsolationLevel, Row, RowStream, Transaction,
    types::{FromSql, ToSql, Type},
};

use crate::{
    model::{AppRow, Micros, Offset, Partition, Phase, RunRow, StepId, StepRow, Text, VariableRow},
    pipeline::merge::{Fact, FlowTables, ShownRun, Tombstone},
};

/// What the tables hold of one flow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Its rows. Of snapshots only the keys are read; one whose bytes do not have its hash holds a byte.
    pub tables: FlowTables,
    /// How many other instances name this one as their original.
    pub named_by: i32,
    /// Its tombstone was put there by retention; no event says it.
    pub removed: bool,
    /// Runs and executions below this are kept without payloads.
    pub bare_below: Option<i64>,
    /// Those that are stored may still have some: retention's next run takes them.
    pub bare_soon: bool,
}

/// Reads what is held of many flows at once, by their keys.
#[derive(Debug)]
pub(crate) struct Holdings {
    client: Client,
}

/// Text and bytes of a step, in the order in which [`step_row`] reads them.
pub(super) const STEP_FIELDS: &str =
    "taskname, flowname, subflowid, parentstepid, misc, status, input, output, error, stepdata";
/// Text and bytes of a run, in the order in which [`run_row`] reads them.
pub(super) const RUN_FIELDS: &str = "userid, appname, appversion, flowname, hostid, parentflowinstanceid, parentflowname, \
    rerunofflowinstanceid, traceid, status, flowinput, flowoutput, error";

impl Holdings {
    /// Over a session that is used for nothing else.
    pub(crate) async fn prepare(client: Client) -> Result<Self, Error> {
        // Rows are looked up by keys that are given, whatever the planner thinks of their number.
        const SETTINGS: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; SET jit = off; \
             SET plan_cache_mode = force_generic_plan";
        client.batch_execute(SETTINGS).await?;
        Ok(Self { client })
    }

    /// What is held of flows, all as of one moment. Of which nothing is held is not in the answer.
    pub(crate) async fn of_flows(&mut self, flows: &[&str]) -> Result<HashMap<Text, Held>, Error> {
        let builder = self.client.build_transaction().isolation_level(IsolationLevel::RepeatableRead);
        let moment = builder.read_only(true).start().await?;
        let held = of_flows(&moment, flows).await?;
        moment.commit().await?;
        Ok(held)
    }

    /// What is held of apps, by user and app; those without a row are not in the answer.
    pub(crate) async fn of_apps(
        &self,
        apps: &[&(Text, Text)],
    ) -> Result<HashMap<(Text, Text), AppRow>, Error> {
        const SQL: &str = "SELECT userid, appname, at, COALESCE(persistenceenabled, false), appversion FROM appstate \
            WHERE (userid, appname) IN (SELECT * FROM unnest($1::text[], $2::text[]))";
        let users: Vec<&str> = apps.iter().map(|(user, _)| &**user).collect();
        let names: Vec<&str> = apps.iter().map(|(_, app)| &**app).collect();
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&users, Type::TEXT_ARRAY), (&names, Type::TEXT_ARRAY)];
        let rows = self.client.query_typed(SQL, &parameters).await?;
        let read = |row: &Row| {
            let key = (row.try_get::<_, String>(0)?.into(), row.try_get::<_, String>(1)?.into());
            let version = row.try_get::<_, Option<String>>(4)?.filter(|text| !text.is_empty());
            let off = !row.try_get::<_, bool>(3)?;
            Ok((key, AppRow { at: time(row, 2)?, off, version: version.map(Text::from) }))
        };
        rows.iter().map(read).collect()
    }

    /// Ids of all flows of which anything is held, each once, in no order.
    pub(crate) async fn ids(&self) -> Result<RowStream, Error> {
        let tables = [
            "flowstate",
            "steps",
            "ft_superseded_step",
            "ft_run",
            "ft_rewind",
            "ft_tombstone",
            "ft_snapshot",
            "ft_variable",
        ];
        let ids = tables.map(|table| format!("SELECT flowinstanceid FROM {table}"));
        let none: [(&str, Type); 0] = [];
        self.client.query_typed_raw(&ids.join(" UNION "), none).await
    }

    /// What of stretches of partitions was read and is not in the tables because Postgres refused it: offsets of dead
    /// letters, also of those that a person dropped. Stretches are `(partition, from, to)`.
    pub(crate) async fn refused(
        &self,
        stretches: &[(Partition, i64, i64)],
    ) -> Result<Vec<(Partition, Offset)>, Error> {
        const SQL: &str = r"
            WITH wanted AS (SELECT * FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[])
                AS w(topic, partition, since, until))
            SELECT w.topic, w.partition, d.recordoffset FROM wanted w JOIN ft_dead_letter d
                ON d.topic = w.topic AND d.partition = w.partition AND d.recordoffset >= w.since AND d.recordoffset < w.until
                WHERE d.sqlstate IS NOT NULL
            UNION SELECT w.topic, w.partition, d.at FROM wanted w JOIN (
                    SELECT left(object, -length(place[1])) AS topic, place[2]::integer AS partition, place[3]::bigint AS at
                    FROM ft_audit, regexp_match(object, '(\[([0-9]+)\]@([0-9]+))$') AS place
                    WHERE action = 'deadletter.drop' AND detail ->> 'sqlstate' IS NOT NULL
                ) d ON d.topic = w.topic AND d.partition = w.partition AND d.at >= w.since AND d.at < w.until";
        let topics: Vec<&str> = stretches.iter().map(|(partition, ..)| &*partition.topic).collect();
        let numbers: Vec<i32> = stretches.iter().map(|(partition, ..)| partition.number).collect();
        let since: Vec<i64> = stretches.iter().map(|(_, since, _)| *since).collect();
        let until: Vec<i64> = stretches.iter().map(|(.., until)| *until).collect();
        let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
            (&topics, Type::TEXT_ARRAY),
            (&numbers, Type::INT4_ARRAY),
            (&since, Type::INT8_ARRAY),
            (&until, Type::INT8_ARRAY),
        ];
        self.places(SQL, &parameters).await
    }

    /// Which of these records are kept as dead letters, or were until a person retried, dropped or erased them. Those whose
    /// key, which comes with them, is a flow that was erased are not kept at all, and are among them too.
    pub(crate) async fn letters(
        &self,
        records: &[(Partition, Offset, Option<String>)],
    ) -> Result<Vec<(Partition, Offset)>, Error> {
        const SQL: &str = r"
            SELECT w.topic, w.partition, w.at
            FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::text[]) AS w(topic, partition, at, flow)
            WHERE (SELECT true FROM ft_dead_letter d WHERE d.topic = w.topic AND d.partition = w.partition
                    AND d.recordoffset = w.at LIMIT 1)
                OR (SELECT true FROM ft_audit a WHERE a.action IN ('deadletter.drop', 'deadletter.retry', 'flow.erase')
                    AND a.object = format('%s[%s]@%s', w.topic, w.partition, w.at) LIMIT 1)
                OR (SELECT true FROM ft_tombstone t WHERE t.flowinstanceid = w.flow AND t.before IS NULL
                    AND t.removedat IS NOT NULL LIMIT 1)";
        let topics: Vec<&str> = records.iter().map(|(partition, ..)| &*partition.topic).collect();
        let numbers: Vec<i32> = records.iter().map(|(partition, ..)| partition.number).collect();
        let offsets: Vec<i64> = records.iter().map(|(_, offset, _)| offset.0).collect();
        let flows: Vec<Option<&str>> = records.iter().map(|(.., flow)| flow.as_deref()).collect();
        let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
            (&topics, Type::TEXT_ARRAY),
            (&numbers, Type::INT4_ARRAY),
            (&offsets, Type::INT8_ARRAY),
            (&flows, Type::TEXT_ARRAY),
        ];
        self.places(SQL, &parameters).await
    }

    async fn places(
        &self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<(Partition, Offset)>, Error> {
        let rows = self.client.query_typed(sql, parameters).await?;
        let read = |row: &Row| {
            let partition = Partition { topic: row.try_get::<_, &str>(0)?.into(), number: row.try_get(1)? };
            Ok((partition, Offset(row.try_get(2)?)))
        };
        rows.iter().map(read).collect()
    }

    /// Flows of every policy that started before this were removed by retention, if it ever ran; those of some went later
    /// ones too. It is for flows whose marks are forgotten.
    pub(crate) async fn removed_before(&self) -> Result<Option<Micros>, Error> {
        const SQL: &str = "SELECT min(startedbefore) FROM ft_retention_cutoff";
        time(&self.client.query_typed(SQL, &[]).await?.remove(0), 0)
    }

    /// The earliest start of these flows, if one is known of each of them.
    pub(crate) async fn earliest_start(&self, flows: &[&str]) -> Result<Option<Micros>, Error> {
        const SQL: &str = "SELECT CASE WHEN bool_and(s.starttime IS NOT NULL) THEN min(LEAST(s.starttime, \
                (SELECT min(r.starttime) FROM ft_run r WHERE r.flowinstanceid = f.id))) END \
            FROM unnest($1::text[]) AS f(id) LEFT JOIN flowstate s ON s.flowinstanceid = f.id";
        time(&self.client.query_typed(SQL, &[(&flows, Type::TEXT_ARRAY)]).await?.remove(0), 0)
    }
}

/// What is held of flows, as of this moment. Of which nothing is held is not in the answer.
pub(super) async fn of_flows(moment: &Transaction<'_>, flows: &[&str]) -> Result<HashMap<Text, Held>, Error> {
    let steps = format!(
        "SELECT flowinstanceid, stepid, COALESCE(execution, 0), true, COALESCE(phase, 2)::smallint, starttime, endtime, \
             COALESCE(rerun, false), {STEP_FIELDS} FROM steps WHERE flowinstanceid = ANY ($1) \
             UNION ALL SELECT flowinstanceid, stepid, execution, false, phase, starttime, endtime, \
             COALESCE(rerun, false), {STEP_FIELDS} FROM ft_superseded_step WHERE flowinstanceid = ANY ($1)"
    );
    let shown = format!(
        "SELECT flowinstanceid, COALESCE(run, 0), executiontime, COALESCE(reruncount, 0), \
                (SELECT count(*)::integer FROM flowstate o WHERE o.rerunofflowinstanceid = t.flowinstanceid \
                    AND o.flowinstanceid <> t.flowinstanceid), \
             COALESCE(phase, 2)::smallint, starttime, endtime, {RUN_FIELDS} \
             FROM flowstate t WHERE flowinstanceid = ANY ($1)"
    );
    let runs = format!(
        "SELECT flowinstanceid, run, phase, starttime, endtime, {RUN_FIELDS} FROM ft_run \
             WHERE flowinstanceid = ANY ($1)"
    );
    let ask = |sql: &str| query(moment, sql.to_owned(), flows);
    let (steps, shown, runs, facts, tombstones, bare, snapshots, variables) = tokio::try_join!(
        ask(&steps),
        ask(&shown),
        ask(&runs),
        ask("SELECT flowinstanceid, n, before FROM ft_rewind WHERE flowinstanceid = ANY ($1)"),
        ask(
            "SELECT flowinstanceid, before, removedat IS NOT NULL FROM ft_tombstone WHERE flowinstanceid = ANY ($1)"
        ),
        ask(
            "SELECT flowinstanceid, before, removedat IS NULL FROM ft_payload_mark WHERE flowinstanceid = ANY ($1)"
        ),
        // An empty one is what is left of one whose bytes went with the payloads.
        ask(
            "SELECT flowinstanceid, stepid, hash, sha256(data) = hash OR octet_length(data) = 0 FROM ft_snapshot \
             WHERE flowinstanceid = ANY ($1)"
        ),
        ask(
            "SELECT flowinstanceid, run, revision, removed, createdat, updatedat, scope, name, type, value, variableid, misc \
             FROM ft_variable WHERE flowinstanceid = ANY ($1)"
        ),
    )?;
    let mut held: HashMap<Text, Held> = HashMap::with_capacity(shown.len());
    for row in &steps {
        add_step(&mut of(&mut held, row)?.tables, row)?;
    }
    for row in &shown {
        add_shown(of(&mut held, row)?, row)?;
    }
    for row in &runs {
        let run = row.try_get(1)?;
        of(&mut held, row)?.tables.runs.insert(run, Box::new(run_row(row, 2)?));
    }
    for row in &facts {
        let fact = Fact { from: row.try_get(1)?, before: row.try_get(2)? };
        of(&mut held, row)?.tables.facts.insert(fact);
    }
    for row in &snapshots {
        add_snapshot(&mut of(&mut held, row)?.tables, row)?;
    }
    for row in &variables {
        add_variable(&mut of(&mut held, row)?.tables, row)?;
    }
    add_marks(&mut held, &tombstones, &bare)?;
    Ok(held)
}

fn add_marks(held: &mut HashMap<Text, Held>, tombstones: &[Row], bare: &[Row]) -> Result<(), Error> {
    for row in tombstones {
        let before = row.try_get::<_, Option<i64>>(1)?;
        let held = of(held, row)?;
        held.tables.tombstone = Some(before.map_or(Tombstone::Forever, Tombstone::Before));
        held.removed = row.try_get(2)?;
    }
    for row in bare {
        let held = of(held, row)?;
        held.bare_below = Some(row.try_get(1)?);
        held.bare_soon = row.try_get(2)?;
    }
    Ok(())
}

async fn query(moment: &Transaction<'_>, sql: String, flows: &[&str]) -> Result<Vec<Row>, Error> {
    moment.query_typed(&sql, &[(&flows, Type::TEXT_ARRAY)]).await
}

/// What is held of a row's flow.
fn of<'a>(held: &'a mut HashMap<Text, Held>, row: &Row) -> Result<&'a mut Held, Error> {
    let flow: &str = row.try_get(0)?;
    if !held.contains_key(flow) {
        held.insert(flow.into(), Held::default());
    }
    Ok(held.get_mut(flow).expect("it was just put there"))
}

fn add_step(tables: &mut FlowTables, row: &Row) -> Result<(), Error> {
    let (step, execution) = (StepId::held(row.try_get::<_, &str>(1)?.into()), row.try_get(2)?);
    let step_row = Box::new(step_row(row, 4)?);
    if row.try_get(3)? {
        tables.steps.insert(step, (execution, step_row));
    } else {
        tables.superseded.insert((step, execution), step_row);
    }
    Ok(())
}

/// A step: from a column on phase, start, end, re-run flag and [`STEP_FIELDS`], which end the row.
pub(super) fn step_row(row: &Row, first: usize) -> Result<StepRow, Error> {
    let mut fields = Fields::of(row, first + 4)?;
    Ok(StepRow {
        phase: phase(row.try_get(first)?),
        start: time(row, first + 1)?,
        end: time(row, first + 2)?,
        rerun: row.try_get(first + 3)?,
        task: fields.text(),
        flow_name: fields.text(),
        subflow: fields.text(),
        parent_step: fields.text(),
        misc: fields.bytes(),
        status: fields.text(),
        input: fields.bytes(),
        output: fields.bytes(),
        error: fields.bytes(),
        data: fields.bytes(),
    })
}

fn add_shown(held: &mut Held, row: &Row) -> Result<(), Error> {
    held.named_by = row.try_get(4)?;
    held.tables.shown = Some(ShownRun {
        run: row.try_get(1)?,
        row: Box::new(run_row(row, 5)?),
        execution_time: row.try_get(2)?,
        rerun_count: row.try_get(3)?,
    });
    Ok(())
}

/// A run: from a column on phase, start, end and [`RUN_FIELDS`], which end the row.
pub(super) fn run_row(row: &Row, first: usize) -> Result<RunRow, Error> {
    let mut fields = Fields::of(row, first + 3)?;
    Ok(RunRow {
        phase: phase(row.try_get(first)?),
        start: time(row, first + 1)?,
        end: time(row, first + 2)?,
        user: fields.text(),
        app: fields.text(),
        version: fields.text(),
        name: fields.text(),
        host: fields.text(),
        parent: fields.text(),
        parent_name: fields.text(),
        original: fields.text(),
        trace: fields.text(),
        status: fields.text(),
        input: fields.bytes(),
        output: fields.bytes(),
        error: fields.bytes(),
    })
}

fn add_snapshot(tables: &mut FlowTables, row: &Row) -> Result<(), Error> {
    let step: &str = row.try_get(1)?;
    let step = (!step.is_empty()).then(|| StepId::held(step.into()));
    let hash: &[u8] = row.try_get(2)?;
    let is_whole: bool = row.try_get(3)?;
    // A hash of another length is none of ours: it can't be what any event says.
    let hash = hash.try_into().unwrap_or([0; 32]);
    tables.snapshots.insert((step, hash), if is_whole { Bytes::new() } else { Bytes::from_static(b"?") });
    Ok(())
}

fn add_variable(tables: &mut FlowTables, row: &Row) -> Result<(), Error> {
    let mut fields = Fields::of(row, 6)?;
    let key = (fields.text().unwrap_or_default(), fields.text().unwrap_or_default());
    let variable = VariableRow {
        run: row.try_get(1)?,
        revision: row.try_get(2)?,
        removed: row.try_get(3)?,
        created: time(row, 4)?,
        updated: time(row, 5)?,
        kind: fields.text(),
        value: fields.bytes(),
        id: fields.text(),
        misc: fields.bytes(),
    };
    tables.variables.insert(key, Box::new(variable));
    Ok(())
}

fn phase(number: i16) -> Phase {
    match number {
        0 => Phase::Opened,
        1 => Phase::Running,
        _ => Phase::Closed,
    }
}

/// A time; what lies beyond what an event can say is nothing.
fn time(row: &Row, column: usize) -> Result<Option<Micros>, Error> {
    Ok(row.try_get::<_, Option<Held64>>(column)?.and_then(|Held64(micros)| Micros::from_postgres(micros)))
}

/// A `timestamp` as it comes.
struct Held64(i64);

impl<'a> FromSql<'a> for Held64 {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(i64::from_be_bytes(raw.try_into()?)))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMP
    }
}

/// Text or bytes as they come.
struct Raw<'a>(&'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw))
    }

    fn accepts(kind: &Type) -> bool {
        matches!(*kind, Type::TEXT | Type::BYTEA)
    }
}

/// The text and bytes of a row, which share one piece of memory. Empty is nothing, as the law has it.
struct Fields {
    bytes: Bytes,
    lengths: std::vec::IntoIter<usize>,
}

impl Fields {
    /// From a column on.
    fn of(row: &Row, first: usize) -> Result<Self, Error> {
        let mut raw = Vec::with_capacity(row.len().saturating_sub(first));
        for column in first..row.len() {
            raw.push(row.try_get::<_, Option<Raw<'_>>>(column)?.map_or(&[][..], |Raw(bytes)| bytes));
        }
        let mut bytes = BytesMut::with_capacity(raw.iter().map(|field| field.len()).sum());
        for field in &raw {
            bytes.put_slice(field);
        }
        let lengths: Vec<usize> = raw.iter().map(|field| field.len()).collect();
        Ok(Self { bytes: bytes.freeze(), lengths: lengths.into_iter() })
    }

    /// The next field.
    fn bytes(&mut self) -> Option<Bytes> {
        let length = self.lengths.next()?;
        (length > 0).then(|| self.bytes.split_to(length))
    }

    /// The next field, as text; Postgres keeps it in UTF-8.
    fn text(&mut self) -> Option<Text> {
        self.bytes().and_then(|bytes| Text::try_from(bytes).ok())
    }
}
