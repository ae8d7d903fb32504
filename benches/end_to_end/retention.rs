//! What ingest loses while old flows are removed, and whether these go at least as fast as new ones come.
//!
//! The tables are filled once with flows of a hundred years ago. In each round a collector drains a topic of new flows into
//! one copy of them with nobody else there, and into another while `flowtrail retention run` removes the old ones: there both
//! are as fast as they can be, on the same processors. What is left at the end has to be the new flows and nothing else.

use std::{fmt, process::Stdio, time::Duration};

use anyhow::{Context as _, ensure};
use comfy_table::{CellAlignment, Table, presets};
use flowtrail::{
    clock,
    publish::{Synthetic, SyntheticOptions},
};
use serde::Serialize;
use tokio::process::{Child, Command};
use tokio_postgres::Client;

use crate::{
    Databases, Size, connect,
    drain::{Drain, Drained},
    report::spread,
    say,
    traffic::{self, Contents},
};

/// Where the new flows are, and the old ones.
const TOPIC: &str = "flow.history.retention";
const OLD_TOPIC: &str = "flow.history.retention.old";
/// The database that holds the old ones.
const TEMPLATE: &str = "retention";
/// So many old events for each new one: there is something to remove for as long as new ones come.
const OLD_PER_NEW: u32 = 2;
/// Old flows started longer ago than this, new ones did not.
const POLICY: &str = r#"[{"name":"old","age":"18250d","unfinished":true}]"#;
const OLD_START: &str = "1926-01-01T00:00:00Z";
/// How often it is looked whether the first flows are gone, and how often at most.
const POLL: Duration = Duration::from_millis(20);
const POLLS: u32 = 3_000;

/// What ingest is to keep, and how fast old rows are to go, both by what ingest does alone.
const TARGETS: [f64; 2] = [0.9, 1.0];

/// Ingest and removal, alone and beside each other.
#[derive(Debug, Serialize)]
pub(crate) struct Removal {
    events: u64,
    rows: Contents,
    old: Contents,
    /// The rounds, in order.
    rounds: Vec<Round>,
}

#[derive(Debug, Serialize)]
struct Round {
    /// Ingest with nothing beside it.
    alone: Drained,
    /// Old rows by second with nothing beside it, start of the process included.
    purge_alone_rows_per_second: f64,
    /// Ingest while old flows are removed.
    beside: Drained,
    /// Old rows by second meanwhile, start of the collector's process included.
    purge_rows_per_second: f64,
    /// Whether there were still old flows when the last new one was stored.
    to_the_end: bool,
}

/// Fills the tables, and has each round do both.
pub(crate) async fn measure(databases: &Databases, drain: &Drain<'_>, size: Size) -> anyhow::Result<Removal> {
    let old_events = size.events.saturating_mul(OLD_PER_NEW);
    say(&format!("publishing {} events of new flows and {old_events} of old ones", size.events));
    let new = move || traffic::synthetic(size.events, 0.0).map(traffic::scatter);
    let new = traffic::send(drain.bootstrap_servers, TOPIC, new).await?;
    let options =
        SyntheticOptions { seed: 2, start: OLD_START.parse()?, rerun_percent: 0.0, ..Default::default() };
    let take = usize::try_from(old_events)?;
    let old = move || Synthetic::new(options).take(take).map(traffic::scatter);
    let old = traffic::send(drain.bootstrap_servers, OLD_TOPIC, old).await?;

    let template = databases.create(TEMPLATE).await?;
    Drain { topic: OLD_TOPIC, traffic: &old, ..*drain }.run(&template, "bench-retention-old").await?;
    let client = connect(&template).await?;
    old.expected.compare(&Contents::stored(&client).await?)?;
    client.batch_execute("VACUUM ANALYZE").await?;
    drop(client);

    let bench =
        Bench { databases, drain: Drain { topic: TOPIC, traffic: &new, ..*drain }, old: &old.expected };
    let mut rounds = Vec::new();
    for number in 1..=size.rounds {
        let round = bench.round(number).await?;
        say(&format!("round {number} of {}: {round}", size.rounds));
        rounds.push(round);
    }
    databases.remove(TEMPLATE).await?;
    Ok(Removal { events: new.events, rows: new.expected.clone(), old: old.expected.clone(), rounds })
}

struct Bench<'a> {
    databases: &'a Databases,
    drain: Drain<'a>,
    old: &'a Contents,
}

