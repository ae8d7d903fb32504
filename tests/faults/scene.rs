//! One round: an empty database, a topic, collectors that drain it, and what is stored, watched while it happens.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use flowtrail::{config, config::Config, schema};
use rand::{RngExt as _, SeedableRng as _, rngs::Xoshiro256PlusPlus as Random};
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

use crate::{
    collector::Collector,
    oracle::{self, Difference},
    stack::Servers,
    topic::{PARTITIONS, Topic},
};

/// How long nothing may be stored before a round has failed.
const PATIENCE: Duration = Duration::from_mins(3);
/// How long Postgres may take to say what is stored; it may be stopped.
const ASK: Duration = Duration::from_millis(500);
/// How often a wait looks.
const POLL: Duration = Duration::from_millis(4);
/// Nothing stored for so long, and a fault that keeps collectors from storing is seen to do so.
pub const STILL: Duration = Duration::from_secs(1);

/// Databases sort by a language, so that a comparison that forgot to ask for bytes shows.
const LOCALE: &str = "LOCALE_PROVIDER icu ICU_LOCALE 'und'";

/// How a collector reaches the servers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ways {
    pub kafka_through_proxy: bool,
    pub postgres_through_proxy: bool,
}

/// From so many percent of the traffic to so many.
#[derive(Debug, Clone, Copy)]
pub struct Window(pub i64, pub i64);

/// The next offset of each partition.
pub type Offsets = BTreeMap<i32, i64>;

/// A round.
pub struct Scene {
    pub servers: &'static Servers,
    pub topic: Topic,
    pub random: Random,
    /// URL of the database, past any proxy.
    pub url: String,
    pub collectors: Vec<Collector>,
    pub stall_after: Duration,
    /// A part of the traffic at which a fault may come, in percent.
    pub window: Window,
    config: Config,
    database: String,
    client: Option<Client>,
    logs: usize,
    /// Whether the topic still grows; its ends are not known then.
    pub growing: bool,
}

