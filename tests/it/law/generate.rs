//! Random sets of events, in the words of the reference model and on the wire.

use bytes::Bytes;
use flowtrail::proto::v1::{self, history_event::Event};
use prost::Message as _;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Map, Value, json};

/// A set of events.
pub struct Case {
    seed: u64,
    /// As the model takes them.
    pub events: Vec<Value>,
    /// As Kafka carries them.
    pub records: Vec<Record>,
}

pub struct Record {
    pub key: Vec<u8>,
    pub value: Bytes,
}

/// Text that sorts differently by locale, by UTF-16 and by bytes, or that SQL might stumble over.
const TEXT: &[&str] = &["", "u", "B", "a", "é", "\u{e000}", "\u{10ffff}", "x\u{fffd}", "'; --\\", "700"];

impl Case {
    pub fn generate(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let size = [3, 8, 14, 40][random.random_range(0..4)];
        let prefix = prefix(seed);
        let events: Vec<Value> = (0..size).map(|_| event(&mut random, &prefix)).collect();
        let records = events.iter().map(record).collect();
        Self { seed, events, records }
    }

    pub fn of_events(events: &[Value]) -> Self {
        Self { seed: 0, events: events.to_vec(), records: events.iter().map(record).collect() }
    }

    /// What the ids of this case begin with.
    pub fn prefix(&self) -> String {
        prefix(self.seed)
    }
}

fn prefix(seed: u64) -> String {
    format!("law{seed}-")
}

fn pick<'a, T>(random: &mut StdRng, of: &'a [T]) -> &'a T {
    &of[random.random_range(0..of.len())]
}

fn text(random: &mut StdRng) -> Value {
    if random.random_bool(0.3) { Value::Null } else { json!(pick(random, TEXT)) }
}

fn time(random: &mut StdRng) -> Value {
    pick(random, &[Value::Null, json!(5), json!(10), json!(20), json!(1234), json!(-1_500_001)]).clone()
}

fn flow(random: &mut StdRng, prefix: &str) -> String {
    format!("{prefix}{}", pick(random, &["A", "B", "C"]))
}

fn event(random: &mut StdRng, prefix: &str) -> Value {
    let flow = flow(random, prefix);
    match random.random_range(0..23) {
        0..6 => run(random, &flow, prefix),
        6..15 => step(random, &flow),
        15..17 => {
            let n = pick(random, &[Value::Null, json!(0), json!(1), json!(2), json!(10)]).clone();
            json!({"kind": "rewind", "flow": flow, "n": n, "before": pick(random, &[0, 1, 10, 13, 20, 23, 30, 99])})
        }
        17 => {
            let before =
                pick(random, &[Value::Null, json!(0), json!(1), json!(10), json!(15), json!(23)]).clone();
            json!({"kind": "deleted", "flow": flow, "before": before})
        }
        18..22 => variable(random, &flow),
        _ => {
            let at = pick(random, &[Value::Null, json!(1), json!(2)]).clone();
            let event = json!({"kind": "app", "user": pick(random, &["", "u"]), "app": format!("{prefix}app"),
                "version": text(random), "on": random.random_bool(0.5), "at": at});
            missing(event.as_object().unwrap().clone())
        }
    }
}

fn run(random: &mut StdRng, flow: &str, prefix: &str) -> Value {
    let mut event = Map::new();
    for name in [
        "input",
        "output",
        "error",
        "user",
        "app",
        "version",
        "name",
        "host",
        "parent",
        "parentname",
        "status",
        "trace",
    ] {
        event.insert(name.into(), text(random));
    }
    let original = pick(random, &["", "A", "B", "C"]);
    let original = if original.is_empty() { String::new() } else { format!("{prefix}{original}") };
    event.insert("kind".into(), json!("flow"));
    event.insert("flow".into(), json!(flow));
    event.insert("run".into(), json!(pick(random, &[0, 10, 20, 30])));
    event.insert("phase".into(), phase(random));
    event.insert("start".into(), time(random));
    event.insert("end".into(), time(random));
    event.insert("original".into(), json!(original));
    missing(event)
}

fn step(random: &mut StdRng, flow: &str) -> Value {
    let mut event = Map::new();
    for name in
        ["input", "output", "error", "data", "misc", "task", "flowname", "subflow", "parentstep", "status"]
    {
        event.insert(name.into(), text(random));
    }
    event.insert("kind".into(), json!("step"));
    event.insert("flow".into(), json!(flow));
    event.insert(
        "step".into(),
        json!(pick(random, &["0", "1", "2", "02", "10", "x", "-1", "9999999999999999999"])),
    );
    event.insert("execution".into(), json!(pick(random, &[0, 5, 12, 15, 22, 25, 32])));
    event.insert("phase".into(), phase(random));
    event.insert("start".into(), time(random));
    event.insert("end".into(), time(random));
    event.insert("rerun".into(), json!(random.random_bool(0.3)));
    missing(event)
}

