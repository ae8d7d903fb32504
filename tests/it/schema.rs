//! The tables, on databases that are empty, old, foreign, altered, newer, or being changed by someone else.

use std::{process::Stdio, time::Duration};

use flowtrail::{
    config::Config,
    schema::{self, CHANGES, SchemaError, State},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio_postgres::Client;

use crate::{
    collecting::collect_all,
    program::{self, configured, publish},
    rows,
    servers::{self, PATIENCE, connect, empty_database, until},
};

mod adopted;
mod exported;
mod flowable;
mod indexes;
mod parted;
mod previous;
mod roles;
mod shape;
pub mod view_plans;
mod views;

/// The tables as existing tools know them.
const SEED: &str = include_str!("../fixtures/seed.sql");
const SEED_TABLES: [&str; 3] = ["appstate", "flowstate", "steps"];

/// Everything about tables, columns, keys, indexes, views and comments, one line each.
async fn described(client: &Client) -> Vec<String> {
    let sql = "
        SELECT concat_ws('|', c.relname, c.relkind, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod),
            a.attnotnull, a.attidentity, a.attcollation, pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum))
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace
        UNION ALL SELECT concat_ws('|', c.relname, c.relkind, c.relpersistence, c.reloptions, obj_description(c.oid),
            CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END, CASE WHEN c.relkind = 'i' THEN pg_get_indexdef(c.oid) END)
        FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace
        UNION ALL SELECT concat_ws('|', conrelid::regclass, conname, pg_get_constraintdef(oid))
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
        UNION ALL SELECT concat_ws('|', proname, prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        ORDER BY 1";
    rows::texts(client, sql).await.into_iter().flatten().collect()
}

