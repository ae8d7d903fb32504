//! `flowtrail replay --into postgres`: stores what is missing and nothing else, goes on where it was killed, reads no more
//! than it has to, and leaves the collectors' offsets alone.

mod rebuild;
mod topic;

use std::{collections::BTreeSet, sync::Arc};

use flowtrail::{
    config::Config,
    kafka::{partitioner::Hash, slice::Wanted},
    postgres::Ops,
    proto::v1::history_event::Event,
    publish::Record,
    replay::{self, Job, ReplayError, Selection, Stored},
    verify,
};
use serde_json::{Value, json};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::{
    collecting::{collect_all, stored},
    crashes::{SLOW, hold_a_batch},
    program::{Ran, configured, run},
    rows, servers,
    topics::{Raw, ends, group_offsets, put},
    traffic::{assert_stored, send, traffic},
};

/// All that is on the topic, by a name that no other test has.
fn job(config: &Config) -> Job {
    let wanted = Wanted { topics: config.kafka.topics.clone(), ..Wanted::default() };
    let selection = Selection { wanted, spill_folder: std::env::temp_dir(), ..Selection::default() };
    let group = replay::group(&servers::unique("of-a-test"));
    Job { group, selection, anew: false, by: "night".to_owned(), asked: json!({}) }
}

async fn replayed(config: &Config, job: &Job) -> Result<Stored, ReplayError> {
    let stop = CancellationToken::new();
    Box::pin(replay::into_postgres(config, job, None, Arc::default(), stop)).await
}

/// `flowtrail replay` with more arguments.
async fn ran(config: &Config, arguments: &[&str]) -> Ran {
    run(configured(config, ["replay", "--format", "json"]).args(arguments)).await
}

/// What it says of itself; it has to end well.
async fn told(config: &Config, arguments: &[&str]) -> Value {
    let ran = ran(config, arguments).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.stdout).unwrap()
}

async fn differs(config: &Config) -> bool {
    let options = verify::Options {
        wanted: Wanted { topics: config.kafka.topics.clone(), ..Wanted::default() },
        flows: None,
        with_lag: false,
        only_unstored: false,
        memory: 64 << 20,
        spill_folder: std::env::temp_dir(),
    };
    Box::pin(verify::verify(config, options, Arc::default(), |_| {})).await.unwrap().differs()
}

