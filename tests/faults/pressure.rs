//! What is no fault of a server: nothing at all, a backlog that nobody takes, a lane that is slow, records that wait.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use flowtrail::dev::Server;
use futures_util::future::BoxFuture;
use rdkafka::{ClientConfig, consumer::BaseConsumer, consumer::Consumer as _};
use tokio::task::spawn_blocking;

use crate::{
    comparison,
    faults::DIRECT,
    matrix::{Form, Topics, expect, fill},
    oracle::Difference,
    program::get,
    scene::Scene,
    stack::{Servers, run},
    topic::{self, Topic},
    traffic::{self, Kind, Shape},
};

/// What came of one.
pub struct Outcome {
    pub events: i64,
    pub at: Option<i64>,
    pub recovery: Option<Duration>,
    pub difference: Difference,
    /// For the report.
    pub text: String,
}

/// One of them.
pub struct Pressure {
    pub name: &'static str,
    pub title: &'static str,
    pub sentence: &'static str,
    pub run: for<'a> fn(&'static Servers, Form, &'a Topics) -> BoxFuture<'a, anyhow::Result<Outcome>>,
}

pub static ALL: [Pressure; 4] = [
    Pressure {
        name: "none",
        title: "The comparison can fail",
        sentence: "Nothing is done. Then rows are taken away, added and changed by hand, and the comparison has to say so.",
        run: |servers, form, topics| Box::pin(comparison::prove(servers, form, topics)),
    },
    Pressure {
        name: "backlog",
        title: "Memory",
        sentence: "Postgres is stopped while a backlog waits that is larger than any buffer, and started again.",
        run: |servers, form, _| Box::pin(backlog(servers, form)),
    },
    Pressure {
        name: "slow-lane",
        title: "A slow lane",
        sentence: "One lane waits for a lock on an offset until the other lane is done; no row depends on another here.",
        run: |servers, form, _| Box::pin(slow_lane(servers, form)),
    },
    Pressure {
        name: "liveness",
        title: "Liveness",
        sentence: "Records wait behind a lock for longer than `collector.stall_after_ms` (2 s here), and then nothing waits.",
        run: |servers, form, topics| Box::pin(liveness(servers, form, topics)),
    },
];

/// How long something may take to show.
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);
/// More than a collector may hold.
const MOST_MEMORY: u64 = 256 << 20;
/// Bytes of payload in each event of the backlog.
const PAYLOAD: usize = 16 << 10;
/// Partitions of each of the two lanes.
const OF_A_LANE: usize = 3;

/// A wait for a condition.
struct Waiting(&'static str, Instant);

impl Waiting {
    fn until(what: &'static str) -> Self {
        Self(what, Instant::now())
    }

    /// It does not hold yet.
    async fn on(&self) -> anyhow::Result<()> {
        ensure!(self.1.elapsed() < PATIENCE, "{} did not come true in {PATIENCE:?}", self.0);
        tokio::time::sleep(POLL).await;
        Ok(())
    }
}

/// A number of the collector's metrics.
async fn metric(address: &str, name: &str) -> anyhow::Result<f64> {
    let (_, metrics) = get(address, "/metrics").await;
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.with_context(|| format!("no metric {name}"))?.parse()?)
}

async fn livez(scene: &Scene) -> u16 {
    get(&scene.collectors[0].address, "/livez").await.0
}

/// Ids of the members of a group.
async fn members(kafka: String, group: String) -> anyhow::Result<Vec<String>> {
    let ask = move || {
        let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", kafka).create()?;
        let list = consumer.fetch_group_list(Some(&group), PATIENCE)?;
        let group = list.groups().first().context("no such group")?;
        Ok(group.members().iter().map(|member| member.id().to_owned()).collect())
    };
    spawn_blocking(ask).await?
}

async fn backlog(servers: &'static Servers, form: Form) -> anyhow::Result<Outcome> {
    let name = "backlog";
    servers.restore().await?;
    topic::create(&servers.kafka(), name).await?;
    let records = form.backlog / PAYLOAD;
    let shape = Shape { seed: form.seed, records, kind: Kind::Plain, payload_bytes: PAYLOAD };
    let kafka = servers.kafka();
    spawn_blocking(move || topic::fill(&kafka, name, traffic::records(shape))).await??;
    let mut topic = Topic::read(&servers.kafka(), name, &servers.folder()).await?;
    topic.max_payload = 1 << 20;
    expect(&topic).await?;
    std::fs::remove_file(&topic.dump)?;

    let mut scene = Scene::set(servers, &topic, name, DIRECT, form.seed).await?;
    // As it is shipped.
    scene.config().collector.batch_rows = 20_000;
    scene.stall_after = Duration::from_secs(2);
    scene.collect().await?;
    let at = scene.until_stored(topic.records() / 100).await?;
    let before = members(servers.kafka(), name.to_owned()).await?;
    servers.postgres(Server::stop).await?;
    let waiting = Waiting::until("both lanes are full");
    while metric(&scene.collectors[0].address, "flowtrail_pauses_total").await? < 2.0 {
        waiting.on().await?;
    }
    tokio::time::sleep(form.lengths().hang).await;
    ensure!(livez(&scene).await == 200, "it is taken for dead because Postgres is away");
    let full = scene.collectors[0].peak_memory()?;
    ensure!(members(servers.kafka(), name.to_owned()).await? == before, "it left the group");
    let since = Instant::now();
    servers.postgres(run).await?;
    scene.until_all().await?;
    let recovery = since.elapsed();
    let peak = scene.collectors[0].peak_memory()?;
    ensure!(peak < MOST_MEMORY, "it held {} MiB", peak >> 20);
    let difference = scene.finish().await?;
    scene.clear().await?;
    let text = format!(
        "With Postgres stopped and {} MB waiting in Kafka, a collector held {} MiB at most; {} MiB by the time all of it was \
         stored (the limit is {} MiB), {:.0} s after Postgres was started again. It was the same member of the group before \
         and after, and alive all the time.",
        topic.bytes / 1_000_000,
        full >> 20,
        peak >> 20,
        MOST_MEMORY >> 20,
        recovery.as_secs_f64()
    );
    Ok(Outcome { events: topic.records(), at: Some(at), recovery: Some(recovery), difference, text })
}

