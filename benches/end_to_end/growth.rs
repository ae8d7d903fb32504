//! How fast rows come into tables that hold many already, beside raw `COPY` into tables that hold as many.
//!
//! The flows have ids as random as UUIDs, so that new rows land everywhere in the indexes. The tables are filled once for
//! each size, with copies of rows that a collector made, through their indexes and in no order of the ids, as years of
//! traffic would; every drain and every `COPY` then begins with a copy of that database, file by file.

use std::fmt;

use anyhow::ensure;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use tokio_postgres::Client;

use crate::{
    Databases, connect,
    drain::Drain,
    raw_copy::Rows,
    report::{Round, spread},
    say,
    traffic::{self, Contents},
};

/// The rows/s of raw COPY that the collector is to reach, whatever the size of the tables.
const TARGET: f64 = 0.65;
/// Where the new events are.
const TOPIC: &str = "flow.history.growth";
/// The database that is filled.
const TEMPLATE: &str = "growth";
/// Sessions that fill it side by side.
const SESSIONS: u32 = 2;
/// Tables that grow with the traffic; a flow's rows are found by its id.
const TABLES: [&str; 5] = ["steps", "flowstate", "ft_run", "ft_superseded_step", "ft_rewind"];

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    /// Steps that the tables hold before, in ascending order, each a multiple of the first.
    pub(crate) steps: &'static [u32],
    /// Events that come then.
    pub(crate) events: u32,
}

/// New rows by how many are there already.
#[derive(Debug, Serialize)]
pub(crate) struct Growth {
    events: u64,
    rows: Contents,
    target: f64,
    /// By size, ascending.
    pub(crate) sizes: Vec<Grown>,
}

/// New rows into tables of one size.
#[derive(Debug, Serialize)]
pub(crate) struct Grown {
    /// What the tables hold before.
    before: Contents,
    /// Bytes of the database.
    database_bytes: i64,
    /// The rounds, in order.
    rounds: Vec<Round>,
}

impl Grown {
    /// Median, least and greatest over the rounds.
    pub(crate) fn spread(&self, of: impl Fn(&Round) -> f64) -> [f64; 3] {
        spread(self.rounds.iter().map(of).collect())
    }

    /// Steps that the tables hold before.
    pub(crate) fn steps(&self) -> f64 {
        f64::from(u32::try_from(self.before.steps).unwrap_or(u32::MAX))
    }

    fn ratio(&self) -> [f64; 3] {
        self.spread(|round| round.drain.rows_per_second / round.copy.rows_per_second)
    }
}

/// Drains and copies new rows into tables of each size, so many times.
pub(crate) async fn measure(
    databases: &Databases,
    drain: &Drain<'_>,
    size: Size,
    rounds: u32,
) -> anyhow::Result<Growth> {
    say(&format!("publishing {} events of flows with random ids", size.events));
    let records = move || traffic::synthetic(size.events, 0.0).map(traffic::scatter);
    let traffic = traffic::send(drain.bootstrap_servers, TOPIC, records).await?;
    let drain = Drain { topic: TOPIC, traffic: &traffic, ..*drain };

    let template = databases.create(TEMPLATE).await?;
    drain.run(&template, "bench-growth").await?;
    let client = connect(&template).await?;
    traffic.expected.compare(&Contents::stored(&client).await?)?;
    let rows = Rows::of(&client).await?;
    let step = size.steps.first().copied().unwrap_or(1);
    sample(&client, step).await?;
    drop(client);

    let mut growth =
        Growth { events: traffic.events, rows: traffic.expected.clone(), target: TARGET, sizes: Vec::new() };
    let mut filled = 0;
    for steps in size.steps {
        say(&format!("filling tables to {steps} steps"));
        let passes = steps / step;
        fill(&template, filled..passes).await?;
        filled = passes;
        let mut grown = settle(&template).await?;
        for number in 1..=rounds {
            let round = round(databases, &drain, &grown.before, &rows, &format!("{steps}_{number}")).await?;
            say(&format!("{steps} steps before, round {number} of {rounds}: {round}"));
            grown.rounds.push(round);
        }
        growth.sizes.push(grown);
    }
    databases.remove(TEMPLATE).await?;
    Ok(growth)
}

/// One drain into a copy of the filled database, and one COPY of the same rows into another.
async fn round(
    databases: &Databases,
    drain: &Drain<'_>,
    before: &Contents,
    rows: &Rows,
    name: &str,
) -> anyhow::Result<Round> {
    let (into, copied_into) = (format!("growth_drain_{name}"), format!("growth_copy_{name}"));
    let url = databases.copy_of(TEMPLATE, &into).await?;
    let drained = drain.run(&url, &format!("bench-growth-{name}")).await?;
    let expected = before.plus(&drain.traffic.expected);
    expected.compare(&Contents::stored(&connect(&url).await?).await?)?;
    databases.remove(&into).await?;

    let url = databases.copy_of(TEMPLATE, &copied_into).await?;
    let copy = rows.clone().copy_into(&url).await?;
    databases.remove(&copied_into).await?;
    Ok(Round { drain: drained, verify: None, again: None, copy, races: Vec::new() })
}

