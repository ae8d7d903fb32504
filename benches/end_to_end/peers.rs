//! Other ways to get the same events into the same tables, beside the collector, each in a process of its own.
//!
//! `benches/peers/README.md` says what they are and how they are tuned. The folder of each has a script that fetches what
//! it needs and one that runs it; `tables.sql`, where there is one, adds to the tables what it cannot do without.

mod judge;
mod marks;
mod table;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use flowtrail::clock;
use rdkafka::{
    ClientConfig,
    consumer::{BaseConsumer, Consumer as _},
};
use serde::Serialize;
use tokio::process::{Child, ChildStdin, Command};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

pub(crate) use self::{judge::Truth, table::table};

use self::{judge::Wrong, marks::Marks};
use crate::{
    Databases, connect, say,
    traffic::Traffic,
    usage::{self, PostgresMark, PostgresUse},
};

/// How often it is looked how far a rival is.
const POLL: Duration = Duration::from_millis(20);
/// How long a rival may take to join its group: a Java is slow to start.
const START: Duration = Duration::from_mins(2);
/// How long it may take to end.
const END: Duration = Duration::from_secs(30);
/// A rival that takes longer than at so many events a second is given up. A statement for each row does more.
const LEAST_EVENTS_PER_SECOND: u64 = 1_000;

/// A rival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Peer {
    /// A consumer written by hand.
    Python,
    /// Kafka Connect with the JDBC sink of Debezium.
    Debezium,
}

impl Peer {
    /// As its folder is named.
    fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Debezium => "debezium",
        }
    }

    fn folder(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(self.name())
    }

    /// Where it keeps what it fetched.
    fn cache(self) -> PathBuf {
        Path::new(env!("CARGO_TARGET_TMPDIR")).join("peers").join(self.name())
    }

    async fn fetch(self) -> anyhow::Result<()> {
        say(&format!("fetching {}, unless it is there", self.name()));
        let cache = self.cache();
        fs::create_dir_all(cache.parent().context("a folder of folders")?)?;
        let status =
            Command::new(self.folder().join("fetch")).arg(&cache).kill_on_drop(true).status().await?;
        ensure!(status.success(), "{} can't be fetched: {status}", self.name());
        Ok(())
    }
}

/// What one rival took in one round.
#[derive(Debug, Serialize)]
pub(crate) struct Race {
    pub(crate) peer: Peer,
    /// From when it joined its group to when the last event is seen in the tables.
    pub(crate) seconds: f64,
    /// From the start of the process.
    pub(crate) seconds_with_start: f64,
    pub(crate) events_per_second: f64,
    pub(crate) rows_per_second: f64,
    /// Processor seconds of all its processes, their start included.
    pub(crate) cpu_seconds: f64,
    /// The most memory that each of its processes held, added up, in bytes.
    pub(crate) peak_bytes: f64,
    /// What it took of Postgres, its start included.
    pub(crate) postgres: PostgresUse,
    /// Rows that are not as they should be.
    pub(crate) wrong: Wrong,
}

/// Rivals that can begin.
pub(crate) struct Peers<'a> {
    /// Who takes part.
    field: Vec<Peer>,
    bootstrap_servers: String,
    log_dir: PathBuf,
    traffic: &'a Traffic,
    marks: Marks,
}

impl<'a> Peers<'a> {
    /// Fetches all of them, and looks for the last events of the topic.
    pub(crate) async fn ready(
        field: Vec<Peer>,
        bootstrap_servers: &str,
        log_dir: &Path,
        traffic: &'a Traffic,
    ) -> anyhow::Result<Self> {
        for peer in &field {
            peer.fetch().await?;
        }
        let (servers, topic) = (bootstrap_servers.to_owned(), traffic.order.topic());
        let marks = tokio::task::spawn_blocking(move || Marks::of_topic(&servers, topic)).await??;
        let (bootstrap_servers, log_dir) = (bootstrap_servers.to_owned(), log_dir.to_owned());
        Ok(Self { field, bootstrap_servers, log_dir, traffic, marks })
    }

    /// One after the other drains the topic into a database of its own.
    pub(crate) async fn race(
        &self,
        databases: &Databases,
        round: u32,
        truth: &Truth,
    ) -> anyhow::Result<Vec<Race>> {
        let mut races = Vec::new();
        for peer in self.field.iter().copied() {
            let database = format!("{}_{round}", peer.name());
            let url = databases.create(&database).await?;
            let log = self.log_dir.join(peer.name()).with_extension("log");
            let race = self.drain(peer, &url, round, &log).await;
            let mut race = race.with_context(|| format!("{}; see {}", peer.name(), log.display()))?;
            race.wrong = truth.judge(&connect(&url).await?).await?;
            databases.remove(&database).await?;
            races.push(race);
        }
        Ok(races)
    }

