//! An instance as Postgres holds it, and as it must be held.

use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::{
    app::{HOST, VERSION},
    asking::USER,
    expected::Flow,
};

/// Everything that is stored of one instance, but for times and the runtime's own bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Instance {
    /// Its row of `flowstate`; columns of bytes as the JSON they hold.
    pub flow: Value,
    /// Its rows of `steps` in order: number, task, status, flow, subflow, and `rerun`.
    pub steps: Vec<String>,
    /// Its rows of `ft_superseded_step` in order of step, then of execution.
    pub superseded: Vec<String>,
    /// The statuses of its rows of `ft_run`, in order.
    pub runs: Vec<String>,
}

impl Instance {
    /// What must be stored after a flow has run once.
    pub fn once(flow: &Flow, app: &str, has_steps: bool) -> Self {
        let steps = if has_steps { lines(flow.steps) } else { Vec::new() };
        let row = json!({
            "flowname": flow.name, "status": flow.status, "userid": USER, "appname": app, "appversion": VERSION,
            "hostid": HOST, "flowinput": value(flow.input), "flowoutput": value(flow.output),
            "parentflowinstanceid": null, "rerunofflowinstanceid": null, "reruncount": 0, "timed": true,
        });
        Self { flow: row, steps, superseded: Vec::new(), runs: Vec::new() }
    }

    /// The same after it was run again under its id: how it ended, what its rows of steps are now, which of them gave way,
    /// and how each of its runs ended.
    pub fn again(
        mut self,
        (status, output): (&str, &str),
        steps: &str,
        superseded: &str,
        runs: &[&str],
    ) -> Self {
        self.flow["status"] = status.into();
        self.flow["flowoutput"] = value(output);
        self.steps = lines(steps);
        self.superseded = lines(superseded);
        self.runs = runs.iter().map(|&run| run.to_owned()).collect();
        self
    }
}

const FLOW: &str = "
SELECT json_build_object('flowname', flowname, 'status', status, 'userid', userid, 'appname', appname,
    'appversion', appversion, 'hostid', hostid, 'flowinput', convert_from(flowinput, 'UTF8')::json,
    'flowoutput', convert_from(flowoutput, 'UTF8')::json, 'parentflowinstanceid', parentflowinstanceid,
    'rerunofflowinstanceid', rerunofflowinstanceid, 'reruncount', reruncount,
    'timed', starttime <= endtime AND executiontime::numeric >= 0)
FROM flowstate WHERE flowinstanceid = $1";

const STEP: &str =
    "concat_ws(' ', stepid, coalesce(taskname, '-'), coalesce(status, '-'), coalesce(flowname, '-'),
    coalesce(subflowid, '-'), CASE WHEN rerun THEN 'rerun' END)";

/// What is stored of an instance; none if there is no row of `flowstate`.
pub async fn instance(client: &Client, id: &str) -> Option<Instance> {
    let flow = client.query_opt(FLOW, &[&id]).await.unwrap()?.get(0);
    let of = |what: &str, table: &str, order: &str| {
        format!("SELECT {what} FROM {table} WHERE flowinstanceid = $1 ORDER BY {order}")
    };
    Some(Instance {
        flow,
        steps: texts(client, &of(STEP, "steps", "stepid::int"), id).await,
        superseded: texts(client, &of(STEP, "ft_superseded_step", "stepid::int, execution"), id).await,
        runs: texts(client, &of("status", "ft_run", "run"), id).await,
    })
}

/// The ids of all instances of a flow, in order of their start.
pub async fn ids(client: &Client, flow: &str) -> Vec<String> {
    let sql = "SELECT flowinstanceid FROM flowstate WHERE flowname = $1 ORDER BY starttime";
    texts(client, sql, flow).await
}

/// How many rows a table has.
pub async fn count(client: &Client, table: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
}

async fn texts(client: &Client, sql: &str, parameter: &str) -> Vec<String> {
    client.query(sql, &[&parameter]).await.unwrap().into_iter().map(|row| row.get(0)).collect()
}

/// The lines of a table written by hand, one space between words.
fn lines(table: &str) -> Vec<String> {
    let words = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    words.filter(|line| !line.is_empty()).collect()
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}
