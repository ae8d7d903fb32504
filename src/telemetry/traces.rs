//! Traces: a span for each batch, linked to those under which its records were published, with its stages and the tries to
//! store it below. Sent by OTLP over HTTP.
//!
//! Off unless configured: then nobody looks at a record's headers for it. Names and attributes are those of OpenTelemetry's
//! semantic conventions for messaging and databases.

mod send;

use std::{collections::HashSet, sync::Arc, time::Duration};

use bytes::Bytes;
use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, TextMapPropagator as _},
    trace::{
        Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceId, Tracer as _,
        TracerProvider as _,
    },
};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    resource::EnvResourceDetector,
    trace::{Sampler, SdkTracer, SdkTracerProvider, Span},
};
use thiserror::Error;
use tokio_postgres::config::Host;

use self::send::Sender;
use crate::{config::Config, pipeline::Envelope};

/// A batch is linked to so many spans at most: OpenTelemetry's own limit.
const MOST_LINKS: usize = 128;

/// How long the end may take to send what is left.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Why no traces are made.
#[derive(Debug, Error)]
#[error("traces can't be sent to telemetry.otlp_endpoint")]
pub struct TracesError(#[from] opentelemetry_otlp::ExporterBuildError);

/// Traces of one process, being sent by a thread of their own.
#[derive(Debug)]
pub(crate) struct Traces {
    provider: SdkTracerProvider,
    tracer: Tracer,
}

impl Traces {
    /// Begins if an endpoint is configured. Nothing is connected before there is something to send.
    pub(crate) fn begin(config: &Config) -> Result<Option<Self>, TracesError> {
        let telemetry = &config.telemetry;
        if telemetry.otlp_endpoint.is_empty() {
            return Ok(None);
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender::new())
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", telemetry.otlp_endpoint.trim_end_matches('/')))
            .build()?;
        // Exact: it is a percentage.
        let ratio = f64::from(u32::try_from(telemetry.sample_percent).unwrap_or(100)) / 100.0;
        let resource = Resource::builder_empty()
            .with_detector(Box::new(EnvResourceDetector::new()))
            .with_service_name(telemetry.service_name.clone())
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio))))
            .with_resource(resource)
            .build();
        let tracer = Tracer {
            sdk: provider.tracer("flowtrail"),
            group: config.kafka.group.as_str().into(),
            database: database(config).into(),
        };
        Ok(Some(Self { provider, tracer }))
    }

    /// What makes the spans.
    pub(crate) fn tracer(&self) -> Tracer {
        self.tracer.clone()
    }

    /// Sends what is left, for two seconds at most.
    pub(crate) async fn end(self) {
        let sending = move || self.provider.shutdown_with_timeout(LAST_SPANS);
        match tokio::task::spawn_blocking(sending).await {
            Ok(Ok(())) => {}
            // Why was said when the last try failed.
            Ok(Err(error)) => tracing::debug!(%error, "the last spans were not sent"),
            Err(error) => tracing::debug!(%error, "the last spans were given up"),
        }
    }
}

/// What is said of the database on every span of it.
fn database(config: &Config) -> Vec<KeyValue> {
    let mut about = vec![KeyValue::new("db.system.name", "postgresql")];
    let Ok(driver) = config.postgres.connection() else { return about };
    about.extend(driver.get_dbname().map(|name| KeyValue::new("db.namespace", name.to_owned())));
    if let Some(Host::Tcp(host)) = driver.get_hosts().first() {
        about.push(KeyValue::new("server.address", host.clone()));
    }
    about.extend(driver.get_ports().first().map(|port| KeyValue::new("server.port", i64::from(*port))));
    about
}

/// Makes spans of batches. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tracer {
    sdk: SdkTracer,
    group: Arc<str>,
    database: Arc<[KeyValue]>,
}

impl Tracer {
    /// A batch begins; whether it is traced is decided now.
    pub(crate) fn batch(&self) -> BatchTrace {
        let about = [
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.operation.name", "process"),
            KeyValue::new("messaging.operation.type", "process"),
            KeyValue::new("messaging.consumer.group.name", self.group.to_string()),
        ];
        let root = Context::new();
        let builder = self.sdk.span_builder("process").with_kind(SpanKind::Consumer).with_attributes(about);
        let whole = builder.start_with_context(&self.sdk, &root);
        if !whole.is_recording() {
            return BatchTrace::default();
        }
        let stage = self.below(&whole, "gather", SpanKind::Internal, Vec::new());
        let tracer = self.clone();
        BatchTrace(Some(Box::new(Open { tracer, stage, whole, linked: HashSet::new(), topic: None })))
    }

    fn below(&self, parent: &Span, name: &'static str, kind: SpanKind, attributes: Vec<KeyValue>) -> Span {
        let parent = Context::new().with_remote_span_context(parent.span_context().clone());
        let builder = self.sdk.span_builder(name).with_kind(kind).with_attributes(attributes);
        builder.start_with_context(&self.sdk, &parent)
    }
}

