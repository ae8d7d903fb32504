//! Requests that the gateway answers, beside a service that makes one row of each.
//!
//! Many small apps post the recorded flows of a real app over connections that they keep. `flowtrail serve` answers when
//! Kafka has the event (`acks=all`); it is measured by itself and with a collector beside it that stores what comes. The
//! rival answers when Postgres has committed the row; see [`insert`]. All are processes of their own, and the apps are
//! another, on the same machine. Each is measured at its best (closed loop), then at half of that by a schedule (open loop).
//!
//! A run fails at an answer that is not 200, and if what was answered is not all kept.

use std::{
    fmt,
    net::SocketAddr,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use comfy_table::{CellAlignment, Table, presets};
use flowtrail::{clock, config, kafka::admin::Admin, schema};
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};
use serde::Serialize;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use self::{
    load::{Answered, Load, Pace},
    shapes::Shapes,
};
use crate::{
    Databases, connect,
    drain::{self, Drain},
    report::spread,
    say,
    traffic::PARTITIONS,
    usage,
};

pub(crate) mod insert;
mod load;
mod shapes;

/// How long anything may take that is not measured.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often it is looked how much is stored.
const LOOK: Duration = Duration::from_millis(50);

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size<'a> {
    /// Apps at once, one connection each.
    pub(crate) apps: &'a [u32],
    /// How often.
    pub(crate) rounds: u32,
    /// There is one round more, which does not count.
    pub(crate) warm_up: bool,
    /// How long each pace is kept up, after a tenth of that to get warm.
    pub(crate) span: Duration,
}

/// Who answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Server {
    /// The gateway.
    Gateway,
    /// The gateway, and a collector that stores what it takes.
    GatewayAndCollector,
    /// One row for each request, by so many sessions.
    Insert(usize),
}

impl Server {
    /// The rival has as many sessions as a gateway by default, and more: it is compared by the better of the two.
    const ALL: [Self; 4] = [Self::Gateway, Self::GatewayAndCollector, Self::Insert(8), Self::Insert(32)];

    fn is_rival(self) -> bool {
        matches!(self, Self::Insert(_))
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway => f.write_str("gateway"),
            Self::GatewayAndCollector => f.write_str("gateway, a collector beside it"),
            Self::Insert(sessions) => write!(f, "a row each, {sessions} sessions"),
        }
    }
}

/// One server with so many apps, round by round.
#[derive(Debug, Serialize)]
struct Course {
    server: Server,
    apps: u32,
    rounds: Vec<Round>,
}

/// What was measured of one server.
#[derive(Debug, Clone, Copy, Serialize)]
struct Round {
    /// As fast as it answers.
    best: Answered,
    /// Processor time of the server meanwhile, without Kafka's, Postgres's and the collector's.
    cpu_us_of_request: f64,
    /// At half of that rate.
    half: Answered,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Requests {
    courses: Vec<Course>,
}

/// Measures each server with each number of apps, in turns.
pub(crate) async fn measure(
    databases: &Databases,
    drain: &Drain<'_>,
    size: Size<'_>,
) -> anyhow::Result<Requests> {
    let shapes = Arc::new(Shapes::recorded()?);
    let course = |apps: &u32| Server::ALL.map(|server| Course { server, apps: *apps, rounds: Vec::new() });
    if let (Some(apps), true) = (size.apps.last(), size.warm_up) {
        // A broker that has just begun compiles itself while it works.
        let place = Place { databases, drain, name: "requests_0".to_owned() };
        let round = place.round(Server::Gateway, *apps, &shapes, size.span).await?;
        say(&format!("{apps} apps, a round that is not counted: {round}"));
    }
    let mut courses: Vec<Course> = size.apps.iter().flat_map(course).collect();
    for number in 1..=size.rounds {
        for (place, Course { server, apps, rounds }) in courses.iter_mut().enumerate() {
            let place = Place { databases, drain, name: format!("requests_{number}_{place}") };
            let round = place.round(*server, *apps, &shapes, size.span).await?;
            say(&format!("{server}, {apps} apps, round {number}: {round}"));
            rounds.push(round);
        }
    }
    Ok(Requests { courses })
}

/// Where one round takes place.
struct Place<'a> {
    databases: &'a Databases,
    drain: &'a Drain<'a>,
    /// Of its database and, but for characters, its topic.
    name: String,
}

