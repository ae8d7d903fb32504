//! What the tables hold, in one shape: table → key → columns as the database names them.

use std::collections::BTreeMap;

use bytes::Bytes;
use flowtrail::{
    model::{AppRow, Micros, RunRow, StepRow, VariableRow},
    pipeline::merge::{Tables, Tombstone},
};
use serde_json::{Map, Value, json};
use tokio_postgres::Client;

const STEP: &str = "'phase', phase, 'taskname', taskname, 'flowname', flowname, 'subflowid', subflowid,
    'parentstepid', parentstepid, 'misc', convert_from(misc, 'UTF8'), 'starttime', us(starttime),
    'endtime', us(endtime), 'status', status, 'stepdata', convert_from(stepdata, 'UTF8'), 'rerun', rerun,
    'input', convert_from(input, 'UTF8'), 'output', convert_from(output, 'UTF8'),
    'error', convert_from(error, 'UTF8')";
const RUN: &str = "'phase', phase, 'userid', userid, 'appname', appname, 'appversion', appversion,
    'flowname', flowname, 'hostid', hostid, 'starttime', us(starttime), 'endtime', us(endtime), 'status', status,
    'parentflowinstanceid', parentflowinstanceid, 'parentflowname', parentflowname,
    'rerunofflowinstanceid', rerunofflowinstanceid, 'flowinput', convert_from(flowinput, 'UTF8'),
    'flowoutput', convert_from(flowoutput, 'UTF8'), 'error', convert_from(error, 'UTF8'), 'traceid', traceid";
const VARIABLE: &str = "'run', run, 'revision', revision, 'removed', removed, 'type', type,
    'value', convert_from(value, 'UTF8'), 'variableid', variableid, 'createdat', us(createdat),
    'updatedat', us(updatedat), 'misc', convert_from(misc, 'UTF8')";

/// What Postgres holds of flows whose ids begin with a prefix.
pub async fn of_database(client: &Client, prefix: &str) -> Value {
    let micros = "CREATE OR REPLACE FUNCTION pg_temp.us(t timestamp) RETURNS bigint LANGUAGE sql
        AS $$ SELECT (extract(epoch FROM t) * 1000000)::bigint $$";
    client.batch_execute(micros).await.unwrap();
    let tables = [
        ("steps", "flowinstanceid || '/' || stepid", format!("{STEP}, 'execution', execution")),
        ("ft_superseded_step", "flowinstanceid || '/' || stepid || '/' || execution", STEP.to_owned()),
        (
            "flowstate",
            "flowinstanceid",
            format!("{RUN}, 'run', run, 'executiontime', executiontime, 'reruncount', reruncount"),
        ),
        ("ft_run", "flowinstanceid || '/' || run", RUN.to_owned()),
        ("ft_rewind", "flowinstanceid || '/' || COALESCE(n::text, 'all') || '/' || before", String::new()),
        ("ft_tombstone", "flowinstanceid", "'before', before".to_owned()),
        ("ft_variable", "flowinstanceid || '/' || scope || '/' || name", VARIABLE.to_owned()),
        (
            "appstate",
            "userid || '/' || appname",
            "'at', us(at), 'persistenceenabled', persistenceenabled, 'appversion', appversion".to_owned(),
        ),
    ];
    let mut dump = Map::new();
    for (table, key, columns) in tables {
        let columns = columns.replace("us(", "pg_temp.us(");
        let id = if table == "appstate" { "appname" } else { "flowinstanceid" };
        let sql = format!(
            "SELECT {key}, json_build_object({columns}) FROM {table} WHERE starts_with({id}, $1) AND {id} >= $1"
        );
        let rows = client.query(&sql, &[&prefix]).await.unwrap();
        let count = rows.len();
        let rows: Map<String, Value> = rows.into_iter().map(|row| (row.get(0), row.get(1))).collect();
        assert_eq!(rows.len(), count, "{table} has a key twice");
        dump.insert(table.to_owned(), Value::Object(rows));
    }
    Value::Object(dump)
}