    async fn drain(&self, peer: Peer, url: &str, round: u32, log: &Path) -> anyhow::Result<Race> {
        let client = connect(url).await?;
        let tables = peer.folder().join("tables.sql");
        if tables.exists() {
            client.batch_execute(&fs::read_to_string(tables)?).await?;
        }
        let group = format!("bench-{}-{round}", peer.name());
        let stop = CancellationToken::new();
        let _stopped_at_the_end = stop.clone().drop_guard();
        let (servers, group_asked) = (self.bootstrap_servers.clone(), group.clone());
        let joined = tokio::task::spawn_blocking(move || joined(&servers, &group_asked, &stop));
        let mark = PostgresMark::set(&client).await?;
        let began = clock::monotonic();
        let (mut rival, input) = self.start(peer, url, &group, log)?;
        let pid = rival.id().context("it has ended already")?;
        let joined = tokio::select! {
            joined = joined => joined??,
            status = rival.wait() => bail!("it ended ({}) before it read anything", status?),
        };
        let seen = self.watch(&mut rival, &client).await?;
        let postgres = mark.since(&client).await?;
        let processes = usage::with_descendants(pid)?;
        let (cpu_seconds, peak_bytes) = (usage::cpu_of(&processes)?, usage::peak_of(&processes)?);
        end(rival, input).await?;

        let seconds = (seen - joined).as_secs_f64();
        let by_second =
            |count: i64| -> anyhow::Result<f64> { Ok(f64::from(i32::try_from(count)?) / seconds) };
        Ok(Race {
            peer,
            seconds,
            seconds_with_start: (seen - began).as_secs_f64(),
            events_per_second: by_second(i64::try_from(self.traffic.events)?)?,
            rows_per_second: by_second(self.traffic.expected.rows())?,
            cpu_seconds,
            peak_bytes,
            postgres,
            wrong: Wrong::default(),
        })
    }

    /// It ends when its standard input is closed, by [`end`] or because this process is gone.
    fn start(&self, peer: Peer, url: &str, group: &str, log: &Path) -> anyhow::Result<(Child, ChildStdin)> {
        let output = File::create(log).with_context(|| log.display().to_string())?;
        let mut command = Command::new(peer.folder().join("run"));
        command.arg(peer.cache()).env("KAFKA_BOOTSTRAP_SERVERS", &self.bootstrap_servers);
        command
            .env("DATABASE_URL", url)
            .env("PEER_TOPIC", self.traffic.order.topic())
            .env("PEER_GROUP", group);
        command.stdin(std::process::Stdio::piped()).stdout(output.try_clone()?).stderr(output);
        let mut rival = command.spawn().context("it can't be started")?;
        // Taken out of it, because waiting for the process would close it.
        let input = rival.stdin.take().context("no standard input")?;
        Ok((rival, input))
    }

    /// Looks on until the last events are in the tables; returns when that was.
    async fn watch(&self, rival: &mut Child, client: &Client) -> anyhow::Result<Instant> {
        let patience = Duration::from_secs(self.traffic.events / LEAST_EVENTS_PER_SECOND) + START;
        let look = self.marks.prepare(client).await?;
        let began = clock::monotonic();
        loop {
            let seen = look.seen().await?;
            let now = clock::monotonic();
            if seen == self.marks.count() {
                return Ok(now);
            }
            if let Some(status) = rival.try_wait()? {
                bail!("it ended ({status}) with {seen} of {} last events stored", self.marks.count());
            }
            ensure!(now - began < patience, "{seen} of {} last events are stored", self.marks.count());
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Waits until a group has a member, which then gets its partitions within milliseconds; returns when that was.
fn joined(bootstrap_servers: &str, group: &str, stop: &CancellationToken) -> anyhow::Result<Instant> {
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", bootstrap_servers).create()?;
    let began = clock::monotonic();
    while !stop.is_cancelled() {
        let list = consumer.fetch_group_list(Some(group), START)?;
        let now = clock::monotonic();
        if list.groups().iter().any(|group| !group.members().is_empty()) {
            return Ok(now);
        }
        ensure!(now - began < START, "it does not join its group");
        std::thread::sleep(POLL);
    }
    bail!("nobody waits for {group} any more")
}

/// Tells a rival to end and waits for it. With what status it ends is its own matter.
async fn end(mut rival: Child, input: ChildStdin) -> anyhow::Result<()> {
    drop(input);
    tokio::time::timeout(END, rival.wait()).await.context("it does not end")??;
    Ok(())
}