impl Place<'_> {
    async fn round(
        &self,
        server: Server,
        apps: u32,
        shapes: &Arc<Shapes>,
        span: Duration,
    ) -> anyhow::Result<Round> {
        let url = if server.is_rival() {
            self.rivals_database().await?
        } else {
            self.databases.create(&self.name).await?
        };
        let topic = self.name.replace('_', "-");
        let kafka = config::Kafka {
            bootstrap_servers: self.drain.bootstrap_servers.to_owned(),
            ..config::Kafka::default()
        };
        if !server.is_rival() {
            Admin::new(&kafka)?.ensure_topic(&topic, PARTITIONS, &[], PATIENCE).await?;
        }
        let drain = Drain { topic: &topic, ..*self.drain };
        let collector = match server {
            Server::GatewayAndCollector => Some(drain.start(&url, &self.name)?),
            _ => None,
        };
        let (process, address) = match server {
            Server::Insert(sessions) => insert::start(&url, sessions).await?,
            _ => gateway(&drain, &url).await?,
        };
        let load = Load { address, apps, shapes: shapes.clone() };
        let (round, all) = paces(&process, &load, span).await?;
        match server {
            Server::Insert(_) => rows_are_there(&url, all.rows).await?,
            _ => records_are_there(kafka, topic.clone(), all.requests).await?,
        }
        if let Some(collector) = collector {
            until_stored(&url, &self.name, all.requests).await?;
            drain::end(collector).await?;
        }
        drop(process);
        self.databases.remove(&self.name).await?;
        Ok(round)
    }

    /// Its tables are those that the state service has, without indexes and columns of ours.
    async fn rivals_database(&self) -> anyhow::Result<String> {
        let url = self.databases.create_empty(&self.name).await?;
        let tables = schema::CHANGES.first().context("no tables are known")?;
        connect(&url).await?.batch_execute(tables.sql).await?;
        Ok(url)
    }
}

/// What was answered in all.
#[derive(Default)]
struct All {
    requests: u64,
    rows: u64,
}

impl All {
    fn add(&mut self, answered: &Answered) {
        self.requests += answered.requests;
        self.rows += answered.rows;
    }
}

async fn paces(process: &Child, load: &Load, span: Duration) -> anyhow::Result<(Round, All)> {
    let pid = process.id().context("the server has ended")?;
    let mut all = All::default();
    all.add(&load.run(0, Pace::Closed(span / 10)).await?);
    let before = usage::process_cpu(pid)?;
    let best = load.run(1, Pace::Closed(span)).await?;
    let cpu = usage::process_cpu(pid)? - before;
    let half = load.run(2, Pace::Open(best.requests_per_second / 2.0, span)).await?;
    all.add(&best);
    all.add(&half);
    let requests = f64::from(u32::try_from(best.requests)?);
    Ok((Round { best, cpu_us_of_request: cpu * 1e6 / requests, half }, all))
}

/// Starts the gateway; gives where it serves.
async fn gateway(drain: &Drain<'_>, url: &str) -> anyhow::Result<(Child, SocketAddr)> {
    let mut command = Command::new(drain.program);
    command.args(["serve", "--listen", "127.0.0.1:0", "--topic", drain.topic, "--log-format", "json"]);
    command.env("KAFKA_BOOTSTRAP_SERVERS", drain.bootstrap_servers).env("DATABASE_URL", url);
    let mut gateway = command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut log = BufReader::new(gateway.stderr.take().context("it has no log")?).lines();
    let address = loop {
        let line = log.next_line().await?.context("the gateway ended at once")?;
        let line: serde_json::Value = serde_json::from_str(&line)?;
        if let Some(address) = line.get("address").and_then(serde_json::Value::as_str) {
            break address.parse()?;
        }
        ensure!(line.get("level").and_then(serde_json::Value::as_str) != Some("ERROR"), "{line}");
    };
    // It stops if nobody reads what it says.
    tokio::spawn(async move {
        while let Ok(Some(line)) = log.next_line().await {
            say(&line);
        }
    });
    Ok((gateway, address))
}