impl Scene {
    /// Makes the database and the configuration; no collector runs yet.
    pub async fn set(
        servers: &'static Servers,
        topic: &Topic,
        name: &str,
        ways: Ways,
        seed: u64,
    ) -> anyhow::Result<Self> {
        servers.restore().await?;
        let database = name.replace('-', "_");
        create(servers, &database, "").await?;
        let url = servers.database(&database);
        let through = |yes, proxied: String, direct: String| if yes { proxied } else { direct };
        let mut config = Config {
            kafka: config::Kafka {
                bootstrap_servers: through(
                    ways.kafka_through_proxy,
                    servers.kafka_through_proxy(),
                    servers.kafka(),
                ),
                topics: vec![topic.name.clone()],
                group: name.to_owned(),
                ..config::Kafka::default()
            },
            postgres: config::Postgres {
                url: Some(
                    through(ways.postgres_through_proxy, servers.through_proxy(&url), url.clone()).into(),
                ),
                ..config::Postgres::default()
            },
            ..Config::default()
        };
        // Small batches: there is a middle of each at any time, and the row at which a fault comes can be chosen.
        config.collector.batch_rows = 1_000;
        config.collector.max_payload_bytes = topic.max_payload;
        for (name, value) in [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "1000")] {
            config.kafka.librdkafka.insert(name.to_owned(), value.into());
        }
        Ok(Self {
            servers,
            topic: topic.clone(),
            random: Random::seed_from_u64(seed),
            url,
            collectors: Vec::new(),
            stall_after: Duration::from_mins(2),
            window: Window(15, 65),
            config,
            database,
            client: None,
            logs: 0,
            growing: false,
        })
    }

    /// What collectors are started with.
    pub fn config(&mut self) -> &mut Config {
        &mut self.config
    }

    /// Moves the empty database, say to a tablespace.
    pub async fn recreate(&mut self, options: &str) -> anyhow::Result<()> {
        self.client = None;
        drop_database(self.servers, &self.database).await?;
        create(self.servers, &self.database, options).await
    }

    /// A connection of its own.
    pub async fn connect(&self) -> anyhow::Result<Client> {
        connect(&self.url).await
    }

    /// Starts another collector.
    pub async fn collect(&mut self) -> anyhow::Result<()> {
        self.logs += 1;
        let collector = Collector::start(&self.config, self.stall_after, &self.log(self.logs)).await?;
        self.collectors.push(collector);
        Ok(())
    }

    fn log(&self, number: usize) -> PathBuf {
        self.servers.folder().join(format!("{}-{number}.log", self.database))
    }

    /// A row at which a fault comes, drawn within the window.
    pub fn draw(&mut self) -> i64 {
        let percent = self.random.random_range(self.window.0..self.window.1);
        self.topic.records() * percent / 100
    }

    /// Offsets of all partitions, as Postgres has them; nothing while it does not answer.
    pub async fn offsets(&mut self) -> Option<Offsets> {
        let sql = "SELECT partition, nextoffset FROM ft_offset WHERE consumergroup = $1 AND topic = $2";
        if self.client.is_none() {
            self.client = timeout(ASK, connect(&self.url)).await.ok()?.ok();
        }
        let (group, topic) = (&self.config.kafka.group, &self.topic.name);
        let asked = timeout(ASK, self.client.as_ref()?.query(sql, &[group, topic])).await;
        let Ok(Ok(rows)) = asked else {
            self.client = None;
            return None;
        };
        Some(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// How many records are stored.
    pub async fn stored(&mut self) -> Option<i64> {
        Some(self.offsets().await?.values().sum())
    }

    /// Waits until so many records are stored, and says how many it is then. Fails if nothing is stored for long.
    pub async fn until_stored(&mut self, goal: i64) -> anyhow::Result<i64> {
        let (mut last, mut moved) = (-1, Instant::now());
        loop {
            for collector in &mut self.collectors {
                collector.runs()?;
            }
            if let Some(stored) = self.stored().await {
                if stored >= goal {
                    return Ok(stored);
                }
                if stored != last {
                    (last, moved) = (stored, Instant::now());
                }
            }
            ensure!(moved.elapsed() < PATIENCE, "{last} records are stored, and no more for {PATIENCE:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits for the row at which a fault is to come. It has to lie between 10 and 90 % of the traffic.
    pub async fn until_row(&mut self, row: i64) -> anyhow::Result<i64> {
        let at = self.until_stored(row).await?;
        self.is_amid(at)?;
        Ok(at)
    }

    /// An error, if so many records are not between 10 and 90 % of the traffic.
    pub fn is_amid(&self, stored: i64) -> anyhow::Result<()> {
        let percent = stored * 100 / self.topic.records();
        ensure!((10..90).contains(&percent), "the fault came at {percent} %: {stored} records were stored");
        Ok(())
    }

    /// Waits until nothing has been stored for a while, and says what is stored. That is not all.
    pub async fn until_still(&mut self) -> anyhow::Result<Offsets> {
        let began = Instant::now();
        let (mut last, mut moved) = (None, Instant::now());
        loop {
            if let Some(stored) = self.offsets().await
                && last.as_ref() != Some(&stored)
            {
                (last, moved) = (Some(stored), Instant::now());
            }
            if let Some(last) = &last
                && moved.elapsed() >= STILL
            {
                let sum: i64 = last.values().sum();
                ensure!(self.growing || sum < self.topic.records(), "all was stored in spite of the fault");
                return Ok(last.clone());
            }
            ensure!(began.elapsed() < PATIENCE, "the fault does not keep collectors from storing");
            tokio::time::sleep(POLL).await;
        }
    }

    /// How long it takes from a moment on until more is stored of every partition than was, unless all of it was.
    pub async fn recovery(&mut self, since: Instant, before: &Offsets) -> anyhow::Result<Duration> {
        loop {
            for collector in &mut self.collectors {
                collector.runs()?;
            }
            if let Some(now) = self.offsets().await
                && self.goes_on(before, &now).await
            {
                return Ok(since.elapsed());
            }
            ensure!(since.elapsed() < PATIENCE, "some partition does not go on: {before:?} were stored");
            tokio::time::sleep(POLL).await;
        }
    }

    /// Whether more is stored of every partition, or all of it.
    async fn goes_on(&self, before: &Offsets, now: &Offsets) -> bool {
        let of = |offsets: &Offsets, number: i32| offsets.get(&number).copied().unwrap_or(0);
        let at_rest = |number: &i32| of(now, *number) <= of(before, *number);
        let at_rest: Vec<i32> = (0..PARTITIONS).filter(at_rest).collect();
        if at_rest.is_empty() {
            return true;
        }
        let ends = if self.growing {
            // A broker that has just come back may not know it yet.
            let Ok(ends) = self.topic.ends_now(self.servers.kafka()).await else { return false };
            ends
        } else {
            self.topic.ends.clone()
        };
        at_rest.into_iter().all(|number| of(now, number) >= of(&ends, number))
    }

    /// Waits until everything is stored.
    pub async fn until_all(&mut self) -> anyhow::Result<()> {
        self.until_stored(self.topic.records()).await?;
        let ends: Offsets = self
            .topic
            .ends
            .iter()
            .filter(|(_, end)| **end > 0)
            .map(|(number, end)| (*number, *end))
            .collect();
        let offsets = self.offsets().await.context("Postgres does not answer")?;
        if offsets != ends {
            bail!("stored are {offsets:?}, but the topic ends at {ends:?}");
        }
        Ok(())
    }

    /// Waits until everything is stored, ends the collectors, and compares every row with what has to be.
    pub async fn finish(&mut self) -> anyhow::Result<Difference> {
        self.until_all().await?;
        for collector in self.collectors.drain(..) {
            collector.terminate().await?;
        }
        self.compare().await
    }

    pub async fn compare(&self) -> anyhow::Result<Difference> {
        let folder = self.servers.folder().join(format!("{}-rows", self.database));
        oracle::compare(&self.connect().await?, &self.topic, &folder).await
    }

    /// Takes the database away.
    pub async fn clear(mut self) -> anyhow::Result<()> {
        self.collectors.clear();
        self.client = None;
        drop_database(self.servers, &self.database).await
    }
}

async fn create(servers: &Servers, database: &str, options: &str) -> anyhow::Result<()> {
    drop_database(servers, database).await?;
    let admin = connect(&servers.database("postgres")).await?;
    admin.batch_execute(&format!("CREATE DATABASE {database} TEMPLATE template0 {LOCALE} {options}")).await?;
    schema::update(&mut connect(&servers.database(database)).await?, PATIENCE, 0).await?;
    Ok(())
}

async fn drop_database(servers: &Servers, database: &str) -> anyhow::Result<()> {
    let admin = connect(&servers.database("postgres")).await?;
    Ok(admin.batch_execute(&format!("DROP DATABASE IF EXISTS {database} WITH (FORCE)")).await?)
}

/// A plain connection.
pub async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}
