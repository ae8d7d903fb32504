//! The collector drains the topic: a process of its own, with a group that has read nothing yet.

use std::{
    fs::File,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use flowtrail::clock;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use tokio::process::{Child, Command};
use tokio_postgres::Client;

use crate::{
    connect,
    proxy::Proxy,
    say, statements,
    traffic::Traffic,
    usage::{self, PostgresMark, PostgresUse},
};

/// How often it is looked how far the collector is.
const POLL: Duration = Duration::from_millis(20);
/// A collector that stores nothing for so long is given up.
const STALL: Duration = Duration::from_mins(1);
/// How long a collector may take to end.
const END: Duration = Duration::from_secs(20);

/// What a drain is made with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Drain<'a> {
    /// What is read.
    pub(crate) topic: &'a str,
    /// Where Kafka is.
    pub(crate) bootstrap_servers: &'a str,
    /// What is on the topic.
    pub(crate) traffic: &'a Traffic,
    /// The collector.
    pub(crate) program: &'a Path,
    /// Settings of the collector, as `section.key=value`.
    pub(crate) settings: &'a [String],
    /// Show what Postgres spent its time on.
    pub(crate) statements: bool,
    /// Where its log goes.
    pub(crate) log: &'a Path,
    /// Between the collector and Postgres; whoever looks how far it is asks Postgres directly.
    pub(crate) through: Option<&'a Proxy>,
}

/// What a drain took.
#[derive(Debug, Serialize)]
pub(crate) struct Drained {
    /// From when the group gave the collector its partitions (it then asks where they begin) to the last commit.
    pub(crate) seconds: f64,
    /// From the start of the process: connects, looks at the schema, joins the group.
    pub(crate) seconds_with_start: f64,
    /// From when it got its partitions to its first commit.
    pub(crate) first_commit_seconds: f64,
    /// Events by second.
    pub(crate) events_per_second: f64,
    /// Rows of `steps` and `flowstate` by second.
    pub(crate) rows_per_second: f64,
    /// Processor seconds of the collector, its start included.
    pub(crate) collector_cpu_seconds: f64,
    /// The most memory that the collector held, in bytes.
    pub(crate) collector_peak_bytes: f64,
    /// What it took of Postgres, the collector's start included.
    pub(crate) postgres: PostgresUse,
}

/// What it took to read all of the topic again, into tables that hold all of it.
#[derive(Debug, Serialize)]
pub(crate) struct Again {
    /// The drain. Its rows are those that nothing is done to.
    pub(crate) drain: Drained,
    /// Rows of the history's tables that were written, by Postgres's own count.
    pub(crate) rows_written: i64,
}

/// Rows of the history's tables that were written since the database was made.
const WRITTEN: &str = "SELECT COALESCE(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint FROM pg_stat_user_tables \
    WHERE relname ~ '^(steps|flowstate)_p[0-9]+$' OR relname IN ('steps', 'flowstate', 'appstate', 'ft_run', 'ft_superseded_step', 'ft_rewind', 'ft_tombstone', 'ft_snapshot', 'ft_variable')";

/// What it took to compare all of the topic with the tables.
#[derive(Debug, Serialize)]
pub(crate) struct Verified {
    /// From the start of the process to its end.
    pub(crate) seconds: f64,
    /// Events by second.
    pub(crate) events_per_second: f64,
}

/// When what happened, in seconds since 1970 by Postgres's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// The first member of the group got its partitions.
    pub(crate) assigned: f64,
    /// Something was stored.
    pub(crate) first_commit: f64,
    /// All was stored.
    pub(crate) end: f64,
}

/// How far a group is, and when that was; and when its member first asked where to begin.
const LOOK: &str = "
SELECT extract(epoch FROM clock_timestamp())::float8,
    (SELECT extract(epoch FROM min(backend_start))::float8 FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'flowtrail-offsets'),
    (SELECT COALESCE(sum(nextoffset), 0)::bigint FROM ft_offset WHERE consumergroup = $1)";

