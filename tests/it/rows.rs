//! Rows as the golden file has them, and whether anything about rows has changed.

use std::collections::BTreeMap;

use serde_json::Value;
use tokio_postgres::Client;

use crate::servers::until;

/// Rows by key.
pub type Rows = BTreeMap<String, Value>;

const FLOWS: &str = r#"
SELECT flowinstanceid, json_build_object('flowinstanceid', flowinstanceid, 'userid', userid, 'appname', appname,
    'appversion', appversion, 'flowname', flowname, 'hostid', hostid,
    'starttime', to_char(starttime, 'YYYY-MM-DD"T"HH24:MI:SS.US'), 'endtime', to_char(endtime, 'YYYY-MM-DD"T"HH24:MI:SS.US'),
    'executiontime', executiontime, 'status', status, 'parentflowinstanceid', parentflowinstanceid,
    'parentflowname', parentflowname, 'misc', convert_from(misc, 'UTF8'), 'rerunofflowinstanceid', rerunofflowinstanceid,
    'flowinput', convert_from(flowinput, 'UTF8'), 'flowoutput', convert_from(flowoutput, 'UTF8'), 'reruncount', reruncount)
FROM flowstate"#;

const STEPS: &str = r#"
SELECT flowinstanceid || '/' || stepid, json_build_object('flowinstanceid', flowinstanceid, 'stepid', stepid,
    'taskname', taskname, 'status', status,
    'starttime', to_char(starttime, 'YYYY-MM-DD"T"HH24:MI:SS.US'), 'endtime', to_char(endtime, 'YYYY-MM-DD"T"HH24:MI:SS.US'),
    'stepdata', json_build_object('length', length(stepdata), 'sha256', encode(sha256(stepdata), 'hex')),
    'flowname', flowname, 'subflowid', subflowid, 'misc', convert_from(misc, 'UTF8'), 'rerun', rerun,
    'parentstepid', parentstepid)
FROM steps"#;

pub async fn flows(client: &Client) -> Rows {
    read(client, FLOWS).await
}

pub async fn steps(client: &Client) -> Rows {
    read(client, STEPS).await
}

async fn read(client: &Client, sql: &str) -> Rows {
    let rows = client.query(sql, &[]).await.unwrap();
    let count = rows.len();
    let rows: Rows = rows.into_iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(rows.len(), count, "a key is there twice");
    rows
}

/// Every version of every row as it lies on disk: equal if and only if nothing was written.
pub async fn versions(client: &Client) -> Vec<String> {
    let mut versions = Vec::new();
    for table in [
        "steps",
        "flowstate",
        "appstate",
        "ft_superseded_step",
        "ft_run",
        "ft_rewind",
        "ft_tombstone",
        "ft_snapshot",
        "ft_variable",
    ] {
        let sql = format!(
            "SELECT '{table} ' || ctid || ' ' || xmin || ' ' || t::text FROM {table} t ORDER BY ctid"
        );
        let rows = client.query(&sql, &[]).await.unwrap();
        versions.extend(rows.into_iter().map(|row| row.get::<_, String>(0)));
    }
    versions
}

/// Rows of the history that were written so far by sessions that have ended, by Postgres's own count; also those that were
/// taken away again. Waits until no other session is left.
pub async fn written(client: &Client) -> i64 {
    until("the other sessions have ended", async || {
        let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
            AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        match client.query_one(others, &[]).await.unwrap().get::<_, i64>(0) {
            0 => Ok(()),
            others => Err(format!("{others} are there")),
        }
    })
    .await;
    let sql = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables \
        WHERE relname = ANY (ARRAY['steps', 'flowstate', 'appstate', 'ft_superseded_step', 'ft_run', 'ft_rewind', \
            'ft_tombstone', 'ft_snapshot', 'ft_variable'])";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

/// How many rows a table has.
pub async fn count(client: &Client, table: &str) -> i64 {
    client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await.unwrap().get(0)
}

/// The first column of each row, as text.
pub async fn texts(client: &Client, sql: &str) -> Vec<Option<String>> {
    client.query(sql, &[]).await.unwrap().into_iter().map(|row| row.get(0)).collect()
}
