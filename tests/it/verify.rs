//! `flowtrail verify`: finds nothing where nothing is wrong, whatever goes on; and finds each row that was broken on
//! purpose, with its column.

use std::{env, sync::Arc, time::Duration};

use flowtrail::{
    config::Config,
    kafka::slice::{Edge, Wanted},
    proto::v1::{HistoryEvent, Snapshot, history_event::Event},
    verify::{self, Difference, Options, Report},
};
use serde_json::Value;
use tokio_postgres::Client;

use crate::{
    collecting::{Collecting, collect_all, set_offset, stored, until_stored},
    deadletter::deadletter,
    law::Case,
    poison::{poison, refuse_by_constraint},
    program::{configured, publish, run},
    rows, servers,
    topics::{Raw, ends, put},
    traffic::{send, traffic},
};

pub fn options(config: &Config) -> Options {
    Options {
        wanted: Wanted { topics: config.kafka.topics.clone(), ..Wanted::default() },
        flows: None,
        with_lag: false,
        only_unstored: false,
        memory: 64 << 20,
        spill_folder: env::temp_dir(),
    }
}

pub async fn verified(config: &Config, options: Options) -> (Report, Vec<Difference>) {
    let mut found = Vec::new();
    let verifying = verify::verify(config, options, Arc::default(), |difference| found.push(difference));
    let report = Box::pin(verifying).await.unwrap_or_else(|error| panic!("{error}"));
    found.sort();
    (report, found)
}

async fn assert_right(config: &Config) -> Report {
    let (report, found) = verified(config, options(config)).await;
    assert!(found.is_empty() && !report.differs(), "{found:#?}");
    report
}

/// Rows of all tables: flows with several runs, superseded steps, rewinds, deletions, snapshots, apps, dead letters.
async fn of_all_kinds() -> Config {
    let mut config = servers::config(3).await;
    config.collector.batch_rows = 50;
    publish(&config, "reruns.jsonl", &[]).await;
    let mut records = Vec::new();
    for seed in 0..40 {
        let case = Case::generate(seed);
        let raw = |record: &crate::law::CaseRecord| Raw {
            key: Some(record.key.clone()),
            value: Some(record.value.to_vec()),
            partition: 1,
            ..Raw::default()
        };
        records.extend(case.records.iter().map(raw));
    }
    let snapshot = Snapshot { flow_instance_id: "snapped".into(), step_id: "2".into(), data: "state".into() };
    records.push(Raw::of(&HistoryEvent { event: Some(Event::Snapshot(snapshot)) }));
    records.push(Raw { value: Some(b"\xff\xff".to_vec()), ..Raw::default() });
    put(&config, &records).await;
    send(&config, &traffic(77, 500), 0).await.unwrap();
    collect_all(&config).await;
    config
}

