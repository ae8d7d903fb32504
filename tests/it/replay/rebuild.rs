//! `flowtrail replay --rebuild`: emptied tables are filled from the topic, while a collector goes on.

use std::{env, time::Instant};

use flowtrail::config::Config;
use serde_json::Value;
use tokio_postgres::Client;

use super::{cut_off_long_ago, differs, ran, unfinished};
use crate::{
    collecting::{Collecting, until_stored},
    program::{configured, done},
    servers,
    traffic::{assert_stored, send, traffic},
};

/// Events on the topic; `.ci/long` asks for more.
const EVENTS: usize = 20_000;

/// So many are published and stored before the next: each within the patience of a test.
const AT_ONCE: usize = 100_000;

const TABLES: [&str; 5] = ["steps", "flowstate", "ft_superseded_step", "ft_run", "ft_rewind"];

/// Fills topic and tables.
async fn filled(config: &Config, events: usize) -> Collecting {
    let collecting = Collecting::start(config);
    for (seed, first) in (0..events).step_by(AT_ONCE).enumerate() {
        let count = AT_ONCE.min(events - first).to_string();
        let seed = (1_000 + seed).to_string();
        done(&mut configured(config, ["publish", "--synthetic", &count, "--seed", &seed])).await;
        until_stored(config).await;
    }
    collecting
}

/// How many rows that were there are not there as they were.
async fn lost(client: &Client) -> i64 {
    let mut lost = 0;
    for table in TABLES {
        let sql = format!("SELECT count(*) FROM (TABLE kept.{table} EXCEPT ALL TABLE {table}) t");
        lost += client.query_one(&sql, &[]).await.unwrap().get::<_, i64>(0);
    }
    lost
}

async fn has_list_index(client: &Client) -> bool {
    let sql = "SELECT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('ft_flowstate_start') AND indisvalid)";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn emptied_tables_are_filled_while_a_collector_goes_on() {
    let events = env::var("IT_REBUILD_EVENTS").map_or(EVENTS, |events| events.parse().unwrap());
    let config = servers::config(4).await;
    let collecting = filled(&config, events).await;
    let client = servers::connect_to(&config).await;
    client.batch_execute("CREATE SCHEMA kept").await.unwrap();
    for table in TABLES {
        client.batch_execute(&format!("CREATE TABLE kept.{table} AS TABLE {table}")).await.unwrap();
    }
    let unasked = ran(&config, &["--into", "postgres", "--rebuild"]).await;
    assert!(unasked.code == 2 && unasked.stderr.contains("--yes"), "{unasked:?}");

    client.batch_execute(&format!("TRUNCATE {}", TABLES.join(", "))).await.unwrap();
    let live = send(&config, &traffic(95, 6_000), 2_000);
    let began = Instant::now();
    let mut command = configured(&config, ["replay", "--into", "postgres", "--rebuild", "--index-last"]);
    let rebuilt = command.args(["--yes", "--format", "json"]).output().await.unwrap();
    assert!(rebuilt.status.success(), "{rebuilt:?}");
    let took = began.elapsed().as_secs_f64();
    live.await.unwrap();
    until_stored(&config).await;
    collecting.stop().await;

    let told: Value = serde_json::from_slice(&rebuilt.stdout).unwrap();
    assert!(told["read"]["records"].as_u64().unwrap() >= u64::try_from(events).unwrap(), "{told}");
    assert_eq!((lost(&client).await, unfinished(&client).await), (0, 0), "{told}");
    assert!(has_list_index(&client).await && !differs(&config).await);
    println!("{events} events were stored again in {took:.1} s beside a collector, and the tables are equal");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_was_put_off_is_made_by_whoever_brings_the_rebuild_to_its_end() {
    let config = servers::config(1).await;
    let records = traffic(96, 200);
    send(&config, &records, 0).await.unwrap();
    let client = servers::connect_to(&config).await;
    // As an attempt leaves it that was broken off.
    client
        .batch_execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass('ft_flowstate_start')",
        )
        .await
        .unwrap();
    done(configured(&config, ["replay", "--into", "postgres", "--rebuild", "--index-last"]).arg("--yes"))
        .await;
    assert!(has_list_index(&client).await);
    assert_stored(&config, &records).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_rebuild_did_before_the_tables_were_emptied_again_counts_for_nothing() {
    let config = servers::config(1).await;
    let records = traffic(97, 500);
    send(&config, &records, 0).await.unwrap();
    let client = servers::connect_to(&config).await;
    cut_off_long_ago(&client, &config, "emptied", 200).await;
    let mut command = configured(&config, ["replay", "--into", "postgres", "--rebuild", "--name", "emptied"]);
    done(&mut command).await;
    assert_stored(&config, &records).await;
}