/// What the Rust fold says.
pub fn of_fold(tables: &Tables) -> Value {
    let mut dump: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut put = |table, key: String, row| dump.entry(table).or_default().insert(key, row);
    for (flow, tables) in &tables.flows {
        for (step, (execution, row)) in &tables.steps {
            let mut row = step_row(row);
            row.insert("execution".into(), json!(execution));
            put("steps", format!("{flow}/{step}"), Value::Object(row));
        }
        for ((step, execution), row) in &tables.superseded {
            put("ft_superseded_step", format!("{flow}/{step}/{execution}"), Value::Object(step_row(row)));
        }
        if let Some(shown) = &tables.shown {
            let mut row = run_row(&shown.row);
            row.insert("run".into(), json!(shown.run));
            row.insert("executiontime".into(), json!(shown.execution_time));
            row.insert("reruncount".into(), json!(shown.rerun_count));
            put("flowstate", flow.to_string(), Value::Object(row));
        }
        for (run, row) in &tables.runs {
            put("ft_run", format!("{flow}/{run}"), Value::Object(run_row(row)));
        }
        for fact in &tables.facts {
            let from = fact.from.map_or("all".to_owned(), |from| from.to_string());
            put("ft_rewind", format!("{flow}/{from}/{}", fact.before), json!({}));
        }
        for ((scope, name), row) in &tables.variables {
            put("ft_variable", format!("{flow}/{scope}/{name}"), variable_row(row));
        }
        if let Some(tombstone) = tables.tombstone {
            let before = match tombstone {
                Tombstone::Before(before) => Some(before),
                Tombstone::Forever => None,
            };
            put("ft_tombstone", flow.to_string(), json!({ "before": before }));
        }
    }
    for ((user, app), AppRow { at, off, version }) in &tables.apps {
        let row =
            json!({"at": at.map(Micros::get), "persistenceenabled": !off, "appversion": version.as_deref()});
        put("appstate", format!("{user}/{app}"), row);
    }
    let all = [
        "steps",
        "ft_superseded_step",
        "flowstate",
        "ft_run",
        "ft_rewind",
        "ft_tombstone",
        "ft_variable",
        "appstate",
    ];
    let whole = all.map(|table| (table.to_owned(), Value::Object(dump.remove(table).unwrap_or_default())));
    Value::Object(whole.into_iter().collect())
}

fn bytes(bytes: Option<&Bytes>) -> Value {
    json!(bytes.map(|bytes| std::str::from_utf8(bytes).unwrap()))
}

fn step_row(row: &StepRow) -> Map<String, Value> {
    let row = json!({
        "phase": row.phase.number(), "taskname": row.task.as_deref(), "flowname": row.flow_name.as_deref(), "subflowid": row.subflow.as_deref(),
        "parentstepid": row.parent_step.as_deref(), "misc": bytes(row.misc.as_ref()), "starttime": row.start.map(Micros::get),
        "endtime": row.end.map(Micros::get), "status": row.status.as_deref(), "stepdata": bytes(row.data.as_ref()),
        "rerun": row.rerun, "input": bytes(row.input.as_ref()), "output": bytes(row.output.as_ref()),
        "error": bytes(row.error.as_ref()),
    });
    row.as_object().unwrap().clone()
}

fn run_row(row: &RunRow) -> Map<String, Value> {
    let row = json!({
        "phase": row.phase.number(), "userid": row.user.as_deref(), "appname": row.app.as_deref(), "appversion": row.version.as_deref(),
        "flowname": row.name.as_deref(), "hostid": row.host.as_deref().unwrap_or_default(),
        "starttime": row.start.map(Micros::get), "endtime": row.end.map(Micros::get), "status": row.status.as_deref(),
        "parentflowinstanceid": row.parent.as_deref(), "parentflowname": row.parent_name.as_deref(),
        "rerunofflowinstanceid": row.original.as_deref(),
        "flowinput": bytes(row.input.as_ref()), "flowoutput": bytes(row.output.as_ref()),
        "error": bytes(row.error.as_ref()), "traceid": row.trace.as_deref(),
    });
    row.as_object().unwrap().clone()
}

fn variable_row(row: &VariableRow) -> Value {
    json!({
        "run": row.run, "revision": row.revision, "removed": row.removed, "type": row.kind.as_deref(),
        "value": bytes(row.value.as_ref()), "variableid": row.id.as_deref(), "createdat": row.created.map(Micros::get),
        "updatedat": row.updated.map(Micros::get), "misc": bytes(row.misc.as_ref()),
    })
}

/// Fails with the rows and columns that differ, and with the events, so that the case can be kept.
pub fn assert_same(got: &Value, wanted: &Value, what: &str, events: &[Value]) {
    let mut differences = Vec::new();
    for (table, wanted) in wanted.as_object().unwrap() {
        let (wanted, got) = (wanted.as_object().unwrap(), got[table].as_object().unwrap());
        for key in wanted.keys().chain(got.keys().filter(|key| !wanted.contains_key(*key))) {
            if wanted.get(key) != got.get(key) {
                differences.push(difference(table, key, got.get(key), wanted.get(key)));
            }
        }
    }
    if differences.is_empty() {
        return;
    }
    let events: Vec<String> = events.iter().map(Value::to_string).collect();
    panic!("{what}:\n{}\nof the events\n{}", differences.join("\n"), events.join("\n"));
}

fn difference(table: &str, key: &str, got: Option<&Value>, wanted: Option<&Value>) -> String {
    let (Some(got), Some(wanted)) = (got, wanted) else {
        return format!("  {table} {key}: got {got:?}, wanted {wanted:?}");
    };
    let columns = wanted.as_object().unwrap().iter().filter(|(column, value)| got[*column] != **value);
    let columns = columns.map(|(column, value)| format!("{column}: got {}, wanted {value}", got[column]));
    format!("  {table} {key}: {}", columns.collect::<Vec<_>>().join("; "))
}