/// As many records are on the topic as requests were answered.
async fn records_are_there(kafka: config::Kafka, topic: String, answered: u64) -> anyhow::Result<()> {
    let count = move || -> anyhow::Result<i64> {
        let servers = &kafka.bootstrap_servers;
        let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", servers).create()?;
        let of_partition = |number| consumer.fetch_watermarks(&topic, number, PATIENCE);
        (0..PARTITIONS).map(|number| of_partition(number).map(|(_, end)| end).map_err(Into::into)).sum()
    };
    let records = tokio::task::spawn_blocking(count).await??;
    ensure!(
        u64::try_from(records) == Ok(answered),
        "{answered} requests were answered, and {records} records are on the topic"
    );
    Ok(())
}

async fn rows_are_there(url: &str, answered: u64) -> anyhow::Result<()> {
    let sql = "SELECT (SELECT count(*) FROM steps) + (SELECT count(*) FROM flowstate)";
    let rows: i64 = connect(url).await?.query_one(sql, &[]).await?.get(0);
    ensure!(u64::try_from(rows) == Ok(answered), "{answered} rows were answered for, and {rows} are there");
    Ok(())
}

/// Waits until the collector has stored all of it.
async fn until_stored(url: &str, group: &str, records: u64) -> anyhow::Result<()> {
    let client = connect(url).await?;
    let sql = "SELECT COALESCE(sum(nextoffset), 0)::bigint FROM ft_offset WHERE consumergroup = $1";
    let (mut last, mut moved): (i64, Instant) = (0, clock::monotonic());
    loop {
        let stored: i64 = client.query_one(sql, &[&group]).await?.get(0);
        if u64::try_from(stored).is_ok_and(|stored| stored >= records) {
            return Ok(());
        }
        if stored > last {
            (last, moved) = (stored, clock::monotonic());
        }
        ensure!(moved.elapsed() < PATIENCE, "{stored} of {records} are stored, and no more come");
        tokio::time::sleep(LOOK).await;
    }
}

impl Course {
    fn spread(&self, of: impl Fn(&Round) -> f64) -> [f64; 3] {
        spread(self.rounds.iter().map(of).collect())
    }

    /// Requests a second by those of the better rival of the same round, with as many apps.
    fn ratio(&self, all: &[Self]) -> [f64; 3] {
        let rivals: Vec<_> = all.iter().filter(|c| c.server.is_rival() && c.apps == self.apps).collect();
        let of_round = |(number, round): (usize, &Round)| {
            let rates = rivals.iter().filter_map(|rival| rival.rounds.get(number));
            let best = rates.map(|rival| rival.best.requests_per_second).fold(f64::NAN, f64::max);
            round.best.requests_per_second / best
        };
        spread(self.rounds.iter().enumerate().map(of_round).collect())
    }

    fn cells(&self, all: &[Self]) -> [String; 11] {
        let [ratio, least, greatest] = self.ratio(all).map(|ratio| format!("{ratio:.2}"));
        let median = |digits: usize, of: fn(&Round) -> f64| format!("{:.digits$}", self.spread(of)[0]);
        [
            self.server.to_string(),
            self.apps.to_string(),
            median(0, |round| round.best.requests_per_second),
            ratio,
            least,
            greatest,
            median(0, |round| round.cpu_us_of_request),
            median(0, |round| round.half.requests_per_second),
            median(1, |round| round.half.p50_ms),
            median(1, |round| round.half.p99_ms),
            format!("{:.1}", self.spread(|round| round.half.p99_ms)[2]),
        ]
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounds = self.courses.first().map_or(0, |course| course.rounds.len());
        writeln!(f, "requests of many small apps; rounds: {rounds}")?;
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header([
            "",
            "apps",
            "requests/s",
            "÷ the better rival's",
            "least",
            "greatest",
            "CPU, µs/request",
            "at half: requests/s",
            "p50, ms",
            "p99, ms",
            "worst round's p99",
        ]);
        for course in &self.courses {
            table.add_row(course.cells(&self.courses));
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
            "{:.0} requests/s; at {:.0} p50 {:.1} ms, p99 {:.1} ms",
            self.best.requests_per_second, self.half.requests_per_second, self.half.p50_ms, self.half.p99_ms
        )
    }
}
