//! What came out: medians and ranges over the rounds, as a table and as JSON.

use std::{fmt, fs, path::Path, process::Command, thread};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use tokio_postgres::Client;

use crate::{
    Args, Databases, connect,
    drain::{Drained, Verified},
    raw_copy::Copied,
    traffic::{Contents, Traffic},
    usage,
};

/// Bytes of a megabyte, as people count memory.
const MEGABYTE: f64 = 1_000_000.0;

/// Everything about one run of the bench.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    events: u64,
    rerun_percent: f64,
    settings: Vec<String>,
    rows: Contents,
    /// The rounds, in order.
    pub(crate) rounds: Vec<Round>,
}

/// One drain and the raw COPY of its rows.
#[derive(Debug, Serialize)]
pub(crate) struct Round {
    /// The collector.
    pub(crate) drain: Drained,
    /// What `flowtrail verify` took after it.
    pub(crate) verify: Verified,
    /// What it is measured by.
    pub(crate) copy: Copied,
}

/// What it ran on.
#[derive(Debug, Serialize)]
struct Machine {
    cores: usize,
    memory_bytes: f64,
    postgres: String,
    kafka: String,
    commit: String,
}

impl Machine {
    async fn here(client: &Client, data_dir: &Path) -> anyhow::Result<Self> {
        let memory = fs::read_to_string("/proc/meminfo")?;
        Ok(Self {
            cores: thread::available_parallelism()?.get(),
            memory_bytes: usage::kilobytes(&memory, "MemTotal:").unwrap_or_default(),
            postgres: client.query_one("SHOW server_version", &[]).await?.get(0),
            kafka: kafka_version(data_dir).unwrap_or_else(|| "unknown".to_owned()),
            commit: commit().unwrap_or_else(|| "unknown".to_owned()),
        })
    }
}

/// As Kafka says in its log.
fn kafka_version(data_dir: &Path) -> Option<String> {
    let log = fs::read_to_string(data_dir.join("kafka/kafka.log")).ok()?;
    let (_, after) = log.split_once("Kafka version: ")?;
    after.split_whitespace().next().map(str::to_owned)
}

/// The commit that is checked out, with a `+` if files were changed since.
fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let out = Command::new("git").args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
        out.status.success().then(|| String::from_utf8_lossy(&out.stdout).trim().to_owned())
    };
    let changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(git(&["rev-parse", "--short", "HEAD"])? + if changed { "+" } else { "" })
}

impl Report {
    /// Without any round yet.
    pub(crate) async fn new(
        databases: &Databases,
        data_dir: &Path,
        args: &Args,
        traffic: &Traffic,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            machine: Machine::here(&connect(&databases.url).await?, data_dir).await?,
            events: traffic.events,
            rerun_percent: args.rerun_percent,
            settings: args.settings.iter().chain(&args.postgres_settings).cloned().collect(),
            rows: traffic.expected.clone(),
            rounds: Vec::new(),
        })
    }

    fn lines(&self) -> Vec<Line> {
        let rows = f64::from(u32::try_from(self.rows.rows()).unwrap_or(u32::MAX));
        let line = |name, digits, of: &dyn Fn(&Round) -> f64| Line {
            name,
            digits,
            values: self.rounds.iter().map(of).collect(),
        };
        vec![
            line("rows/s ÷ raw COPY's", 3, &|r| r.drain.rows_per_second / r.copy.rows_per_second),
            line("Postgres CPU ÷ raw COPY's", 2, &|r| {
                r.drain.postgres.cpu_seconds / r.copy.postgres.cpu_seconds
            }),
            line("WAL ÷ raw COPY's", 2, &|r| r.drain.postgres.wal_bytes / r.copy.postgres.wal_bytes),
            line("collector: peak memory, MB", 0, &|r| r.drain.collector_peak_bytes / MEGABYTE),
            line("collector: events/s", 0, &|r| r.drain.events_per_second),
            line("collector: rows/s", 0, &|r| r.drain.rows_per_second),
            line("collector: drain, s", 2, &|r| r.drain.seconds),
            line("collector: to the first commit, s", 2, &|r| r.drain.first_commit_seconds),
            line("collector: drain and process start, s", 2, &|r| r.drain.seconds_with_start),
            line("collector: CPU, µs/row", 2, &|r| r.drain.collector_cpu_seconds * 1e6 / rows),
            line("collector: Postgres CPU, µs/row", 2, &|r| r.drain.postgres.cpu_seconds * 1e6 / rows),
            line("collector: WAL, bytes/row", 0, &|r| r.drain.postgres.wal_bytes / rows),
            line("verify: events/s ÷ the collector's", 2, &|r| {
                r.verify.events_per_second / r.drain.events_per_second
            }),
            line("verify: events/s", 0, &|r| r.verify.events_per_second),
            line("raw COPY: rows/s", 0, &|r| r.copy.rows_per_second),
            line("raw COPY: s", 2, &|r| r.copy.seconds),
            line("raw COPY: Postgres CPU, µs/row", 2, &|r| r.copy.postgres.cpu_seconds * 1e6 / rows),
            line("raw COPY: WAL, bytes/row", 0, &|r| r.copy.postgres.wal_bytes / rows),
        ]
    }
}

/// One figure over the rounds.
struct Line {
    name: &'static str,
    digits: usize,
    values: Vec<f64>,
}

impl Line {
    /// Median, least and greatest.
    fn summary(mut self) -> [String; 3] {
        self.values.sort_by(f64::total_cmp);
        let at = |index: usize| self.values.get(index).copied().unwrap_or(f64::NAN);
        let last = self.values.len().saturating_sub(1);
        let median = f64::midpoint(at(last / 2), at(last.div_ceil(2)));
        let digits = self.digits;
        [median, at(0), at(last)].map(|value| format!("{value:.digits$}"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine { cores, memory_bytes, postgres, kafka, commit } = &self.machine;
        let gigabytes = memory_bytes / 1000.0 / MEGABYTE;
        writeln!(
            f,
            "flowtrail {commit} on {cores} cores, {gigabytes:.0} GB; Postgres {postgres}, Kafka {kafka}"
        )?;
        let Contents { steps, flows, superseded, .. } = &self.rows;
        writeln!(
            f,
            "{} events ({} % of flows run again) → {steps} steps, {flows} flows, {superseded} superseded steps; rounds: {}",
            self.events,
            self.rerun_percent,
            self.rounds.len(),
        )?;
        if !self.settings.is_empty() {
            writeln!(f, "settings: {}", self.settings.join(" "))?;
        }
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header(["", "median", "least", "greatest"]);
        for line in self.lines() {
            let name = line.name.to_owned();
            let [median, least, greatest] = line.summary();
            table.add_row([name, median, least, greatest]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write!(f, "{table}")
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "drained in {:.2} s, {:.0} rows/s; raw COPY {:.2} s, {:.0} rows/s",
            self.drain.seconds, self.drain.rows_per_second, self.copy.seconds, self.copy.rows_per_second
        )
    }
}
