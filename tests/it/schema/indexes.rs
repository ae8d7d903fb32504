//! Indexes that are made on filled tables, beside those who write.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::Client;

use super::{
    CHANGES, PATIENCE, connect, described, nobody_applies, old_database, rows, schema, servers, until,
};
use crate::program::configured;

/// The change that makes this index, and how many there are before it.
fn making(index: &str) -> usize {
    CHANGES.iter().position(|change| change.index == Some(index)).unwrap()
}

const OPEN: &str = "ft_flowstate_open";
const FILLER: &str = "INSERT INTO flowstate (flowinstanceid, hostid, phase, starttime)
    SELECT 'f' || n, '', n % 2, '2026-01-01' FROM generate_series(1, 2000) n";

/// Whether the index may be used; nothing where there is none.
async fn valid(client: &Client, index: &str) -> Option<bool> {
    let sql = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)";
    client.query_opt(sql, &[&index]).await.unwrap().map(|row| row.get(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_write_while_an_index_is_made_and_one_that_was_broken_off_is_made_again() {
    let (url, mut client) = old_database(making(OPEN)).await;
    client.batch_execute(FILLER).await.unwrap();
    // Who has written before and not committed is waited for.
    let writer = connect(&url).await;
    let write =
        |id: &str| format!("INSERT INTO flowstate (flowinstanceid, hostid, phase) VALUES ('{id}', '', 1)");
    writer.batch_execute(&format!("BEGIN; {}", write("before"))).await.unwrap();
    let config = servers::config_of(&url).await;
    let mut updater = configured(&config, ["schema", "update"]).spawn().unwrap();
    until("the index is begun", async || {
        if valid(&client, OPEN).await == Some(false) { Ok(()) } else { Err(String::new()) }
    })
    .await;
    let beside = timeout(PATIENCE, client.batch_execute(&write("beside"))).await;
    beside.expect("a writer waits for the index").unwrap();

    updater.kill().await.unwrap();
    until("its session is gone", async || nobody_applies(&client).await).await;
    assert_eq!(valid(&client, OPEN).await, Some(false));
    let known = schema::status(&client).await.unwrap();
    assert_eq!(known.iter().filter(|status| status.applied_at.is_some()).count(), making(OPEN));

    writer.batch_execute("COMMIT").await.unwrap();
    let applied = schema::update(&mut client, PATIENCE, 0).await.unwrap();
    assert_eq!(applied.len(), CHANGES.len() - making(OPEN));
    assert_eq!(valid(&client, OPEN).await, Some(true));
    assert_eq!(described(&client).await, described(&connect(&servers::database().await).await).await);
    let by_index = "SET enable_seqscan = off; SET enable_bitmapscan = off";
    client.batch_execute(by_index).await.unwrap();
    let plan = rows::texts(&client, "EXPLAIN SELECT count(*) FROM flowstate WHERE phase < 2").await;
    assert!(plan.iter().flatten().any(|line| line.contains(OPEN)), "{plan:?}");
    let open = "SELECT count(*)::text FROM flowstate WHERE phase < 2";
    assert_eq!(rows::texts(&client, open).await, [Some("2002".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_was_made_and_not_noted_is_kept() {
    let (_, mut client) = old_database(making(OPEN)).await;
    client.batch_execute(FILLER).await.unwrap();
    client.batch_execute(CHANGES[making(OPEN)].sql).await.unwrap();
    let number = "SELECT oid::text FROM pg_class WHERE relname = 'ft_flowstate_open'";
    let before = rows::texts(&client, number).await;
    schema::update(&mut client, PATIENCE, 0).await.unwrap();
    assert_eq!(rows::texts(&client, number).await, before);
    assert_eq!(schema::validate(&client).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_waits_for_a_table_lets_others_at_it_in_between_and_gives_up_in_time() {
    // Change 2 alters steps.
    let (url, reader) = old_database(1).await;
    reader.batch_execute("BEGIN; SELECT FROM steps").await.unwrap();
    let mut client = connect(&url).await;
    let updating = tokio::spawn(async move {
        let outcome = schema::update(&mut client, Duration::from_secs(1), 0).await;
        (outcome, client)
    });
    let other = connect(&url).await;
    until("the change waits for the table", async || {
        let waiting = "SELECT mode FROM pg_locks WHERE NOT granted AND relation = 'steps'::regclass";
        if rows::texts(&other, waiting).await.is_empty() { Err(String::new()) } else { Ok(()) }
    })
    .await;
    // Queued up behind the change; gets on when that gives way.
    timeout(PATIENCE, other.batch_execute("SELECT FROM steps"))
        .await
        .expect("a reader waits for ever")
        .unwrap();
    let (outcome, mut client) = timeout(PATIENCE, updating).await.unwrap().unwrap();
    let said = outcome.unwrap_err().to_string();
    assert!(said.contains("schema change 2 (merge_law)") && said.contains("55P03"), "{said}");
    reader.batch_execute("COMMIT").await.unwrap();
    assert_eq!(schema::update(&mut client, PATIENCE, 0).await.unwrap().len(), CHANGES.len() - 1);
}
