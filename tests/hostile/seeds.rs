//! Where fuzzing begins: each kind of event and request, and each odd input that has a rule.
//!
//! `WRITE_SEEDS=1 cargo test --test hostile seeds` writes them to `fuzz/corpus/`, where what fuzzing found is too.

use std::{env, fs, path::Path};

use flowtrail::proto::v1::HistoryEvent;
use prost::Message as _;

/// As `bodies::decode` has them.
const BARE: u8 = 0;
const SHORT: u8 = 1;
const LONG: u8 = 2;
const JSON: u8 = 3;
const WITHOUT_KEY: u8 = 4;
const SMALL_LIMIT: u8 = 8;

const FLOW: &str = r#"{"flow":{"flowInstanceId":"f","run":"7","phase":"PHASE_CLOSED","status":"FLOW_STATUS_COMPLETED","userId":"u","appName":"a","appVersion":"1.0","flowName":"order","hostId":"h","startedAt":"2026-11-21T20:28:27.494224991Z","endedAt":"2026-11-21T20:28:28Z","parentFlowInstanceId":"p","parentFlowName":"caller","rerunOfFlowInstanceId":"o","input":"e30=","output":"bnVsbA==","error":"eA==","traceId":"t"}}"#;
const STEP: &str = r#"{"step":{"flowInstanceId":"f","stepId":"3","execution":"9","phase":"PHASE_CLOSED","status":"STEP_STATUS_FAILED","statusWord":"Broken","taskName":"Call","flowName":"order","subflowId":"1","parentStepId":"2","startedAt":"2026-11-21T20:28:27Z","endedAt":"2026-11-21T20:28:28Z","rerun":true,"data":"e30=","input":"e30=","output":"MQ==","error":"eA==","misc":"eQ=="}}"#;
const REWIND: &str = r#"{"rewind":{"flowInstanceId":"f","fromStep":"3","before":"10"}}"#;
const REWIND_ALL: &str = r#"{"rewind":{"flowInstanceId":"f","before":"-1"}}"#;
const DELETED: &str = r#"{"flowDeleted":{"flowInstanceId":"f","before":"9223372036854775807"}}"#;
const SNAPSHOT: &str = r#"{"snapshot":{"flowInstanceId":"f","stepId":"3","data":"e30="}}"#;
const APP: &str = r#"{"app":{"userId":"u","appName":"a","appVersion":"1","persistenceEnabled":true,"at":"2026-11-21T20:28:27Z"}}"#;
const SEVERAL: &str = r#"{"several":{"events":[{"step":{"flowInstanceId":"a","stepId":"1"}},{"flowDeleted":{"flowInstanceId":"b"}},{"variable":{"flowInstanceId":"e:","scope":"@step:1","name":"n"}}]}}"#;
const VARIABLE: &str = r#"{"variable":{"flowInstanceId":"f","run":"7","scope":"execution:1","name":"total","type":"long","value":"NDE=","revision":"-1","removed":true,"variableId":"v","createdAt":"2026-11-21T20:28:27Z","updatedAt":"2026-11-21T20:28:28Z","misc":"e30="}}"#;
const EVENTS: [(&str, &str); 9] = [
    ("flow", FLOW),
    ("step", STEP),
    ("rewind", REWIND),
    ("rewind-all", REWIND_ALL),
    ("deleted", DELETED),
    ("snapshot", SNAPSHOT),
    ("app", APP),
    ("several", SEVERAL),
    ("variable", VARIABLE),
];

type Seed = (String, Vec<u8>);

fn seed(name: &str, parts: &[&[u8]]) -> Seed {
    (name.to_owned(), parts.concat())
}

fn protobuf(json: &str) -> Vec<u8> {
    serde_json::from_str::<HistoryEvent>(json).unwrap().encode_to_vec()
}