/// What is broken, and what is to be found: table, how it is wrong, and a column that is named.
const BREAKS: [(&str, &str, &str, &str); 28] = [
    ("DELETE FROM steps WHERE ctid = (SELECT max(ctid) FROM steps)", "steps", "missing", ""),
    (
        "UPDATE steps SET status = 'Zzz' WHERE ctid = (SELECT max(ctid) FROM steps WHERE phase = 2)",
        "steps",
        "different",
        "status",
    ),
    (
        "UPDATE steps SET status = 'A' WHERE ctid = (SELECT max(ctid) FROM steps WHERE phase = 2)",
        "steps",
        "different",
        "status",
    ),
    (
        "UPDATE steps SET starttime = starttime + '1 us' WHERE ctid = (SELECT max(ctid) FROM steps WHERE starttime IS NOT NULL)",
        "steps",
        "different",
        "starttime",
    ),
    (
        "UPDATE steps SET endtime = NULL WHERE ctid = (SELECT max(ctid) FROM steps WHERE endtime IS NOT NULL)",
        "steps",
        "different",
        "endtime",
    ),
    (
        "UPDATE steps SET stepdata = stepdata || '\\x00' WHERE ctid = (SELECT max(ctid) FROM steps WHERE stepdata IS NOT NULL)",
        "steps",
        "different",
        "stepdata",
    ),
    (
        "UPDATE steps SET execution = execution + 1 WHERE ctid = (SELECT max(ctid) FROM steps)",
        "steps",
        "different",
        "execution",
    ),
    (
        "INSERT INTO steps (flowinstanceid, stepid) SELECT flowinstanceid, 'made up' FROM steps LIMIT 1",
        "steps",
        "extra",
        "",
    ),
    ("INSERT INTO steps (flowinstanceid, stepid) VALUES ('made up', '1')", "steps", "extra", ""),
    (
        "UPDATE ft_superseded_step SET taskname = 'other' WHERE ctid = (SELECT max(ctid) FROM ft_superseded_step)",
        "ft_superseded_step",
        "different",
        "taskname",
    ),
    (
        "DELETE FROM ft_superseded_step WHERE ctid = (SELECT max(ctid) FROM ft_superseded_step)",
        "ft_superseded_step",
        "missing",
        "",
    ),
    ("DELETE FROM flowstate WHERE ctid = (SELECT max(ctid) FROM flowstate)", "flowstate", "missing", ""),
    ("INSERT INTO flowstate (flowinstanceid, hostid) VALUES ('made up', '')", "flowstate", "extra", ""),
    (
        "UPDATE flowstate SET executiontime = '1' WHERE ctid = (SELECT max(ctid) FROM flowstate WHERE executiontime <> '1')",
        "flowstate",
        "different",
        "executiontime",
    ),
    (
        "UPDATE flowstate SET reruncount = reruncount + 1 WHERE ctid = (SELECT max(ctid) FROM flowstate)",
        "flowstate",
        "different",
        "reruncount",
    ),
    (
        "UPDATE flowstate SET flowinput = NULL WHERE ctid = (SELECT max(ctid) FROM flowstate WHERE flowinput IS NOT NULL)",
        "flowstate",
        "different",
        "flowinput",
    ),
    (
        "UPDATE flowstate SET hostid = 'elsewhere' WHERE ctid = (SELECT max(ctid) FROM flowstate)",
        "flowstate",
        "different",
        "hostid",
    ),
    ("DELETE FROM ft_run WHERE ctid = (SELECT max(ctid) FROM ft_run)", "ft_run", "missing", ""),
    (
        "UPDATE ft_run SET phase = 0 WHERE ctid = (SELECT max(ctid) FROM ft_run WHERE phase = 2)",
        "ft_run",
        "different",
        "phase",
    ),
    ("DELETE FROM ft_rewind WHERE ctid = (SELECT max(ctid) FROM ft_rewind)", "ft_rewind", "missing", ""),
    (
        "DELETE FROM ft_tombstone WHERE ctid = (SELECT max(ctid) FROM ft_tombstone)",
        "ft_tombstone",
        "missing",
        "",
    ),
    ("UPDATE ft_snapshot SET data = 'other'", "ft_snapshot", "different", "data"),
    (
        "UPDATE ft_variable SET value = 'other' WHERE ctid = (SELECT max(ctid) FROM ft_variable WHERE NOT removed)",
        "ft_variable",
        "different",
        "value",
    ),
    (
        "UPDATE ft_variable SET revision = revision - 1 WHERE ctid = (SELECT max(ctid) FROM ft_variable)",
        "ft_variable",
        "different",
        "revision",
    ),
    ("DELETE FROM ft_variable WHERE ctid = (SELECT max(ctid) FROM ft_variable)", "ft_variable", "missing", ""),
    (
        "INSERT INTO ft_variable (flowinstanceid, scope, name, run, revision, removed)
            SELECT flowinstanceid, 'made up', name, run, revision, removed FROM ft_variable ORDER BY ctid DESC LIMIT 1",
        "ft_variable",
        "extra",
        "",
    ),
    ("DELETE FROM appstate WHERE ctid = (SELECT max(ctid) FROM appstate)", "appstate", "missing", ""),
    ("DELETE FROM ft_dead_letter", "ft_dead_letter", "missing", ""),
];

const TABLES: [&str; 10] = [
    "steps",
    "ft_superseded_step",
    "flowstate",
    "ft_run",
    "ft_rewind",
    "ft_tombstone",
    "ft_snapshot",
    "ft_variable",
    "appstate",
    "ft_dead_letter",
];

async fn keep(client: &Client) {
    client.batch_execute("CREATE SCHEMA kept").await.unwrap();
    for table in TABLES {
        client.batch_execute(&format!("CREATE TABLE kept.{table} AS SELECT * FROM {table}")).await.unwrap();
    }
}

