//! What a real Flowable 6.8.1 engine wrote of its history, from files and from a topic, to the rows that it kept itself.

use std::{collections::BTreeMap, fs, io::Write as _, path::PathBuf};

use flate2::{Compression, write::GzEncoder};
use flowtrail::config::Config;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::SliceRandom as _};
use serde_json::{Map, Value};
use tokio_postgres::Client;

use crate::{
    collecting::{Collecting, collect_all, until_stored},
    program::{configured, done, run},
    rows,
    servers::{self, until},
    topics::{self, Raw, put},
};

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/flowable").join(name)
}

fn lines(name: &str) -> Vec<String> {
    fs::read_to_string(fixture(name)).unwrap().lines().map(str::to_owned).collect()
}

fn elements() -> Vec<String> {
    lines("async-history-6.8.1.jsonl")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

type Table = BTreeMap<String, Map<String, Value>>;

/// The engine's own rows by id, without what is not kept.
fn own(name: &str) -> Table {
    let row = |line: &String| {
        let mut row: Map<String, Value> = serde_json::from_str(line).unwrap();
        row.remove("rev_");
        (row["id_"].as_str().unwrap().to_owned(), row)
    };
    lines(name).iter().map(row).collect()
}

/// The rows of a view by id, without what is null and what the engine's table has not; times as the fixture writes them.
async fn shown(client: &Client, view: &str) -> Table {
    let sql = format!("SELECT jsonb_strip_nulls(to_jsonb(v)) FROM flowable.{view} v");
    let mut table = Table::new();
    for row in client.query(&sql, &[]).await.unwrap() {
        let Value::Object(mut row) = row.get(0) else { panic!("no row") };
        assert_eq!(row.remove("source_"), Some("orders".into()));
        let flow = row.remove("flowinstanceid").unwrap();
        assert_eq!(flow, format!("orders:{}", row["proc_inst_id_"].as_str().unwrap()));
        // Of engines since 8.0 only.
        row.remove("state_");
        for column in ["start_time_", "end_time_"] {
            if let Some(Value::String(time)) = row.get_mut(column) {
                let (whole, part) = time.split_once('.').unwrap_or((time, ""));
                *time = format!("{whole}.{part:0<3}Z");
            }
        }
        table.insert(row["id_"].as_str().unwrap().to_owned(), row);
    }
    table
}

fn assert_same(shown: &Table, wanted: &Table) {
    assert_eq!(shown.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (id, wanted) in wanted {
        assert_eq!(&shown[id], wanted, "{id}");
    }
}

/// Every column of every row is as the engine kept it.
async fn assert_as_the_engine_has_it(client: &Client, with_sequence_flows: bool) {
    let processes = own("act_hi_procinst.jsonl");
    assert_eq!(processes.len(), 24);
    assert_same(&shown(client, "act_hi_procinst").await, &processes);
    let mut activities = own("act_hi_actinst.jsonl");
    assert_eq!(activities.len(), 292);
    activities.retain(|_, row| with_sequence_flows || row["act_type_"] != "sequenceFlow");
    assert_eq!(activities.len(), if with_sequence_flows { 292 } else { 172 });
    assert_same(&shown(client, "act_hi_actinst").await, &activities);
}

/// All that is stored.
async fn everything(client: &Client) -> Vec<Option<String>> {
    let mut all = Vec::new();
    for table in ["steps", "flowstate", "ft_variable"] {
        all.extend(rows::texts(client, &format!("SELECT to_jsonb(t)::text FROM {table} t ORDER BY 1")).await);
    }
    all
}

/// Publishes a file of the engine's history.
fn publish(config: &Config, file: &std::path::Path, more: &[&str]) -> tokio::process::Command {
    let mut command =
        configured(config, ["publish", "--from", "flowable-async-history", "--source", "orders"]);
    command.arg(file).args(more);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_its_history_becomes_the_rows_that_the_engine_kept() {
    let config = servers::config(3).await;
    done(&mut publish(&config, &fixture("async-history-6.8.1.jsonl"), &["--sequence-flows"])).await;
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    assert_as_the_engine_has_it(&client, true).await;
    assert_eq!(rows::count(&client, "ft_dead_letter").await, 0);

    // A gzip'd copy, without sequence flows, in any order and with some of it twice, into another database.
    let again = servers::config(3).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.gz");
    fs::write(&file, gzip(&fs::read(fixture("async-history-6.8.1.jsonl")).unwrap())).unwrap();
    done(&mut publish(&again, &file, &["--shuffle", "--duplicate-percent", "20"])).await;
    collect_all(&again).await;
    assert_as_the_engine_has_it(&servers::connect_to(&again).await, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_file_never_says_is_named_with_its_line_and_ends_the_command() {
    let config = servers::config(1).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.jsonl");
    let gone = r#"{"type":"process-instance-deleted","data":{"processInstanceId":"3"}}"#;
    let later = r#"{"type":"activity-update","data":{"runtimeActivityInstanceId":"7","taskId":"1"}}"#;
    fs::write(&file, format!("{later}\n{gone}\n")).unwrap();
    let refused = run(&mut publish(&config, &file, &[])).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("line 1") && refused.stderr.contains("activity instance 7 of orders"));
    let passed_over = run(&mut publish(&config, &file, &["--skip-bad", "--format", "json"])).await;
    assert_eq!(passed_over.code, 0, "{passed_over:?}");
    let summary: Value = serde_json::from_str(&passed_over.stdout).unwrap();
    assert_eq!((&summary["delivered"], &summary["passed_over"]), (&1.into(), &1.into()));
}

/// A record of elements, under a key of no meaning.
fn record(value: Vec<u8>, partition: i32) -> Raw {
    let headers = vec![("flowtrail-source", Some(b"orders".as_slice()))];
    Raw { key: Some(b"any".to_vec()), value: Some(value), headers, partition }
}

/// The elements in a drawn order, some of them twice.
fn shuffled(random: &mut StdRng) -> Vec<String> {
    let mut elements = elements();
    let again: Vec<String> = elements.iter().filter(|_| random.random_bool(0.3)).cloned().collect();
    elements.extend(again);
    elements.shuffle(random);
    elements
}

/// Waits until no record waits for a flow to become known any more.
async fn until_resolved(client: &Client) {
    until("all is resolved", async || match rows::count(client, "ft_dead_letter").await {
        0 => Ok(()),
        left => {
            let why = rows::texts(client, "SELECT detail FROM ft_dead_letter LIMIT 3").await;
            Err(format!("{left} dead letters: {why:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_a_topic_any_order_and_any_framing_becomes_the_same_rows() {
    let mut first = None;
    for seed in 0..3 {
        let mut config = servers::config(3).await;
        config.collector.batch_rows = 40;
        config.flowable.sequence_flows = true;
        let mut random = StdRng::seed_from_u64(seed);
        let elements = shuffled(&mut random);
        let mut records = Vec::new();
        let mut rest = elements.as_slice();
        while !rest.is_empty() {
            let partition = random.random_range(0..3);
            // Single elements, then arrays, then gzip'd ones.
            let many = if seed == 0 { 1 } else { random.random_range(1..=rest.len().min(25)) };
            let (group, more) = rest.split_at(many);
            rest = more;
            let json = if seed == 0 { group[0].clone() } else { format!("[{}]", group.join(",")) };
            let value = if seed == 2 { gzip(json.as_bytes()) } else { json.into_bytes() };
            records.push(record(value, partition));
        }
        put(&config, &records).await;
        let collecting = Collecting::start(&config);
        until_stored(&config).await;
        let client = servers::connect_to(&config).await;
        until_resolved(&client).await;
        collecting.stop().await;
        assert_as_the_engine_has_it(&client, true).await;
        let all = everything(&client).await;
        assert!(first.get_or_insert_with(|| all.clone()) == &all, "seed {seed} ends in other rows");

        // Once more, the tables say nothing that the topic does not say, nor the topic what they lack.
        let mut verify = configured(&config, ["verify", "--format", "json"]);
        let compared = run(verify.env("FLOWTRAIL_FLOWABLE__SEQUENCE_FLOWS", "true")).await;
        assert_eq!(compared.code, 0, "{compared:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_resolved_in_time_stays_for_a_person_who_can_retry_it() {
    let mut config = servers::config(1).await;
    config.flowable.hold = Some(std::time::Duration::from_secs(1));
    let later = r#"{"type":"activity-update","data":{"runtimeActivityInstanceId":"75","calledProcessInstanceId":"78"}}"#;
    put(&config, &[record(later.into(), 0)]).await;
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    let why = rows::texts(&client, "SELECT detail FROM ft_dead_letter WHERE reason = 'unresolved'").await;
    assert_eq!(why, [Some("no flow instance is known yet for activity instance 75 of orders".to_owned())]);
    client.batch_execute("UPDATE ft_dead_letter SET keptat = keptat - interval '1 h'").await.unwrap();

    let begun = r#"[{"type":"activity-start","data":{"runtimeActivityInstanceId":"75","processInstanceId":"66","activityId":"call","activityType":"callActivity"}},{"type":"identitylink-created","data":{"id":"1"}}]"#;
    put(&config, &[record(begun.into(), 0)]).await;
    collect_all(&config).await;
    // Nobody tries it any more.
    assert_eq!(rows::count(&client, "ft_dead_letter").await, 1);
    let retried =
        done(configured(&config, ["deadletter", "retry", "--reason", "unresolved"]).env("USER", "ann")).await;
    assert!(retried.contains("1 stored, 0 left"), "{retried}");
    assert_eq!(rows::texts(&client, "SELECT subflowid FROM steps").await, [Some("orders:78".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_several_events_is_a_dead_letter_once_and_its_other_events_are_stored() {
    let config = servers::config(1).await;
    let bomb = gzip(&vec![b' '; 17 << 20]);
    let mixed = r#"[{"type":"process-instance-start","data":{"processInstanceId":"1","startTime":"2026-11-21T20:52:36.094Z"}},
        {"type":"nonsense","data":{}},{"type":"process-instance-start","data":{"processInstanceId":"2"}},
        {"type":"process-instance-start","data":{"processInstanceId":"3","startTime":"yesterday"}}]"#;
    put(&config, &[record(bomb, 0), record(mixed.into(), 0)]).await;
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    let letters = rows::texts(&client, "SELECT reason FROM ft_dead_letter ORDER BY recordoffset").await;
    assert_eq!(letters, [Some("undecodable".to_owned()), Some("unknown_event".to_owned())]);
    let flows = rows::texts(&client, "SELECT flowinstanceid FROM flowstate ORDER BY 1").await;
    assert_eq!(flows, [Some("orders:1".to_owned()), Some("orders:2".to_owned())]);
    assert_eq!(topics::ends(&config).await, [(0, 2)]);
}

/// The columns that 6.8 has, as its scripts make them.
const TABLES: &str = "
CREATE TABLE act_hi_procinst (id_ varchar(64) PRIMARY KEY, rev_ integer DEFAULT 1, proc_inst_id_ varchar(64) NOT NULL,
    business_key_ varchar(255), proc_def_id_ varchar(64) NOT NULL, start_time_ timestamp NOT NULL, end_time_ timestamp,
    duration_ bigint, start_user_id_ varchar(255), start_act_id_ varchar(255), end_act_id_ varchar(255),
    super_process_instance_id_ varchar(64), delete_reason_ varchar(4000), tenant_id_ varchar(255) DEFAULT '',
    name_ varchar(255), callback_id_ varchar(255), callback_type_ varchar(255), reference_id_ varchar(255),
    reference_type_ varchar(255), propagated_stage_inst_id_ varchar(255), business_status_ varchar(255));
CREATE TABLE act_hi_actinst (id_ varchar(64) PRIMARY KEY, rev_ integer DEFAULT 1, proc_def_id_ varchar(64) NOT NULL,
    proc_inst_id_ varchar(64) NOT NULL, execution_id_ varchar(64) NOT NULL, act_id_ varchar(255) NOT NULL,
    task_id_ varchar(64), call_proc_inst_id_ varchar(64), act_name_ varchar(255), act_type_ varchar(255) NOT NULL,
    assignee_ varchar(255), start_time_ timestamp NOT NULL, end_time_ timestamp, transaction_order_ integer,
    duration_ bigint, delete_reason_ varchar(4000), tenant_id_ varchar(255) DEFAULT '');
CREATE TABLE act_hi_taskinst (id_ varchar(64) PRIMARY KEY, rev_ integer DEFAULT 1, proc_def_id_ varchar(64),
    task_def_id_ varchar(64), task_def_key_ varchar(255), proc_inst_id_ varchar(64), execution_id_ varchar(64),
    name_ varchar(255), parent_task_id_ varchar(64), description_ varchar(4000), owner_ varchar(255),
    assignee_ varchar(255), start_time_ timestamp NOT NULL, claim_time_ timestamp, end_time_ timestamp,
    duration_ bigint, delete_reason_ varchar(4000), priority_ integer, due_date_ timestamp, form_key_ varchar(255),
    category_ varchar(255), tenant_id_ varchar(255) DEFAULT '', last_updated_time_ timestamp);
CREATE TABLE act_hi_varinst (id_ varchar(64) PRIMARY KEY, rev_ integer DEFAULT 1, proc_inst_id_ varchar(64),
    execution_id_ varchar(64), task_id_ varchar(64), name_ varchar(255) NOT NULL, var_type_ varchar(100),
    bytearray_id_ varchar(64), double_ double precision, long_ bigint, text_ varchar(4000), text2_ varchar(4000),
    meta_info_ varchar(4000), create_time_ timestamp, last_updated_time_ timestamp);
CREATE TABLE act_ge_bytearray (id_ varchar(64) PRIMARY KEY, bytes_ bytea);
CREATE TABLE act_re_procdef (id_ varchar(64) PRIMARY KEY, name_ varchar(255), key_ varchar(255) NOT NULL,
    version_ integer NOT NULL, category_ varchar(255), deployment_id_ varchar(64));
INSERT INTO act_re_procdef VALUES ('sequence:1:10', 'Sequence', 'sequence', 1, 'lab', '1');
INSERT INTO act_ge_bytearray VALUES ('900', convert_to(repeat('bytes of a value ', 20), 'UTF8'));
INSERT INTO act_hi_varinst (id_, rev_, proc_inst_id_, execution_id_, task_id_, name_, var_type_, bytearray_id_, double_,
    long_, text_, create_time_, last_updated_time_) VALUES
    ('v1', 3, '12', '12', NULL, 'rate', 'double', NULL, 1e10, NULL, NULL, '2026-11-21 15:52:36.1', '2026-11-21 15:52:37'),
    ('v2', 0, '12', '18', NULL, 'load', 'bytes', '900', NULL, NULL, NULL, '2026-11-21 15:52:36.1', NULL),
    ('v3', 0, '66', '72', '255', 'ok', 'boolean', NULL, NULL, 1, NULL, '2026-11-21 15:52:36.1', NULL);
INSERT INTO act_hi_taskinst (id_, proc_inst_id_, execution_id_, name_, assignee_, start_time_, end_time_, priority_)
    VALUES ('255', '66', '72', 'Approve', 'gonzo', '2026-11-21 15:52:36.996', NULL, 50);
";

/// A Flowable database in New York, with the rows of the fixture.
async fn flowable_database() -> String {
    let url = servers::database().await;
    let client = servers::connect(&url).await;
    client.batch_execute(TABLES).await.unwrap();
    for (table, file) in
        [("act_hi_procinst", "act_hi_procinst.jsonl"), ("act_hi_actinst", "act_hi_actinst.jsonl")]
    {
        let local = |line: &String| {
            let mut row: Value = serde_json::from_str(line).unwrap();
            for column in ["start_time_", "end_time_"] {
                // Five hours behind in November.
                if let Some(Value::String(time)) = row.get_mut(column) {
                    let utc: jiff::Timestamp = time.parse().unwrap();
                    let there = utc.checked_sub(jiff::SignedDuration::from_hours(5)).unwrap();
                    there.to_string().trim_end_matches('Z').clone_into(time);
                }
            }
            row
        };
        let rows = Value::Array(lines(file).iter().map(local).collect());
        let sql = format!("INSERT INTO {table} SELECT * FROM jsonb_populate_recordset(NULL::{table}, $1)");
        client.execute(&sql, &[&rows]).await.unwrap();
    }
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tables_of_an_engine_become_the_rows_that_it_kept() {
    let config = servers::config(3).await;
    let url = flowable_database().await;
    let mut publish =
        configured(&config, ["publish", "--from", "flowable-database", &url, "--source", "orders"]);
    done(publish.args(["--time-zone", "America/New_York", "--sequence-flows"])).await;
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    assert_as_the_engine_has_it(&client, true).await;

    let sql = "SELECT concat_ws('|', id_, name_, var_type_, execution_id_, task_id_, double_, long_, create_time_, rev_) \
        FROM flowable.act_hi_varinst ORDER BY 1";
    let variables: Vec<String> = rows::texts(&client, sql).await.into_iter().flatten().collect();
    assert_eq!(
        variables,
        [
            "v1|rate|double|12|10000000000|2026-11-21 20:52:36.1|3",
            "v2|load|bytes|18|2026-11-21 20:52:36.1|0",
            "v3|ok|boolean|72|255|1|2026-11-21 20:52:36.1|0",
        ]
    );
    let values = "SELECT convert_from(value, 'UTF8') FROM ft_variable WHERE variableid IS NOT NULL ORDER BY variableid";
    let values: Vec<String> = rows::texts(&client, values).await.into_iter().flatten().collect();
    assert_eq!(values, ["1.0E10".to_owned(), "bytes of a value ".repeat(20), "true".to_owned()]);
    let sql = "SELECT concat_ws('|', id_, proc_inst_id_, name_, assignee_, start_time_, priority_) FROM flowable.act_hi_taskinst";
    let tasks: Vec<String> = rows::texts(&client, sql).await.into_iter().flatten().collect();
    assert_eq!(tasks, ["255|66|Approve|gonzo|2026-11-21 20:52:36.996|50"]);
    let sql = "SELECT DISTINCT concat_ws('|', flowname, appversion, appname) FROM flowstate WHERE flowname = 'sequence'";
    assert_eq!(rows::texts(&client, sql).await, [Some("sequence|1|orders".to_owned())]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_without_an_engine_is_refused_without_its_password() {
    let config = servers::config(1).await;
    let url = servers::database().await;
    let mut publish = configured(&config, ["publish", "--from", "flowable-database", &url]);
    let refused = run(&mut publish).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("ACT_HI_PROCINST"), "{refused:?}");
    let nowhere = "postgres://ann:hunter2@127.0.0.1:1/flowable";
    let refused = run(&mut configured(&config, ["publish", "--from", "flowable-database", nowhere])).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(!format!("{refused:?}").contains("hunter2"), "{refused:?}");
}
