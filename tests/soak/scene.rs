//! The servers, who does what on them, and what has to hold in the end.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use flowtrail::{
    config::{self, Config},
    dev::{self, Stack, StackOptions},
    kafka::admin::Admin,
    schema,
};
use serde_json::Value;
use tokio::{
    process::{Child, Command},
    task::{JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

use crate::{actors, program, report::Report, samples::Sample, servers};

const TOPIC: &str = "flow.history";
/// Records that a replay copies go there.
pub const COPY: &str = "flow.copy";
const PARTITIONS: i32 = 6;
/// How often processes are looked at.
const LOOK: Duration = Duration::from_millis(500);
/// How long a command may take.
const PATIENCE: Duration = Duration::from_mins(10);
/// How long the last records may take until they are stored.
const CATCH_UP: Duration = Duration::from_mins(3);
/// Flows that started longer ago go, but for those that failed.
const POLICIES: &str =
    r#"[{"name":"failures","statuses":["failed"],"age":"1h"},{"name":"rest","age":"20s"}]"#;

/// Everything that runs.
pub struct Scene {
    /// Ends the servers when it is dropped.
    _stack: Stack,
    pub config: Config,
    pub length: Duration,
    pub began: Instant,
    over: AtomicBool,
}

impl Scene {
    /// Starts the servers, in a folder that held nothing.
    pub async fn set(length: Duration) -> anyhow::Result<Arc<Self>> {
        let start = || {
            let options = StackOptions::new(folder());
            dev::reset(&options.data_dir)?;
            anyhow::Ok(Stack::start(&options)?)
        };
        let stack = spawn_blocking(start).await??;
        let mut config = Config {
            kafka: config::Kafka {
                bootstrap_servers: stack.bootstrap_servers().to_owned(),
                topics: vec![TOPIC.to_owned()],
                group: "soak".to_owned(),
                ..config::Kafka::default()
            },
            postgres: config::Postgres {
                url: Some(stack.database_url().clone()),
                ..config::Postgres::default()
            },
            ..Config::default()
        };
        TOPIC.clone_into(&mut config.gateway.topic);
        // A killed member is missed soon, so that there are rebalances enough.
        for (name, value) in [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "1000")] {
            config.kafka.librdkafka.insert(name.to_owned(), value.into());
        }
        for topic in [TOPIC, COPY] {
            Admin::new(&config.kafka)?.ensure_topic(topic, PARTITIONS, &[], servers::PATIENCE).await?;
        }
        schema::update(&mut servers::connect_to(&config).await, PATIENCE, 0).await?;
        Ok(Arc::new(Self {
            _stack: stack,
            config,
            length,
            began: Instant::now(),
            over: AtomicBool::new(false),
        }))
    }

    /// Lets everything run, and says what came of it.
    pub async fn play(self: Arc<Self>) -> anyhow::Result<Report> {
        let steady = self.server("steady", &["collect", "--http", "127.0.0.1:0"]).await?;
        let gateway = self.server("serve", &["serve", "--listen", "127.0.0.1:0", "--topic", TOPIC]).await?;
        let mut playing = JoinSet::new();
        actors::start(&mut playing, &self, &gateway.address);
        let (mut collector, mut server) = (Vec::new(), Vec::new());
        while self.began.elapsed() < self.length {
            if let Some(ended) = playing.try_join_next() {
                let (name, _) = ended??;
                anyhow::bail!("{name} ended by itself");
            }
            let at = self.began.elapsed();
            collector.push(Sample::of(steady.pid()?, at)?);
            server.push(Sample::of(gateway.pid()?, at)?);
            sleep(LOOK).await;
        }
        self.over.store(true, Ordering::Relaxed);
        let mut report = Report::new(self.length);
        while let Some(ended) = playing.join_next().await {
            let (name, times) = ended??;
            report.did(name, times);
        }
        report.caught_up(self.until_nothing_is_behind().await?);
        report.flat("collect", &collector);
        report.flat("serve", &server);
        let rows = servers::connect_to(&self.config).await;
        report.kept(&rows).await?;
        self.verify(&mut report).await?;
        gateway.end().await?;
        steady.end().await?;
        Ok(report)
    }

    /// Whether actors are to come to an end.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Waits that long, or until it is over.
    pub async fn pause(&self, length: Duration) {
        let until = Instant::now() + length;
        while !self.is_over() && Instant::now() < until {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// The program as everybody here runs it.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program::configured(&self.config, arguments);
        command.env("FLOWTRAIL_RETENTION__POLICIES", POLICIES);
        command
    }

    /// Runs the program to an end that has to be a good one.
    pub async fn done(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let output = self.ended(arguments).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "flowtrail {}: {}\n{said}", arguments.join(" "), output.status);
        Ok(output)
    }

    async fn ended(&self, arguments: &[&str]) -> anyhow::Result<Output> {
        let ended = timeout(PATIENCE, self.command(arguments).output()).await;
        Ok(ended.with_context(|| format!("flowtrail {} does not end", arguments.join(" ")))??)
    }

    /// Starts a server, and waits until it says where it serves. Its log goes to a file of this name.
    pub async fn server(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Running> {
        let log = folder().join(format!("{name}.log"));
        let file = std::fs::File::create(&log)?;
        let child = self.command(arguments).stdout(Stdio::null()).stderr(file).spawn()?;
        let mut running = Running { child, log, address: String::new() };
        let deadline = Instant::now() + servers::PATIENCE;
        loop {
            let said = std::fs::read_to_string(&running.log)?;
            let complete = said.rsplit_once('\n').map_or("", |(complete, _)| complete);
            if let Some((_, rest)) = complete.split_once("address=") {
                rest.split_whitespace().next().context("an address")?.clone_into(&mut running.address);
                return Ok(running);
            }
            ensure!(running.child.try_wait()?.is_none(), "it ended; see {}", running.log.display());
            ensure!(Instant::now() < deadline, "it does not serve; see {}", running.log.display());
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// How long it took until every record was stored.
    async fn until_nothing_is_behind(&self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        loop {
            let output = self.done(&["lag", "--format", "json"]).await?;
            let partitions: Vec<Value> = serde_json::from_slice(&output.stdout)?;
            let behind: Option<u64> =
                partitions.iter().map(|partition| partition["lag_records"].as_u64()).sum();
            if behind == Some(0) && !partitions.is_empty() {
                return Ok(began.elapsed());
            }
            ensure!(began.elapsed() < CATCH_UP, "{behind:?} records are still not stored");
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn verify(&self, report: &mut Report) -> anyhow::Result<()> {
        let output = self.ended(&["verify"]).await?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        report.verified(output.status, last);
        Ok(())
    }
}

/// A server of ours that runs, killed when it is dropped.
pub struct Running {
    pub child: Child,
    log: PathBuf,
    pub address: String,
}

impl Running {
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.child.id().with_context(|| format!("it ended; see {}", self.log.display()))
    }

    /// Asks it to end, which it has to do well.
    pub async fn end(mut self) -> anyhow::Result<()> {
        program::send(self.pid()?, "TERM").await;
        let status = timeout(servers::PATIENCE, self.child.wait()).await.context("it does not end")??;
        ensure!(status.success(), "it ended with {status}; see {}", self.log.display());
        Ok(())
    }
}

/// Where everything is kept.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak")
}
