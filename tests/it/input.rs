//! What odd input gets, from a record's bytes on Kafka to rows, dead letters and offsets.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flowtrail::{
    config::Config,
    proto::v1::{FlowEvent, HistoryEvent, Phase, StepEvent, history_event::Event},
};
use prost::Message as _;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio_postgres::Client;

use crate::{
    collecting::{collect_all, set_offset, stored, until_stored},
    program::{Process, get},
    rows, servers,
    topics::{self, Raw, put},
};

/// An id may have so many bytes.
const LONGEST_ID: usize = 1024;

fn flow(id: &str) -> FlowEvent {
    FlowEvent {
        flow_instance_id: id.to_owned(),
        phase: Phase::Closed.into(),
        status_word: "Completed".to_owned(),
        host_id: "h".to_owned(),
        ..FlowEvent::default()
    }
}

fn step(flow: &str, id: &str) -> StepEvent {
    StepEvent {
        flow_instance_id: flow.to_owned(),
        step_id: id.to_owned(),
        phase: Phase::Closed.into(),
        ..StepEvent::default()
    }
}

fn of_flow(event: FlowEvent) -> HistoryEvent {
    HistoryEvent { event: Some(Event::Flow(event)) }
}

fn of_step(event: StepEvent) -> HistoryEvent {
    HistoryEvent { event: Some(Event::Step(event)) }
}

fn time(seconds: i64, nanos: i32) -> pbjson_types::Timestamp {
    pbjson_types::Timestamp { seconds, nanos }
}

/// Text that no compression makes shorter.
fn noise(bytes: usize) -> String {
    let mut random = StdRng::seed_from_u64(7);
    (0..bytes).map(|_| char::from(random.random_range(b'!'..=b'~'))).collect()
}

async fn one(client: &Client, sql: &str) -> Value {
    let row = client.query_one(&format!("SELECT row_to_json(q) FROM ({sql}) q"), &[]).await.unwrap();
    row.get(0)
}

