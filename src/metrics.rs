//! Prometheus metrics: every name, unit and help text of the program, and how each is recorded.
//!
//! Names carry their unit. No label ever holds a flow id. Lag is kept in a [`LagTable`] of our own, since a series of
//! the recorder can't be taken back, and that of a partition that went to another member has to vanish.
//! `docs/metrics.md` is made of this file (`metrics::tests::reference`).

use std::{fmt::Write as _, sync::Arc, time::Duration};

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

mod known;
mod lag;
mod process;

use self::known::KNOWN;
pub use self::lag::{LagSample, LagTable};

/// How often histograms are folded into their buckets, so that they don't grow where nobody scrapes.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts observations up to each of these bounds.
    Histogram(&'static [f64]),
}

/// One metric: its name on the wire, its unit, its labels, and what it says.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Name on the wire.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it is counted in.
    pub unit: Unit,
    /// Names of its labels.
    pub labels: &'static [&'static str],
    /// What it says, in one sentence.
    pub help: &'static str,
}

/// From 1 ms to a minute.
const SECONDS: Kind = Kind::Histogram(&[
    0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
]);
const ROWS: Kind =
    Kind::Histogram(&[1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0, 30_000.0, 100_000.0]);
/// From 1 KiB to 256 MiB, each four times the last.
const BYTES: Kind = Kind::Histogram(&[
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
]);

macro_rules! metrics {
    ($($ident:ident = $name:literal, $kind:expr, $unit:ident, [$($label:literal),*], $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $ident: Metric =
                Metric { name: $name, kind: $kind, unit: Unit::$unit, labels: &[$($label),*], help: $help };
        )*
        /// Every metric of the program.
        pub const ALL: &[Metric] = &[$($ident),*];
    };
}

