//! How fast a backlog gets from Kafka to Postgres, beside the fastest that Postgres takes the same rows; and how soon a
//! single event does.
//!
//! A topic is filled once. Then, in turns: the collector, a process of its own, drains it into fresh tables; and two
//! sessions bring the rows that it made into other fresh tables by `COPY`, which is as fast as these tables can be
//! written with everything known beforehand. What counts is the ratio of the two: it says little about the machine.
//! There is a topic as runtimes fill it, one where start and end of a step are far apart, and one in disorder. What was
//! drained of the first is compared with the topic by `flowtrail verify`, then drained again by another group; and a
//! consumer that only decodes reads it, for the collector's processor time to be measured by. Then the same two bring
//! new flows into tables that hold many steps already. Several collectors drain a topic together, and one does over
//! connections to Postgres that are some milliseconds long. Then many small apps post to the gateway, and to a service that
//! makes a row of each request. Last, it drains while old flows are removed.
//! Where `--only peers` asks for them, other ways to get the same events into the same tables take their turn in each round.
//! The full profile begins with a round that is not counted: a new server writes the files of its log for the first
//! time, and a new broker makes the topic of the groups.
//!
//! ```text
//! cargo bench --bench end_to_end -- --events 1000000 --rounds 3 --json report.json
//! cargo bench --bench end_to_end -- --report docs/performance.md
//! ```
//!
//! A run whose tables do not hold exactly what the merge law makes of the traffic fails, however fast it was.

mod bare;
mod collectors;
mod databases;
mod drain;
mod far;
mod gateway;
mod growth;
mod latency;
mod page;
mod peers;
mod plot;
#[expect(
    dead_code,
    unreachable_pub,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the tests want more of it, and a bench whose proxy panics has failed too"
)]
#[path = "../../tests/support/proxy.rs"]
mod proxy;
mod raw_copy;
mod report;
mod retention;
mod statements;
mod traffic;
mod usage;

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::{Parser as _, ValueEnum as _};
use flowtrail::dev::{self, Stack, StackOptions};
use secrecy::ExposeSecret as _;

use self::{
    databases::{Databases, connect},
    drain::Drain,
    peers::{Peer, Peers, Truth},
    report::{Drains, Report, Round},
    traffic::{Order, Traffic},
};

/// How long another may hold the schema's lock; nobody does.
const SCHEMA_PATIENCE: Duration = Duration::from_secs(30);

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
    /// What to measure; may be repeated [default: everything but peers]
    #[arg(long = "only", value_enum, value_name = "PART")]
    only: Vec<Part>,
    /// Which rivals take part in peers; may be repeated [default: all]
    #[arg(long = "peer", value_enum, value_name = "RIVAL")]
    peers: Vec<Peer>,
    /// How many apps post at once in gateway; may be repeated [default: 64 and 256, with --profile quick 16]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4_096))]
    apps: Vec<u32>,
    /// Another build of flowtrail to measure, for a comparison
    #[arg(long, value_name = "FILE", default_value = env!("CARGO_BIN_EXE_flowtrail"))]
    program: PathBuf,
    /// Settings of the collector, as SECTION.KEY=VALUE, such as collector.lanes=4; may be repeated
    #[arg(long = "set", value_name = "SETTING")]
    settings: Vec<String>,
    /// Settings of the local Postgres, as NAME=VALUE, as for `auto_explain`; may be repeated
    #[arg(long = "postgres-set", value_name = "SETTING")]
    postgres_settings: Vec<String>,
    /// In how many partitions the large tables are made
    #[arg(long, value_name = "N", default_value_t = 0)]
    partitions: usize,
    /// After each drain, show the statements that Postgres spent its time on; counting them takes some of it
    #[arg(long)]
    statements: bool,
    /// Also write the report there, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also write plots into that folder, as SVG
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// Also write the report into that page, between its two marks, with JSON and plots in a folder beside it
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Only read a topic of a Kafka at this address, decode, and say what that took; this program starts itself so
    #[arg(long, hide = true, requires = "bare_topic")]
    bare: Option<String>,
    #[arg(long, hide = true)]
    bare_topic: Option<String>,
    /// Only be the service that makes a row of each request, in this database; this program starts itself so
    #[arg(long, hide = true, requires = "insert_sessions")]
    insert: Option<String>,
    #[arg(long, hide = true)]
    insert_sessions: Option<usize>,
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

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A drain, by how its events come.
    Drain(Order),
    /// A consumer that decodes and does nothing else.
    Bare,
    /// New rows into tables that hold many.
    Growth,
    /// First delivery by several collectors.
    Collectors,
    /// First delivery to a database that is far away.
    Far,
    /// From a producer's call to a visible row.
    Latency,
    /// Requests of small apps, beside a service that makes a row of each.
    Gateway,
    /// New flows while old ones are removed.
    Retention,
}

