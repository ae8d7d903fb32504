//! What is small as long as it is small: nesting, repetition and lengths that only hurt when there is a lot of them.
//! The bodies bound the memory; that it ends in time is what these show besides.

use std::panic;

use super::bodies::{self, bounded};

/// How often something small is repeated.
const MANY: usize = 50_000;

fn joined(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// As `bodies::decode` takes it: bare protobuf, and JSON.
fn protobuf(message: &[u8]) {
    bodies::decode(&joined(&[b"\x00\x01f", message]));
    bodies::framing(&joined(&[b"\0\0\0\x09", message]));
}

fn json(message: &[u8]) {
    bodies::decode(&joined(&[b"\x03\x01f", message]));
}

fn step(body: &str) {
    bodies::flogo(format!("POST /v1/instances/steps\n{body}").as_bytes());
}

fn file(toml: &str) {
    bodies::config(format!("-\n%%\n{toml}").as_bytes());
}

fn variable(line: &str) {
    bodies::config(format!("-\n%%\n\n%%\n{line}").as_bytes());
}

/// A field of type bytes or message, as it is on the wire.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len().try_into().unwrap(), &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

#[test]
fn more_memory_than_the_bound_is_noticed() {
    let held =
        |bytes: usize| panic::catch_unwind(|| bounded(8_000, || Vec::<u8>::with_capacity(bytes).len()));
    assert!(held(8_000).is_ok());
    assert!(held(8_001).is_err());
}

#[test]
fn nesting_has_an_end() {
    // Groups of a field that the contract does not have, opened and never closed.
    protobuf(&b"\x7b".repeat(MANY));
    json(format!("{{\"other\":{}", "[".repeat(MANY)).as_bytes());
    json(format!("{{\"flow\":{{\"other\":{}", "{\"a\":".repeat(MANY)).as_bytes());
    step(&format!("{{\"id\":1,\"flowId\":\"f\",\"other\":{}", "[".repeat(MANY)));
    file(&format!("a = {}", "[".repeat(MANY)));
    file(&format!("a = {}", "{a=".repeat(MANY)));
}

#[test]
fn a_length_is_no_reason_to_take_memory() {
    for length in
        [&b"\xff\xff\xff\xff\x0f"[..], b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f", b"\x80\x80\x80\x80\x04"]
    {
        protobuf(&joined(&[b"\x0a", length, b"x"]));
        protobuf(&field(1, &joined(&[b"\x82\x01", length, b"x"])));
    }
}

#[test]
fn one_field_many_times_over_is_kept_once() {
    protobuf(&field(1, &field(1, b"f")).repeat(MANY));
    protobuf(&field(1, &field(1, b"f").repeat(MANY)));
    // A time, each a message that is merged into the last.
    protobuf(&field(1, &field(11, b"\x08\x01").repeat(MANY)));
}

#[test]
fn text_that_grows_when_it_is_put_right_grows_threefold_at_most() {
    let mut flow = field(1, b"f");
    flow.extend(field(9, &b"\0".repeat(MANY)));
    protobuf(&field(1, &flow));
    json(format!("{{\"flow\":{{\"flowName\":\"{}\"}}}}", "\\u0000".repeat(MANY)).as_bytes());
}

#[test]
fn a_reject_does_not_quote_the_whole_message() {
    let long = "x\\n".repeat(MANY);
    json(format!("{{\"flow\":{{\"run\":\"{long}\"}}}}").as_bytes());
    json(format!("{{\"flow\":{{\"phase\":\"{long}\"}}}}").as_bytes());
    json(format!("{{\"flow\":{{\"startedAt\":\"{long}\"}}}}").as_bytes());
    json(format!("{{\"{long}\":1,\"flow\":1}}").as_bytes());
}

#[test]
fn a_step_of_many_small_parts_takes_memory_by_its_length() {
    let many = |part: fn(usize) -> String| (0..MANY).map(part).collect::<Vec<_>>().join(",");
    step(&format!(r#"{{"id":1,"flowId":"f","flowChanges":{{{}}}}}"#, many(|n| format!("\"{n}\":{{}}"))));
    let change = |inner: String| {
        step(&format!(r#"{{"id":1,"flowId":"f","flowChanges":{{"0":{{"taskId":"A",{inner}}}}}}}"#));
    };
    change(format!("\"tasks\":{{{}}}", many(|n| format!("\"{n}\":{{}}"))));
    change(format!("\"attrs\":{{{}}}", many(|_| "\"\":0".to_owned())));
    change(format!("\"attrs\":{{{}}}", many(|_| "\"_A.A.\":0".to_owned())));
    step(&format!(r#"{{"id":1,"flowId":"{}"}}"#, "<".repeat(MANY)));
}

#[test]
fn a_request_with_a_long_path_or_time_is_a_line_that_is_no_longer() {
    bodies::flogo(format!("DELETE /v1/instances/f/step/{}\n", "\u{7f}".repeat(MANY)).as_bytes());
    bodies::flogo(format!("DELETE /v1/instances/{}\n", "%00/".repeat(MANY)).as_bytes());
    step(&format!(r#"{{"id":1,"flowId":"f","starttime":"{}"}}"#, "\\u0001".repeat(MANY)));
}

#[test]
fn a_configuration_with_a_long_name_is_refused_in_a_short_sentence() {
    file(&format!("{} = 1", "a".repeat(MANY)));
    file(&format!("[kafka]\ngroup = \"{}\"", "\\n".repeat(MANY)));
    file(&format!("[kafka.librdkafka]\n{} = 1", "a".repeat(MANY)));
    variable(&format!("FLOWTRAIL_{}=1", "A".repeat(MANY)));
    variable(&format!("FLOWTRAIL_KAFKA__LIBRDKAFKA__{}=1", "_A".repeat(MANY)));
}

#[test]
fn a_configuration_of_many_settings_takes_memory_by_their_number() {
    let lines = |line: fn(usize) -> String| (0..5_000).map(line).collect::<Vec<_>>().join("\n");
    file(&lines(|n| format!("a{n}=1")));
    file(&format!("{}=1", vec!["a"; 5_000].join(".")));
    file(&format!("[{}]", vec!["a"; 5_000].join(".")));
    file(&format!("[kafka]\ntopics = [{}]", "\"a\",".repeat(MANY)));
    variable(&lines(|n| format!("FLOWTRAIL_{n}=1")));
    variable(&format!("DATABASE_URL=postgres://a@b/c?{}", "a=b&".repeat(MANY)));
    variable(&format!("DATABASE_URL={}", "host=a ".repeat(MANY)));
    variable(&format!("KAFKA_BOOTSTRAP_SERVERS={}", "a:1,".repeat(MANY)));
}

#[test]
fn a_field_of_any_shape_is_masked_in_time() {
    let of = |text: String| bodies::redaction(text.as_bytes());
    of("[".repeat(MANY));
    of(format!("{}1{}", "{\"a\":".repeat(511), "}".repeat(511)));
    of(format!("{}1{}", "[".repeat(512), "]".repeat(512)));
    of(format!("{}1{}", "[".repeat(513), "]".repeat(513)));
    of(format!("[{}1]", "{\"password\":1,\"x\":[]},".repeat(MANY)));
    of(format!("{{\"{}\":1}}", "pas".repeat(MANY)));
    of(format!("{{\"{}\":1}}", "\\u0070as".repeat(MANY)));
    of(format!("\"{}", "\\".repeat(MANY)));
    of(format!("-{}", "1".repeat(MANY)));
    of(" ".repeat(MANY));
}

#[test]
fn events_that_say_nothing_take_no_place() {
    protobuf(&field(8, &b"\x0a\x00".repeat(MANY)));
    protobuf(&field(8, &b"\x0a\x02\x0a\x00".repeat(MANY)));
    // Within each other.
    let mut nested = Vec::new();
    for _ in 0..100 {
        nested = field(8, &field(1, &nested));
    }
    protobuf(&nested);
    json(format!("{{\"several\":{{\"events\":[{}{{}}]}}}}", "{},".repeat(MANY)).as_bytes());
}

#[test]
fn elements_without_end_have_an_end() {
    let zeros = vec![b'0'; 1 << 24];
    bodies::flowable(&joined(&[b"\x02[", &zeros]));
    bodies::flowable(&joined(&[b"\x00[", &b"{},".repeat(MANY), b"{}]"]));
    bodies::flowable(&joined(&[b"\x00[", &b"[".repeat(MANY)]));
    bodies::flowable(&joined(&[b"\x00{\"type\":\"x\",\"data\":{\"a\":", &b"[".repeat(MANY)]));
}