fn decode() -> Vec<Seed> {
    let record = |name: &str, how: u8, key: &str, message: &[u8]| {
        seed(name, &[&[how, key.len().try_into().unwrap()], key.as_bytes(), message])
    };
    let mut seeds = Vec::new();
    for (kind, json) in EVENTS {
        let message = protobuf(json);
        seeds.push(record(&format!("{kind}-bare"), BARE, "f", &message));
        seeds.push(record(&format!("{kind}-json"), JSON, "f", json.as_bytes()));
    }
    let flow = protobuf(FLOW);
    seeds.push(record("flow-confluent-short", SHORT, "f", &flow));
    seeds.push(record("flow-confluent-long", LONG, "f", &flow));
    seeds.push(record("key-missing", BARE | WITHOUT_KEY, "", &flow));
    seeds.push(record("key-of-another", BARE, "g", &flow));
    seeds.push(record("value-missing", BARE, "f", b""));

    let json = |name: &str, how: u8, key: &str, json: &str| record(name, how, key, &protobuf(json));
    let long = "é".repeat(50);
    seeds.extend([
        json("id-from-key", BARE, "k", r#"{"flow":{"run":"1"}}"#),
        json("id-from-key-with-nul", BARE, "a\0b", r#"{"flowDeleted":{}}"#),
        json("id-missing", BARE | WITHOUT_KEY, "", r#"{"step":{"stepId":"1"}}"#),
        json("id-with-nul", BARE, "a\0b", "{\"flow\":{\"flowInstanceId\":\"a\\u0000b\"}}"),
        json("id-too-long", BARE, "f", &format!(r#"{{"rewind":{{"flowInstanceId":"{}"}}}}"#, "x".repeat(1025))),
        json("step-id-missing", BARE, "f", r#"{"step":{"flowInstanceId":"f"}}"#),
        json("text-with-nul", BARE, "f", "{\"flow\":{\"flowInstanceId\":\"f\",\"flowName\":\"\\u0000\"}}"),
        json("text-cut-within-a-letter", BARE | SMALL_LIMIT, "f", &format!(r#"{{"flow":{{"flowInstanceId":"f","flowName":"x{long}"}}}}"#)),
        json("nul-that-grows-past-the-limit", BARE | SMALL_LIMIT, "f", &format!(r#"{{"flow":{{"flowInstanceId":"f","hostId":"{}"}}}}"#, "\\u0000".repeat(40))),
        json("payload-cut", BARE | SMALL_LIMIT, "f", &format!(r#"{{"snapshot":{{"flowInstanceId":"f","data":"{}"}}}}"#, "AAAA".repeat(30))),
        json("open-with-an-end", BARE, "f", r#"{"flow":{"flowInstanceId":"f","phase":"PHASE_OPENED","endedAt":"2026-11-21T20:28:28Z","output":"e30=","error":"eA=="}}"#),
        json("phase-unset-with-an-end", BARE, "f", r#"{"flow":{"flowInstanceId":"f","endedAt":"1970-01-01T00:00:00Z"}}"#),
        json("time-rounded-to-even", BARE, "f", r#"{"app":{"appName":"a","at":"1969-12-31T23:59:59.9999985Z"}}"#),
        json("time-of-a-leap-second", BARE, "f", r#"{"app":{"appName":"a","at":"2016-12-31T23:59:60.5Z"}}"#),
        json("app-without-a-name", BARE, "", r#"{"app":{"userId":"u"}}"#),
        record("status-without-a-word", BARE, "f", b"\x0a\x06\x0a\x01f\x20\xe7\x24"),
        record("status-below-zero", BARE, "f", b"\x0a\x0e\x0a\x01f\x20\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        record("phase-without-a-name", BARE, "f", b"\x0a\x05\x0a\x01f\x18\x63"),
        record("time-beyond-all-years", BARE, "f", b"\x0a\x0f\x0a\x01f\x5a\x0a\x08\xff\xff\xff\xff\xff\xff\xff\xff\x7f"),
        record("time-with-nanos-below-zero", BARE, "f", b"\x0a\x10\x0a\x01f\x5a\x0b\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        record("text-that-is-not-utf-8", BARE, "f", b"\x0a\x06\x0a\x01f\x4a\x01\xff"),
        record("text-that-is-not-utf-8-and-then-is", BARE, "f", b"\x0a\x09\x0a\x01f\x4a\x01\xff\x4a\x01n"),
        record("two-events-the-last-counts", BARE, "f", b"\x0a\x03\x0a\x01f\x22\x03\x0a\x01g"),
        record("one-event-in-two-pieces", BARE, "f", b"\x0a\x03\x0a\x01f\x0a\x02\x10\x07"),
        record("event-of-a-later-version", BARE, "f", b"\x7a\x00"),
        record("field-of-a-later-version", BARE, "f", b"\x0a\x07\x0a\x01f\xfa\x06\x01x"),
        record("group", BARE, "f", b"\x7b\x08\x01\x7c"),
        record("length-beyond-the-end", BARE, "f", b"\x0a\xff\xff\xff\xff\x0f\x0a\x01f"),
        record("wrong-wire-type", BARE, "f", b"\x0a\x02\x08\x01"),
        record("json-of-another-type", JSON, "f", b"{\"flow\": 7}"),
        record("json-with-a-line-end-in-a-word", JSON, "f", b"{\"flow\":{\"phase\":\"a\\n\\u0000\\u001b[2J\"}}"),
        record("json-with-snake-case-and-unknown-fields", JSON, "f", b"{\"step\":{\"flow_instance_id\":\"f\",\"step_id\":\"1\",\"x\":[{}]}}"),
        record("json-with-numbers-as-text-and-url-base64", JSON, "f", b"{\"flow\":{\"flowInstanceId\":\"f\",\"run\":\"-9223372036854775808\",\"phase\":3,\"input\":\"_-8\"}}"),
        record("json-twice-the-same", JSON, "f", b"{\"flow\":{},\"flow\":{}}"),
        record("json-null", JSON, "f", b"{\"flow\":null,\"step\":{\"flowInstanceId\":null}}"),
        record("json-cut-off", JSON, "f", b"{\"flow\":{\"flowInstanceId\":\"f"),
        record("json-lone-surrogate", JSON, "f", b"{\"flow\":{\"flowInstanceId\":\"\\ud800\"}}"),
    ]);
    seeds
}

fn framing() -> Vec<Seed> {
    let schema = &[0, 0, 0, 9][..];
    let flow = protobuf(FLOW);
    let json = APP.as_bytes();
    vec![
        seed("bare", &[schema, &flow]),
        seed("json", &[schema, json]),
        seed("nothing", &[schema]),
        seed("schema-of-all-ones", &[&[0xff; 4], &flow]),
        seed("short-index", &[schema, &[0], &flow]),
        seed("long-index", &[schema, &[2, 0], &flow]),
        seed("long-varints", &[schema, &[0x82, 0x80, 0x80, 0x00, 0x80, 0x00], &flow]),
        seed("second-message", &[schema, &[2, 2], &flow]),
        seed("nested-message", &[schema, &[4, 0, 0], &flow]),
        seed("count-below-zero", &[schema, &[1], &flow]),
        seed("count-of-64-bits", &[schema, &[0xff; 9], &[1], &flow]),
        seed("index-of-64-bits", &[schema, &[2], &[0xff; 9], &[1], &flow]),
        seed("varint-beyond-64-bits", &[schema, &[0xff; 9], &[2], &flow]),
        seed("index-cut-off", &[schema, &[2]]),
        seed("varint-cut-off", &[schema, &[2, 0x80]]),
        seed("framed-twice", &[schema, &[0, 0, 0, 0, 0, 9, 0], &flow]),
        seed("json-behind-an-index", &[schema, &[0], json]),
    ]
}

fn flogo() -> Vec<Seed> {
    let step = |change: &str| {
        format!(
            r#"POST /v1/instances/steps
{{"id":1,"flowId":"f","flowChanges":{{{change}}},"starttime":"2026-11-21T20:28:27.501646712Z","endtime":"2026-11-21T20:28:27.501777447Z","rerun":true}}"#
        )
    };
    let text = |name: &str, text: &str| seed(name, &[text.as_bytes()]);
    vec![
        text(
            "start",
            r#"POST /v1/instances/start
{"user_id":"u","app_name":"a","app_version":"1","host_id":"h","flow_name":"order","flow_instance_id":"f","flow_inputs":{"amount":250.10,"note":"\u00fc < \ud83d\ude00"},"flow_outputs":{"code":0},"flow_stats":"Created","rerun_count":0,"start_time":"2026-11-21T20:28:27.494224991Z","end_time":"2026-11-21T20:28:27.494228307Z","original_instance_id":"o"}"#,
        ),
        text(
            "end",
            r#"POST /v1/instances/end
{"flow_instance_id":"f","flow_stats":"Paused","start_time":"2026-11-21T20:28:27.5+01:00","end_time":"2026-11-21T20:28:27.5Z","flow_inputs": null, "flow_outputs": [ 1e400, -0 ]}"#,
        ),
        text(
            "end-before-the-year-1",
            "POST /v1/instances/end\n{\"flow_instance_id\":\"f\",\"start_time\":\"-009999-01-02T00:00:00Z\",\"end_time\":\"0001-01-01T00:00:00Z\"}",
        ),
        text(
            "id-with-nul",
            "POST /v1/instances/end\n{\"flow_instance_id\":\"\\u0000\",\"flow_name\":\"a\\u0000b\"}",
        ),
        text(
            "lone-surrogate",
            "POST /v1/instances/start\n{\"flow_instance_id\":\"f\",\"flow_inputs\":[\"\\ud800\"]}",
        ),
        text(
            "step-of-a-task",
            &step(
                r#""0":{"newFlow":false,"flowURI":"res://flow:order","subflowId":0,"taskId":"A","attrs":{"_A.A":{},"_A.A.x":{"k": 1.20},"_A.A.y":300,"_E.A":{"m":"boom"}},"tasks":{"A":{"change":2,"status":40,"input":{"f": 1}},"B":{"change":1,"status":20,"input":null}},"links":null,"returnData":null}"#,
            ),
        ),
        text(
            "step-that-starts-a-subflow",
            &step(
                r#""0":{"flowURI":"res://flow:outer","taskId":"Call","tasks":{"Call":{"status":30}}},"1":{"newFlow":true,"flowURI":"res://flow:inner","taskId":"First"}"#,
            ),
        ),
        text(
            "step-that-failed",
            &step(
                r#""-1":{"taskId":"X","tasks":{"T":{"status":100},"S":{"status":110}},"attrs":{"_E":"e","_A.T":[ 1, 2 ]},"returnData":{"code":200}}"#,
            ),
        ),
        text(
            "step-with-odd-statuses",
            &step(r#""0":{"taskId":"A","tasks":{"A":{"status":-9223372036854775808}}}"#),
        ),
        text("step-without-changes", &step("")),
        text(
            "step-with-the-same-name-twice",
            &step(r#""0":{"taskId":"A","attrs":{"_A.A.x":1,"_A.A.x":2,"_A.A.":3}}"#),
        ),
        text("step-without-an-id", "POST /v1/instances/steps\n{\"flowId\":\"f\"}"),
        text(
            "step-with-a-bad-time",
            "POST /v1/instances/steps\n{\"flowId\":\"f\",\"id\":1,\"starttime\":\"noon\\n\"}",
        ),
        text(
            "step-with-an-id-beyond-64-bits",
            "POST /v1/instances/steps\n{\"flowId\":\"f\",\"id\":9223372036854775808}",
        ),
        text("snapshot", "POST /v1/instances/snapshot\n{\"id\": \"f\", \"status\": 100, \"deep\": [[[{}]]]}"),
        text("rewind", "DELETE /v1/instances/a%2Fb/step/4?x=1\n"),
        text("rewind-from-below-zero", "DELETE /v1/instances/f/step/-1\n"),
        text("rewind-from-a-word", "DELETE /v1/instances/f/step/%0Aone\n"),
        text("deleted", "DELETE /v1/instances/f\n"),
        text("deleted-nobody", "DELETE /v1/instances/%00\n"),
        text("app-on", "POST /v1/app/state/my%20app%zz%4\n"),
        text("app-off", "DELETE /v1/app/state/%ff\n"),
        text("a-read", "GET /v1/instances/f/steps\n"),
        text("path-with-a-line-end", "POST /v1/instances/start?\r\u{1b}[2J\n{}"),
        text(
            "recording",
            "{\"method\":\"POST\",\"path\":\"/v1/instances/steps\",\"body\":{\"id\":1,\"flowId\":\"f\",\"starttime\":\"2026-11-21T20:28:27Z\"}}\n\n{\"method\":\"DELETE\",\"path\":\"/v1/instances/f/step/1\"}\n{\"method\":\"POST\",\"path\":\"/v1/app/state/a\",\"t\":1e300}\n{\"method\":\n",
        ),
    ]
}

fn config() -> Vec<Seed> {
    let three = |name: &str, secret: &str, file: &str, variables: &str| {
        seed(name, &[secret.as_bytes(), b"\n%%\n", file.as_bytes(), b"\n%%\n", variables.as_bytes()])
    };
    let all = "[kafka]\nbootstrap_servers = \"a:9092,[::1]:9092\"\ntopics = [\"a\", \"^b.*\"]\ngroup = \"it's \\\"g\\\"\"\n[kafka.librdkafka]\nsocket.timeout.ms = 5_000\n\"sasl.username\" = \"ann\"\n[collector]\nlanes = 0x10\nbatch_rows = 10\nlinger_ms = 0\non_gap = \"continue\"\n[http]\nlisten = \"127.0.0.1:0\"\n[schema]\nmode = \"none\"\n";
    let variables = "KAFKA_BOOTSTRAP_SERVERS=a:1\nFLOWTRAIL_KAFKA__TOPICS=a, b\nFLOWTRAIL_KAFKA__LIBRDKAFKA__LOG__LEVEL=3\nFLOWTRAIL_COLLECTOR__MAX_PAYLOAD_BYTES=4_194_304\nFLOWTRAIL_PORT_9464_TCP_ADDR=10.0.0.1\nFLOWTRAIL_LOG=debug\nPGHOST=db\nPGPORT=5432\nPGSSLMODE=verify-full\nPGSSLROOTCERT=/etc/ca.pem";
    vec![
        three("nothing", "-", "", ""),
        three("every-section", "-", all, ""),
        three("variables", "-", "", variables),
        three("secret-in-the-file", "a@db:5432/flows?sslmode=require", "[kafka]\n", ""),
        three("secret-as-the-port", "a/flows", "", ""),
        three("secret-of-a-key", "bssl.key.", "", ""),
        three("secret-behind-an-at", "cx@y", "", ""),
        three("secret-behind-an-at-and-a-slash", "cx@y/", "", ""),
        three("secret-behind-a-question-mark", "cx?sslmode=", "", ""),
        three("secret-before-an-at", "dp@ss", "", ""),
        three("secret-in-words", "e sslmode=verify-ca sslrootcert=system", "", ""),
        three("secret-with-an-open-quote", "f\\' x", "", ""),
        three("secret-in-a-parameter", "g&connect_timeout=x", "", ""),
        three("secret-in-a-parameter-before-an-at", "g@x", "", ""),
        three("secret-that-looks-like-a-url", "e://x", "", ""),
        three("secret-in-a-flag", "h@/run%2fpostgresql,b:1,c/flows", "", ""),
        three("secret-in-a-variable", "ia 'b\\", "", "PGUSER=ann"),
        three("secret-with-a-nul", "j\0", "", ""),
        three("secret-of-several-lines", "k\r", "", ""),
        three("secret-in-a-file-of-its-own", "l@db/flows\r", "", ""),
        three("secret-in-what-is-no-toml", "m[postgres]\nurl = \"", "", ""),
        three(
            "wrong-values",
            "-",
            "collector.lanes = 65\ncollector.batch_rows = -1\nkafka.topics = [1]\nkafka.group = 1979-05-27\nschema.mode = true\nhttp.listen = \"x\"\nkafka = 1\npostgres.url = 1.5\n",
            "",
        ),
        three(
            "wrong-names",
            "-",
            "colector = 1\n[kafka]\ngruop = \"x\"\n[nothing]\n[[collector]]\n",
            "FLOWTRAIL_KAFKA__GRUOP=x\nFLOWTRAIL_HTTP_LISTEN=x",
        ),
        three(
            "a-name-of-two-lines",
            "-",
            "\"kafka\\n.gro\\u001bup\" = 1\n[kafka.librdkafka]\n\"a\\nb\" = \"\\u0000\"\nsocket.timeout.ms = \"a\\nb\"\n",
            "FLOWTRAIL_\r=1",
        ),
        three(
            "a-value-of-two-lines",
            "-",
            "kafka.topics = \"a\\nb\"\nkafka.bootstrap_servers = \"a\\nb\"\ncollector.lanes = \"1\\n2\"\nhttp.listen = \"a\\n:b\"\n",
            "",
        ),
        three(
            "numbers-beyond-64-bits",
            "-",
            "collector.lanes = 99999999999999999999\ncollector.batch_rows = 0xffffffffffffffff\ncollector.linger_ms = inf\n",
            "",
        ),
        three(
            "files-of-secrets",
            "-",
            "",
            "DATABASE_URL_FILE=host=db\nFLOWTRAIL_KAFKA__LIBRDKAFKA__SASL_PASSWORD_FILE=x\nFLOWTRAIL_KAFKA__LIBRDKAFKA__SASL_PASSWORD=y\nFLOWTRAIL_KAFKA__LIBRDKAFKA__SASL_OAUTHBEARER_ASSERTION_FILE=z",
        ),
        three(
            "salt-and-rules",
            "nx",
            "redaction.rules = [{ key = \"a\", action = \"hash\" }, { app = \"b\", path = \"$.a\" }]\n",
            "FLOWTRAIL_REDACTION__KEEP_UNREADABLE=true",
        ),
        three("rules", "-", "[[redaction.rules]]\nkey = 'a*'\n[[redaction.rules]]\nkye = 1\n", ""),
        three("rules-of-the-environment", "-", "", "FLOWTRAIL_REDACTION__RULES=[{\"path\":\"$..a\"}]"),
        three("dots-in-a-table", "-", &format!("a = {{b{}", ".".repeat(80)), ""),
        seed("not-utf-8", &[b"-\n%%\n\n%%\nFLOWTRAIL_KAFKA__GROUP=\xff\nFLOWTRAIL_\xff=1"]),
    ]
}

fn redaction() -> Vec<Seed> {
    vec![
        seed("keys", &[br#"{"password": {"x":[1, null]}, "PIN":1e3 ,"compass":"\u00fc", "k":-0.50}"#]),
        seed("escaped-keys", &[br#"{"p\u0061ss":1,"\u0070in":"\"","ca\rd":[],"c\u0061rd":{"pin":{}}}"#]),
        seed("paths", &[br#" {"a":[{"b":1},{"c":{"b":2}},{"b":[3]}],"list":[0,1,2],"x.y":{"z":1,"w":[{"z":2}]}} "#]),
        seed("same-key-twice", &[br#"{"card":"1","card":{"card":2},"a":1,"a":{"x":{"b":1}}}"#]),
        seed("masked-before", &[br#"{"card":"***","pin":"sha256:0000000000000000000000000000000000000000000000000000000000000000"}"#]),
        seed("half-a-pair", &[br#"{"p\ud800ass":1,"pass\udc00":"\ud83d\ude00"}"#]),
        seed("no-json", &[b"no route to host: pin 1234"]),
        seed("not-utf-8", &[b"{\"card\":\"\xfc\"}"]),
    ]
}

/// As `bodies::flowable` has them.
fn flowable() -> Vec<Seed> {
    let recorded = include_str!("../fixtures/flowable/async-history-6.8.1.jsonl");
    let mut kinds = std::collections::BTreeMap::new();
    for line in recorded.lines() {
        let kind = line.split('"').nth(3).unwrap();
        kinds.entry(kind).or_insert(line);
    }
    let mut seeds: Vec<Seed> =
        kinds.into_iter().map(|(kind, line)| seed(kind, &[b"\0", line.as_bytes()])).collect();
    seeds.extend([
        seed("in-an-array", &[b"\x01", br#"{"type":"task-deleted","data":{"id":"1"}}"#]),
        seed("gzip", &[b"\x03", br#"{"type":"variable-removed","data":{"id":"1","revision":"2"}}"#]),
        seed("no-gzip", &[b"\x04", b"\x08\0"]),
        seed("numbers-as-text", &[b"\0", br#"{"type":"variable-created","data":{"id":1,"processInstanceId":2,"name":"n","variableType":"double","variableDoubleValue":"1e300"}}"#]),
        seed("a-bad-time", &[b"\0", br#"{"type":"process-instance-start","data":{"id":"1","startTime":"never"}}"#]),
        seed("no-such-type", &[b"\0", br#"{"type":"x","data":{}}"#]),
    ]);
    seeds
}

#[test]
fn the_seeds_are_in_the_corpus() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let targets = [
        ("decode", decode()),
        ("framing", framing()),
        ("flogo", flogo()),
        ("flowable", flowable()),
        ("redaction", redaction()),
        ("config", config()),
    ];
    for (target, seeds) in targets {
        let folder = root.join(target);
        if env::var_os("WRITE_SEEDS").is_some() {
            fs::create_dir_all(&folder).unwrap();
            for (name, input) in &seeds {
                fs::write(folder.join(name), input).unwrap();
            }
        }
        for (name, input) in seeds {
            let kept = fs::read(folder.join(&name)).unwrap_or_default();
            assert!(kept == input, "{target}/{name} is another one; WRITE_SEEDS=1 writes it");
        }
    }
}
