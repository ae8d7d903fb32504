//! What a Flogo engine posts around re-runs, in any order: as the reference model says, and as a person expects it.

use flowtrail::{
    flogo::recording::Recording,
    model::Micros,
    proto::v1::{self, HistoryEvent, history_event::Event},
};
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::{
    collecting::collect_all,
    law::{Case, Oracle, assert_same, of_database},
    program::publish,
    rows, servers,
};

const RERUNS: &[u8] = include_bytes!("../fixtures/flogo/reruns.jsonl");

/// 2026-11-22T08:00:00Z in µs, when the first run of the recording starts.
const BEGIN: i64 = 1_795_334_400_000_000;

/// The recording's ids are a short one, sixteen times.
fn id(short: &str) -> String {
    short.repeat(16)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_any_order_the_rows_of_reruns_are_those_of_the_reference_model() {
    let Some(mut oracle) = Oracle::start() else {
        eprintln!(
            "SKIPPED: python3 is not installed, so the reference model can't run; install the package python3"
        );
        return;
    };
    let events: Vec<Value> =
        Recording::new(RERUNS).map(|(_, event)| in_the_models_words(&event.unwrap())).collect();
    assert_eq!(events.len(), 60);
    let (expected, _) = oracle.answer(&Case::of_events(&events));
    for (seed, batch_rows) in [("11", 1), ("12", 3), ("13", 8)] {
        let mut config = servers::config(3).await;
        config.collector.batch_rows = batch_rows;
        publish(
            &config,
            "reruns.jsonl",
            &["--shuffle", "--seed", seed, "--duplicate-percent", "30", "--partitioner", "random"],
        )
        .await;
        collect_all(&config).await;
        let stored = of_database(&servers::connect_to(&config).await, "").await;
        assert_same(&stored, &expected, &format!("order {seed}"), &events);
    }
}

/// An event as the model takes it: the opposite of what the law's generator does.
fn in_the_models_words(event: &HistoryEvent) -> Value {
    let bytes = |bytes: &[u8]| some(std::str::from_utf8(bytes).unwrap());
    match event.event.as_ref().unwrap() {
        Event::Flow(e) => json!({
            "kind": "flow", "flow": e.flow_instance_id, "run": e.run, "phase": phase(e.phase),
            "status": some(&e.status_word).as_str().map_or_else(|| status(e.status().as_str_name()), str::to_owned),
            "user": some(&e.user_id), "app": some(&e.app_name), "version": some(&e.app_version),
            "name": some(&e.flow_name), "host": some(&e.host_id), "start": micros(e.started_at.as_ref()),
            "end": micros(e.ended_at.as_ref()), "parent": some(&e.parent_flow_instance_id),
            "parentname": some(&e.parent_flow_name), "original": some(&e.rerun_of_flow_instance_id),
            "input": bytes(&e.input), "output": bytes(&e.output), "error": bytes(&e.error), "trace": some(&e.trace_id),
        }),
        Event::Step(e) => json!({
            "kind": "step", "flow": e.flow_instance_id, "step": e.step_id, "execution": e.execution,
            "phase": phase(e.phase),
            "status": some(&e.status_word).as_str().map_or_else(|| status(e.status().as_str_name()), str::to_owned),
            "task": some(&e.task_name), "flowname": some(&e.flow_name), "subflow": some(&e.subflow_id),
            "parentstep": some(&e.parent_step_id), "start": micros(e.started_at.as_ref()),
            "end": micros(e.ended_at.as_ref()), "rerun": e.rerun, "data": bytes(&e.data), "input": bytes(&e.input),
            "output": bytes(&e.output), "error": bytes(&e.error), "misc": bytes(&e.misc),
        }),
        Event::Rewind(e) => {
            json!({"kind": "rewind", "flow": e.flow_instance_id, "n": e.from_step, "before": e.before})
        }
        other => panic!("not in this recording: {other:?}"),
    }
}

fn some(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

fn phase(number: i32) -> i32 {
    match v1::Phase::try_from(number).unwrap() {
        v1::Phase::Unspecified => panic!("not in this recording"),
        v1::Phase::Opened => 0,
        v1::Phase::Running => 1,
        v1::Phase::Closed => 2,
    }
}

/// `STEP_STATUS_COMPLETED` → `Completed`
fn status(name: &str) -> String {
    let word = name.rsplit('_').next().unwrap();
    word[..1].to_owned() + &word[1..].to_lowercase()
}

fn micros(time: Option<&pbjson_types::Timestamp>) -> Value {
    json!(time.and_then(|time| Micros::rounded(time.seconds, time.nanos)).map(Micros::get))
}

/// Every row of a query as the text of its columns, joined by blanks; null is `-`.
async fn lines(client: &Client, sql: &str) -> Vec<String> {
    let sql = format!(
        "SELECT array_to_string(ARRAY(SELECT COALESCE(value, '-') FROM json_each_text(row_to_json(q))), ' ') FROM ({sql}) q"
    );
    rows::texts(client, &sql).await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_instance_run_again_from_an_activity_the_last_run_shows_and_the_earlier_are_kept() {
    let config = servers::config(3).await;
    publish(&config, "reruns.jsonl", &["--shuffle", "--seed", "5"]).await;
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    let ra = id("ra");

    let shown = format!(
        "SELECT run - {BEGIN} AS run, status, to_char(starttime, 'SS.MS'), convert_from(flowinput, 'UTF8'),
         convert_from(flowoutput, 'UTF8'), reruncount, executiontime FROM flowstate WHERE flowinstanceid = '{ra}'"
    );
    // The input is what the first run was given, not the attributes that a re-run is started with.
    let flow = "2000000 Completed 02.000 {\"amount\":7} {\"code\":200,\"run\":2000} 0 46.000";
    assert_eq!(lines(&client, &shown).await, [flow]);
    let runs =
        format!("SELECT run - {BEGIN} AS run, status FROM ft_run WHERE flowinstanceid = '{ra}' ORDER BY run");
    assert_eq!(lines(&client, &runs).await, ["0 Failed", "1000000 Failed", "2000000 Completed"]);

    let steps = format!(
        "SELECT stepid, execution - {BEGIN} AS execution, status, rerun FROM steps WHERE flowinstanceid = '{ra}' ORDER BY stepid"
    );
    let wanted = [
        "0 10000 Started false",
        "1 20000 Completed false",
        "2 2010000 Completed true",
        "3 2020000 Completed true",
        "4 2030000 Completed true",
        "5 2040000 Completed true",
    ];
    assert_eq!(lines(&client, &steps).await, wanted);
    let superseded = format!(
        "SELECT stepid, execution - {BEGIN} AS execution, status FROM ft_superseded_step
         WHERE flowinstanceid = '{ra}' ORDER BY stepid, execution"
    );
    let wanted = [
        "2 30000 Completed",
        "3 40000 Completed",
        "3 1010000 Completed",
        "4 50000 Failed",
        "4 1020000 Failed",
    ];
    assert_eq!(lines(&client, &superseded).await, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reruns_from_the_beginning_are_counted_at_the_original_and_named_by_their_own_rows() {
    let config = servers::config(3).await;
    for _ in 0..3 {
        publish(&config, "reruns.jsonl", &["--shuffle", "--seed", "6"]).await;
    }
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    let flows =
        "SELECT left(flowinstanceid, 2) AS id, status, left(rerunofflowinstanceid, 2) AS original, reruncount
        FROM flowstate ORDER BY 1";
    let wanted = [
        "ra Completed - 0",
        "rb Failed - 2",
        "rc Completed rb 0",
        "rd Completed rb 0",
        "re Completed - 0",
        "rf Completed - 0",
        "rg Completed - 0",
    ];
    assert_eq!(lines(&client, flows).await, wanted);
    // A detached subflow is an instance of its own; nothing links it to its parent.
    let linked = "SELECT flowinstanceid FROM flowstate WHERE parentflowinstanceid IS NOT NULL";
    assert_eq!(lines(&client, linked).await, [""; 0]);
    // The tester posts step 0 twice: the later shows, the earlier is kept.
    let twice = format!(
        "SELECT 'shown', execution - {BEGIN} AS execution FROM steps WHERE flowinstanceid = '{re}' AND stepid = '0'
         UNION ALL SELECT 'kept', execution - {BEGIN} FROM ft_superseded_step WHERE flowinstanceid = '{re}'",
        re = id("re")
    );
    assert_eq!(lines(&client, &twice).await, ["shown 6012000", "kept 6010000"]);
    let only_ra = "SELECT DISTINCT left(flowinstanceid, 2) AS id FROM ft_run
        UNION ALL SELECT DISTINCT left(flowinstanceid, 2) FROM ft_rewind";
    assert_eq!(lines(&client, only_ra).await, ["ra", "ra"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rewind_is_stored_and_so_is_what_rerun_steps_imply() {
    let config = servers::config(1).await;
    publish(&config, "reruns.jsonl", &[]).await;
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    let facts = format!("SELECT n, before - {BEGIN} AS before FROM ft_rewind ORDER BY n, before");
    // The two that were posted, and each of the three runs with each of the re-run steps 2 to 5.
    let mut wanted: Vec<(i64, i64)> = vec![(3, 50_001), (2, 1_020_001)];
    wanted.extend((2..=5).flat_map(|n| [0, 1_000_000, 2_000_000].map(|run| (n, run))));
    wanted.sort_unstable();
    let wanted: Vec<String> = wanted.into_iter().map(|(n, before)| format!("{n} {before}")).collect();
    assert_eq!(lines(&client, &facts).await, wanted);
}
