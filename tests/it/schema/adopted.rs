//! Databases that the Go service made.

use flowtrail::schema::SchemaError;
use tokio_postgres::Client;

use super::{
    PATIENCE, SEED, collect_all, connect, described, empty_database, files, program, publish, rows, schema,
    servers,
};
use crate::program::configured;

/// `flowstate` as an older version made it: without re-runs, input and output.
const OLDER: &str = "
    CREATE TABLE flowstate (
        flowinstanceid text PRIMARY KEY, userid text, appname text, appversion text, flowname text, hostid text NOT NULL,
        starttime timestamp, endtime timestamp, executiontime text, status text, parentflowinstanceid text,
        parentflowname text, misc bytea
    );
    CREATE TABLE steps (
        flowinstanceid text NOT NULL, stepid text NOT NULL, taskname text, status text, starttime timestamp,
        endtime timestamp, stepdata bytea, flowname text, subflowid text, misc bytea, rerun boolean, parentstepid text,
        PRIMARY KEY (flowinstanceid, stepid)
    );
    CREATE TABLE appstate (
        userid text, appname text, appversion text, persistenceenabled boolean, PRIMARY KEY (userid, appname)
    )";

const ROWS: &str = "
    INSERT INTO flowstate (flowinstanceid, appname, hostid, status, starttime, endtime, misc)
        SELECT 'go' || n, 'app', 'host', 'Completed', '2026-01-01', '2026-01-02', '\\x01' FROM generate_series(1, 500) n;
    INSERT INTO steps (flowinstanceid, stepid, taskname, status, rerun, stepdata)
        SELECT 'go' || n, n % 10, 'task', 'Completed', false, '\\x7b7d' FROM generate_series(1, 500) n;
    INSERT INTO appstate VALUES ('u', 'app', '1.0', true)";

/// Columns, keys and indexes, in no order: a column that was added lies behind the others.
async fn tables(client: &Client) -> Vec<String> {
    let sql =
        "SELECT concat_ws('|', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
            pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum))
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v')
        UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1";
    rows::texts(client, sql).await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_an_older_go_service_get_the_columns_they_lack_and_no_row_is_rewritten() {
    let url = empty_database().await;
    let mut client = connect(&url).await;
    client.batch_execute(&format!("{OLDER}; {ROWS}")).await.unwrap();
    let (before, places) = (files(&client).await, rows::texts(&client, PLACES).await);
    let applied = schema::update(&mut client, PATIENCE, 0).await.unwrap();
    assert_eq!(applied.len(), schema::CHANGES.len());
    assert_eq!((files(&client).await, rows::texts(&client, PLACES).await), (before, places));
    assert_eq!(tables(&client).await, tables(&connect(&servers::database().await).await).await);
    schema::validate(&client).await.unwrap();

    let mut config = servers::config_of(&url).await;
    config.kafka.topics = vec![servers::topic(1).await];
    publish(&config, "recorded.jsonl", &[]).await;
    publish(&config, "reruns.jsonl", &[]).await;
    collect_all(&config).await;
    assert_eq!(rows::count(&client, "flowstate").await, 500 + 16 + 7);
    let kept = "SELECT count(*)::text FROM flowstate WHERE hostid = 'host' AND misc = '\\x01' AND reruncount IS NULL";
    assert_eq!(rows::texts(&client, kept).await, [Some("500".to_owned())]);
}

/// Where each row lies and which transaction wrote it.
const PLACES: &str = "SELECT 'f' || ctid || xmin || flowinstanceid FROM flowstate
    UNION ALL SELECT 's' || ctid || xmin || flowinstanceid FROM steps ORDER BY 1";

/// What other versions or people made of the tables; part of what is said, and the statement that is advised.
const ODD: [(&str, &str, &str); 5] = [
    (
        "ALTER TABLE flowstate ALTER COLUMN starttime TYPE timestamp with time zone USING starttime AT TIME ZONE 'UTC'",
        "flowstate.starttime is timestamp with time zone and not timestamp without time zone",
        "ALTER TABLE flowstate ALTER COLUMN starttime TYPE timestamp without time zone USING starttime AT TIME ZONE 'UTC'",
    ),
    (
        "ALTER TABLE steps ALTER COLUMN stepdata TYPE text USING convert_from(stepdata, 'UTF8')",
        "steps.stepdata is text and not bytea",
        "ALTER TABLE steps ALTER COLUMN stepdata TYPE bytea USING convert_to(stepdata::text, 'UTF8')",
    ),
    (
        "ALTER TABLE steps ALTER COLUMN taskname TYPE character varying(100)",
        "steps.taskname is character varying(100) and not text",
        "ALTER TABLE steps ALTER COLUMN taskname TYPE text USING taskname::text",
    ),
    (
        "ALTER TABLE steps DROP CONSTRAINT steps_pkey",
        "steps has no UNIQUE INDEX on (flowinstanceid, stepid)",
        "CREATE UNIQUE INDEX CONCURRENTLY ON steps (flowinstanceid, stepid)",
    ),
    (
        "ALTER TABLE flowstate DROP COLUMN userid",
        "flowstate has no column userid text",
        "ALTER TABLE flowstate ADD COLUMN userid text",
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_of_another_type_is_reported_with_the_statement_that_mends_it_and_nothing_is_touched() {
    let url = empty_database().await;
    let mut client = connect(&url).await;
    client.batch_execute(&format!("{SEED}; {ROWS}")).await.unwrap();
    let content = "SELECT (row_to_json(f)::jsonb - 'userid')::text FROM flowstate f UNION ALL
        SELECT row_to_json(s)::jsonb::text FROM steps s ORDER BY 1";
    let as_it_was = rows::texts(&client, content).await;
    for (damage, ..) in ODD {
        client.batch_execute(damage).await.unwrap();
    }
    let (before, places) = (described(&client).await, rows::texts(&client, PLACES).await);
    let SchemaError::Foreign(found) = schema::update(&mut client, PATIENCE, 0).await.unwrap_err() else {
        panic!("they were taken over");
    };
    assert_eq!(found.len(), ODD.len(), "{found:?}");
    let config = servers::config_of(&url).await;
    for arguments in [&["schema", "update"][..], &["schema", "update", "--dry-run"]] {
        let ran = program::run(&mut configured(&config, arguments)).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
        for (_, said, mend) in ODD {
            assert!(ran.stderr.contains(&format!("{said} ({mend})")), "{mend}: {}", ran.stderr);
        }
    }
    assert_eq!((described(&client).await, rows::texts(&client, PLACES).await), (before, places));

    for (.., mend) in ODD {
        client.batch_execute(mend).await.unwrap();
    }
    schema::update(&mut client, PATIENCE, 0).await.unwrap();
    schema::validate(&client).await.unwrap();
    let ours = "'{run,phase,execution,error,traceid,input,output,userid}'::text[]";
    let content = content
        .replace("'userid'", ours)
        .replace("row_to_json(s)::jsonb::text", &format!("(row_to_json(s)::jsonb - {ours})::text"));
    assert_eq!(rows::texts(&client, &content).await, as_it_was);
}