async fn slow_lane(servers: &'static Servers, form: Form) -> anyhow::Result<Outcome> {
    servers.restore().await?;
    // Where rows depend on others, lanes do wait for each other.
    let topic = &fill(servers, "alone", form, Kind::Alone).await?;
    expect(topic).await?;
    let mut scene = Scene::set(servers, topic, "slow_lane", DIRECT, form.seed).await?;
    // A buffer that the rest of the traffic fills many times over.
    scene.config().collector.lane_buffer_bytes = 1 << 20;
    scene.collect().await?;
    let row = scene.draw() / 2;
    let (began, at) = (Instant::now(), scene.until_stored(row).await?);
    let both = rate(at, began.elapsed());
    let client = scene.connect().await?;
    // The one that is furthest behind: partitions come in turns.
    let now = scene.offsets().await.context("Postgres does not answer")?;
    let left = |number: &&i32| topic.ends[*number] - now.get(*number).copied().unwrap_or(0);
    let slowest = *topic
        .ends
        .keys()
        .filter(|number| now.contains_key(number))
        .max_by_key(left)
        .context("a partition")?;
    client.batch_execute("BEGIN").await?;
    let lock = "SELECT FROM ft_offset WHERE partition = $1 FOR UPDATE";
    ensure!(client.query(lock, &[&slowest]).await?.len() == 1, "no offset of {slowest}");
    let waiting = Waiting::until("the other lane is done");
    let slow = loop {
        let now = scene.offsets().await.context("Postgres does not answer")?;
        let done = topic.ends.iter().filter(|(number, end)| now.get(number) == Some(end)).count();
        ensure!(now[&slowest] < topic.ends[&slowest], "the slow lane is done before the other one: {now:?}");
        if done >= OF_A_LANE {
            break now;
        }
        waiting.on().await?;
    };
    let pauses = metric(&scene.collectors[0].address, "flowtrail_pauses_total").await?;
    let before: i64 = slow.values().sum();
    let since = Instant::now();
    client.batch_execute("COMMIT").await?;
    let recovery = scene.recovery(since, &slow).await?;
    scene.until_all().await?;
    let alone = rate(topic.records() - before, since.elapsed());
    let difference = scene.finish().await?;
    scene.clear().await?;
    let text = format!(
        "While one lane stood still, the other one stored its partitions to the end; partitions were paused {pauses} time. \
         When it got on again, it stored what was left at {alone} events a second by itself; both together had stored {both} before, \
         the start included.",
    );
    Ok(Outcome { events: topic.records(), at: Some(at), recovery: Some(recovery), difference, text })
}

/// Events a second.
fn rate(events: i64, took: Duration) -> i64 {
    let millis = i64::try_from(took.as_millis()).unwrap_or(i64::MAX).max(1);
    events * 1_000 / millis
}

async fn liveness(servers: &'static Servers, form: Form, topics: &Topics) -> anyhow::Result<Outcome> {
    let topic = &topics.plain;
    let mut scene = Scene::set(servers, topic, "liveness", DIRECT, form.seed).await?;
    scene.stall_after = Duration::from_secs(2);
    scene.collect().await?;
    let row = scene.draw();
    let at = scene.until_row(row).await?;
    ensure!(livez(&scene).await == 200, "it is taken for dead while it stores");
    // Batches wait without an error for ten seconds; Postgres answers, so it is not away.
    let client = scene.connect().await?;
    client.batch_execute("BEGIN; LOCK TABLE steps IN ACCESS EXCLUSIVE MODE").await?;
    let began = Instant::now();
    let waiting = Waiting::until("it says that it does not get on");
    while livez(&scene).await != 503 {
        waiting.on().await?;
    }
    let red = began.elapsed();
    let before = scene.offsets().await.context("Postgres does not answer")?;
    client.batch_execute("COMMIT").await?;
    let recovery = scene.recovery(Instant::now(), &before).await?;
    scene.until_all().await?;
    let waiting = Waiting::until("it is alive again");
    while livez(&scene).await != 200 {
        waiting.on().await?;
    }
    let idle = Instant::now();
    while idle.elapsed() < scene.stall_after * 2 {
        ensure!(livez(&scene).await == 200, "it is taken for dead while it has nothing to do");
        tokio::time::sleep(POLL).await;
    }
    let difference = scene.finish().await?;
    scene.clear().await?;
    let text = format!(
        "`/livez` was red {:.1} s after a lock had stopped all storing, green once records were stored again, and green \
         while nothing waited for twice as long.",
        red.as_secs_f64()
    );
    Ok(Outcome { events: topic.records(), at: Some(at), recovery: Some(recovery), difference, text })
}