impl Bench<'_> {
    async fn round(&self, number: u32) -> anyhow::Result<Round> {
        let name = format!("retention_alone_{number}");
        let url = self.databases.copy_of(TEMPLATE, &name).await?;
        let alone = self.drain.run(&url, &format!("bench-{name}")).await?;
        let began = clock::monotonic();
        ended(self.purge(&url)?).await?;
        let purge_alone_rows_per_second =
            f64::from(i32::try_from(self.old.rows())?) / began.elapsed().as_secs_f64();
        self.check(&url).await?;
        self.databases.remove(&name).await?;

        let name = format!("retention_beside_{number}");
        let url = self.databases.copy_of(TEMPLATE, &name).await?;
        let client = connect(&url).await?;
        let mut purge = self.purge(&url)?;
        let before = self.begun(&mut purge, &client).await?;
        let began = clock::monotonic();
        let beside = self.drain.run(&url, &format!("bench-{name}")).await?;
        let seconds = began.elapsed().as_secs_f64();
        let to_the_end = purge.try_wait()?.is_none();
        let gone = before - (rows(&client).await? - self.drain.traffic.expected.rows());
        let purge_rows_per_second = f64::from(i32::try_from(gone)?) / seconds;
        ended(purge).await?;
        self.check(&url).await?;
        drop(client);
        self.databases.remove(&name).await?;
        Ok(Round { alone, purge_alone_rows_per_second, beside, purge_rows_per_second, to_the_end })
    }

    /// Starts to remove old flows, in a process of its own.
    fn purge(&self, url: &str) -> anyhow::Result<Child> {
        let mut command = Command::new(self.drain.program);
        command.args(["retention", "run", "--yes", "--format", "json"]);
        command.env("DATABASE_URL", url).env("FLOWTRAIL_RETENTION__POLICIES", POLICY);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().context("starting flowtrail retention")
    }

    /// Waits until the first flows are gone, and says how many rows are left then.
    async fn begun(&self, purge: &mut Child, client: &Client) -> anyhow::Result<i64> {
        for _ in 0..POLLS {
            let left = rows(client).await?;
            if left < self.old.rows() {
                return Ok(left);
            }
            ensure!(purge.try_wait()?.is_none(), "flowtrail retention ended and removed nothing");
            tokio::time::sleep(POLL).await;
        }
        anyhow::bail!("flowtrail retention removes nothing")
    }

    /// Only the new flows are left.
    async fn check(&self, url: &str) -> anyhow::Result<()> {
        let stored = Contents::stored(&connect(url).await?).await?;
        self.drain.traffic.expected.compare(&stored)
    }
}

async fn ended(purge: Child) -> anyhow::Result<()> {
    let ended = purge.wait_with_output().await?;
    ensure!(
        ended.status.success(),
        "flowtrail retention: {}, {}",
        ended.status,
        String::from_utf8_lossy(&ended.stderr)
    );
    Ok(())
}

async fn rows(client: &Client) -> anyhow::Result<i64> {
    const SQL: &str = "SELECT (SELECT count(*) FROM steps) + (SELECT count(*) FROM flowstate)";
    Ok(client.query_one(SQL, &[]).await?.get(0))
}

impl Round {
    fn ingest_kept(&self) -> f64 {
        self.beside.rows_per_second / self.alone.rows_per_second
    }

    fn purge_by_ingest(&self) -> f64 {
        self.purge_rows_per_second / self.alone.rows_per_second
    }

    fn purge_alone_by_ingest(&self) -> f64 {
        self.purge_alone_rows_per_second / self.alone.rows_per_second
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} rows/s come alone, {:.0} while {:.0} old rows/s go{}; {:.0} go alone",
            self.alone.rows_per_second,
            self.beside.rows_per_second,
            self.purge_rows_per_second,
            if self.to_the_end { "" } else { " (there were not enough of them)" },
            self.purge_alone_rows_per_second,
        )
    }
}

/// What it is, how many digits are shown, how to get it from a round, and what it is to be.
type Line = (&'static str, usize, fn(&Round) -> f64, String);

impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (new, old) = (self.rows.rows(), self.old.rows());
        writeln!(
            f,
            "while old flows are removed: {} events → {new} rows come, {old} rows go; rounds: {}",
            self.events,
            self.rounds.len()
        )?;
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header(["", "median", "least", "greatest", "target"]);
        let lines: [Line; 7] = [
            ("ingest ÷ ingest alone", 3, Round::ingest_kept, format!("≥ {}", TARGETS[0])),
            ("removal beside it ÷ ingest alone", 3, Round::purge_by_ingest, format!("≥ {}", TARGETS[1])),
            ("removal alone ÷ ingest alone", 3, Round::purge_alone_by_ingest, format!("≥ {}", TARGETS[1])),
            ("ingest alone: rows/s", 0, |round| round.alone.rows_per_second, String::new()),
            ("ingest beside removal: rows/s", 0, |round| round.beside.rows_per_second, String::new()),
            ("removal beside ingest: rows/s", 0, |round| round.purge_rows_per_second, String::new()),
            ("removal alone: rows/s", 0, |round| round.purge_alone_rows_per_second, String::new()),
        ];
        for (name, digits, of, target) in lines {
            let [median, least, greatest] =
                spread(self.rounds.iter().map(of).collect()).map(|value| format!("{value:.digits$}"));
            table.add_row([name.to_owned(), median, least, greatest, target]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write!(f, "{table}")?;
        if self.rounds.iter().any(|round| !round.to_the_end) {
            write!(
                f,
                "\nthe old flows were gone before the last new one was stored: what comes beside is too high"
            )?;
        }
        Ok(())
    }
}