metrics! {
    EVENTS_CONSUMED = "flowtrail_events_consumed_total", Kind::Counter, Count, [],
        "Records taken from Kafka, those that were read again included.";
    ROWS_WRITTEN = "flowtrail_rows_total", Kind::Counter, Count, ["table", "op"],
        "Rows of a batch by table and by what became of them: insert, update, unchanged; kept out where the flow was deleted or removed by retention; left out where retention would remove it at once.";
    WAYS = "flowtrail_batch_ways_total", Kind::Counter, Count, ["way"],
        "Batches by the ways that their rows took: straight into the tables, conflict where these had to be staged after all, replaced where a few took the place of stored ones, staged, exclusive.";
    EVENTS_MERGED = "flowtrail_events_merged_total", Kind::Counter, Count, [],
        "Events that met another of the same row within their batch and cost no row of their own.";
    DEAD_LETTERS = "flowtrail_dead_letters_total", Kind::Counter, Count, ["reason"],
        "Messages kept as dead letters, by reason.";
    UNRESOLVED = "flowtrail_unresolved_total", Kind::Counter, Count, ["outcome"],
        "Records with something of a flow instance that was not known: held as dead letters, resolved later, given up.";
    EVENTS_SANITIZED = "flowtrail_events_sanitized_total", Kind::Counter, Count, ["reason"],
        "Oddities of events that were put right before they were stored, by reason.";
    BATCH_ROWS = "flowtrail_batch_rows", ROWS, Count, [],
        "Rows of a batch when it was written.";
    BATCH_BYTES = "flowtrail_batch_bytes", BYTES, Bytes, [],
        "Bytes of the records of a batch.";
    STAGE_DURATION = "flowtrail_stage_duration_seconds", SECONDS, Seconds, ["stage"],
        "How long a stage took for one batch: gather, from its first record until the lane was free for it; decode, the part of that which read and merged records; store, each try.";
    LAG_RECORDS = "flowtrail_kafka_lag_records", Kind::Gauge, Count, ["topic", "partition"],
        "Records of a partition that are not yet stored; absent where this member does not own the partition.";
    LAG_SECONDS = "flowtrail_kafka_lag_seconds", Kind::Gauge, Seconds, ["topic", "partition"],
        "Age of the oldest record of a partition that is not yet stored, 0 where there is none; absent where unknown.";
    STORED_OFFSET = "flowtrail_kafka_stored_offset", Kind::Gauge, Count, ["topic", "partition"],
        "Next offset of a partition behind what is stored; absent where nothing is, or this member does not own the partition.";
    CONSUMERGROUP_LAG = "kafka_consumergroup_lag", Kind::Gauge, Count, ["consumergroup", "topic", "partition"],
        "Records of a partition that are not yet stored, under the name that exporters of lag use; only where the configuration asks for it.";
    APP_ROWS = "flowtrail_app_rows_total", Kind::Counter, Count, ["app"],
        "Rows of batches by app, before they met what is stored: the first apps of the process, as many as the configuration allows, other for the rest, unknown where no run says it.";
    APP_BYTES = "flowtrail_app_bytes_total", Kind::Counter, Bytes, ["app"],
        "Bytes of records by app, under the same names; those that are read again included.";
    USER_ROWS = "flowtrail_user_rows_total", Kind::Counter, Count, ["user"],
        "Rows of batches by user, as those by app are; absent unless the configuration asks for users.";
    USER_BYTES = "flowtrail_user_bytes_total", Kind::Counter, Bytes, ["user"],
        "Bytes of records by user, under the same names.";
    VISIBLE_LATENCY = "flowtrail_event_visible_latency_seconds", SECONDS, Seconds, [],
        "From the timestamp of the oldest record of a batch in Kafka until the batch was committed in Postgres.";
    REBALANCES = "flowtrail_rebalances_total", Kind::Counter, Count, ["event"],
        "Changes of this member's partitions, by what happened: assign, revoke or lost.";
    POSTGRES_ERRORS = "flowtrail_postgres_errors_total", Kind::Counter, Count, ["class"],
        "Errors of Postgres, by what follows from them: retry, reject or halt.";
    GAPS = "flowtrail_gaps_total", Kind::Counter, Count, ["cause"],
        "Stretches of a partition that could not be read any more, by cause.";
    PAUSES = "flowtrail_pauses_total", Kind::Counter, Count, [],
        "Times that partitions were paused because their lane had no room.";
    GATEWAY_REQUESTS = "flowtrail_gateway_requests_total", Kind::Counter, Count, ["route", "code"],
        "Requests that write, by route and by the status of their answer.";
    GATEWAY_DURATION = "flowtrail_gateway_request_duration_seconds", SECONDS, Seconds, ["route"],
        "From the head of a request that writes to its answer.";
    GATEWAY_SPOOLED = "flowtrail_gateway_spooled_total", Kind::Counter, Count, [],
        "Events kept in the spool since Kafka was away.";
    GATEWAY_SPOOL_BYTES = "flowtrail_gateway_spool_bytes", Kind::Gauge, Bytes, [],
        "Bytes of the events that wait in the spool for Kafka.";
    GATEWAY_SWITCHED_OFF = "flowtrail_gateway_switched_off_total", Kind::Counter, Count, [],
        "Events that were not kept since their app is switched off.";
    GATEWAY_OVER_QUOTA = "flowtrail_gateway_over_quota_total", Kind::Counter, Count, [],
        "Events that were refused since their app had posted more than its quota.";
    GATEWAY_ALSO = "flowtrail_gateway_also_total", Kind::Counter, Count, ["outcome"],
        "Requests for the other state service (gateway.also), by what became of them: sent, refused by it, failed, or dropped since too much waited.";
    HTTP_REFUSED = "flowtrail_http_refused_total", Kind::Counter, Count, ["code"],
        "Requests that were refused for who asked, by the status of their answer.";
    RETENTION_REMOVED = "flowtrail_retention_removed_total", Kind::Counter, Count, ["what"],
        "What this collector removed since it was kept long enough: flows, steps with their superseded executions, and flows whose payloads alone went.";
    RETENTION_BEHIND = "flowtrail_retention_behind_seconds", Kind::Gauge, Seconds, [],
        "How far the cut-offs that are stored are behind what the policies of this collector say; absent where it runs none.";
    BUILD_INFO = "flowtrail_build_info", Kind::Gauge, Count, ["version"],
        "Always 1; the label says which build this is.";
    PROCESS_CPU = "process_cpu_seconds_total", Kind::Counter, Seconds, [],
        "Processor time that this process has used, in user and system mode.";
    PROCESS_MEMORY = "process_resident_memory_bytes", Kind::Gauge, Bytes, [],
        "Memory of this process that is resident.";
    PROCESS_VIRTUAL_MEMORY = "process_virtual_memory_bytes", Kind::Gauge, Bytes, [],
        "Addresses that this process has reserved.";
    PROCESS_OPEN_FILES = "process_open_fds", Kind::Gauge, Count, [],
        "Files and connections that this process has open.";
    PROCESS_MOST_FILES = "process_max_fds", Kind::Gauge, Count, [],
        "Files and connections that this process may have open; absent where there is no limit.";
    PROCESS_STARTED = "process_start_time_seconds", Kind::Gauge, Seconds, [],
        "When this process was started, since 1970 in UTC.";
}

