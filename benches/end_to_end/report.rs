//! What came out: medians and ranges over the rounds, as a table and as JSON.

use std::{fmt, fs, path::Path, process::Command, thread};

use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use tokio_postgres::Client;

use crate::{
    Args, Databases,
    bare::Bare,
    collectors::Collectors,
    connect,
    drain::{Again, Drained, Verified},
    far::Far,
    gateway::Requests,
    growth::Growth,
    latency::Latency,
    peers::{self, Race},
    raw_copy::Copied,
    retention::Removal,
    traffic::{Contents, Order, Traffic},
    usage,
};

/// Bytes of a megabyte, as people count memory.
const MEGABYTE: f64 = 1_000_000.0;

/// Everything about one run of the bench.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    settings: Vec<String>,
    /// What was drained, by the order in which the events came.
    pub(crate) drains: Vec<Drains>,
    /// What a consumer takes that does nothing else but decode; one for each round.
    pub(crate) bare: Vec<Bare>,
    /// New rows into tables that hold many.
    pub(crate) growth: Option<Growth>,
    /// By several collectors.
    pub(crate) collectors: Option<Collectors>,
    /// Over connections to Postgres that are long.
    pub(crate) far: Option<Far>,
    /// From a producer's call to a row that others see.
    pub(crate) latencies: Vec<Latency>,
    /// Requests of small apps.
    pub(crate) gateway: Option<Requests>,
    /// While old flows are removed.
    pub(crate) removal: Option<Removal>,
}

/// Rounds over one topic.
#[derive(Debug, Serialize)]
pub(crate) struct Drains {
    order: Order,
    events: u64,
    rows: Contents,
    /// The rounds, in order.
    pub(crate) rounds: Vec<Round>,
}

/// One drain and the raw COPY of its rows.
#[derive(Debug, Serialize)]
pub(crate) struct Round {
    /// The collector.
    pub(crate) drain: Drained,
    /// What `flowtrail verify` took after it, where that was measured.
    pub(crate) verify: Option<Verified>,
    /// The same once more, where that was measured.
    pub(crate) again: Option<Again>,
    /// What it is measured by.
    pub(crate) copy: Copied,
    /// Rivals, where they were measured.
    pub(crate) races: Vec<Race>,
}

/// What it ran on.
#[derive(Debug, Serialize)]
struct Machine {
    processor: String,
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
            processor: processor().unwrap_or_else(|| "unknown".to_owned()),
            cores: thread::available_parallelism()?.get(),
            memory_bytes: usage::kilobytes(&memory, "MemTotal:").unwrap_or_default(),
            postgres: client.query_one("SHOW server_version", &[]).await?.get(0),
            kafka: kafka_version(data_dir).unwrap_or_else(|| "unknown".to_owned()),
            commit: commit().unwrap_or_else(|| "unknown".to_owned()),
        })
    }
}

/// As Linux calls it, where the maker gave it a name.
fn processor() -> Option<String> {
    let information = fs::read_to_string("/proc/cpuinfo").ok()?;
    let name = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "))?.1;
    Some(name.trim().to_owned())
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

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, memory_bytes, postgres, kafka, .. } = self;
        let gigabytes = memory_bytes / 1000.0 / MEGABYTE;
        write!(f, "{cores} cores ({processor}), {gigabytes:.0} GB; Postgres {postgres}, Kafka {kafka}")
    }
}

impl Report {
    /// What it ran on.
    pub(crate) fn machine(&self) -> String {
        self.machine.to_string()
    }

    /// The commit that it is of.
    pub(crate) fn commit(&self) -> &str {
        &self.machine.commit
    }

    /// Without any figure yet.
    pub(crate) async fn new(databases: &Databases, data_dir: &Path, args: &Args) -> anyhow::Result<Self> {
        Ok(Self {
            machine: Machine::here(&connect(&databases.url).await?, data_dir).await?,
            settings: args.settings.iter().chain(&args.postgres_settings).cloned().collect(),
            drains: Vec::new(),
            bare: Vec::new(),
            growth: None,
            collectors: None,
            far: None,
            latencies: Vec::new(),
            gateway: None,
            removal: None,
        })
    }

    /// Of the drain of the first order and the bare consumer, in the same round.
    fn bare_lines(&self) -> Vec<Line> {
        let first = self.drains.iter().find(|drains| drains.order == Order::First);
        let own = first.map(Drains::cpu_of_event).unwrap_or_default();
        let bare: Vec<f64> = self.bare.iter().map(|bare| bare.cpu_seconds * 1e6 / bare.events).collect();
        let ratio = own.iter().zip(&bare).map(|(own, bare)| own / bare).collect();
        vec![
            Line { name: "collector: CPU of an event ÷ a bare consumer's", digits: 2, values: ratio },
            Line { name: "collector: CPU, µs/event", digits: 2, values: own },
            Line { name: "bare consumer: CPU, µs/event", digits: 2, values: bare },
        ]
    }
}

impl Drains {
    /// Without any round yet.
    pub(crate) fn new(traffic: &Traffic) -> Self {
        let (order, events, rows) = (traffic.order, traffic.events, traffic.expected.clone());
        Self { order, events, rows, rounds: Vec::new() }
    }

    fn cpu_of_event(&self) -> Vec<f64> {
        let events = f64::from(u32::try_from(self.events).unwrap_or(u32::MAX));
        self.rounds.iter().map(|round| round.drain.collector_cpu_seconds * 1e6 / events).collect()
    }

