//! The lag that a collector shows, where it is hard to tell.

use flowtrail::config::Config;

use crate::{
    collecting::{Collecting, collect_all, stored},
    gaps::flows,
    program::{self, Process},
    servers::{self, until},
    topics::{Raw, delete_before, put},
};

/// The value of a series, by its name and labels as they are written.
async fn shown(process: &Process, series: &str) -> Option<f64> {
    let (_, text) = program::get(&process.address, "/metrics").await;
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

fn of_partition(config: &Config, metric: &str, partition: i32) -> String {
    format!("{metric}{{topic=\"{}\",partition=\"{partition}\"}}", config.kafka.topics[0])
}

async fn until_shown(process: &Process, series: &str, wanted: Option<f64>) {
    until(series, async || match shown(process, series).await {
        found if found == wanted => Ok(()),
        found => Err(format!("{found:?}, not {wanted:?}")),
    })
    .await;
}

/// Nobody can write to `ft_offset` while the transaction is open, so nothing can be stored.
async fn held_back(config: &Config) -> tokio_postgres::Client {
    let holder = servers::connect_to(config).await;
    holder.batch_execute("BEGIN; LOCK TABLE ft_offset IN SHARE MODE").await.unwrap();
    holder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn before_anything_is_stored_all_that_kafka_still_has_is_lag_and_an_empty_partition_has_none() {
    let config = servers::config(2).await;
    put(&config, &flows("a", 30)).await;
    // Retention was ahead of a group that never stored anything: that is no gap, and what is gone is no lag.
    delete_before(&config, 10).await;
    let holder = held_back(&config).await;
    let process = Process::collect(&config).await;
    until_shown(&process, &of_partition(&config, "flowtrail_kafka_lag_records", 0), Some(20.0)).await;
    until_shown(&process, &of_partition(&config, "flowtrail_kafka_lag_records", 1), Some(0.0)).await;
    until_shown(&process, &of_partition(&config, "flowtrail_kafka_lag_seconds", 1), Some(0.0)).await;
    let seconds = of_partition(&config, "flowtrail_kafka_lag_seconds", 0);
    let first = shown(&process, &seconds).await.expect("the age of what waits");
    until("the age grows while nothing is stored", async || match shown(&process, &seconds).await {
        Some(now) if now >= first + 1.0 => Ok(()),
        other => Err(format!("{other:?} after {first}")),
    })
    .await;
    assert_eq!(shown(&process, &of_partition(&config, "flowtrail_kafka_stored_offset", 0)).await, None);

    holder.batch_execute("ROLLBACK").await.unwrap();
    until_shown(&process, &of_partition(&config, "flowtrail_kafka_stored_offset", 0), Some(30.0)).await;
    // The group is idle from here on: the series stay, at zero.
    until_shown(&process, &of_partition(&config, "flowtrail_kafka_lag_records", 0), Some(0.0)).await;
    until_shown(&process, &seconds, Some(0.0)).await;
    assert_eq!(process.end("TERM").await, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_takes_from_a_group_that_is_behind_is_lag_no_more() {
    let mut config = servers::config(1).await;
    config.collector.on_gap = flowtrail::config::OnGap::Continue;
    put(&config, &flows("a", 10)).await;
    collect_all(&config).await;
    assert_eq!(stored(&servers::connect_to(&config).await, &config).await, [(0, 10)]);
    put(&config, &flows("b", 40)).await;
    delete_before(&config, 35).await;
    let holder = held_back(&config).await;
    let collecting = Collecting::start(&config);
    until("what is left is the lag", async || match collecting.shown.lag.total_records() {
        Some(15) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    holder.batch_execute("ROLLBACK").await.unwrap();
    until("there is no lag", async || match collecting.shown.lag.total_records() {
        Some(0) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    collecting.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_another_member_takes_is_in_its_lag_only_and_under_both_names() {
    let config = servers::config(2).await;
    let records: Vec<Raw> = flows("a", 8).into_iter().map(|raw| Raw { partition: 1, ..raw }).collect();
    put(&config, &[flows("b", 8), records].concat()).await;
    let start = || {
        let mut command = program::configured(&config, ["collect", "--http", "127.0.0.1:0"]);
        command.env("FLOWTRAIL_HTTP__CONSUMERGROUP_LAG", "true");
        Process::start(command)
    };
    let names = [0, 1].map(|partition| {
        let (group, topic) = (&config.kafka.group, &config.kafka.topics[0]);
        let alias = "kafka_consumergroup_lag";
        let alias =
            format!("{alias}{{consumergroup=\"{group}\",topic=\"{topic}\",partition=\"{partition}\"}}");
        [of_partition(&config, "flowtrail_kafka_lag_records", partition), alias]
    });
    let first = start().await;
    for name in names.iter().flatten() {
        until_shown(&first, name, Some(0.0)).await;
    }
    let second = start().await;
    until("each partition is shown by one member", async || {
        let mut owners = Vec::new();
        for [name, alias] in &names {
            let (by_first, by_second) = (shown(&first, name).await, shown(&second, name).await);
            if (by_first.is_some(), by_second.is_some())
                != (shown(&first, alias).await.is_some(), shown(&second, alias).await.is_some())
            {
                return Err(format!("{name} and {alias} differ"));
            }
            owners.push((by_first, by_second));
        }
        owners.sort_by_key(|(by_first, _)| by_first.is_none());
        match owners[..] {
            [(Some(_), None), (None, Some(_))] => Ok(()),
            _ => Err(format!("{owners:?}")),
        }
    })
    .await;
    assert_eq!(first.end("TERM").await, Some(0));
    assert_eq!(second.end("TERM").await, Some(0));
}