fn rejected() -> Vec<(&'static str, Raw)> {
    let keyed =
        |value: &[u8]| Raw { key: Some(b"k".to_vec()), value: Some(value.to_vec()), ..Raw::default() };
    let long = "x".repeat(LONGEST_ID + 1);
    let without_id = of_flow(flow("")).encode_to_vec();
    vec![
        ("no_id", Raw { value: Some(without_id.clone()), ..Raw::default() }),
        ("no_id", Raw { key: Some(Vec::new()), value: Some(without_id.clone()), ..Raw::default() }),
        ("no_id", Raw { key: Some(vec![0xff, 0xfe]), value: Some(without_id), ..Raw::default() }),
        ("no_id", keyed(&of_step(step("a", "")).encode_to_vec())),
        ("id_too_long", Raw::of(&of_flow(flow(&long)))),
        ("id_too_long", Raw::of(&of_step(step("a", &long)))),
        (
            "id_too_long",
            keyed(&of_flow(FlowEvent { rerun_of_flow_instance_id: long, ..flow("k") }).encode_to_vec()),
        ),
        ("undecodable", keyed(b"\xff\xff\xff\0\x01")),
        ("undecodable", keyed(b"{\"flow\": {\"flowInstanceId\": 7\0")),
        ("undecodable", keyed(b"\0\0\0")),
        // Confluent's framing of a message that is not the first of its file.
        ("undecodable", keyed(&[&[0, 0, 0, 0, 9, 2, 2][..], &of_flow(flow("k")).encode_to_vec()].concat())),
        ("empty", Raw { key: Some(b"k".to_vec()), ..Raw::default() }),
        ("empty", keyed(b"")),
        ("unknown_event", keyed(b"{}")),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_become_a_row_is_kept_byte_for_byte_and_once_and_reading_goes_on() {
    let config = servers::config(1).await;
    let mut cases = rejected();
    for (number, (_, raw)) in cases.iter_mut().enumerate() {
        let headers =
            [("traceparent", Some(&b"00-1-2-03"[..])), ("traceparent", Some(&b"\0\xff"[..])), ("none", None)];
        raw.headers = headers[..number % 4].to_vec();
    }
    let mut records: Vec<Raw> = cases.iter().map(|(_, raw)| raw.clone()).collect();
    records.insert(0, Raw::of(&of_flow(flow("before"))));
    records.push(Raw::of(&of_flow(flow("after"))));
    assert_eq!(put(&config, &records).await, (0..i64::try_from(records.len()).unwrap()).collect::<Vec<_>>());
    collect_all(&config).await;

    let client = servers::connect_to(&config).await;
    assert_eq!(rows::flows(&client).await.into_keys().collect::<Vec<_>>(), ["after", "before"]);
    assert_dead_letters(&client, &config, &cases).await;

    // From the beginning again: the same messages, and no letter twice.
    set_offset(&client, &config, 0, 0).await;
    collect_all(&config).await;
    assert_dead_letters(&client, &config, &cases).await;
}

async fn assert_dead_letters(client: &Client, config: &Config, cases: &[(&str, Raw)]) {
    let sql =
        "SELECT topic, partition, recordoffset, reason, recordkey, payload, headers, payloadhash, detail,
        consumergroup, recordtime FROM ft_dead_letter ORDER BY recordoffset";
    let letters = client.query(sql, &[]).await.unwrap();
    assert_eq!(letters.len(), cases.len());
    for (offset, (letter, (reason, raw))) in (1..).zip(letters.iter().zip(cases)) {
        assert_eq!(letter.get::<_, &str>(0), config.kafka.topics[0]);
        assert_eq!((letter.get::<_, i32>(1), letter.get::<_, i64>(2)), (0, offset));
        assert_eq!(letter.get::<_, &str>(3), *reason, "{raw:?}");
        assert_eq!(letter.get::<_, Option<Vec<u8>>>(4), raw.key, "{raw:?}");
        assert_eq!(letter.get::<_, Option<Vec<u8>>>(5), raw.value, "{raw:?}");
        let header = |(key, value): &(&str, Option<&[u8]>)| json!({"key": key, "value": value.map(|value| STANDARD.encode(value))});
        assert_eq!(letter.get::<_, Value>(6), Value::Array(raw.headers.iter().map(header).collect()));
        assert_eq!(
            letter.get::<_, Vec<u8>>(7),
            Sha256::digest(raw.value.as_deref().unwrap_or_default()).to_vec()
        );
        assert!(!letter.get::<_, &str>(8).is_empty());
        assert_eq!(letter.get::<_, &str>(9), config.kafka.group);
        assert!(letter.get::<_, Option<i64>>(10).is_some());
    }
    assert_eq!(stored(client, config).await, topics::ends(config).await);
}

fn put_right() -> Vec<Raw> {
    let keyed = |key: &str, event: &HistoryEvent| Raw { key: Some(key.into()), ..Raw::of(event) };
    let nul = FlowEvent {
        flow_name: "a\0b".to_owned(),
        error: b"\0raw\0".to_vec().into(),
        started_at: Some(time(-62_135_596_801, 0)),
        ended_at: Some(time(253_402_300_800, 0)),
        host_id: String::new(),
        ..flow("nul\0id")
    };
    let edges = FlowEvent {
        started_at: Some(time(-62_135_596_800, 0)),
        ended_at: Some(time(253_402_300_799, 999_999_000)),
        ..flow("edges")
    };
    let unknown = FlowEvent {
        phase: 99,
        status_word: String::new(),
        status: 777,
        ended_at: Some(time(9, 0)),
        ..flow("phase")
    };
    let unset = FlowEvent { phase: 0, ended_at: Some(time(9, 0)), ..flow("ended") };
    let (long_flow, long_step) = (noise(LONGEST_ID), noise(LONGEST_ID));
    vec![
        Raw { key: None, ..Raw::of(&of_flow(flow("no key"))) },
        keyed("", &of_flow(flow("empty key"))),
        keyed("another", &of_flow(flow("payload's id"))),
        keyed("key's id", &of_flow(flow(""))),
        Raw::of(&of_flow(nul)),
        Raw::of(&of_flow(edges)),
        Raw::of(&of_flow(unknown)),
        Raw::of(&of_flow(unset)),
        Raw::of(&of_step(step(&long_flow, &long_step))),
        Raw::of(&of_step(StepEvent { execution: 1, ..step(&long_flow, &long_step) })),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_odd_is_put_right_and_counted_and_no_message_is_kept() {
    let config = servers::config(1).await;
    put(&config, &put_right()).await;
    let mut process = Process::collect(&config).await;
    until_stored(&config).await;
    let client = servers::connect_to(&config).await;
    let flows =
        ["edges", "empty key", "ended", "key's id", "no key", "nul\u{fffd}id", "payload's id", "phase"];
    assert_eq!(rows::flows(&client).await.into_keys().collect::<Vec<_>>(), flows);

    let nul =
        "SELECT flowname, encode(error, 'hex') AS error, starttime, endtime, hostid, phase FROM flowstate
        WHERE flowinstanceid LIKE 'nul%'";
    let wanted = json!({"flowname": "a\u{fffd}b", "error": "0072617700", "starttime": null, "endtime": null, "hostid": "", "phase": 2});
    assert_eq!(one(&client, nul).await, wanted);
    let edges = "SELECT starttime, endtime FROM flowstate WHERE flowinstanceid = 'edges'";
    let wanted = json!({"starttime": "0001-01-01T00:00:00", "endtime": "9999-12-31T23:59:59.999999"});
    assert_eq!(one(&client, edges).await, wanted);
    let unknown = "SELECT phase, status, endtime FROM flowstate WHERE flowinstanceid = 'phase'";
    assert_eq!(one(&client, unknown).await, json!({"phase": 1, "status": "777", "endtime": null}));
    let unset = "SELECT phase, endtime FROM flowstate WHERE flowinstanceid = 'ended'";
    assert_eq!(one(&client, unset).await, json!({"phase": 2, "endtime": "1970-01-01T00:00:09"}));
    assert_eq!(rows::count(&client, "steps").await, 1);
    assert_eq!(rows::count(&client, "ft_superseded_step").await, 1);
    assert_eq!(rows::count(&client, "ft_dead_letter").await, 0);

    let (code, metrics) = get(&process.address, "/metrics").await;
    assert_eq!(code, 200);
    for (reason, count) in
        [("empty_key", 2), ("key_mismatch", 1), ("id_from_key", 1), ("nul", 1), ("time", 1), ("phase", 1)]
    {
        let line = format!("flowtrail_events_sanitized_total{{reason=\"{reason}\"}} {count}");
        assert!(metrics.lines().any(|found| found == line), "no {line} in\n{metrics}");
    }
    process.child.start_kill().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_above_the_limit_is_cut_in_its_row_and_the_whole_message_is_kept() {
    let mut config = servers::config(1).await;
    config.collector.max_payload_bytes = 100;
    let (short, long) = (noise(100), noise(101));
    let event = StepEvent { input: short.clone().into(), data: long.clone().into(), ..step("f", "1") };
    let raw = Raw::of(&of_step(event));
    put(&config, std::slice::from_ref(&raw)).await;
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    let sql =
        "SELECT convert_from(input, 'UTF8') AS input, convert_from(stepdata, 'UTF8') AS data FROM steps";
    let cut = format!("{}…[cut by flowtrail, 101 bytes in all]", &long[..100]);
    assert_eq!(one(&client, sql).await, json!({"input": short, "data": cut}));
    assert_kept_whole(&client, &raw).await;
}

async fn assert_kept_whole(client: &Client, raw: &Raw) {
    let letter = client.query_one("SELECT reason, payload FROM ft_dead_letter", &[]).await.unwrap();
    assert_eq!(letter.get::<_, &str>(0), "oversized");
    assert!(letter.get::<_, Option<Vec<u8>>>(1) == raw.value, "the message is not whole");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_framings_of_an_event_become_the_same_row() {
    let config = servers::config(1).await;
    let event = |id: &str| {
        of_step(StepEvent {
            data: b"{\"a\":1}".to_vec().into(),
            started_at: Some(time(5, 7_500)),
            ..step(id, "1")
        })
    };
    let framed = |index: &[u8], id: &str| {
        let value = [&[0, 0, 0, 1, 200], index, &event(id).encode_to_vec()].concat();
        Raw { value: Some(value), ..Raw::of(&event(id)) }
    };
    let in_json = Raw { value: Some(serde_json::to_vec(&event("d")).unwrap()), ..Raw::of(&event("d")) };
    let by_hand = br#"{"step":{"flow_instance_id":"e","stepId":"1","phase":"PHASE_CLOSED","startedAt":"1970-01-01T00:00:05.000007500Z","data":"eyJhIjoxfQ==","madeUpLater":[1]}}"#;
    let by_hand = Raw { key: Some(b"e".to_vec()), value: Some(by_hand.to_vec()), ..Raw::default() };
    put(&config, &[Raw::of(&event("a")), framed(&[0], "b"), framed(&[2, 0], "c"), in_json, by_hand]).await;
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    let sql = "SELECT flowinstanceid || ' ' || concat_ws(' ', stepid, phase, starttime, convert_from(stepdata, 'UTF8'), execution)
        FROM steps ORDER BY 1";
    let wanted = ["a", "b", "c", "d", "e"]
        .map(|id| Some(format!("{id} 1 2 1970-01-01 00:00:05.000008 {{\"a\":1}} 0")));
    assert_eq!(rows::texts(&client, sql).await, wanted);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_15_megabytes_passes() {
    let mut config = servers::config(1).await;
    let data = noise(15 << 20);
    let raw = Raw::of(&of_step(StepEvent { data: data.clone().into(), ..step("f", "1") }));
    put(&config, &[Raw::of(&of_flow(flow("before"))), raw.clone(), Raw::of(&of_flow(flow("after")))]).await;
    // Above the limit that is configured by default: cut, and kept.
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    assert_kept_whole(&client, &raw).await;
    assert_eq!(rows::count(&client, "flowstate").await, 2);

    config.postgres.url = Some(servers::database().await.into());
    config.collector.max_payload_bytes = 16 << 20;
    collect_all(&config).await;
    let client = servers::connect_to(&config).await;
    let stored: Vec<u8> = client.query_one("SELECT stepdata FROM steps", &[]).await.unwrap().get(0);
    assert!(stored == data.as_bytes(), "the data is not whole");
    assert_eq!(rows::count(&client, "ft_dead_letter").await, 0);
}
