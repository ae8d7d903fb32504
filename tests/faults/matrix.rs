//! All faults, one after the other.

use std::{
    env,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use crate::{
    faults::{FAULTS, Fault, Lengths, Traffic},
    mixed,
    oracle::{self, Contents, Difference},
    pressure::{self, Outcome, Pressure},
    report::{Measured, Report, Row},
    scene::Scene,
    stack::Servers,
    topic::{self, Topic},
    traffic::{self, Kind, Shape},
};

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    pub events: usize,
    pub times: u32,
    pub seed: u64,
    /// Bytes that wait while Postgres is stopped.
    pub backlog: usize,
}

/// From so many times on, hangs last as long as the long form has them.
const LONG: u32 = 5;

impl Form {
    pub fn of_environment() -> anyhow::Result<Self> {
        fn number<T: std::str::FromStr>(name: &str, default: T) -> anyhow::Result<T> {
            let Ok(text) = env::var(name) else { return Ok(default) };
            text.replace('_', "").parse().ok().with_context(|| format!("{name} is no number: {text}"))
        }
        Ok(Self {
            events: number("IT_FAULTS_EVENTS", 200_000)?,
            times: number("IT_FAULTS_TIMES", 1)?,
            seed: number("IT_FAULTS_SEED", 1)?,
            backlog: number("IT_FAULTS_BACKLOG_MB", 300)? << 20,
        })
    }

    /// Whether hangs last as long as they are to.
    pub fn is_long(self) -> bool {
        self.times >= LONG
    }

    pub fn lengths(self) -> Lengths {
        Lengths { hang: Duration::from_secs(if self.is_long() { 30 } else { 8 }) }
    }

    /// What is random in a round: another row each time, and for each fault.
    pub fn seed_of(self, round: &str) -> u64 {
        round.bytes().fold(self.seed, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)))
    }

    /// How a round is done again.
    pub fn again(self, name: &str) -> String {
        format!(
            "IT_FAULTS_SEED={} IT_FAULTS_EVENTS={} cargo test --test faults -- {name}",
            self.seed, self.events
        )
    }
}

/// The topics and what is on them.
#[derive(Clone)]
pub struct Topics {
    pub plain: Topic,
    pub poisoned: Topic,
}

/// Does all faults whose names hold one of the words, or all; says how many failed.
pub async fn run(form: Form, words: &[String]) -> anyhow::Result<(Report, usize)> {
    let began = Instant::now();
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    // The servers run until the process ends, and the rounds are tasks.
    let servers: &'static Servers = Box::leak(Box::new(Servers::start().await?));
    say(began, "the servers run");
    let Form { events, times, seed, backlog } = form;
    let mut report = Report { events, times, seed, backlog, ..Report::default() };
    let mut failed = 0;
    let topics = Topics {
        plain: fill(servers, "plain", form, Kind::Plain).await?,
        poisoned: fill(servers, "poisoned", form, Kind::Poisoned).await?,
    };
    let contents = expect(&topics.plain).await?;
    expect(&topics.poisoned).await?;
    report.made_of = made_of(&topics.plain, &contents);
    say(began, "the topics are filled, and the oracle has read them");
    for fault in FAULTS.iter().filter(|fault| wanted(fault.name)) {
        let (row, failures) = several(servers, fault, &topics, form, began).await;
        report.rows.push(row);
        failed += failures;
    }
    for pressure in pressure::ALL.iter().filter(|pressure| wanted(pressure.name)) {
        failed += under(servers, pressure, &topics, form, began, &mut report).await;
    }
    if wanted(mixed::NAME) {
        let (row, failures) = mixed::several(servers, form, began).await;
        report.rows.push(row);
        failed += failures;
    }
    report.took = began.elapsed();
    Ok((report, failed))
}

pub fn say(began: Instant, what: &str) {
    println!("{:7.1} s  {what}", began.elapsed().as_secs_f64());
}

/// Fills a topic and reads it back.
pub async fn fill(servers: &'static Servers, name: &str, form: Form, kind: Kind) -> anyhow::Result<Topic> {
    let kafka = servers.kafka();
    topic::create(&kafka, name).await?;
    let shape = Shape { seed: form.seed, records: form.events, kind, payload_bytes: 200 };
    let (to, topic) = (kafka.clone(), name.to_owned());
    tokio::task::spawn_blocking(move || topic::fill(&to, &topic, traffic::records(shape))).await??;
    Topic::read(&kafka, name, &servers.folder()).await
}

pub async fn expect(topic: &Topic) -> anyhow::Result<Contents> {
    oracle::expect(topic).await
}

fn made_of(topic: &Topic, contents: &Contents) -> String {
    let list = |counts: &std::collections::BTreeMap<String, u64>| {
        counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
    };
    format!(
        "{} events, {} MB: flows with failures and re-runs, 3 % of the events twice, each up to 200 places from its own; some \
         deleted, switched, with snapshots or variables; some under no key or another one, without an id, framed, too long or broken. \
         Rows expected of them: {}. Dead letters: {}.",
        topic.records(),
        topic.bytes / 1_000_000,
        list(&contents.rows),
        list(&contents.dead_letters)
    )
}