    fn lines(&self) -> Vec<Line> {
        let rows = f64::from(u32::try_from(self.rows.rows()).unwrap_or(u32::MAX));
        let line = |name, digits, of: &dyn Fn(&Round) -> f64| Line {
            name,
            digits,
            values: self.rounds.iter().map(of).collect(),
        };
        let mut lines = match self.order {
            // Each event is a write there.
            Order::Twice => vec![line("writes/s ÷ raw COPY's rows/s", 3, &|r| {
                r.drain.events_per_second / r.copy.rows_per_second
            })],
            Order::First | Order::Peers | Order::Reruns | Order::Disorder => {
                vec![line("rows/s ÷ raw COPY's", 3, &|r| r.drain.rows_per_second / r.copy.rows_per_second)]
            }
        };
        lines.extend([
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
            line("raw COPY: rows/s", 0, &|r| r.copy.rows_per_second),
            line("raw COPY: s", 2, &|r| r.copy.seconds),
            line("raw COPY: Postgres CPU, µs/row", 2, &|r| r.copy.postgres.cpu_seconds * 1e6 / rows),
            line("raw COPY: WAL, bytes/row", 0, &|r| r.copy.postgres.wal_bytes / rows),
        ]);
        lines.extend(self.again_lines(rows));
        lines
    }

    /// Of the same topic, compared with the tables, and read again.
    fn again_lines(&self, rows: f64) -> Vec<Line> {
        let both: Vec<_> = self.rounds.iter().filter_map(|r| Some((r.again.as_ref()?, &r.copy))).collect();
        if both.is_empty() {
            return Vec::new();
        }
        let line = |name, digits, of: &dyn Fn(&Again, &Copied) -> f64| Line {
            name,
            digits,
            values: both.iter().map(|(again, copy)| of(again, copy)).collect(),
        };
        let verified: Vec<_> =
            self.rounds.iter().filter_map(|r| Some((r.verify.as_ref()?, &r.drain))).collect();
        let verify = |name, digits, of: &dyn Fn(&Verified, &Drained) -> f64| Line {
            name,
            digits,
            values: verified.iter().map(|(verified, drained)| of(verified, drained)).collect(),
        };
        vec![
            verify("verify: events/s ÷ the collector's", 2, &|verified, drained| {
                verified.events_per_second / drained.events_per_second
            }),
            verify("verify: events/s", 0, &|verified, _| verified.events_per_second),
            line("again: rows/s ÷ raw COPY's", 3, &|again, copy| {
                again.drain.rows_per_second / copy.rows_per_second
            }),
            line("again: rows written", 0, &|again, _| {
                f64::from(i32::try_from(again.rows_written).unwrap_or(i32::MAX))
            }),
            line("again: WAL, bytes/row", 1, &|again, _| again.drain.postgres.wal_bytes / rows),
            line("again: Postgres CPU, µs/row", 2, &|again, _| {
                again.drain.postgres.cpu_seconds * 1e6 / rows
            }),
            line("again: collector CPU, µs/row", 2, &|again, _| {
                again.drain.collector_cpu_seconds * 1e6 / rows
            }),
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
    fn summary(self) -> [String; 3] {
        let digits = self.digits;
        spread(self.values).map(|value| format!("{value:.digits$}"))
    }
}

/// Median, least and greatest.
pub(crate) fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    let last = values.len().saturating_sub(1);
    [f64::midpoint(at(last / 2), at(last.div_ceil(2))), at(0), at(last)]
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "flowtrail {} on {}", self.machine.commit, self.machine)?;
        if !self.settings.is_empty() {
            writeln!(f, "settings: {}", self.settings.join(" "))?;
        }
        for drains in &self.drains {
            let Contents { steps, flows, superseded, .. } = &drains.rows;
            writeln!(
                f,
                "\n{}: {} events → {steps} steps, {flows} flows, {superseded} superseded steps; rounds: {}",
                drains.order.title(),
                drains.events,
                drains.rounds.len(),
            )?;
            writeln!(f, "{}", table(drains.lines()))?;
            if let Some(table) = peers::table(&drains.rounds, drains.events) {
                writeln!(f, "\nbeside rivals; medians\n{table}")?;
            }
        }
        if !self.bare.is_empty() {
            writeln!(
                f,
                "\nbeside a consumer that decodes and does nothing else\n{}",
                table(self.bare_lines())
            )?;
        }
        if let Some(growth) = &self.growth {
            writeln!(f, "\n{growth}")?;
        }
        if let Some(collectors) = &self.collectors {
            writeln!(f, "\n{collectors}")?;
        }
        if let Some(far) = &self.far {
            writeln!(f, "\n{far}")?;
        }
        for latency in &self.latencies {
            writeln!(f, "\n{latency}")?;
        }
        if let Some(gateway) = &self.gateway {
            writeln!(f, "\n{gateway}")?;
        }
        if let Some(removal) = &self.removal {
            writeln!(f, "\n{removal}")?;
        }
        Ok(())
    }
}

fn table(lines: Vec<Line>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(["", "median", "least", "greatest"]);
    for line in lines {
        let name = line.name.to_owned();
        let [median, least, greatest] = line.summary();
        table.add_row([name, median, least, greatest]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "drained in {:.2} s, {:.0} rows/s; raw COPY {:.2} s, {:.0} rows/s",
            self.drain.seconds, self.drain.rows_per_second, self.copy.seconds, self.copy.rows_per_second
        )?;
        self.races.iter().try_for_each(|race| write!(f, "; {race}"))
    }
}