/// A database as a program that knew only the first changes left it.
async fn old_database(known: usize) -> (String, Client) {
    let url = empty_database().await;
    let client = connect(&url).await;
    let table = include_str!("../../src/schema/sql/schema_change.sql");
    client.batch_execute(table).await.unwrap();
    for change in &CHANGES[..known] {
        client.batch_execute(change.sql).await.unwrap();
        let hash = Sha256::digest(change.sql).to_vec();
        let insert = "INSERT INTO ft_schema_change (number, name, checksum, needs) VALUES ($1, $2, $3, $4)";
        client.execute(insert, &[&change.number, &change.name, &hash, &change.needs]).await.unwrap();
    }
    (url, client)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_database_brought_up_to_date_is_the_same_as_a_fresh_one() {
    let fresh = described(&connect(&servers::database().await).await).await;
    assert!(fresh.len() > 100);
    for known in 1..CHANGES.len() {
        let (_, mut client) = old_database(known).await;
        let applied = schema::update(&mut client, PATIENCE, 0).await.unwrap();
        let numbers: Vec<i32> = applied.iter().map(|change| change.number).collect();
        assert_eq!(numbers, CHANGES[known..].iter().map(|change| change.number).collect::<Vec<_>>());
        assert_eq!(described(&client).await, fresh);
        assert!(schema::update(&mut client, PATIENCE, 0).await.unwrap().is_empty());
    }
}

/// Columns and key of a table: name, type, whether null is allowed.
async fn columns(client: &Client, table: &str) -> Vec<String> {
    let sql = format!(
        "SELECT concat_ws(' ', column_name, data_type, is_nullable) FROM information_schema.columns
         WHERE table_schema = 'public' AND table_name = '{table}' ORDER BY ordinal_position"
    );
    rows::texts(client, &sql).await.into_iter().flatten().collect()
}

async fn keys(client: &Client, table: &str) -> Vec<Option<String>> {
    // From Postgres 18 on, a column that is not null is a constraint too.
    let sql = format!(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = '{table}'::regclass AND contype <> 'n'"
    );
    rows::texts(client, &sql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tables_of_existing_tools_keep_their_columns_types_and_keys() {
    let (seed, ours) = (connect(&empty_database().await).await, connect(&servers::database().await).await);
    seed.batch_execute(SEED).await.unwrap();
    for table in SEED_TABLES {
        let (wanted, found) = (columns(&seed, table).await, columns(&ours, table).await);
        let (kept, added) = found.split_at(wanted.len());
        assert_eq!(kept, wanted, "{table}");
        // Another writer knows nothing of these.
        assert!(added.iter().all(|column| column.ends_with(" YES")), "{table}: {added:?}");
        assert_eq!(keys(&ours, table).await, keys(&seed, table).await, "{table}");
    }
}

async fn files(client: &Client) -> Vec<Option<String>> {
    let sql = "SELECT relname || ' ' || relfilenode FROM pg_class WHERE relname IN ('steps', 'flowstate', 'appstate') ORDER BY 1";
    rows::texts(client, sql).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_with_rows_of_another_writer_get_their_columns_and_are_not_rewritten() {
    let url = empty_database().await;
    let mut client = connect(&url).await;
    client.batch_execute(SEED).await.unwrap();
    let rows = "
        INSERT INTO flowstate (flowinstanceid, appname, hostid, status, starttime, reruncount)
            SELECT 'go' || n, 'app', 'host', 'Completed', '2026-01-01', 0 FROM generate_series(1, 500) n;
        INSERT INTO steps (flowinstanceid, stepid, taskname, status, rerun)
            SELECT 'go' || n, n % 10, 'task', 'Completed', false FROM generate_series(1, 500) n;
        INSERT INTO appstate VALUES ('u', 'app', '1.0', true)";
    client.batch_execute(rows).await.unwrap();
    let before = files(&client).await;
    schema::update(&mut client, PATIENCE, 0).await.unwrap();
    assert_eq!(files(&client).await, before);
    let kept = "SELECT (SELECT count(*) FROM flowstate WHERE hostid = 'host' AND run = 0 AND phase = 2)
        || ' ' || (SELECT count(*) FROM steps WHERE taskname = 'task' AND execution = 0 AND phase = 2)
        || ' ' || (SELECT row_to_json(a) FROM appstate a)";
    let app = r#"{"userid":"u","appname":"app","appversion":"1.0","persistenceenabled":true,"at":null}"#;
    assert_eq!(rows::texts(&client, kept).await, [Some(format!("500 500 {app}"))]);

    // And flowtrail writes beside them.
    let mut config = servers::config_of(&url).await;
    config.kafka.topics = vec![servers::topic(1).await];
    publish(&config, "recorded.jsonl", &[]).await;
    collect_all(&config).await;
    assert_eq!((rows::count(&client, "flowstate").await, rows::count(&client, "steps").await), (516, 591));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_table_and_every_column_has_a_comment() {
    let client = connect(&servers::database().await).await;
    let silent = "
        SELECT c.relname::text FROM pg_class c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v') AND obj_description(c.oid) IS NULL
        UNION ALL SELECT c.relname || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
            AND COALESCE(col_description(c.oid, a.attnum), '') = ''";
    assert_eq!(rows::texts(&client, silent).await, [None; 0]);
    let tables =
        "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'";
    assert!(rows::texts(&client, tables).await.len() >= 12);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_was_applied_with_another_text_is_refused() {
    let config = servers::config(1).await;
    let mut client = servers::connect_to(&config).await;
    client.execute("UPDATE ft_schema_change SET checksum = '\\x00' WHERE number = 2", &[]).await.unwrap();
    assert!(matches!(schema::validate(&client).await, Err(SchemaError::Altered { number: 2, .. })));
    assert!(matches!(
        schema::update(&mut client, PATIENCE, 0).await,
        Err(SchemaError::Altered { number: 2, .. })
    ));
    let said = refused(&config, &["collect", "--http", "127.0.0.1:0"]).await;
    assert!(said.contains("schema change 2 (merge_law)"), "{said}");
    let states: Vec<State> =
        schema::status(&client).await.unwrap().iter().map(|status| status.state).collect();
    let altered = states.iter().zip(CHANGES).filter(|(state, _)| **state != State::Applied);
    assert_eq!(
        altered.map(|(state, change)| (*state, change.number)).collect::<Vec<_>>(),
        [(State::Altered, 2)]
    );
    assert_eq!(states.len(), CHANGES.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newer_tables_are_worked_with_only_if_they_allow_it() {
    let config = servers::config(1).await;
    let mut client = servers::connect_to(&config).await;
    let newer =
        "INSERT INTO ft_schema_change (number, name, checksum, needs) VALUES (99, 'later', '\\x00', 1)";
    client.execute(newer, &[]).await.unwrap();
    schema::validate(&client).await.unwrap();
    assert!(schema::update(&mut client, PATIENCE, 0).await.unwrap().is_empty());
    publish(&config, "recorded.jsonl", &[]).await;
    collect_all(&config).await;

    client.execute("UPDATE ft_schema_change SET needs = 99 WHERE number = 99", &[]).await.unwrap();
    assert!(matches!(schema::validate(&client).await, Err(SchemaError::Ahead { found: 99, .. })));
    assert!(matches!(schema::update(&mut client, PATIENCE, 0).await, Err(SchemaError::Ahead { .. })));
    let said = refused(&config, &["collect", "--http", "127.0.0.1:0"]).await;
    assert!(said.contains("schema change 99") && said.contains("newer"), "{said}");
}

/// Runs a command that has to be refused; gives the one sentence that it says.
async fn refused(config: &Config, arguments: &[&str]) -> String {
    let ran = program::run(configured(config, arguments).args(["--log-level", "error"])).await;
    assert_eq!((ran.code, ran.stderr.lines().count()), (1, 1), "{ran:?}");
    ran.stderr
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_instances_one_applies_the_changes_and_the_other_waits_for_it() {
    let url = empty_database().await;
    let (mut one, mut other) = (connect(&url).await, connect(&url).await);
    let (one, other) =
        tokio::join!(schema::update(&mut one, PATIENCE, 0), schema::update(&mut other, PATIENCE, 0));
    let mut applied = [one.unwrap().len(), other.unwrap().len()];
    applied.sort_unstable();
    assert_eq!(applied, [0, CHANGES.len()]);
}

/// Sessions that hold the lock of those who apply changes.
const APPLYING: &str =
    "SELECT pid::text FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

async fn nobody_applies(client: &Client) -> Result<(), String> {
    let sessions = rows::texts(client, APPLYING).await;
    if sessions.is_empty() { Ok(()) } else { Err(format!("{sessions:?} do")) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_killed_while_it_applies_changes_leaves_no_lock_and_no_half_of_a_change() {
    let url = empty_database().await;
    let config = servers::config_of(&url).await;
    let blocker = connect(&url).await;
    blocker.batch_execute(SEED).await.unwrap();
    blocker.batch_execute("BEGIN; LOCK TABLE steps IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let mut first = configured(&config, ["schema", "update"]).spawn().unwrap();
    until("the first is in the middle of a change", async || {
        let waiting =
            "SELECT count(*)::text FROM pg_locks WHERE NOT granted AND relation = 'steps'::regclass";
        if rows::texts(&blocker, waiting).await == [Some("1".to_owned())] {
            Ok(())
        } else {
            Err(String::new())
        }
    })
    .await;
    let session = rows::texts(&blocker, APPLYING).await[0].clone().unwrap();
    let mut client = connect(&url).await;
    let impatient = schema::update(&mut client, Duration::ZERO, 0).await.unwrap_err();
    assert!(matches!(impatient, SchemaError::Busy { .. }));
    let said = impatient.to_string();
    assert!(
        said.contains(&format!("session {session} (flowtrail by flowtrail-schema from 127.0.0.1)")),
        "{said}"
    );
    assert!(said.contains(&format!("pg_terminate_backend({session})")), "{said}");

    let mut second = configured(&config, ["schema", "update"]);
    let mut second = second.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut log = BufReader::new(second.stderr.take().unwrap()).lines();
    let line = program::line_with(&mut log, "schema_awaited").await;
    assert!(line.contains(&session), "{line}");

    // The table is still held: Postgres has to notice by itself that nobody is there who waits for it.
    first.kill().await.unwrap();
    until("the first's session is gone", async || {
        let left = rows::texts(&blocker, APPLYING).await;
        if left.contains(&Some(session.clone())) { Err(format!("{left:?}")) } else { Ok(()) }
    })
    .await;
    blocker.batch_execute("COMMIT").await.unwrap();
    let drained = async { while let Ok(Some(_)) = log.next_line().await {} };
    let (second, ()) = tokio::join!(second.wait_with_output(), drained);
    let applied = String::from_utf8(second.unwrap().stdout).unwrap();
    assert_eq!(applied.lines().count(), CHANGES.len(), "{applied}");
    assert_eq!(described(&client).await, described(&connect(&servers::database().await).await).await);
    nobody_applies(&client).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_of_an_empty_database_is_that_all_is_pending_and_asking_changes_nothing() {
    let url = empty_database().await;
    let config = servers::config_of(&url).await;
    let status =
        async || program::done(&mut configured(&config, ["schema", "status", "--format", "json"])).await;
    let rows: Vec<Value> = serde_json::from_str(&status().await).unwrap();
    let pending: Vec<Value> = CHANGES
        .iter()
        .map(|change| json!({"number": change.number, "name": change.name, "state": "pending", "applied_at": null}))
        .collect();
    assert_eq!(rows, pending);
    let would = program::done(&mut configured(&config, ["schema", "update", "--dry-run"])).await;
    assert_eq!(would.lines().count(), CHANGES.len());
    assert_eq!(described(&connect(&url).await).await, [""; 0]);

    let applied = program::done(&mut configured(&config, ["schema", "update"])).await;
    assert_eq!(applied.lines().count(), CHANGES.len());
    let again = program::done(&mut configured(&config, ["schema", "update"])).await;
    assert_eq!(again, "nothing to apply, the tables are up to date\n");
    let rows: Vec<Value> = serde_json::from_str(&status().await).unwrap();
    assert!(rows.iter().all(|row| row["state"] == "applied" && row["applied_at"].is_string()), "{rows:?}");
}