/// Says how often it failed.
async fn under(
    servers: &'static Servers,
    pressure: &'static Pressure,
    topics: &Topics,
    form: Form,
    began: Instant,
    report: &mut Report,
) -> usize {
    let topics = topics.clone();
    let task = tokio::spawn(async move { (pressure.run)(servers, form, &topics).await });
    let outcome = match task.await {
        Ok(outcome) => outcome,
        Err(panic) => Err(anyhow::anyhow!("{panic}")),
    };
    let (name, sentence) = (pressure.name.to_owned(), pressure.sentence.to_owned());
    match outcome {
        Ok(Outcome { events, at, recovery, difference, text }) => {
            let mut row = Row { fault: name, sentence, events, ..Row::default() };
            row.add(at, recovery, &difference);
            let Difference { lost, doubled, wrong, examples, .. } = difference;
            say(began, &format!("{}: lost {lost}, doubled {doubled}, wrong {wrong}. {text}", pressure.name));
            report.rows.push(row);
            report.measured.push(Measured { title: pressure.title.to_owned(), text });
            let failed = lost + doubled + wrong > 0;
            if failed {
                println!("{}\nagain: {}", examples.join("\n"), form.again(pressure.name));
            }
            usize::from(failed)
        }
        Err(error) => {
            say(began, &format!("{} FAILED: {error:?}\nagain: {}", pressure.name, form.again(pressure.name)));
            1
        }
    }
}

/// A fault as often as the form says; how often it failed.
async fn several(
    servers: &'static Servers,
    fault: &'static Fault,
    topics: &Topics,
    form: Form,
    began: Instant,
) -> (Row, usize) {
    let topic = match fault.traffic {
        Traffic::Plain => &topics.plain,
        Traffic::Poisoned => &topics.poisoned,
    };
    let sentence = fault.sentence.replace("{hang}", &form.lengths().hang.as_secs().to_string());
    let mut row = Row { fault: fault.name.to_owned(), sentence, events: topic.records(), ..Row::default() };
    let mut failed = 0;
    for time in 1..=form.times {
        let start = Instant::now();
        let task = tokio::spawn(once(servers, fault, topic.clone(), form, time));
        let outcome = match task.await {
            Ok(outcome) => outcome,
            // What the round would have cleared up itself.
            Err(panic) => tidy(servers, fault).await.and(Err(anyhow::anyhow!("{panic}"))),
        };
        let took = start.elapsed().as_secs_f64();
        match outcome {
            Ok(Round::Skipped(reason)) => {
                say(began, &format!("{}: SKIPPED: {reason}", fault.name));
                row.skipped = Some(reason);
                break;
            }
            Ok(Round::Done { at, recovery, difference }) => {
                row.add(Some(at), recovery, &difference);
                let Difference { lost, doubled, wrong, .. } = difference;
                let recovery = recovery.map_or(0.0, |recovery| recovery.as_secs_f64());
                say(
                    began,
                    &format!(
                        "{} {time}: at {at}, recovery {recovery:.1} s, lost {lost}, doubled {doubled}, wrong {wrong}; {took:.1} s",
                        fault.name
                    ),
                );
                if lost + doubled + wrong > 0 {
                    failed += 1;
                    println!("{}\nagain: {}", difference.examples.join("\n"), form.again(fault.name));
                }
            }
            Err(error) => {
                failed += 1;
                say(
                    began,
                    &format!("{} {time} FAILED: {error:?}\nagain: {}", fault.name, form.again(fault.name)),
                );
            }
        }
    }
    (row, failed)
}

/// What came of one round.
enum Round {
    Skipped(String),
    Done { at: i64, recovery: Option<Duration>, difference: Difference },
}

async fn once(
    servers: &'static Servers,
    fault: &'static Fault,
    topic: Topic,
    form: Form,
    time: u32,
) -> anyhow::Result<Round> {
    let name = format!("{}-{time}", fault.name);
    let mut scene = Scene::set(servers, &topic, &name, fault.ways, form.seed_of(&name)).await?;
    scene.window = fault.window;
    let outcome = within(&mut scene, fault, form).await;
    servers.restore().await?;
    scene.clear().await.and(tidy(servers, fault).await)?;
    outcome
}

/// Has the servers run, and takes away what the fault left beside them.
async fn tidy(servers: &'static Servers, fault: &Fault) -> anyhow::Result<()> {
    servers.restore().await?;
    match fault.clear {
        Some(clear) => clear(servers).await,
        None => Ok(()),
    }
}

async fn within(scene: &mut Scene, fault: &Fault, form: Form) -> anyhow::Result<Round> {
    if let Some(prepare) = fault.prepare
        && let Some(reason) = prepare(scene).await?
    {
        return Ok(Round::Skipped(reason));
    }
    scene.collect().await?;
    let row = scene.draw();
    let at = scene.until_row(row).await?;
    let Some(before) = scene.offsets().await else { bail!("Postgres does not answer") };
    let recovery = (fault.act)(scene, form.lengths(), before).await?;
    let difference = scene.finish().await?;
    Ok(Round::Done { at, recovery, difference })
}