/// The trace of a batch on its way; nothing at all where it is not traced. What is dropped ends.
#[derive(Debug, Default)]
pub(crate) struct BatchTrace(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    tracer: Tracer,
    /// The stage that it is in. Before the whole, which has to end after it.
    stage: Span,
    whole: Span,
    linked: HashSet<(TraceId, SpanId)>,
    /// The topic of all records so far.
    topic: Option<Topic>,
}

#[derive(Debug)]
enum Topic {
    One(Arc<str>),
    Several,
}

impl BatchTrace {
    /// A record comes into the batch. The span that it was published under is linked, once.
    pub(crate) fn add(&mut self, envelope: &Envelope) {
        let Some(open) = &mut self.0 else { return };
        let topic = &envelope.lease.partition.topic;
        match &open.topic {
            None => open.topic = Some(Topic::One(topic.clone())),
            Some(Topic::One(other)) if other != topic => open.topic = Some(Topic::Several),
            Some(_) => {}
        }
        if open.linked.len() >= MOST_LINKS {
            return;
        }
        let Some(origin) = origin(&envelope.headers) else { return };
        if open.linked.insert((origin.trace_id(), origin.span_id())) {
            let position = vec![
                KeyValue::new(
                    "messaging.destination.partition.id",
                    envelope.lease.partition.number.to_string(),
                ),
                KeyValue::new("messaging.kafka.offset", envelope.offset.0),
            ];
            open.whole.add_link(origin, position);
        }
    }

    /// The batch goes to be stored.
    pub(crate) fn handed_over(&mut self, records: usize, rows: usize, decoding: Duration) {
        let Some(open) = &mut self.0 else { return };
        let count = |name, number: usize| KeyValue::new(name, i64::try_from(number).unwrap_or(i64::MAX));
        if let Some(Topic::One(topic)) = &open.topic {
            open.whole.update_name(format!("process {topic}"));
            open.whole.set_attribute(KeyValue::new("messaging.destination.name", topic.to_string()));
        }
        open.whole.set_attribute(count("messaging.batch.message_count", records));
        open.stage.set_attribute(count("flowtrail.batch.rows", rows));
        open.stage.set_attribute(KeyValue::new("flowtrail.decode.duration", decoding.as_secs_f64()));
        open.stage.end();
        open.stage = open.tracer.below(&open.whole, "store", SpanKind::Internal, Vec::new());
    }

    /// A try to store some of it begins.
    pub(crate) fn attempt(&self) -> Attempt {
        Attempt(self.0.as_ref().map(|open| {
            let mut about = open.tracer.database.to_vec();
            about.push(KeyValue::new("db.query.summary", "store batch"));
            open.tracer.below(&open.stage, "store batch", SpanKind::Client, about)
        }))
    }
}

/// The span of one try to store.
#[derive(Debug)]
pub(crate) struct Attempt(Option<Span>);

impl Attempt {
    /// It is over, or failed with an error of this class.
    pub(crate) fn end(mut self, failure: Option<&'static str>) {
        if let (Some(span), Some(class)) = (&mut self.0, failure) {
            span.set_attribute(KeyValue::new("error.type", class));
            span.set_status(Status::error(""));
        }
    }
}

/// The span that a record was published under, as W3C's trace context has it in its headers.
fn origin(headers: &[(String, Option<Bytes>)]) -> Option<SpanContext> {
    let headers = Headers(headers);
    // The propagator takes ids of any length, and the standard does not. Mostly there is no such header at all.
    let lengths = headers.get("traceparent")?.split('-').take(4).map(str::len);
    if !lengths.eq([2, 32, 16, 2]) {
        return None;
    }
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &headers);
    let origin = context.span().span_context().clone();
    origin.is_valid().then_some(origin)
}

struct Headers<'a>(&'a [(String, Option<Bytes>)]);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(key))?;
        std::str::from_utf8(value.as_ref()?).ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &'static [u8])]) -> Vec<(String, Option<Bytes>)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), Some(Bytes::from_static(value)))).collect()
    }

    #[test]
    fn a_header_that_names_a_span_is_read_and_any_other_is_none() {
        let good = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let found =
            origin(&headers(&[("other", b"x"), ("Traceparent", good), ("tracestate", b"a=b")])).unwrap();
        assert_eq!(found.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(found.span_id().to_string(), "00f067aa0ba902b7");
        assert_eq!(found.trace_state().get("a"), Some("b"));
        for bad in [
            &b"00-1-2-03"[..],
            b"\0\xff",
            b"",
            b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(origin(&headers(&[("traceparent", bad)])).is_none(), "{bad:?}");
        }
        assert!(origin(&[("traceparent".to_owned(), None)]).is_none());
    }

    #[test]
    fn nothing_is_made_unless_an_endpoint_is_configured() {
        assert!(Traces::begin(&Config::default()).unwrap().is_none());
        let mut config = Config::default();
        config.telemetry.otlp_endpoint = "http://127.0.0.1:9".to_owned();
        config.telemetry.sample_percent = 0;
        let traces = Traces::begin(&config).unwrap().unwrap();
        assert!(traces.tracer().batch().0.is_none(), "no batch of a hundred is to be traced");
    }
}
