//! What rules name is nowhere: in no table, dead letter, topic, log, answer or file of flowtrail's, whatever came of the
//! message. A collector without rules on the same topic shows that each of these places would have had it.

use std::{collections::BTreeSet, fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flowtrail::{
    config::{self, Config, Environment, Flags},
    pipeline::decode::redacted,
    proto::v1::{FlowEvent, HistoryEvent, Phase, Snapshot, StepEvent, history_event::Event},
    redaction::Rules,
};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::process::Command;
use tokio_postgres::Client;

use crate::{
    collecting::{collect_all, until_stored},
    gateway::Serving,
    poison::{on_topic, refuse_by_constraint},
    program::{self, Ran, configured, run},
    servers,
    topics::{Raw, put},
};

/// What nobody is to read.
const SECRET: &str = "hunter2correcthorse";
const IN_HEXADECIMAL: &str = "68756e74657232636f7272656374686f727365";
const RULES: &str = r#"[{ "key": "*password*" }, { "path": "$..card", "action": "hash" }, { "app": "shop-*", "key": "pin" }]"#;
const SALT: &str = "a salt of sixteen bytes or more";

fn environment() -> [(&'static str, &'static str); 2] {
    [("FLOWTRAIL_REDACTION__RULES", RULES), ("FLOWTRAIL_REDACTION__SALT", SALT)]
}

fn redaction() -> config::Redaction {
    let environment: Environment =
        environment().into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    config::load(&Flags::default(), &environment, Path::new("/nowhere")).unwrap().config.redaction
}

/// A payload with the secret in each place that a rule names.
fn payload() -> String {
    format!(
        r#"{{"user" : "ann", "Password":"{SECRET}","list":[{{"card":"{SECRET}"}}],"pin":{{"old":["{SECRET}"]}}}}"#
    )
}

/// The same with what the rules make of it; the hash is `printf %s hunter2correcthorse | openssl dgst -sha256 -hmac SALT`.
fn masked() -> String {
    const HASH: &str = "675318a3c41b71614501b5194b3c7d9e07ee8e6e512514f29764c9d56ba88c33";
    format!(r#"{{"user" : "ann", "Password":"***","list":[{{"card":"sha256:{HASH}"}}],"pin":"***"}}"#)
}

fn step(id: &str, execution: i64, name: &str) -> HistoryEvent {
    let step = StepEvent {
        flow_instance_id: "f".to_owned(),
        step_id: id.to_owned(),
        execution,
        phase: Phase::Closed.into(),
        task_name: name.to_owned(),
        data: payload().into(),
        input: payload().into(),
        output: payload().into(),
        error: payload().into(),
        misc: payload().into(),
        ..StepEvent::default()
    };
    HistoryEvent { event: Some(Event::Step(step)) }
}

fn flow(id: &str, run: i64, app: &str, payload: &str) -> HistoryEvent {
    let flow = FlowEvent {
        flow_instance_id: id.to_owned(),
        run,
        phase: Phase::Closed.into(),
        app_name: app.to_owned(),
        input: payload.to_owned().into(),
        output: payload.to_owned().into(),
        error: payload.to_owned().into(),
        ..FlowEvent::default()
    };
    HistoryEvent { event: Some(Event::Flow(flow)) }
}

/// Events of every kind with payloads, and every way in which a message becomes a dead letter.
fn records() -> Vec<Raw> {
    let raw = |value: &[u8]| Raw { key: Some(b"f".to_vec()), value: Some(value.to_vec()), ..Raw::default() };
    let snapshot = Snapshot { flow_instance_id: "f".into(), step_id: "1".into(), data: payload().into() };
    let mut large = step("large", 1, "large");
    let mut plain = step("plain", 1, "plain");
    if let (Some(Event::Step(large)), Some(Event::Step(plain))) = (&mut large.event, &mut plain.event) {
        large.data = format!("{{\"password\":\"{SECRET}\",\"rest\":\"{}\"}}", "x".repeat(8_192)).into();
        plain.error = format!("cannot log in with {SECRET}").into();
    }
    let events = [
        flow("f", 1, "shop-eu", &payload()),
        flow("f", 2, "shop-eu", &payload()),
        step("1", 1, "first"),
        step("1", 2, "again"),
        HistoryEvent { event: Some(Event::Snapshot(snapshot)) },
        large,
        plain,
        step("refused", 1, "~refused"),
        // Another app: the rule about pins is not for it.
        flow("refused", 1, "~refused", &format!(r#"{{"password":"{SECRET}","pin":1}}"#)),
        step(&"i".repeat(2_000), 1, "long"),
    ];
    let mut records: Vec<Raw> = events.iter().map(Raw::of).collect();
    records.push(Raw { value: Some(serde_json::to_vec(&step("json", 1, "json")).unwrap()), ..raw(b"") });
    // The sentence about it quotes it, and of each reason the first is logged.
    records.push(raw(format!(r#"{{"flow":{{"phase":"{SECRET}"}}}}"#).as_bytes()));
    records.push(raw(format!("\u{1}{SECRET}").as_bytes()));
    records.push(raw(&[&step("cut", 1, "cut").encode_to_vec()[..40], SECRET.as_bytes()].concat()));
    records
}

/// `flowtrail collect`, with rules or without, until all is stored; gives what it logged.
async fn collected(config: &Config, is_masking: bool) -> String {
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(servers::unique("redaction"));
    let mut command = configured(config, ["collect", "--http", "127.0.0.1:0"]);
    command.env("FLOWTRAIL_LOG", "debug").stderr(fs::File::create(&log).unwrap());
    command.env("FLOWTRAIL_COLLECTOR__DEAD_LETTER_TOPIC", &config.collector.dead_letter_topic);
    let mut child = masking(&mut command, is_masking).spawn().unwrap();
    until_stored(config).await;
    program::send(child.id().unwrap(), "TERM").await;
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
    fs::read_to_string(log).unwrap()
}

fn masking(command: &mut Command, is_masking: bool) -> &mut Command {
    if is_masking { command.envs(environment()) } else { command }
}

/// Whether the secret is there, as text or as bytes are shown in hexadecimal.
fn is_in(text: &str) -> bool {
    text.contains(SECRET) || text.contains(IN_HEXADECIMAL)
}

/// The tables that have the secret in some row.
async fn tables_with_it(client: &Client) -> BTreeSet<String> {
    let sql = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'";
    let tables: Vec<String> =
        client.query(sql, &[]).await.unwrap().into_iter().map(|row| row.get(0)).collect();
    assert!(tables.len() >= 10, "{tables:?}");
    let mut with_it = BTreeSet::new();
    for table in tables {
        let rows = client.query(&format!("SELECT t::text FROM {table} t"), &[]).await.unwrap();
        if rows.iter().any(|row| is_in(row.get(0))) {
            with_it.insert(table);
        }
    }
    with_it
}

/// A database, a group and a topic for dead letters of their own; the topic of events is shared.
async fn beside(config: &Config) -> Config {
    let mut other = servers::config_of(&servers::database().await).await;
    other.kafka.topics.clone_from(&config.kafka.topics);
    other.collector = config.collector.clone();
    other.collector.dead_letter_topic = servers::topic(1).await;
    other
}

async fn with_everything() -> Config {
    let mut config = servers::config(1).await;
    config.collector.max_payload_bytes = 4_096;
    config.collector.dead_letter_topic = servers::topic(1).await;
    put(&config, &records()).await;
    config
}

async fn letters(config: &Config) -> (usize, bool) {
    let found = on_topic(config, &config.collector.dead_letter_topic).await;
    let with_it = |value: &Option<Vec<u8>>| {
        value.as_deref().is_some_and(|value| is_in(&String::from_utf8_lossy(value)))
    };
    (found.len(), found.iter().any(|(_, value, _)| with_it(value)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rules_name_is_in_no_table_letter_log_or_answer() {
    let config = with_everything().await;
    let unmasked = beside(&config).await;
    let (client, other) = (servers::connect_to(&config).await, servers::connect_to(&unmasked).await);
    refuse_by_constraint(&client).await;
    refuse_by_constraint(&other).await;

    assert!(is_in(&collected(&unmasked, false).await), "a log without rules would have it");
    let everywhere = ["flowstate", "ft_dead_letter", "ft_run", "ft_snapshot", "ft_superseded_step", "steps"];
    assert_eq!(tables_with_it(&other).await, everywhere.map(str::to_owned).into());
    assert_eq!(letters(&unmasked).await, (7, true));

    let log = collected(&config, true).await;
    assert!(!is_in(&log), "{log}");
    assert!(log.contains("dead_letters_kept"), "{log}");
    assert_eq!(tables_with_it(&client).await, BTreeSet::new());
    assert_eq!(letters(&config).await, (7, false));
    assert_rows(&client).await;

    let ask = async |arguments: &[&str]| run(masking(&mut configured(&config, arguments), true)).await;
    let verified = ask(&["verify"]).await;
    assert_eq!(verified.code, 0, "{verified:?}");
    assert!(
        verified.stdout.contains("no difference") && verified.stdout.contains("6 dead letters"),
        "{verified:?}"
    );
    let without_rules = run(&mut configured(&config, ["verify"])).await;
    assert_eq!(without_rules.code, 3, "{without_rules:?}");
    assert_letters(&client, ask).await;
}

/// Rows have what the rules leave, byte for byte.
async fn assert_rows(client: &Client) {
    let sql = "SELECT stepdata, input, output, error, misc FROM steps WHERE stepid IN ('1', 'json')
        UNION ALL SELECT stepdata, input, output, error, misc FROM ft_superseded_step
        UNION ALL SELECT flowinput, flowinput, flowoutput, error, flowinput FROM flowstate
        UNION ALL SELECT flowinput, flowinput, flowoutput, error, flowinput FROM ft_run";
    let rows = client.query(sql, &[]).await.unwrap();
    assert!(rows.len() >= 6, "{} rows", rows.len());
    for row in rows {
        for column in 0..5 {
            assert_eq!(String::from_utf8(row.get(column)).unwrap(), masked());
        }
    }
    let row = client.query_one("SELECT error FROM steps WHERE stepid = 'plain'", &[]).await.unwrap();
    assert_eq!(row.get::<_, &[u8]>(0), b"\"***\"");
}

/// Dead letters are shown and exported without it, and those that are refused can be stored once their cause is gone.
async fn assert_letters(client: &Client, ask: impl AsyncFn(&[&str]) -> Ran) {
    let sql =
        "SELECT id::text, reason, payload, detail, payloadhash = sha256($1) FROM ft_dead_letter ORDER BY id";
    let garbage = format!("\u{1}{SECRET}").into_bytes();
    let found = client.query(sql, &[&garbage]).await.unwrap();
    let mut recognised = 0;
    for row in &found {
        let (id, reason): (String, String) = (row.get(0), row.get(1));
        let (payload, detail): (Option<Vec<u8>>, String) = (row.get(2), row.get(3));
        assert_eq!(payload.is_none(), reason == "undecodable", "{id}: {reason}");
        assert_eq!(detail.contains("are not kept"), payload.is_none(), "{detail}");
        recognised += i32::from(row.get::<_, bool>(4));
        let shown = ask(&["deadletter", "show", &id]).await;
        assert!(shown.code == 0 && !is_in(&shown.stdout), "{shown:?}");
    }
    assert_eq!((found.len(), recognised), (7, 1));
    let exported = ask(&["deadletter", "export"]).await;
    assert!(exported.code == 0 && !is_in(&exported.stdout), "{exported:?}");
    let lines = exported.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    // Bytes are exported as base64, which hides what they hold.
    for payload in lines.filter_map(|line| line["payload"].as_str().map(str::to_owned)) {
        let bytes = STANDARD.decode(payload).unwrap();
        assert!(!is_in(&String::from_utf8_lossy(&bytes)));
    }
    for table in ["steps", "ft_superseded_step", "flowstate", "ft_run"] {
        client.batch_execute(&format!("ALTER TABLE {table} DROP CONSTRAINT unmarked")).await.unwrap();
    }
    let retried = ask(&["deadletter", "retry", "--reason", "refused"]).await;
    assert!(retried.code == 0 && retried.stdout.contains("2 stored, 0 left"), "{retried:?}");
    let row =
        client.query_one("SELECT flowinput FROM flowstate WHERE appname = '~refused'", &[]).await.unwrap();
    assert_eq!(row.get::<_, &[u8]>(0), br#"{"password":"***","pin":1}"#);
    let row = client.query_one("SELECT misc FROM steps WHERE stepid = 'refused'", &[]).await.unwrap();
    assert_eq!(String::from_utf8(row.get(0)).unwrap(), masked());
}

/// Letters that are older than the rules are masked when they are stored after all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_masks_what_was_kept_before_there_were_rules() {
    let mut config = servers::config(1).await;
    let client = servers::connect_to(&config).await;
    refuse_by_constraint(&client).await;
    put(&config, &[Raw::of(&step("refused", 1, "~refused"))]).await;
    collect_all(&config).await;
    assert_eq!(tables_with_it(&client).await, ["ft_dead_letter".to_owned()].into());
    client.batch_execute("ALTER TABLE steps DROP CONSTRAINT unmarked").await.unwrap();
    config.redaction = redaction();
    let retried = run(masking(&mut configured(&config, ["deadletter", "retry", "--all"]), true)).await;
    assert_eq!(retried.code, 0, "{retried:?}");
    assert_eq!(tables_with_it(&client).await, BTreeSet::new());
}

/// The gateway masks before Kafka, and a collector with the same rules finds nothing left to mask.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_posted_is_masked_before_it_is_on_the_topic() {
    let mut config = servers::config(1).await;
    config.gateway.topic.clone_from(&config.kafka.topics[0]);
    config.redaction = redaction();
    let serving = Serving::start(&config).await;
    let secret: Value = serde_json::from_str(&payload()).unwrap();
    let change = json!({ "flowURI": "res://flow:pay", "taskId": "Pay", "attrs": { "_A.Pay.password": SECRET, "_A.Pay.r": secret },
        "tasks": { "Pay": { "status": 40, "input": secret } }, "returnData": secret });
    let step = json!({ "id": 1, "flowId": "f", "flowChanges": { "0": change }, "starttime": "2026-11-22T10:00:00Z" });
    let start = json!({ "flow_instance_id": "f", "user_id": "u", "app_name": "shop-eu", "flow_inputs": secret,
        "flow_stats": "Started", "start_time": "2026-11-22T10:00:00Z" });
    let end = json!({ "flow_instance_id": "f", "flow_stats": "Completed", "flow_outputs": secret,
        "start_time": "2026-11-22T10:00:00Z", "end_time": "2026-11-22T10:00:01Z" });
    let snapshot = json!({ "id": "f", "status": 100, "attrs": secret });
    for (path, body) in
        [("start", start), ("steps", step.clone()), ("end", end), ("snapshot", snapshot), ("events", step)]
    {
        let answer = serving.post(&format!("/v1/instances/{path}"), &body).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    let records = on_topic(&config, &config.kafka.topics[0]).await;
    assert_eq!(records.len(), 5);
    let rules = Rules::compile(&config.redaction).unwrap().unwrap();
    for (_, value, _) in records {
        let value: bytes::Bytes = value.unwrap().into();
        let text = String::from_utf8_lossy(&value);
        assert!(!is_in(&text) && text.contains("***") && text.contains("sha256:"), "{text}");
        assert_eq!(redacted(&value, &rules).unwrap(), value);
    }
    collect_all(&config).await;
    // Without rules too: there is nothing left for them to do.
    for is_masking in [true, false] {
        let verified = run(masking(&mut configured(&config, ["verify"]), is_masking)).await;
        assert_eq!(verified.code, 0, "{verified:?}");
    }
}
