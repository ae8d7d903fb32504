//! How fast a backlog gets from Kafka to Postgres, beside the fastest that Postgres takes the same rows.
//!
//! A topic is filled once. Then, in turns: the collector, a process of its own, drains it into fresh tables; and two
//! sessions bring the rows that it made into other fresh tables by `COPY`, which is as fast as these tables can be
//! written with everything known beforehand. What counts is the ratio of the two: it says little about the machine.
//! What was drained is compared with the topic by `flowtrail verify`, which is timed too.
//! The full profile begins with a round that is not counted: a new server writes the files of its log for the first
//! time, and a new broker makes the topic of the groups.
//!
//! ```text
//! cargo bench --bench end_to_end -- --events 1000000 --rounds 3 --json report.json
//! ```
//!
//! A run whose tables do not hold exactly what the merge law makes of the traffic fails, however fast it was.

mod drain;
mod raw_copy;
mod report;
mod statements;
mod traffic;
mod usage;

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Parser as _;
use flowtrail::{
    dev::{self, Stack, StackOptions},
    schema,
};
use secrecy::ExposeSecret as _;
use tokio_postgres::{Client, NoTls};

use self::{
    drain::Drain,
    report::{Report, Round},
    traffic::Traffic,
};

/// How long another may hold the schema's lock; nobody does.
const SCHEMA_PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Bench of the whole way: a backlog from Kafka to Postgres.
#[derive(Debug, clap::Parser)]
struct Args {
    /// Events on the topic [default: 1000000, with --profile quick 100000]
    #[arg(long)]
    events: Option<u32>,
    /// Rounds that count, each a drain and a raw COPY [default: 3, with --profile quick 1]
    #[arg(long)]
    rounds: Option<u32>,
    /// How much of everything; quick only shows that it runs
    #[arg(long, value_enum)]
    profile: Option<Profile>,
    /// How many ended flows in a hundred are run again
    #[arg(long, default_value_t = 1.0)]
    rerun_percent: f64,
    /// Another build of flowtrail to measure, for a comparison
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_flowtrail"))]
    program: PathBuf,
    /// Settings of the collector, as SECTION.KEY=VALUE, such as collector.lanes=4; may be repeated
    #[arg(long = "set", value_name = "SETTING")]
    settings: Vec<String>,
    /// Settings of the local Postgres, as NAME=VALUE, as for `auto_explain`; may be repeated
    #[arg(long = "postgres-set", value_name = "SETTING")]
    postgres_settings: Vec<String>,
    /// After each drain, show the statements that Postgres spent its time on; counting them takes some of it
    #[arg(long)]
    statements: bool,
    /// Also write the report there, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Keep the servers' folder, with their logs and the collector's
    #[arg(long)]
    keep: bool,
    /// Given by `cargo bench`; without it, as by `cargo test`, the profile is quick
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Profile {
    Quick,
    Full,
}

/// How much is done.
#[derive(Debug, Clone, Copy)]
struct Size {
    events: u32,
    rounds: u32,
    warm_up: bool,
}

impl Args {
    fn size(&self) -> Size {
        let by_default = if self.bench { Profile::Full } else { Profile::Quick };
        let (events, rounds, warm_up) = match self.profile.unwrap_or(by_default) {
            Profile::Quick => (100_000, 1, false),
            Profile::Full => (1_000_000, 3, true),
        };
        let (events, rounds) = (self.events.unwrap_or(events).max(1), self.rounds.unwrap_or(rounds).max(1));
        Size { events, rounds, warm_up }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let data_dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("end_to_end");
    dev::reset(&data_dir)?;
    let mut options = StackOptions::new(&data_dir);
    for setting in &args.postgres_settings {
        let (name, value) = setting.split_once('=').with_context(|| format!("{setting}: want NAME=VALUE"))?;
        options.postgres_settings.push((name.to_owned(), value.to_owned()));
    }
    if args.statements {
        let counting = statements::SETTINGS.map(|(name, value)| (name.to_owned(), value.to_owned()));
        options.postgres_settings.extend(counting);
    }
    say("starting Kafka and Postgres");
    let stack = tokio::task::spawn_blocking(move || Stack::start(&options)).await??;
    let outcome = measure(&args, &stack).await;
    tokio::task::spawn_blocking(move || stack.stop()).await?;
    if !args.keep && outcome.is_ok() {
        dev::reset(&data_dir)?;
    }
    let report = outcome?;
    if let Some(path) = &args.json {
        fs::write(path, serde_json::to_vec_pretty(&report)?).with_context(|| path.display().to_string())?;
    }
    Ok(writeln!(io::stdout().lock(), "{report}")?)
}

async fn measure(args: &Args, stack: &Stack) -> anyhow::Result<Report> {
    let Size { events, rounds, warm_up } = args.size();
    let traffic = traffic::publish(stack.bootstrap_servers(), events, args.rerun_percent).await?;
    let databases = Databases { url: stack.database_url().expose_secret().to_owned() };
    let drain = Drain {
        bootstrap_servers: stack.bootstrap_servers(),
        traffic: &traffic,
        program: &args.program,
        settings: &args.settings,
        statements: args.statements,
        log: &stack.data_dir().join("collector.log"),
    };
    let mut report = Report::new(&databases, stack.data_dir(), args, &traffic).await?;
    if warm_up {
        let round = round(0, &drain, &databases, &traffic).await?;
        say(&format!("a round that is not counted: {round}"));
    }
    for number in 1..=rounds {
        let round = round(number, &drain, &databases, &traffic).await?;
        say(&format!("round {number} of {rounds}: {round}"));
        report.rounds.push(round);
    }
    Ok(report)
}

/// One drain, and a raw COPY of the rows that it made.
async fn round(
    number: u32,
    drain: &Drain<'_>,
    databases: &Databases,
    traffic: &Traffic,
) -> anyhow::Result<Round> {
    let (drained_into, copied_into) = (format!("drain_{number}"), format!("copy_{number}"));
    let url = databases.create(&drained_into).await?;
    let drained = drain.run(&url, &format!("bench-{number}")).await?;
    let client = connect(&url).await?;
    traffic.expected.compare(&traffic::Contents::stored(&client).await?)?;
    let rows = raw_copy::Rows::of(&client).await?;
    drop(client);
    let verified = drain.verify(&url, &format!("bench-{number}")).await?;
    databases.remove(&drained_into).await?;

    let url = databases.create(&copied_into).await?;
    let copied = rows.copy_into(&url).await?;
    databases.remove(&copied_into).await?;
    Ok(Round { drain: drained, verify: verified, copy: copied })
}

/// The server, and the databases made there.
struct Databases {
    url: String,
}

impl Databases {
    /// Makes a database with all tables, empty, and has everything on disk that was written before.
    async fn create(&self, name: &str) -> anyhow::Result<String> {
        let admin = connect(&self.url).await?;
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await?;
        let (server, _) = self.url.rsplit_once('/').context("the stack's URL ends with a database")?;
        let url = format!("{server}/{name}");
        schema::update(&mut connect(&url).await?, SCHEMA_PATIENCE).await?;
        admin.batch_execute("CHECKPOINT").await?;
        Ok(url)
    }

    async fn remove(&self, name: &str) -> anyhow::Result<()> {
        let admin = connect(&self.url).await?;
        Ok(admin.batch_execute(&format!("DROP DATABASE {name} WITH (FORCE)")).await?)
    }
}

/// A plain connection.
async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Says how it goes on, on standard error.
fn say(what: &str) {
    // Nobody may be listening.
    let _ = writeln!(io::stderr().lock(), "{what}");
}