/// Keeps some of the rows to fill the tables with, so many steps and all else of their flows, and empties the tables.
async fn sample(client: &Client, steps: u32) -> anyhow::Result<()> {
    client.batch_execute("CREATE SCHEMA sample").await?;
    for table in TABLES {
        let which = match table {
            "steps" => format!("LIMIT {steps}"),
            _ => "WHERE flowinstanceid IN (SELECT flowinstanceid FROM sample.steps)".to_owned(),
        };
        let make = format!("CREATE TABLE sample.{table} AS SELECT * FROM public.{table} {which}");
        client.batch_execute(&make).await?;
    }
    let kept: i64 = client.query_one("SELECT count(*) FROM sample.steps", &[]).await?.get(0);
    ensure!(kept == i64::from(steps), "there are {kept} steps to fill tables with, not {steps}");
    Ok(client.batch_execute(&format!("TRUNCATE {}, ft_offset", TABLES.join(", "))).await?)
}

/// Adds the sample so many times, each time under other ids and ten minutes earlier than the last: what comes then is
/// newer than all of it, as it would be.
async fn fill(url: &str, passes: std::ops::Range<u32>) -> anyhow::Result<()> {
    let mut sessions = Vec::new();
    for session in 0..SESSIONS {
        let (url, passes) = (url.to_owned(), passes.clone().filter(move |pass| pass % SESSIONS == session));
        sessions.push(tokio::spawn(async move {
            let client = connect(&url).await?;
            client.batch_execute("SET synchronous_commit = off").await?;
            for pass in passes {
                for table in TABLES {
                    add_sample(&client, table, pass).await?;
                }
            }
            anyhow::Ok(())
        }));
    }
    for session in sessions {
        session.await??;
    }
    Ok(())
}

const COLUMNS: &str = "SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position), \
    string_agg(CASE \
        WHEN column_name IN ('flowinstanceid', 'rerunofflowinstanceid') THEN format('md5(%I || $1::int)', column_name) \
        WHEN column_name IN ('starttime', 'endtime') THEN format('%I - ($1::int + 1) * interval ''10 minutes''', column_name) \
        ELSE quote_ident(column_name) END, ', ' ORDER BY ordinal_position) \
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1::text";

async fn add_sample(client: &Client, table: &str, pass: u32) -> anyhow::Result<()> {
    let row = client.query_one(COLUMNS, &[&table]).await?;
    let (columns, values): (String, String) = (row.get(0), row.get(1));
    let insert = format!("INSERT INTO public.{table} ({columns}) SELECT {values} FROM sample.{table}");
    client.execute(&insert, &[&i32::try_from(pass)?]).await?;
    Ok(())
}

/// Brings the filled tables into the state that they have on a quiet day.
async fn settle(url: &str) -> anyhow::Result<Grown> {
    let client = connect(url).await?;
    client.batch_execute("VACUUM ANALYZE").await?;
    client.batch_execute("CHECKPOINT").await?;
    let size = "SELECT pg_database_size(current_database())";
    let database_bytes = client.query_one(size, &[]).await?.get(0);
    Ok(Grown { before: Contents::stored(&client).await?, database_bytes, rounds: Vec::new() })
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Contents { steps, flows, .. } = &self.rows;
        writeln!(
            f,
            "into tables that hold many: {} events of flows with random ids → {steps} steps, {flows} flows; rounds: {}",
            self.events,
            self.sizes.first().map_or(0, |grown| grown.rounds.len()),
        )?;
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header([
            "steps before",
            "MB before",
            "rows/s ÷ raw COPY's",
            "least",
            "greatest",
            "collector: rows/s",
            "raw COPY: rows/s",
            "Postgres CPU ÷ raw COPY's",
            "WAL ÷ raw COPY's",
        ]);
        for grown in &self.sizes {
            table.add_row(grown.cells());
        }
        for column in table.column_iter_mut() {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{table}")?;
        let least = self.sizes.iter().map(|grown| grown.ratio()[0]).fold(f64::INFINITY, f64::min);
        let verdict = if least >= self.target { "reached" } else { "missed" };
        write!(f, "least median of rows/s ÷ raw COPY's: {least:.3}; target {}: {verdict}", self.target)
    }
}

impl Grown {
    fn cells(&self) -> [String; 9] {
        let [median, least, greatest] = self.ratio().map(|ratio| format!("{ratio:.3}"));
        let whole = |of: fn(&Round) -> f64| format!("{:.0}", self.spread(of)[0]);
        let ratio = |of: fn(&Round) -> f64| format!("{:.2}", self.spread(of)[0]);
        [
            self.before.steps.to_string(),
            (self.database_bytes / 1_000_000).to_string(),
            median,
            least,
            greatest,
            whole(|round| round.drain.rows_per_second),
            whole(|round| round.copy.rows_per_second),
            ratio(|round| round.drain.postgres.cpu_seconds / round.copy.postgres.cpu_seconds),
            ratio(|round| round.drain.postgres.wal_bytes / round.copy.postgres.wal_bytes),
        ]
    }
}
