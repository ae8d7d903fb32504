//! Traces of a collector, as a receiver of OTLP over HTTP gets them.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, http::HeaderMap, routing::post};
use flowtrail::{config::Config, http};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message as _;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    collecting::until_stored,
    gaps::flows,
    program::{Process, configured},
    servers,
    topics::{Raw, put},
};

const TRACEPARENT: &[u8] = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Keeps what it is sent.
struct Receiver {
    address: String,
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
    _stop: tokio_util::sync::DropGuard,
}

impl Receiver {
    async fn start() -> Self {
        let (stop, requests) = (CancellationToken::new(), Arc::<Mutex<Vec<_>>>::default());
        let kept = requests.clone();
        let keep = async move |headers: HeaderMap, body: Bytes| {
            assert_eq!(headers["content-type"], "application/x-protobuf");
            kept.lock().unwrap().push(ExportTraceServiceRequest::decode(body).unwrap());
        };
        let router = Router::new().route("/v1/traces", post(keep));
        let address = http::serve("127.0.0.1:0", router, stop.clone(), &TaskTracker::new()).await.unwrap();
        Self { address: format!("http://{address}"), requests, _stop: stop.drop_guard() }
    }

    /// Spans that came, each of a service of this name.
    fn spans(&self, service: &str) -> Vec<Span> {
        let requests = self.requests.lock().unwrap();
        let resources = requests.iter().flat_map(|request| &request.resource_spans);
        let mut spans = Vec::new();
        for of_resource in resources {
            let resource = of_resource.resource.as_ref().unwrap();
            assert_eq!(text(&resource.attributes, "service.name"), Some(service.to_owned()));
            spans.extend(of_resource.scope_spans.iter().flat_map(|scope| scope.spans.clone()));
        }
        spans
    }
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    match value(attributes, key)? {
        Value::StringValue(text) => Some(text.clone()),
        other => panic!("{key} is {other:?}"),
    }
}

fn whole(attributes: &[KeyValue], key: &str) -> i64 {
    match value(attributes, key) {
        Some(Value::IntValue(number)) => *number,
        other => panic!("{key} is {other:?}"),
    }
}

async fn collect(config: &Config, endpoint: &str) -> Process {
    let mut command = configured(config, ["collect", "--http", "127.0.0.1:0"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint).env("OTEL_SERVICE_NAME", "history");
    Process::start(command).await
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// The spans right below another, which lie within it.
fn below<'a>(spans: &'a [Span], parent: &Span) -> Vec<&'a Span> {
    let below: Vec<_> = spans.iter().filter(|span| span.parent_span_id == parent.span_id).collect();
    for span in &below {
        assert_eq!(span.trace_id, parent.trace_id);
        assert!(parent.start_time_unix_nano <= span.start_time_unix_nano, "{}", span.name);
        assert!(span.end_time_unix_nano <= parent.end_time_unix_nano, "{}", span.name);
    }
    below
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_a_span_that_is_linked_to_where_its_records_came_from_with_its_stages_below() {
    let (config, receiver) = (servers::config(1).await, Receiver::start().await);
    let mut records = flows("a", 3);
    // Two were published under one span, and one under none.
    for record in records.iter_mut().skip(1) {
        record.headers = vec![("other", None), ("traceparent", Some(TRACEPARENT))];
    }
    put(&config, &records).await;
    let process = collect(&config, &receiver.address).await;
    until_stored(&config).await;
    assert_eq!(process.end("TERM").await, Some(0));

    let spans = receiver.spans("history");
    let topic = &config.kafka.topics[0];
    let batches = named(&spans, &format!("process {topic}"));
    assert!(!batches.is_empty(), "{spans:?}");
    let (mut messages, mut origins) = (0, BTreeSet::new());
    for batch in batches {
        let about = |key: &str| text(&batch.attributes, key);
        assert_eq!((batch.kind(), &*batch.parent_span_id), (SpanKind::Consumer, &[][..]));
        assert_eq!(about("messaging.system").as_deref(), Some("kafka"));
        assert_eq!(about("messaging.operation.type").as_deref(), Some("process"));
        assert_eq!(about("messaging.destination.name").as_ref(), Some(topic));
        assert_eq!(about("messaging.consumer.group.name").as_ref(), Some(&config.kafka.group));
        messages += whole(&batch.attributes, "messaging.batch.message_count");
        for link in &batch.links {
            origins.insert((link.trace_id.clone(), link.span_id.clone()));
            assert_eq!(text(&link.attributes, "messaging.destination.partition.id").as_deref(), Some("0"));
            assert!((1..3).contains(&whole(&link.attributes, "messaging.kafka.offset")));
        }
        let stages = below(&spans, batch);
        assert_eq!(
            stages.iter().map(|stage| &*stage.name).collect::<BTreeSet<_>>(),
            ["gather", "store"].into()
        );
        let store = stages.into_iter().find(|stage| stage.name == "store").unwrap();
        let tries = below(&spans, store);
        assert!(!tries.is_empty());
        for one in tries {
            assert_eq!((&*one.name, one.kind()), ("store batch", SpanKind::Client));
            assert_eq!(text(&one.attributes, "db.system.name").as_deref(), Some("postgresql"));
            let database = config_database(&config);
            assert_eq!(text(&one.attributes, "db.namespace"), Some(database));
            assert!(text(&one.attributes, "error.type").is_none());
        }
    }
    let trace = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes().to_vec();
    let span = 0x00f0_67aa_0ba9_02b7_u64.to_be_bytes().to_vec();
    assert_eq!((messages, origins), (3, BTreeSet::from([(trace, span)])));
}

fn config_database(config: &Config) -> String {
    config.postgres.connection().unwrap().get_dbname().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_cannot_be_stored_is_an_error_in_its_trace() {
    let (config, receiver) = (servers::config(1).await, Receiver::start().await);
    let process = collect(&config, &receiver.address).await;
    put(&config, &flows("a", 1)).await;
    until_stored(&config).await;
    let client = servers::connect_to(&config).await;
    client.batch_execute("ALTER TABLE ft_offset RENAME TO elsewhere").await.unwrap();
    put(&config, &flows("b", 1)).await;
    let mut process = process;
    process.says("error: ").await;
    assert_eq!(process.child.wait().await.unwrap().code(), Some(1));
    let spans = receiver.spans("history");
    let failed: Vec<_> =
        spans.iter().filter(|span| text(&span.attributes, "error.type").as_deref() == Some("halt")).collect();
    assert_eq!(failed.len(), 1, "{spans:?}");
    assert_eq!(failed[0].status.as_ref().unwrap().code(), StatusCode::Error);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_receiver_everything_is_stored_and_one_line_says_why_there_are_no_traces() {
    let config = servers::config(1).await;
    put(&config, &[Raw { headers: vec![("traceparent", Some(TRACEPARENT))], ..flows("a", 1).remove(0) }])
        .await;
    // Nobody listens on this port.
    let mut process = collect(&config, "http://127.0.0.1:9").await;
    until_stored(&config).await;
    let line = process.says("traces_not_sent").await;
    assert!(line.contains("Connection refused"), "{line}");
    assert_eq!(process.end("TERM").await, Some(0));
}