impl Part {
    const ALL: [Self; 12] = [
        Self::Drain(Order::First),
        Self::Drain(Order::Reruns),
        Self::Drain(Order::Twice),
        Self::Drain(Order::Disorder),
        Self::Bare,
        Self::Growth,
        Self::Collectors,
        Self::Far,
        Self::Latency,
        Self::Gateway,
        Self::Retention,
        Self::Drain(Order::Peers),
    ];

    /// Rivals are fetched, by the hundred megabytes, only for those who ask for them.
    fn is_default(self) -> bool {
        self != Self::Drain(Order::Peers)
    }
}

impl clap::ValueEnum for Part {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        let (name, help) = match self {
            Self::Drain(Order::First) => {
                ("first", "first delivery, the comparison of it, and the same topic again")
            }
            Self::Drain(Order::Reruns) => ("reruns", "first delivery, some flows run again"),
            Self::Drain(Order::Twice) => ("twice", "start and end of each step in different batches"),
            Self::Drain(Order::Disorder) => ("disorder", "duplicates, late events, shuffled"),
            Self::Drain(Order::Peers) => ("peers", "beside rivals, see benches/peers/README.md"),
            Self::Bare => ("bare", "beside a consumer that decodes and does nothing else; needs first"),
            Self::Growth => ("growth", "new flows into tables that hold many steps already"),
            Self::Collectors => ("collectors", "first delivery by one, two and three collectors"),
            Self::Far => ("far", "first delivery, and the same again, 0, 2 and 10 ms from Postgres and back"),
            Self::Latency => ("latency", "from a producer's call to a visible row"),
            Self::Gateway => {
                ("gateway", "requests/s of flowtrail serve, beside a service that makes a row of each")
            }
            Self::Retention => ("retention", "first delivery while old flows are removed, and without"),
        };
        Some(clap::builder::PossibleValue::new(name).help(help))
    }
}

/// How much is done.
#[derive(Debug, Clone, Copy)]
struct Size {
    events: u32,
    rounds: u32,
    warm_up: bool,
    growth: growth::Size,
    /// Events a second, and for how many seconds.
    latency: (&'static [u32], u32),
    gateway: gateway::Size<'static>,
}

impl Args {
    fn profile(&self) -> Profile {
        self.profile.unwrap_or(if self.bench { Profile::Full } else { Profile::Quick })
    }

    fn size(&self) -> Size {
        let size = match self.profile() {
            Profile::Quick => Size {
                events: 100_000,
                rounds: 1,
                warm_up: false,
                growth: growth::Size { steps: &[1_000, 10_000], events: 20_000 },
                latency: (&[1_000, 20_000], 2),
                gateway: gateway::Size {
                    apps: &[16],
                    rounds: 1,
                    warm_up: false,
                    span: Duration::from_secs(1),
                },
            },
            Profile::Full => Size {
                events: 1_000_000,
                rounds: 3,
                warm_up: true,
                growth: growth::Size { steps: &[100_000, 1_000_000, 10_000_000], events: 500_000 },
                latency: (&[1_000, 5_000, 20_000, 50_000], 20),
                gateway: gateway::Size {
                    apps: &[64, 256],
                    rounds: 3,
                    warm_up: true,
                    span: Duration::from_secs(10),
                },
            },
        };
        Size {
            events: self.events.unwrap_or(size.events).max(1),
            rounds: self.rounds.unwrap_or(size.rounds).max(1),
            ..size
        }
    }