/// Why the metrics could not be set up.
#[derive(Debug, Error)]
pub enum MetricsError {
    /// Something else in this process takes the metrics already.
    #[error("metrics are set up already")]
    AlreadySetUp,
    /// The exporter refused the buckets.
    #[error("the buckets of a histogram are not accepted")]
    Buckets(#[from] BuildError),
}

/// All metrics as text for Prometheus. Cheap to clone; every clone shows the same.
#[derive(Clone)]
pub struct Exposition {
    handle: PrometheusHandle,
    lag: Arc<LagTable>,
    group: Option<Arc<str>>,
}

impl std::fmt::Debug for Exposition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exposition").field("lag", &self.lag).finish_non_exhaustive()
    }
}

impl Exposition {
    fn of(recorder: &PrometheusRecorder) -> Self {
        Self { handle: recorder.handle(), lag: Arc::default(), group: None }
    }

    /// The same, with the lag once more as `kafka_consumergroup_lag` of this group.
    #[must_use]
    pub fn with_lag_of_group(self, group: &str) -> Self {
        Self { group: Some(group.into()), ..self }
    }

    /// Lag by partition: kept up by whoever owns the partitions.
    pub fn lag(&self) -> &Arc<LagTable> {
        &self.lag
    }

    /// Everything, in Prometheus' text format.
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        self.lag.render(&mut text, self.group.as_deref());
        process::render(&mut text);
        text
    }

    /// Keeps the memory of histograms bounded until `stop`; without it they grow wherever nobody scrapes.
    pub async fn upkeep(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(UPKEEP_INTERVAL);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            self.handle.run_upkeep();
        }
    }
}

/// Takes all metrics of this process from now on. Works once.
pub fn install() -> Result<Exposition, MetricsError> {
    let recorder = recorder()?;
    let exposition = Exposition::of(&recorder);
    metrics::set_global_recorder(recorder).map_err(|_| MetricsError::AlreadySetUp)?;
    describe_all();
    Ok(exposition)
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in ALL {
        if let Kind::Histogram(bounds) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds)?;
        }
    }
    Ok(builder.build_recorder())
}

/// Help and unit of every metric of the recorder, and a first zero of those without labels.
fn describe_all() {
    for metric in ALL.iter().filter(|metric| !written_by_us(metric)) {
        match metric.kind {
            Kind::Counter => {
                describe_counter!(metric.name, metric.unit, metric.help);
                if metric.labels.is_empty() {
                    counter!(metric.name).absolute(0);
                }
            }
            Kind::Gauge => describe_gauge!(metric.name, metric.unit, metric.help),
            Kind::Histogram(_) => describe_histogram!(metric.name, metric.unit, metric.help),
        }
    }
    for (metric, values) in KNOWN {
        for value in *values {
            for label in metric.labels {
                counter!(metric.name, *label => *value).absolute(0);
            }
        }
    }
    gauge!(BUILD_INFO.name, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

/// Metrics that the recorder never sees: their text is written here.
fn written_by_us(metric: &Metric) -> bool {
    let lag = [LAG_RECORDS, LAG_SECONDS, STORED_OFFSET, CONSUMERGROUP_LAG];
    lag.iter().any(|ours| ours.name == metric.name) || metric.name.starts_with("process_")
}

/// Writes the lines that say what a metric is.
fn write_head(text: &mut String, metric: &Metric) {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram(_) => "histogram",
    };
    let _ =
        writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}", name = metric.name, help = metric.help);
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOp {
    /// There was none of its key.
    Insert,
    /// The one of its key changed.
    Update,
    /// The one of its key said it all already.
    Unchanged,
    /// It was deleted or removed before, and is not stored again.
    KeptOut,
    /// Retention would remove it at once.
    LeftOut,
}

impl RowOp {
    /// Its label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Unchanged => "unchanged",
            Self::KeptOut => "kept_out",
            Self::LeftOut => "left_out",
        }
    }
}

/// By what traffic is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// By app.
    App,
    /// By user.
    User,
}

/// Rows and bytes of a batch were those of this app or user. Whoever calls it bounds how many names there are.
pub fn share(whose: Whose, name: &str, rows: u64, bytes: u64) {
    match whose {
        Whose::App => {
            counter!(APP_ROWS.name, "app" => name.to_owned()).increment(rows);
            counter!(APP_BYTES.name, "app" => name.to_owned()).increment(bytes);
        }
        Whose::User => {
            counter!(USER_ROWS.name, "user" => name.to_owned()).increment(rows);
            counter!(USER_BYTES.name, "user" => name.to_owned()).increment(bytes);
        }
    }
}

