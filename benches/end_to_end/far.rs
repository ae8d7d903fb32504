//! First delivery, and the same events again, where Postgres is some milliseconds away: what is lost by waiting for it.
//!
//! The collector reaches Postgres through a proxy in this process that lets bytes arrive late, half of a round trip each
//! way; without any delay too, so that the ratio is about the delay and not about the proxy. Kafka stays near.

use std::{fmt, time::Duration};

use comfy_table::{CellAlignment, Table, presets};
use flowtrail::clock;
use serde::Serialize;

use crate::{
    Databases, Size, connect,
    drain::{Again, Drain, Drained},
    proxy::{Mode, Proxy},
    report::spread,
    say,
    traffic::{self, Contents},
};

/// Where the events are.
const TOPIC: &str = "flow.history.far";
/// Milliseconds of a round trip, in ascending order; the first is what the others are compared with.
const ROUND_TRIPS: [u32; 3] = [0, 2, 10];
/// So many questions are asked to see what a round trip takes.
const QUESTIONS: u32 = 50;

/// What delay does.
#[derive(Debug, Serialize)]
pub(crate) struct Far {
    events: u64,
    rows: Contents,
    /// In the order of [`ROUND_TRIPS`].
    distances: Vec<Distance>,
}

/// Postgres at one distance.
#[derive(Debug, Serialize)]
struct Distance {
    /// The delay of both ways together.
    round_trip_ms: u32,
    /// The rounds, in order.
    rounds: Vec<Round>,
}

/// One drain, and another of the same topic.
#[derive(Debug, Serialize)]
struct Round {
    /// What a question that asks for nothing took, the median of some.
    question_ms: f64,
    drain: Drained,
    drain_trips: Option<Trips>,
    again: Again,
    again_trips: Option<Trips>,
}

/// Round trips of a transaction.
#[derive(Debug, Clone, Copy, Serialize)]
struct Trips {
    transactions: usize,
    median: f64,
    least: f64,
    greatest: f64,
}

/// Drains the topic so many times over connections of each length.
pub(crate) async fn measure(databases: &Databases, drain: &Drain<'_>, size: Size) -> anyhow::Result<Far> {
    say(&format!("publishing {} events for a database that is far away", size.events));
    let records = move || traffic::synthetic(size.events, 0.0);
    let traffic = traffic::send(drain.bootstrap_servers, TOPIC, records).await?;
    let proxy = Proxy::before(&databases.url).await;
    let drain = Drain { topic: TOPIC, traffic: &traffic, through: Some(&proxy), ..*drain };

    let distance = |round_trip_ms| Distance { round_trip_ms, rounds: Vec::new() };
    let mut distances = ROUND_TRIPS.map(distance);
    // The server's first drain is another one.
    if size.warm_up {
        round(databases, &drain, &proxy, 0, 0).await?;
    }
    for number in 1..=size.rounds {
        for Distance { round_trip_ms, rounds } in &mut distances {
            let round = round(databases, &drain, &proxy, *round_trip_ms, number).await?;
            say(&format!(
                "{round_trip_ms} ms to Postgres and back, round {number} of {}: {:.0} rows/s, again {:.0}",
                size.rounds, round.drain.rows_per_second, round.again.drain.rows_per_second
            ));
            rounds.push(round);
        }
    }
    Ok(Far { events: traffic.events, rows: traffic.expected.clone(), distances: distances.into() })
}

async fn round(
    databases: &Databases,
    drain: &Drain<'_>,
    proxy: &Proxy,
    round_trip_ms: u32,
    number: u32,
) -> anyhow::Result<Round> {
    let name = format!("far_{round_trip_ms}_{number}");
    let url = databases.create(&name).await?;
    let one_way = Duration::from_millis(round_trip_ms.into()) / 2;
    proxy.set(if one_way.is_zero() { Mode::Pass } else { Mode::Slow(one_way) });
    let question_ms = question(&proxy.url(&url)).await?;
    // Without a delay their number is not known: see `Proxy::trips`.
    let trips = || Trips::of(proxy.trips().take()).filter(|_| !one_way.is_zero());

    trips();
    let drained = drain.run(&url, &format!("bench-{name}")).await?;
    let drain_trips = trips();
    drain.traffic.expected.compare(&Contents::stored(&connect(&url).await?).await?)?;
    let again = drain.again(&url, &format!("bench-{name}-again")).await?;
    let again_trips = trips();
    drain.traffic.expected.compare(&Contents::stored(&connect(&url).await?).await?)?;
    databases.remove(&name).await?;
    Ok(Round { question_ms, drain: drained, drain_trips, again, again_trips })
}

/// What a round trip takes, in milliseconds.
async fn question(url: &str) -> anyhow::Result<f64> {
    let client = connect(url).await?;
    let mut took = Vec::new();
    for _ in 0..QUESTIONS {
        let began = clock::monotonic();
        client.batch_execute("").await?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    let [median, ..] = spread(took);
    Ok(median)
}

impl Trips {
    fn of(each: Vec<u32>) -> Option<Self> {
        let transactions = each.len();
        let [median, least, greatest] = spread(each.into_iter().map(f64::from).collect());
        (transactions > 0).then_some(Self { transactions, median, least, greatest })
    }
}

impl Distance {
    fn spread(&self, of: impl Fn(&Round) -> f64) -> [f64; 3] {
        spread(self.rounds.iter().map(of).collect())
    }

    /// By how much it is as fast as another one in the same round.
    fn ratio(&self, to: &Self, of: impl Fn(&Round) -> f64) -> [f64; 3] {
        spread(self.rounds.iter().zip(&to.rounds).map(|(own, other)| of(own) / of(other)).collect())
    }

    fn cells(&self, near: &Self) -> [String; 10] {
        let [median, least, greatest] = self.ratio(near, first).map(|ratio| format!("{ratio:.3}"));
        let trips = |of: fn(&Round) -> Option<Trips>| {
            let [median, ..] = self.spread(|round| of(round).map_or(f64::NAN, |trips| trips.median));
            if median.is_nan() { String::new() } else { format!("{median:.1}") }
        };
        [
            self.round_trip_ms.to_string(),
            format!("{:.2}", self.spread(|round| round.question_ms)[0]),
            format!("{:.0}", self.spread(first)[0]),
            median,
            least,
            greatest,
            trips(|round| round.drain_trips),
            format!("{:.0}", self.spread(again)[0]),
            format!("{:.3}", self.ratio(near, again)[0]),
            trips(|round| round.again_trips),
        ]
    }
}

fn first(round: &Round) -> f64 {
    round.drain.rows_per_second
}

fn again(round: &Round) -> f64 {
    round.again.drain.rows_per_second
}

impl fmt::Display for Far {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Contents { steps, flows, .. } = &self.rows;
        let Some(near) = self.distances.first() else { return Ok(()) };
        writeln!(
            f,
            "a database that is far away: {} events → {steps} steps, {flows} flows; rounds: {}",
            self.events,
            near.rounds.len()
        )?;
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header([
            "round trip, ms",
            "measured",
            "rows/s",
            "÷ without delay",
            "least",
            "greatest",
            "round trips of a transaction",
            "again: rows/s",
            "again ÷ without delay",
            "again: round trips",
        ]);
        for distance in &self.distances {
            table.add_row(distance.cells(near));
        }
        for column in table.column_iter_mut() {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write!(f, "{table}")
    }
}