async fn put_back(client: &Client) {
    for table in TABLES {
        let overriding = if table == "ft_dead_letter" { "OVERRIDING SYSTEM VALUE" } else { "" };
        let sql = format!("DELETE FROM {table}; INSERT INTO {table} {overriding} SELECT * FROM kept.{table}");
        client.batch_execute(&sql).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_that_is_broken_on_purpose_is_found() {
    let config = of_all_kinds().await;
    let client = servers::connect_to(&config).await;
    for table in TABLES {
        assert!(rows::count(&client, table).await > 0, "nothing in {table}");
    }
    let report = assert_right(&config).await;
    assert_eq!((report.flows, report.rejected), (report.flows_told_whole, 1));
    keep(&client).await;
    for (sql, table, kind, column) in BREAKS {
        assert_eq!(client.execute(sql, &[]).await.unwrap(), 1, "{sql}");
        let (report, found) = verified(&config, options(&config)).await;
        let fits = |found: &Difference| {
            found.row.table == table
                && serde_json::to_value(found.row.kind).unwrap() == kind
                && (column.is_empty() || found.row.columns.iter().any(|differing| differing.column == column))
        };
        assert!(report.differs() && found.iter().any(fits), "{sql}: {found:#?}");
        // What depends on the row may be wrong with it, of the same flow or of one that is its original.
        assert!(found.len() <= 3, "{sql}: {found:#?}");
        put_back(&client).await;
    }
    assert_right(&config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_its_memory_a_slice_goes_to_files_and_through_several_passes() {
    let config = servers::config(3).await;
    send(&config, &traffic(5, 6_000), 0).await.unwrap();
    collect_all(&config).await;
    let (whole, _) = verified(&config, options(&config)).await;
    let client = servers::connect_to(&config).await;
    let stored = rows::count(&client, "steps").await + rows::count(&client, "flowstate").await;
    assert!(whole.rows >= stored.unsigned_abs() && whole.spilled_bytes == 0, "{whole:?}");
    client.execute("DELETE FROM steps WHERE stepid = '1'", &[]).await.unwrap();
    let (whole, wanted) = verified(&config, options(&config)).await;
    let (spilled, found) = verified(&config, Options { memory: 20_000, ..options(&config) }).await;
    assert!(spilled.spilled_bytes > 1_000_000, "{spilled:?}");
    assert_eq!((spilled.flows, spilled.rows, spilled.missing), (whole.flows, whole.rows, whole.missing));
    assert!(!found.is_empty());
    assert_eq!(found, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beside_a_collector_at_work_nothing_is_told_that_is_not_so() {
    let config = servers::config(3).await;
    let collecting = Collecting::start(&config);
    let sending = send(&config, &traffic(6, 12_000), 2_000);
    let mut told_whole = 0;
    while !sending.is_finished() {
        let report = assert_right(&config).await;
        told_whole += report.flows_told_whole;
    }
    sending.await.unwrap();
    until_stored(&config).await;
    let client = servers::connect_to(&config).await;
    // What is extra is found beside traffic too: the flows that are held back are looked at again.
    client
        .batch_execute(
            "INSERT INTO steps (flowinstanceid, stepid) SELECT flowinstanceid, 'made up' FROM steps LIMIT 1",
        )
        .await
        .unwrap();
    let sending = send(&config, &traffic(7, 6_000), 2_000);
    let mut rounds = 0;
    while !sending.is_finished() || rounds == 0 {
        let (report, found) = verified(&config, options(&config)).await;
        assert_eq!((report.extra, report.flows_in_motion), (1, 0), "{report:?} {found:#?}");
        assert_eq!(found[0].row.key.step.as_deref(), Some("made up"));
        rounds += 1;
    }
    sending.await.unwrap();
    collecting.stop().await;
    assert!(told_whole > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_stored_yet_is_no_difference_unless_it_is_asked_for() {
    let config = servers::config(1).await;
    send(&config, &traffic(8, 400), 0).await.unwrap();
    collect_all(&config).await;
    send(&config, &traffic(9, 300), 0).await.unwrap();
    let report = assert_right(&config).await;
    let count = ends(&config).await[0].1 - stored(&servers::connect_to(&config).await, &config).await[0].1;
    assert_eq!(report.partitions[0].not_yet_stored, count.unsigned_abs());
    let (report, _) = verified(&config, Options { with_lag: true, ..options(&config) }).await;
    assert!(report.missing > 0 && report.extra == 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slice_is_held_against_what_lies_in_it_only() {
    let config = servers::config(1).await;
    send(&config, &traffic(10, 1_000), 0).await.unwrap();
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    client.batch_execute("DELETE FROM steps; DELETE FROM flowstate").await.unwrap();
    let (all, _) = verified(&config, options(&config)).await;
    let between = |since, until| {
        let edge = |offset| Edge { time: None, offsets: [(0, offset)].into() };
        let mut options = options(&config);
        (options.wanted.since, options.wanted.until) = (edge(since), edge(until));
        options
    };
    let (half, found) = verified(&config, between(300, 800)).await;
    assert_eq!(half.records, 500);
    assert!((1..all.missing).contains(&half.missing), "{half:?}");
    let (first, last) = found[0].records.clone().unwrap();
    let offset = |place: &str| place.rsplit_once('@').unwrap().1.parse::<i64>().unwrap();
    assert!(
        300 <= offset(&first) && offset(&first) <= offset(&last) && offset(&last) < 800,
        "{first} {last}"
    );
    let (none, _) = verified(&config, between(800, 800)).await;
    assert_eq!((none.records, none.missing), (0, 0));
    // Rows whose beginning lies before the slice are stored again; nothing of them is extra.
    set_offset(&client, &config, 0, 0).await;
    collect_all(&config).await;
    let (tail, found) = verified(&config, between(500, 1_000_000)).await;
    assert!(found.is_empty() && tail.flows_told_whole == 0, "{tail:?} {found:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_postgres_refused_count_for_nothing_also_once_they_were_dropped() {
    let config = servers::config(2).await;
    refuse_by_constraint(&servers::connect_to(&config).await).await;
    let (all, marked, _) = poison(traffic(22, 1_000), 50);
    send(&config, &all, 0).await.unwrap();
    collect_all(&config).await;
    let report = assert_right(&config).await;
    assert_eq!(report.refused, u64::try_from(marked.len()).unwrap());
    deadletter(&config, &["drop", "--all", "--yes"]).await;
    assert_eq!(assert_right(&config).await.refused, report.refused);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_compacted_topic_nothing_is_called_extra() {
    let mut config = servers::config_of(&servers::database().await).await;
    config.kafka.topics = vec![servers::topic_with(1, &[("cleanup.policy", "compact")]).await];
    send(&config, &traffic(12, 200), 0).await.unwrap();
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    client.execute("INSERT INTO steps (flowinstanceid, stepid) VALUES ('made up', '1')", &[]).await.unwrap();
    let report = assert_right(&config).await;
    assert_eq!(report.flows_told_whole, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_flow_is_looked_for_on_its_own_partition_or_on_all_of_them() {
    let config = servers::config(4).await;
    let records = traffic(13, 2_000);
    send(&config, &records, 0).await.unwrap();
    collect_all(&config).await;
    let flow = records.iter().map(|record| record.key.clone()).max().unwrap();
    let flow = flow.as_str();
    let summary = async |arguments: &[&str]| {
        let mut command = configured(&config, ["verify", "--format", "json"]);
        let ran = run(command.args(arguments)).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        serde_json::from_str::<Value>(&ran.stdout).unwrap()["summary"].clone()
    };
    let own = summary(&["--flow", flow]).await;
    assert_eq!((&own["flows"], own["partitions"].as_array().unwrap().len()), (&1.into(), 1));
    let all = summary(&["--flow", flow, "--all-partitions"]).await;
    assert_eq!((&all["flows"], all["partitions"].as_array().unwrap().len()), (&1.into(), 4));
    assert_eq!((&own["rows"], &own["flows_told_whole"]), (&all["rows"], &all["flows_told_whole"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_it_ends_is_its_exit_code() {
    let config = servers::config(2).await;
    send(&config, &traffic(14, 500), 0).await.unwrap();
    collect_all(&config).await;
    let verify = async |arguments: &[&str]| run(configured(&config, ["verify"]).args(arguments)).await;
    let right = verify(&[]).await;
    assert!(right.code == 0 && right.stdout.contains("no difference"), "{right:?}");

    let client = servers::connect_to(&config).await;
    let deleted = client.execute("DELETE FROM steps WHERE stepid IN ('1', '2')", &[]).await.unwrap();
    client.execute("UPDATE flowstate SET flowname = 'secret' || flowname", &[]).await.unwrap();
    let wrong = verify(&["--limit", "2"]).await;
    assert_eq!(wrong.code, 3, "{wrong:?}");
    assert!(
        wrong.stdout.starts_with("TABLE") && wrong.stdout.contains("more; --limit 0 shows all"),
        "{wrong:?}"
    );
    assert!(wrong.stdout.contains(&format!("{deleted} missing")), "{wrong:?}");
    let lines = verify(&["--format", "ndjson"]).await;
    let lines: Vec<Value> = lines.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (summary, found) = lines.split_last().unwrap();
    let is_missing = |line: &&Value| line["kind"] == "missing" && line["table"] == "steps";
    assert_eq!(u64::try_from(found.iter().filter(is_missing).count()).unwrap(), deleted);
    assert_eq!(summary["summary"]["missing"], deleted);

    let mut nowhere = config.clone();
    nowhere.kafka.bootstrap_servers = "127.0.0.1:9".to_owned();
    let away = tokio::time::timeout(Duration::from_secs(40), run(&mut configured(&nowhere, ["verify"])))
        .await
        .unwrap();
    assert!(away.code == 1 && away.stderr.starts_with("error: cannot reach Kafka"), "{away:?}");
    assert_eq!(verify(&["--since", "yesterday"]).await.code, 2);
    let none = verify(&["--partition", "7"]).await;
    assert!(none.code == 1 && none.stderr.contains("has no partition 7"), "{none:?}");
    let none = verify(&["--flow", "nobody knows it"]).await;
    assert!(none.code == 0 && none.stdout.contains("0 flows"), "{none:?}");
}