/// Records were taken from Kafka.
pub fn events_consumed(records: u64) {
    counter!(EVENTS_CONSUMED.name).increment(records);
}

/// Rows of a batch were dealt with.
pub fn rows(table: &'static str, op: RowOp, rows: u64) {
    counter!(ROWS_WRITTEN.name, "table" => table, "op" => op.as_str()).increment(rows);
}

/// Rows of a batch took a way.
pub fn ways(way: &'static str, times: u64) {
    counter!(WAYS.name, "way" => way).increment(times);
}

/// Events cost no row of their own.
pub fn events_merged(events: u64) {
    counter!(EVENTS_MERGED.name).increment(events);
}

/// Messages became dead letters.
pub fn dead_letters(reason: &'static str, messages: u64) {
    counter!(DEAD_LETTERS.name, "reason" => reason).increment(messages);
}

/// What became of records that are of flow instances not known.
pub fn unresolved(outcome: &'static str, records: u64) {
    counter!(UNRESOLVED.name, "outcome" => outcome).increment(records);
}

/// Something odd about events was put right.
pub fn events_sanitized(reason: &'static str, events: u64) {
    counter!(EVENTS_SANITIZED.name, "reason" => reason).increment(events);
}

/// A batch was written.
pub fn batch(rows: usize, bytes: usize) {
    histogram!(BATCH_ROWS.name).record(count(rows));
    histogram!(BATCH_BYTES.name).record(count(bytes));
}

/// A stage is done with one batch.
pub fn stage(stage: &'static str, took: Duration) {
    histogram!(STAGE_DURATION.name, "stage" => stage).record(took);
}

/// A batch whose oldest record is of this age became visible in Postgres.
///
/// Once for a batch: the exporter keeps every sample, with a clock reading of its own, until it next adds them up.
pub fn visible_latency(age: Duration) {
    histogram!(VISIBLE_LATENCY.name).record(age.as_secs_f64());
}

/// This member's partitions changed: `assign`, `revoke` or `lost`.
pub fn rebalance(event: &'static str) {
    counter!(REBALANCES.name, "event" => event).increment(1);
}

/// Postgres reported an error: `retry`, `reject` or `halt`.
pub fn postgres_error(class: &'static str) {
    counter!(POSTGRES_ERRORS.name, "class" => class).increment(1);
}

/// A stretch of a partition can't be read any more.
pub fn gap(cause: &'static str) {
    counter!(GAPS.name, "cause" => cause).increment(1);
}

/// Partitions were paused.
pub fn pause() {
    counter!(PAUSES.name).increment(1);
}

/// A request that writes was answered.
pub fn gateway_request(route: String, code: u16, took: Duration) {
    histogram!(GATEWAY_DURATION.name, "route" => route.clone()).record(took);
    counter!(GATEWAY_REQUESTS.name, "route" => route, "code" => code.to_string()).increment(1);
}

/// An event was kept in the spool.
pub fn gateway_spooled() {
    counter!(GATEWAY_SPOOLED.name).increment(1);
}

/// So much waits in the spool.
#[expect(clippy::cast_precision_loss, clippy::as_conversions, reason = "exact up to 8 PiB")]
pub fn gateway_spool_bytes(bytes: u64) {
    gauge!(GATEWAY_SPOOL_BYTES.name).set(bytes as f64);
}

/// An event was not kept, since its app is switched off.
pub fn gateway_switched_off() {
    counter!(GATEWAY_SWITCHED_OFF.name).increment(1);
}

/// An event was refused for the quota of its app.
pub fn gateway_over_quota() {
    counter!(GATEWAY_OVER_QUOTA.name).increment(1);
}

/// `flows`, `steps` or `payloads` of flows were removed since they were kept long enough.
pub fn retention_removed(what: &'static str, rows: u64) {
    counter!(RETENTION_REMOVED.name, "what" => what).increment(rows);
}

/// The stored cut-offs of retention are so many seconds behind.
pub fn retention_behind(seconds: f64) {
    gauge!(RETENTION_BEHIND.name).set(seconds);
}

/// A request for the other state service: `sent`, `refused`, `failed` or `dropped`.
pub fn gateway_also(outcome: &'static str) {
    counter!(GATEWAY_ALSO.name, "outcome" => outcome).increment(1);
}

/// A request was refused for who asked.
pub fn http_refused(code: u16) {
    counter!(HTTP_REFUSED.name, "code" => code.to_string()).increment(1);
}

/// Exact up to 2^32, which no batch reaches.
fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