/// What `ft_offset` holds of replays.
async fn unfinished(client: &Client) -> i64 {
    let sql = "SELECT count(*) FROM ft_offset WHERE consumergroup LIKE 'replay-%'";
    client.query_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nothing_is_missing_nothing_is_written_and_collectors_are_where_they_were() {
    let config = servers::config(3).await;
    let records = traffic(81, 3_000);
    send(&config, &records, 0).await.unwrap();
    put(&config, &[Raw { key: Some(b"k".to_vec()), value: Some(b"\xff\xff".to_vec()), ..Raw::default() }])
        .await;
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    let before =
        (rows::versions(&client).await, stored(&client, &config).await, group_offsets(&config).await);
    let job = job(&config);
    let done = replayed(&config, &job).await.unwrap();
    let now = (rows::versions(&client).await, stored(&client, &config).await, group_offsets(&config).await);
    assert!(before == now, "{done:?}");
    let all = u64::try_from(records.len()).unwrap() + 1;
    assert_eq!((done.read.records, done.replayed, done.dead_letters), (all, all, 0));
    let is_untouched = |ops: Ops| ops.insert + ops.update == 0 && ops.unchanged > 0;
    assert!(is_untouched(done.steps) && is_untouched(done.flows), "{done:?}");
    assert_eq!((unfinished(&client).await, rows::count(&client, "ft_dead_letter").await), (0, 1));
    let sql = "SELECT detail->'stored'->>'replayed' FROM ft_audit WHERE action = 'replay' AND object = $1";
    let noted: String = client.query_one(sql, &[&job.group]).await.unwrap().get(0);
    assert_eq!(noted, all.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_lost_is_shown_by_a_dry_run_and_stored_by_a_replay() {
    let config = servers::config(3).await;
    let records = traffic(82, 3_000);
    send(&config, &records, 0).await.unwrap();
    put(&config, &[Raw { key: Some(b"k".to_vec()), value: Some(b"\xff\xff".to_vec()), ..Raw::default() }])
        .await;
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    let lost = client.execute("DELETE FROM steps WHERE stepid = '2'", &[]).await.unwrap();
    let changed = "UPDATE flowstate SET status = NULL, endtime = NULL WHERE status = 'Failed'";
    let changed = client.execute(changed, &[]).await.unwrap();
    client.execute("DELETE FROM ft_dead_letter", &[]).await.unwrap();
    assert!(lost > 0 && changed > 0);

    let before = rows::versions(&client).await;
    let shown = ran(&config, &["--into", "postgres", "--dry-run", "--limit", "0"]).await;
    assert_eq!(shown.code, 3, "{shown:?}");
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    // The dead letter is missing too.
    let wanted = (json!(lost + 1), json!(changed), json!(0));
    let summary = &shown["summary"];
    assert_eq!(
        (&summary["missing"], &summary["different"], &summary["extra"]),
        (&wanted.0, &wanted.1, &wanted.2)
    );
    assert!(rows::versions(&client).await == before && rows::count(&client, "ft_audit").await == 0);

    let done = told(&config, &["--into", "postgres", "--where-missing"]).await;
    assert!(done["replayed"].as_u64() < done["read"]["records"].as_u64(), "{done}");
    assert_eq!(
        (&done["steps"]["insert"], &done["flows"]["update"]),
        (&json!(lost), &json!(changed)),
        "{done}"
    );
    assert_eq!(done["dead_letters"], 1);
    assert_stored(&config, &records).await;
    assert!(!differs(&config).await);
    assert_eq!(ran(&config, &["--into", "postgres", "--dry-run"]).await.code, 0);
    let again = told(&config, &["--into", "postgres", "--where-missing"]).await;
    assert_eq!(again["replayed"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_that_is_killed_goes_on_where_it_stopped() {
    let mut config = servers::config(3).await;
    config.collector.batch_rows = 50;
    config.collector.lane_buffer_bytes = 64 << 10;
    let records = traffic(83, 8_000);
    send(&config, &records, 0).await.unwrap();
    let client = servers::connect_to(&config).await;
    client.batch_execute(SLOW).await.unwrap();
    let arguments = ["--into", "postgres", "--name", "killed"];
    let mut of_replay = config.clone();
    of_replay.kafka.group = "replay-killed".to_owned();
    for round in 1..=2 {
        let mut command = configured(&config, ["replay"]);
        let mut replaying = command.args(arguments).spawn().unwrap();
        hold_a_batch(&client, &of_replay, round * 1_000).await;
        replaying.kill().await.unwrap();
        client.batch_execute("COMMIT").await.unwrap();
    }
    client.batch_execute("DROP TRIGGER slow ON ft_offset").await.unwrap();
    let done = told(&config, &arguments).await;
    let resumed =
        done["partitions"].as_array().unwrap().iter().filter(|part| part["resumed"] == true).count();
    assert!(resumed > 0 && done["read"]["records"].as_u64().unwrap() <= 8_400 - 2_000, "{done}");
    assert_stored(&config, &records).await;
    assert_eq!(unfinished(&client).await, 0);
}

/// A replay was cut off when it had stored the first records of partition 0, and they were lost since.
async fn cut_off_long_ago(client: &Client, config: &Config, name: &str, next: i64) {
    let sql = "INSERT INTO ft_offset (consumergroup, topic, partition, nextoffset) VALUES ($1, $2, 0, $3)";
    client.execute(sql, &[&replay::group(name), &config.kafka.topics[0], &next]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_process_did_counts_unless_it_is_said_not_to() {
    let config = servers::config(1).await;
    let records = traffic(88, 500);
    send(&config, &records, 0).await.unwrap();
    let client = servers::connect_to(&config).await;
    let arguments = ["--into", "postgres", "--name", "long-ago", "--anew"];
    cut_off_long_ago(&client, &config, "long-ago", 200).await;
    let done = told(&config, &arguments[..4]).await;
    assert_eq!(done["read"]["records"], json!(records.len() - 200));
    cut_off_long_ago(&client, &config, "long-ago", 200).await;
    let done = told(&config, &arguments).await;
    assert_eq!(
        (&done["read"]["records"], &done["partitions"][0]["resumed"]),
        (&json!(records.len()), &json!(false))
    );
    assert_stored(&config, &records).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_processes_with_one_replay_one_gives_up() {
    let mut config = servers::config(1).await;
    config.collector.batch_rows = 50;
    let records = traffic(84, 4_000);
    send(&config, &records, 0).await.unwrap();
    let client = servers::connect_to(&config).await;
    let job = job(&config);
    let mut of_replay = config.clone();
    of_replay.kafka.group.clone_from(&job.group);
    client.batch_execute(SLOW).await.unwrap();
    let start = |config: &Config| {
        let (config, job) = (config.clone(), job.clone());
        tokio::spawn(async move { replayed(&config, &job).await })
    };
    let first = start(&config);
    hold_a_batch(&client, &of_replay, 200).await;
    // Two batches that end at the same offset are one and the same.
    config.collector.batch_rows = 100_000;
    config.collector.linger_ms = 500;
    let second = start(&config);
    // Within a transaction the same activity is seen again and again.
    let looking = servers::connect_to(&config).await;
    servers::until("both wait", async || {
        // One for the test, the other for the rows of the first.
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let waiting: i64 = looking.query_one(sql, &[]).await.unwrap().get(0);
        if waiting == 2 { Ok(()) } else { Err(format!("{waiting} wait")) }
    })
    .await;
    client.batch_execute("COMMIT; DROP TRIGGER slow ON ft_offset").await.unwrap();
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    let moved = [&first, &second].into_iter().filter(|ended| matches!(ended, Err(ReplayError::Moved(_))));
    assert_eq!(moved.count(), 1, "{first:?} {second:?}");
    assert!(first.is_ok() || second.is_ok(), "{first:?} {second:?}");
    assert_stored(&config, &records).await;
}

/// Flows that are spread over all partitions, as by a producer that looks at no key.
async fn spread(config: &Config, records: &[Record]) {
    let raw = |(number, record): (i32, &Record)| Raw { partition: number % 4, ..Raw::of(&record.event) };
    put(config, &(0..).zip(records).map(raw).collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_flow_takes_reading_its_own_partition_or_all_of_them_where_it_was_spread() {
    let config = servers::config(4).await;
    let records = traffic(85, 4_000);
    send(&config, &records, 0).await.unwrap();
    let others = traffic(86, 400);
    spread(&config, &others).await;
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    let ends = ends(&config).await;
    let delete_steps = async |flow: &str| {
        client.execute("DELETE FROM steps WHERE flowinstanceid = $1", &[&flow]).await.unwrap()
    };

    let flow = records.iter().map(|record| record.key.as_str()).max().unwrap();
    let own = Hash::Murmur2.partition(flow.as_bytes(), 4).unwrap();
    let lost = delete_steps(flow).await;
    let done = told(&config, &["--into", "postgres", "--flow", flow]).await;
    let read = ends.iter().find(|(number, _)| *number == own).unwrap().1;
    assert_eq!((&done["read"]["records"], &done["partitions"][0]["partition"]), (&json!(read), &json!(own)));
    let of_it = records.iter().filter(|record| record.key == flow).count();
    assert_eq!((&done["replayed"], &done["steps"]["insert"]), (&json!(of_it), &json!(lost)), "{done}");

    let flow = others.iter().map(|record| record.key.as_str()).max().unwrap();
    let lost = delete_steps(flow).await;
    let done = told(&config, &["--into", "postgres", "--flow", flow]).await;
    assert!(done["steps"]["insert"].as_u64().unwrap() < lost && differs(&config).await, "{done}");
    let done = told(&config, &["--into", "postgres", "--flow", flow, "--all-partitions"]).await;
    let all: i64 = ends.iter().map(|(_, end)| end).sum();
    assert_eq!(done["read"]["records"], json!(all));
    assert!(!differs(&config).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flows_are_chosen_by_their_app_and_by_what_they_told() {
    let config = servers::config(2).await;
    let records = traffic(87, 3_000);
    send(&config, &records, 0).await.unwrap();
    let told_of = |is_it: fn(&flowtrail::proto::v1::FlowEvent) -> bool| -> BTreeSet<&str> {
        let told = records
            .iter()
            .filter(|record| matches!(&record.event.event, Some(Event::Flow(flow)) if is_it(flow)));
        told.map(|record| record.key.as_str()).collect()
    };
    let failed = told_of(|flow| flow.status().as_str_name() == "FLOW_STATUS_FAILED");
    let app = records
        .iter()
        .find_map(|record| match &record.event.event {
            Some(Event::Flow(flow)) if !flow.app_name.is_empty() => Some(flow.app_name.clone()),
            _ => None,
        })
        .unwrap();
    let wanted = records.iter().filter(|record| failed.contains(record.key.as_str())).count();
    assert!(wanted > 0 && wanted < records.len());

    let selection = Selection { status: Some("failed".to_owned()), ..job(&config).selection };
    let count = async |selection: Selection| {
        let counting = replay::count(&config, &selection, Arc::default(), CancellationToken::new());
        Box::pin(counting).await.unwrap()
    };
    let counted = count(selection.clone()).await;
    let all = u64::try_from(records.len()).unwrap();
    // Once to choose, once to count.
    assert_eq!((counted.replayed, counted.read.records), (u64::try_from(wanted).unwrap(), 2 * all));
    let both = count(Selection { app: Some(app), ..selection.clone() }).await;
    assert!((1..=counted.replayed).contains(&both.replayed), "{both:?}");
    let none = count(Selection { app: Some("nobody's".to_owned()), ..selection }).await;
    assert_eq!(none.replayed, 0);
}
