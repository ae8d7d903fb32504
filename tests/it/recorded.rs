//! Recorded traffic of a real Flogo app, from the file through Kafka to every column of Postgres.

use serde_json::Value;

use crate::{
    collecting::{Collecting, collect_all, stored, until_stored},
    program::publish,
    rows::{self, Rows},
    servers, topics,
};

/// What was worked out from the recording alone, by a program that shares no code with this one.
fn expected() -> (Rows, Rows) {
    let file: Value = serde_json::from_str(include_str!("golden/expected.json")).unwrap();
    let rows = |table: &str, key: fn(&Value) -> String| {
        file[table].as_array().unwrap().iter().map(|row| (key(row), row.clone())).collect()
    };
    let flows: Rows = rows("flowstate", |row| row["flowinstanceid"].as_str().unwrap().to_owned());
    let steps: Rows = rows("steps", |row| {
        format!("{}/{}", row["flowinstanceid"].as_str().unwrap(), row["stepid"].as_str().unwrap())
    });
    assert_eq!((flows.len(), steps.len()), (16, 91));
    (flows, steps)
}

fn assert_same(got: &Rows, wanted: &Rows) {
    assert_eq!(got.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (key, wanted) in wanted {
        let got = &got[key];
        let columns = wanted.as_object().unwrap();
        assert_eq!(got.as_object().unwrap().len(), columns.len());
        for (column, wanted) in columns {
            assert_eq!(&got[column], wanted, "{column} of {key}");
        }
    }
}

/// Nothing is stored but what the recording says.
pub async fn assert_expected(client: &tokio_postgres::Client) {
    let (flows, steps) = expected();
    assert_same(&rows::flows(client).await, &flows);
    assert_same(&rows::steps(client).await, &steps);
    for table in
        ["ft_dead_letter", "ft_gap", "ft_run", "ft_superseded_step", "ft_rewind", "ft_tombstone", "appstate"]
    {
        assert_eq!(rows::count(client, table).await, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn recorded_traffic_becomes_exactly_the_rows_that_are_expected_of_it() {
    let config = servers::config(6).await;
    publish(&config, "recorded.jsonl", &[]).await;
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    assert_expected(&client).await;
    let statuses = rows::texts(&client, "SELECT DISTINCT status FROM flowstate").await;
    assert!(!statuses.contains(&Some("Created".to_owned())), "{statuses:?}");
}

/// Each partitioner puts a flow somewhere else, so that with three of them flows lie on several partitions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_times_shuffled_and_spread_over_partitions_it_becomes_the_same_rows() {
    let mut config = servers::config(6).await;
    config.collector.batch_rows = 5;
    let (flows, _) = expected();
    let spread = flows.keys().next().unwrap();
    for (seed, partitioner) in [("1", "murmur2"), ("2", "crc32"), ("3", "random")] {
        let order =
            ["--shuffle", "--seed", seed, "--partitioner", partitioner, "--spread-flow", spread.as_str()];
        publish(&config, "recorded.jsonl", &order).await;
    }
    let ends = topics::ends(&config).await;
    assert_eq!(ends.iter().map(|(_, end)| end).sum::<i64>(), 3 * 123);
    assert!(ends.iter().all(|(_, end)| *end > 0), "a partition is empty: {ends:?}");

    let collecting = Collecting::start(&config);
    until_stored(&config).await;
    let client = servers::connect_to(&config).await;
    assert_expected(&client).await;
    assert_eq!(stored(&client, &config).await, ends);
    servers::until("Kafka's group offset follows", async || {
        let group = topics::group_offsets(&config).await;
        if group == ends { Ok(()) } else { Err(format!("{group:?}, not {ends:?}")) }
    })
    .await;
    collecting.stop().await;
    assert_eq!(topics::group_offsets(&config).await, ends);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_group_over_the_same_topic_writes_nothing_but_its_offsets() {
    let mut config = servers::config(6).await;
    publish(&config, "recorded.jsonl", &[]).await;
    publish(&config, "reruns.jsonl", &[]).await;
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    let before = (rows::versions(&client).await, rows::written(&client).await);

    config.kafka.group = servers::unique("group");
    config.collector.batch_rows = 7;
    collect_all(&config).await;
    assert_eq!((rows::versions(&client).await, rows::written(&client).await), before);
    assert_eq!(rows::texts(&client, "SELECT DISTINCT consumergroup FROM ft_offset").await.len(), 2);
}