    fn parts(&self) -> Vec<Part> {
        let by_default = || Part::ALL.into_iter().filter(|part| part.is_default()).collect();
        if self.only.is_empty() { by_default() } else { self.only.clone() }
    }

    fn peers(&self) -> Vec<Peer> {
        if self.peers.is_empty() { Peer::value_variants().to_vec() } else { self.peers.clone() }
    }

    async fn ready_peers<'a>(
        &self,
        stack: &Stack,
        traffic: &'a Traffic,
    ) -> anyhow::Result<Option<Peers<'a>>> {
        if traffic.order != Order::Peers {
            return Ok(None);
        }
        Peers::ready(self.peers(), stack.bootstrap_servers(), stack.data_dir(), traffic).await.map(Some)
    }

    fn drain<'a>(&'a self, stack: &'a Stack, traffic: &'a Traffic, log: &'a Path) -> Drain<'a> {
        Drain {
            topic: traffic.order.topic(),
            bootstrap_servers: stack.bootstrap_servers(),
            traffic,
            program: &self.program,
            settings: &self.settings,
            statements: self.statements,
            log,
            through: None,
        }
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let (Some(servers), Some(topic)) = (&args.bare, &args.bare_topic) {
        let took = bare::consume(servers, topic, args.size().events)?;
        return Ok(serde_json::to_writer(io::stdout().lock(), &took)?);
    }
    if let (Some(url), Some(sessions)) = (&args.insert, args.insert_sessions) {
        return gateway::insert::run(url, sessions).await;
    }
    if let Some(path) = &args.report {
        // Rather now than after all the work.
        page::around(path)?;
    }
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
    writeln!(io::stdout().lock(), "{report}")?;
    if let Some(path) = &args.json {
        page::write_json(&report, path)?;
    }
    if let Some(folder) = &args.plots {
        page::write_plots(&report, folder)?;
    }
    if let Some(path) = &args.report {
        page::update(&report, path, args.profile() == Profile::Quick)?;
    }
    Ok(())
}

async fn measure(args: &Args, stack: &Stack) -> anyhow::Result<Report> {
    let url = stack.database_url().expose_secret().to_owned();
    let databases = Databases { url, partitions: args.partitions };
    let log = stack.data_dir().join("collector.log");
    let mut report = Report::new(&databases, stack.data_dir(), args).await?;
    for (number, part) in args.parts().into_iter().enumerate() {
        let Part::Drain(order) = part else { continue };
        let traffic = traffic::publish(stack.bootstrap_servers(), order, args.size().events).await?;
        let drain = args.drain(stack, &traffic, &log);
        let mut drains = Drains::new(&traffic);
        let rounds = Rounds {
            drain: &drain,
            databases: &databases,
            traffic: &traffic,
            verify: order == Order::First,
            peers: args.ready_peers(stack, &traffic).await?,
        };
        // Only the server's first drain is another one.
        if args.size().warm_up && number == 0 {
            let round = rounds.run(0).await?;
            say(&format!("a round that is not counted: {round}"));
        }
        for number in 1..=args.size().rounds {
            let round = rounds.run(number).await?;
            say(&format!("round {number} of {}: {round}", args.size().rounds));
            drains.rounds.push(round);
            if order == Order::First && args.parts().contains(&Part::Bare) {
                report.bare.push(bare::measure(stack.bootstrap_servers(), &traffic).await?);
            }
        }
        report.drains.push(drains);
    }
    measure_others(args, stack, &databases, &log, &mut report).await?;
    Ok(report)
}