impl Drain<'_> {
    /// Drains the topic once more by another group. The tables are vacuumed before, as autovacuum does on a quiet day.
    pub(crate) async fn again(&self, url: &str, group: &str) -> anyhow::Result<Again> {
        let client = connect(url).await?;
        client.batch_execute("VACUUM ANALYZE").await?;
        client.batch_execute("CHECKPOINT").await?;
        drop(client);
        let before = written(url).await?;
        let drain = self.run(url, group).await?;
        Ok(Again { drain, rows_written: written(url).await? - before })
    }

    /// Compares the topic with what a group drained of it; seconds from the start of the process to its end.
    pub(crate) async fn verify(&self, url: &str, group: &str) -> anyhow::Result<Verified> {
        let began = clock::monotonic();
        let mut command = Command::new(self.program);
        command.args(["verify", "--topic", self.topic, "--format", "json"]);
        command.env("KAFKA_BOOTSTRAP_SERVERS", self.bootstrap_servers).env("DATABASE_URL", url);
        command.env("FLOWTRAIL_KAFKA__GROUP", group);
        let ended = command.kill_on_drop(true).output().await.context("starting flowtrail verify")?;
        if !ended.status.success() {
            bail!("flowtrail verify: {}, {}", ended.status, String::from_utf8_lossy(&ended.stderr));
        }
        let report: serde_json::Value = serde_json::from_slice(&ended.stdout)?;
        if report.pointer("/summary/records").and_then(serde_json::Value::as_u64) != Some(self.traffic.events)
        {
            bail!("flowtrail verify did not read all events: {report}");
        }
        let seconds = began.elapsed().as_secs_f64();
        Ok(Verified { seconds, events_per_second: exact(self.traffic.events) / seconds })
    }

    /// Drains the topic into a database that has nothing of it.
    pub(crate) async fn run(&self, url: &str, group: &str) -> anyhow::Result<Drained> {
        let client = connect(url).await?;
        if self.statements {
            statements::begin(&client).await?;
        }
        let mark = PostgresMark::set(&client).await?;
        let began = clock::monotonic();
        let collector = self.start(url, group)?;
        let pid = collector.id().context("the collector has ended already")?;
        let mut members = [collector];
        let watched = self.watch(&mut members, &client, group).await;
        let times = watched.with_context(|| format!("see {}", self.log.display()))?;
        let seconds_with_start = began.elapsed().as_secs_f64();
        let postgres = mark.since(&client).await?;
        let (cpu, peak) = (usage::process_cpu(pid)?, usage::peak_memory(pid)?);
        for member in members {
            end(member).await?;
        }
        if self.statements {
            say(&statements::table(&client).await?);
        }

        let seconds = times.end - times.assigned;
        let by_second = |count: f64| count / seconds;
        Ok(Drained {
            seconds,
            seconds_with_start,
            first_commit_seconds: times.first_commit - times.assigned,
            events_per_second: by_second(exact(self.traffic.events)),
            rows_per_second: by_second(exact(self.traffic.expected.rows().unsigned_abs())),
            collector_cpu_seconds: cpu,
            collector_peak_bytes: peak,
            postgres,
        })
    }

    /// Starts a collector, whose log goes to a file.
    pub(crate) fn start(&self, url: &str, group: &str) -> anyhow::Result<Child> {
        let mut command = Command::new(self.program);
        command.args(["collect", "--group", group, "--topic", self.topic, "--http", "127.0.0.1:0"]);
        let url = self.through.map_or_else(|| url.to_owned(), |proxy| proxy.url(url));
        command.env("KAFKA_BOOTSTRAP_SERVERS", self.bootstrap_servers).env("DATABASE_URL", url);
        for setting in self.settings {
            let (key, value) =
                setting.split_once('=').with_context(|| format!("{setting}: want KEY=VALUE"))?;
            let (section, name) = match key.strip_prefix("kafka.librdkafka.") {
                Some(name) => ("kafka__librdkafka", name),
                None => key.split_once('.').with_context(|| format!("{key}: want SECTION.KEY"))?,
            };
            let variable = format!("{section}__{}", name.replace('.', "_")).to_uppercase();
            command.env(format!("FLOWTRAIL_{variable}"), value);
        }
        let log = File::create(self.log).with_context(|| self.log.display().to_string())?;
        command.stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        command.spawn().context("starting the collector")
    }

    /// Looks on until everything is stored by the members of a group.
    pub(crate) async fn watch(
        &self,
        members: &mut [Child],
        client: &Client,
        group: &str,
    ) -> anyhow::Result<Times> {
        let look = client.prepare(LOOK).await?;
        let (mut stored, mut moved): (i64, Instant) = (0, clock::monotonic());
        let mut times = Times { assigned: 0.0, first_commit: 0.0, end: 0.0 };
        loop {
            let row = client.query_one(&look, &[&group]).await?;
            let (now, assigned, found): (f64, Option<f64>, i64) = (row.get(0), row.get(1), row.get(2));
            if let Some(assigned) = assigned {
                times.assigned = assigned;
            }
            if found > stored {
                if stored == 0 {
                    times.first_commit = now;
                }
                (stored, moved) = (found, clock::monotonic());
            }
            if u64::try_from(stored).is_ok_and(|stored| stored >= self.traffic.events) {
                times.end = now;
                return Ok(times);
            }
            for member in &mut *members {
                if let Some(status) = member.try_wait()? {
                    bail!("a collector ended ({status}) after {stored} events");
                }
            }
            if moved.elapsed() > STALL {
                bail!("the collector stored nothing for {} s after {stored} events", STALL.as_secs());
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Postgres counts what a session did once that has ended, or a second after.
async fn written(url: &str) -> anyhow::Result<i64> {
    let client = connect(url).await?;
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
        AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let mut tries = 0;
    while client.query_one(others, &[]).await?.get::<_, i64>(0) > 0 {
        tries += 1;
        anyhow::ensure!(tries < 500, "the collector's sessions do not end");
        tokio::time::sleep(POLL).await;
    }
    Ok(client.query_one(WRITTEN, &[]).await?.get(0))
}

/// Tells the collector to end and waits for it.
pub(crate) async fn end(mut collector: Child) -> anyhow::Result<()> {
    let pid = collector.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    kill_process(pid.context("the collector has ended already")?, Signal::TERM)?;
    let status =
        tokio::time::timeout(END, collector.wait()).await.context("the collector does not end")??;
    if !status.success() {
        bail!("the collector ended with {status}");
    }
    Ok(())
}

/// A count as a number to compute with; counts here are far below 2^53.
pub(crate) fn exact(count: u64) -> f64 {
    let (high, low) = (u32::try_from(count >> 32), u32::try_from(count & u64::from(u32::MAX)));
    f64::from(high.unwrap_or(u32::MAX)) * 4_294_967_296.0 + f64::from(low.unwrap_or(u32::MAX))
}