fn variable(random: &mut StdRng, flow: &str) -> Value {
    let mut event = Map::new();
    for name in ["type", "value", "variable", "misc"] {
        event.insert(name.into(), text(random));
    }
    event.insert("kind".into(), json!("variable"));
    event.insert("flow".into(), json!(flow));
    event.insert("scope".into(), json!(pick(random, &["", "", "", "@process"])));
    event.insert("name".into(), json!(pick(random, &["a", "a", "é"])));
    event.insert("run".into(), json!(pick(random, &[0, 10, 10, 10])));
    event.insert("revision".into(), json!(pick(random, &[-1, 1, 1, 1_700_000_000_000_001_i64])));
    event.insert("removed".into(), json!(random.random_bool(0.3)));
    event.insert("created".into(), time(random));
    event.insert("updated".into(), time(random));
    missing(event)
}

fn phase(random: &mut StdRng) -> Value {
    pick(random, &[json!(0), json!(1), json!(2), json!(2), json!(9), Value::Null]).clone()
}

/// Empty is missing: on the wire the two are one, so the model gets the one.
fn missing(event: Map<String, Value>) -> Value {
    let blank = |value: Value| if value == "" { Value::Null } else { value };
    Value::Object(event.into_iter().map(|(name, value)| (name, blank(value))).collect())
}

fn record(event: &Value) -> Record {
    let s = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
    let b = |name: &str| Bytes::from(s(name));
    let n = |name: &str| event[name].as_i64();
    let t = |name: &str| {
        n(name).map(|micros| {
            // Nanoseconds that are rounded away.
            let nanos = micros.rem_euclid(1_000_000) * 1000 + micros.rem_euclid(500);
            pbjson_types::Timestamp {
                seconds: micros.div_euclid(1_000_000),
                nanos: i32::try_from(nanos).unwrap(),
            }
        })
    };
    let phase = match n("phase") {
        None => 0,
        Some(phase @ 0..=2) => i32::try_from(phase).unwrap() + 1,
        Some(_) => 99,
    };
    let flow_instance_id = s("flow");
    let event = match event["kind"].as_str().unwrap() {
        "flow" => Event::Flow(v1::FlowEvent {
            flow_instance_id,
            run: n("run").unwrap(),
            phase,
            status_word: s("status"),
            user_id: s("user"),
            app_name: s("app"),
            app_version: s("version"),
            flow_name: s("name"),
            host_id: s("host"),
            started_at: t("start"),
            ended_at: t("end"),
            parent_flow_instance_id: s("parent"),
            parent_flow_name: s("parentname"),
            rerun_of_flow_instance_id: s("original"),
            input: b("input"),
            output: b("output"),
            error: b("error"),
            trace_id: s("trace"),
            ..v1::FlowEvent::default()
        }),
        "step" => Event::Step(v1::StepEvent {
            flow_instance_id,
            step_id: s("step"),
            execution: n("execution").unwrap(),
            phase,
            status_word: s("status"),
            task_name: s("task"),
            flow_name: s("flowname"),
            subflow_id: s("subflow"),
            parent_step_id: s("parentstep"),
            started_at: t("start"),
            ended_at: t("end"),
            rerun: event["rerun"].as_bool().unwrap_or_default(),
            data: b("data"),
            input: b("input"),
            output: b("output"),
            error: b("error"),
            misc: b("misc"),
            ..v1::StepEvent::default()
        }),
        "rewind" => {
            Event::Rewind(v1::Rewind { flow_instance_id, from_step: n("n"), before: n("before").unwrap() })
        }
        "deleted" => Event::FlowDeleted(v1::FlowDeleted { flow_instance_id, before: n("before") }),
        "variable" => Event::Variable(v1::VariableEvent {
            flow_instance_id,
            run: n("run").unwrap(),
            scope: s("scope"),
            name: s("name"),
            r#type: s("type"),
            value: b("value"),
            revision: n("revision").unwrap(),
            removed: event["removed"].as_bool().unwrap(),
            variable_id: s("variable"),
            created_at: t("created"),
            updated_at: t("updated"),
            misc: b("misc"),
        }),
        _ => Event::App(v1::AppEvent {
            user_id: s("user"),
            app_name: s("app"),
            app_version: s("version"),
            persistence_enabled: event["on"].as_bool().unwrap(),
            at: t("at"),
        }),
    };
    let value = v1::HistoryEvent { event: Some(event) }.encode_to_vec().into();
    Record { key: s_key(event_key(&value)), value }
}

fn event_key(value: &Bytes) -> String {
    match v1::HistoryEvent::decode(value.clone()).unwrap().event.unwrap() {
        Event::Flow(e) => e.flow_instance_id,
        Event::Step(e) => e.flow_instance_id,
        Event::Rewind(e) => e.flow_instance_id,
        Event::FlowDeleted(e) => e.flow_instance_id,
        Event::Snapshot(e) => e.flow_instance_id,
        Event::Variable(e) => e.flow_instance_id,
        Event::App(e) => format!("{}/{}", e.user_id, e.app_name),
        Event::Several(_) => String::new(),
    }
}

fn s_key(key: String) -> Vec<u8> {
    key.into_bytes()
}
