//! One topic, drained by one, two and three collectors of one group: what another process brings.
//!
//! All share one machine with the broker and Postgres, so this says what more members cost each other, and not what more
//! machines bring.

use std::fmt;

use anyhow::Context as _;
use comfy_table::{CellAlignment, Table, presets};
use flowtrail::{config, kafka::admin::Admin};
use serde::Serialize;

use crate::{
    Databases, Size, connect,
    drain::{self, Drain},
    report::spread,
    say,
    traffic::{self, Contents, TIMEOUT},
    usage::{PostgresMark, process_cpu},
};

/// Where the events are.
const TOPIC: &str = "flow.history.collectors";
/// Each of the numbers of collectors divides it: they get as many partitions each.
const PARTITIONS: i32 = 12;
/// In ascending order; the first is what the others are compared with.
const COUNTS: [usize; 3] = [1, 2, 3];

/// What more collectors do.
#[derive(Debug, Serialize)]
pub(crate) struct Collectors {
    events: u64,
    rows: Contents,
    /// In the order of [`COUNTS`].
    counts: Vec<Count>,
}

/// So many collectors.
#[derive(Debug, Serialize)]
struct Count {
    collectors: usize,
    /// The rounds, in order.
    rounds: Vec<Round>,
}

/// One drain.
#[derive(Debug, Serialize)]
struct Round {
    /// From when the first member got partitions to the last commit; the group's rebalances are within it.
    seconds: f64,
    events_per_second: f64,
    /// Processor seconds of all collectors, their starts included.
    collector_cpu_seconds: f64,
    /// What the least busy one took of that.
    least_share: f64,
    postgres_cpu_seconds: f64,
}

/// Drains the topic so many times by each number of collectors, in turns.
pub(crate) async fn measure(
    databases: &Databases,
    drain: &Drain<'_>,
    size: Size,
) -> anyhow::Result<Collectors> {
    say(&format!("publishing {} events for several collectors", size.events));
    let bootstrap_servers = drain.bootstrap_servers.to_owned();
    let kafka = config::Kafka { bootstrap_servers, ..config::Kafka::default() };
    Admin::new(&kafka)?.ensure_topic(TOPIC, PARTITIONS, &[], TIMEOUT).await?;
    let records = move || traffic::synthetic(size.events, 0.0);
    let traffic = traffic::send(drain.bootstrap_servers, TOPIC, records).await?;
    let drain = Drain { topic: TOPIC, traffic: &traffic, ..*drain };

    let mut counts = COUNTS.map(|collectors| Count { collectors, rounds: Vec::new() });
    // The server's first drain is another one.
    if size.warm_up {
        round(databases, &drain, 1, 0).await?;
    }
    for number in 1..=size.rounds {
        for Count { collectors, rounds } in &mut counts {
            let round = round(databases, &drain, *collectors, number).await?;
            let rate = round.events_per_second;
            say(&format!("{collectors} collectors, round {number} of {}: {rate:.0} events/s", size.rounds));
            rounds.push(round);
        }
    }
    Ok(Collectors { events: traffic.events, rows: traffic.expected.clone(), counts: counts.into() })
}

async fn round(
    databases: &Databases,
    drain: &Drain<'_>,
    collectors: usize,
    number: u32,
) -> anyhow::Result<Round> {
    let name = format!("collectors_{collectors}_{number}");
    let url = databases.create(&name).await?;
    let group = format!("bench-{name}");
    let client = connect(&url).await?;
    let mark = PostgresMark::set(&client).await?;
    let logs: Vec<_> =
        (1..=collectors).map(|number| drain.log.with_extension(format!("{number}.log"))).collect();
    let started = logs.iter().map(|log| Drain { log, ..*drain }.start(&url, &group));
    let mut members = started.collect::<anyhow::Result<Vec<_>>>()?;
    let watched = drain.watch(&mut members, &client, &group).await;
    let times = watched.with_context(|| format!("see {}", drain.log.with_extension("*.log").display()))?;
    let postgres = mark.since(&client).await?;
    let mut cpu = Vec::new();
    for member in &members {
        cpu.push(process_cpu(member.id().context("a collector has ended already")?)?);
    }
    for member in members {
        drain::end(member).await?;
    }
    drain.traffic.expected.compare(&Contents::stored(&client).await?)?;
    drop(client);
    databases.remove(&name).await?;
    let (seconds, all) = (times.end - times.assigned, cpu.iter().sum::<f64>());
    Ok(Round {
        seconds,
        events_per_second: drain::exact(drain.traffic.events) / seconds,
        collector_cpu_seconds: all,
        least_share: cpu.into_iter().fold(f64::INFINITY, f64::min) / all,
        postgres_cpu_seconds: postgres.cpu_seconds,
    })
}

impl Count {
    fn spread(&self, of: impl Fn(&Round) -> f64) -> [f64; 3] {
        spread(self.rounds.iter().map(of).collect())
    }

    fn cells(&self, one: &Self, events: f64) -> [String; 8] {
        let ratios = self.rounds.iter().zip(&one.rounds);
        let ratios = ratios.map(|(own, one)| own.events_per_second / one.events_per_second);
        let [median, least, greatest] = spread(ratios.collect()).map(|ratio| format!("{ratio:.2}"));
        let cpu_of_event = |of: fn(&Round) -> f64| format!("{:.1}", self.spread(of)[0] * 1e6 / events);
        [
            self.collectors.to_string(),
            format!("{:.0}", self.spread(|round| round.events_per_second)[0]),
            median,
            least,
            greatest,
            cpu_of_event(|round| round.collector_cpu_seconds),
            cpu_of_event(|round| round.postgres_cpu_seconds),
            format!("{:.0} %", self.spread(|round| round.least_share)[0] * 100.0),
        ]
    }
}

impl fmt::Display for Collectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Contents { steps, flows, .. } = &self.rows;
        let Some(one) = self.counts.first() else { return Ok(()) };
        writeln!(
            f,
            "several collectors, {PARTITIONS} partitions: {} events → {steps} steps, {flows} flows; rounds: {}",
            self.events,
            one.rounds.len()
        )?;
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header([
            "collectors",
            "events/s",
            "÷ one's",
            "least",
            "greatest",
            "collectors' CPU, µs/event",
            "Postgres CPU, µs/event",
            "CPU of the least busy",
        ]);
        for count in &self.counts {
            table.add_row(count.cells(one, drain::exact(self.events)));
        }
        for column in table.column_iter_mut() {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write!(f, "{table}")
    }
}