/// What comes beside the drains.
async fn measure_others(
    args: &Args,
    stack: &Stack,
    databases: &Databases,
    log: &Path,
    report: &mut Report,
) -> anyhow::Result<()> {
    if args.parts().contains(&Part::Growth) {
        let (traffic, size) = (Traffic::none(), args.size());
        let drain = args.drain(stack, &traffic, log);
        let grown = growth::measure(databases, &drain, size.growth, size.rounds);
        report.growth = Some(grown.await?);
    }
    if args.parts().contains(&Part::Collectors) {
        let traffic = Traffic::none();
        let drain = args.drain(stack, &traffic, log);
        report.collectors = Some(collectors::measure(databases, &drain, args.size()).await?);
    }
    if args.parts().contains(&Part::Far) {
        let traffic = Traffic::none();
        report.far = Some(far::measure(databases, &args.drain(stack, &traffic, log), args.size()).await?);
    }
    if args.parts().contains(&Part::Latency) {
        let (rates, seconds) = args.size().latency;
        let traffic = Traffic::none();
        let drain = args.drain(stack, &traffic, log);
        for &rate in rates {
            let name = format!("latency_{rate}");
            let url = databases.create(&name).await?;
            let latency = latency::measure(&drain, &url, rate, seconds).await?;
            say(&latency.to_string());
            report.latencies.push(latency);
            databases.remove(&name).await?;
        }
    }
    if args.parts().contains(&Part::Gateway) {
        let (traffic, size) = (Traffic::none(), args.size());
        let drain = args.drain(stack, &traffic, log);
        let apps = if args.apps.is_empty() { size.gateway.apps } else { &args.apps };
        let size = gateway::Size { apps, rounds: size.rounds, warm_up: size.warm_up, ..size.gateway };
        report.gateway = Some(gateway::measure(databases, &drain, size).await?);
    }
    if args.parts().contains(&Part::Retention) {
        let traffic = Traffic::none();
        let drain = args.drain(stack, &traffic, log);
        report.removal = Some(retention::measure(databases, &drain, args.size()).await?);
    }
    Ok(())
}

/// Rounds over one topic.
struct Rounds<'a> {
    drain: &'a Drain<'a>,
    databases: &'a Databases,
    traffic: &'a Traffic,
    /// The topic is compared with the tables and drained once more.
    verify: bool,
    /// Who drains it too, in the rounds that count.
    peers: Option<Peers<'a>>,
}

impl Rounds<'_> {
    /// One drain, and a raw COPY of the rows that it made.
    async fn run(&self, number: u32) -> anyhow::Result<Round> {
        let Self { drain, databases, traffic, .. } = self;
        let order = self.traffic.order.topic().replace('.', "_");
        let (into, copied_into) = (format!("drain_{order}_{number}"), format!("copy_{order}_{number}"));
        let url = databases.create(&into).await?;
        let group = format!("bench-{order}-{number}");
        let drained = drain.run(&url, &group).await?;
        let client = connect(&url).await?;
        traffic.expected.compare(&traffic::Contents::stored(&client).await?)?;
        let rows = raw_copy::Rows::of(&client).await?;
        let peers = self.peers.as_ref().filter(|_| number > 0);
        let truth = if peers.is_some() { Some(Truth::of(&client).await?) } else { None };
        drop(client);
        let (mut verify, mut again) = (None, None);
        if self.verify {
            verify = Some(drain.verify(&url, &group).await?);
            again = Some(drain.again(&url, &format!("{group}-again")).await?);
            traffic.expected.compare(&traffic::Contents::stored(&connect(&url).await?).await?)?;
        }
        databases.remove(&into).await?;

        let url = databases.create(&copied_into).await?;
        let copy = rows.copy_into(&url).await?;
        databases.remove(&copied_into).await?;
        let races = match (peers, truth) {
            (Some(peers), Some(truth)) => peers.race(databases, number, &truth).await?,
            _ => Vec::new(),
        };
        Ok(Round { drain: drained, verify, again, copy, races })
    }
}

/// Says how it goes on, on standard error.
fn say(what: &str) {
    // Nobody may be listening.
    let _ = writeln!(io::stderr().lock(), "{what}");
}
