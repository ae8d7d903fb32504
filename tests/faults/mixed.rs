//! Several faults, one after the other, while two collectors keep up with records that are being sent.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rand::seq::SliceRandom as _;
use tokio::task::spawn_blocking;

use crate::{
    faults::{Fault, mixable},
    matrix::{Form, say},
    oracle::{self, Difference},
    report::Row,
    scene::{Scene, Ways},
    stack::Servers,
    topic::{self, Topic},
    traffic::{self, Gate, Kind, Shape, gated},
};

pub const NAME: &str = "mixed";
/// In the short form so many of them.
const SHORT: usize = 4;
/// Records that are sent from one fault to the next take about so long.
const STEP: Duration = Duration::from_secs(3);
/// Where the first fault comes and where the last may, in percent of the traffic.
const WINDOW: std::ops::Range<usize> = 12..80;
const WAYS: Ways = Ways { kafka_through_proxy: true, postgres_through_proxy: true };

/// As often as the form says; how often it failed.
pub async fn several(servers: &'static Servers, form: Form, began: Instant) -> (Row, usize) {
    let events = i64::try_from(form.events).unwrap_or(i64::MAX);
    let mut row = Row { fault: NAME.to_owned(), events, ..Row::default() };
    let (mut failed, mut faults) = (0, Vec::new());
    for time in 1..=form.times {
        let outcome = match tokio::spawn(once(servers, form, time)).await {
            Ok(outcome) => outcome,
            Err(panic) => servers.restore().await.and(Err(anyhow::anyhow!("{panic}"))),
        };
        match outcome {
            Ok(Mixed { hits, difference }) => {
                let Difference { lost, doubled, wrong, .. } = difference;
                for (number, (name, at, recovery)) in hits.iter().enumerate() {
                    say(began, &format!("{NAME} {time}: {name} at {at}, recovery {recovery:.1?}"));
                    // The round is one, whatever came in it.
                    if number == 0 {
                        row.add(Some(*at), *recovery, &difference);
                    } else {
                        row.at.push(*at);
                        row.recovery.extend(*recovery);
                    }
                }
                say(began, &format!("{NAME} {time}: lost {lost}, doubled {doubled}, wrong {wrong}"));
                faults.push(hits.iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(", "));
                if lost + doubled + wrong > 0 {
                    failed += 1;
                    println!("{}\nagain: {}", difference.examples.join("\n"), form.again(NAME));
                }
            }
            Err(error) => {
                failed += 1;
                say(began, &format!("{NAME} {time} FAILED: {error:?}\nagain: {}", form.again(NAME)));
            }
        }
    }
    row.sentence = format!(
        "Two collectors keep up with records that are sent while faults come one after the other, the broker's death among \
         them: {}. Every record that was acknowledged is there.",
        faults.join("; ")
    );
    (row, failed)
}

/// A fault, how much was stored when it came, and how long it took to recover.
type Hit = (&'static str, i64, Option<Duration>);

/// What came of one round.
struct Mixed {
    hits: Vec<Hit>,
    difference: Difference,
}

async fn once(servers: &'static Servers, form: Form, time: u32) -> anyhow::Result<Mixed> {
    let name = format!("{NAME}-{time}");
    let seed = form.seed_of(&name);
    servers.restore().await?;
    topic::create(&servers.kafka(), &name).await?;
    let planned = Topic::planned(&name, i64::try_from(form.events)?);
    let mut scene = Scene::set(servers, &planned, &name, WAYS, seed).await?;
    scene.growing = true;
    let outcome = within(&mut scene, servers, form, seed).await;
    servers.restore().await?;
    scene.clear().await?;
    outcome
}

async fn within(
    scene: &mut Scene,
    servers: &'static Servers,
    form: Form,
    seed: u64,
) -> anyhow::Result<Mixed> {
    let faults = choose(scene, form);
    scene.collect().await?;
    scene.collect().await?;
    let shape = Shape { seed, records: form.events, kind: Kind::Plain, payload_bytes: 200 };
    let step = form.events * WINDOW.len() / 100 / faults.len();
    let row = |number: usize| form.events * WINDOW.start / 100 + step * number;
    let rate = u32::try_from(step)? / u32::try_from(STEP.as_secs())?;
    let gate = Arc::new(Gate::new());
    let records = gated(traffic::records(shape), gate.clone(), rate);
    let (kafka, topic) = (servers.kafka(), scene.topic.name.clone());
    let filling = spawn_blocking(move || topic::fill(&kafka, &topic, records));
    let hits = strike(scene, form, &faults, |number| {
        // Some is sent while the fault lasts, and never so much that the next one would come too late.
        gate.open_to(row(number) + step / 2);
        row(number)
    })
    .await;
    gate.open();
    let hits = hits?;
    filling.await??;
    let topic = Topic::read(&servers.kafka(), &scene.topic.name, &servers.folder()).await?;
    oracle::expect(&topic).await?;
    std::fs::remove_file(&topic.dump)?;
    (scene.topic, scene.growing) = (topic, false);
    let difference = scene.finish().await?;
    std::fs::remove_file(&scene.topic.expected)?;
    Ok(Mixed { hits, difference })
}

/// Does one fault after the other, each at its row.
async fn strike(
    scene: &mut Scene,
    form: Form,
    faults: &[&'static Fault],
    row_of: impl Fn(usize) -> usize,
) -> anyhow::Result<Vec<Hit>> {
    let mut hits = Vec::new();
    for (number, fault) in faults.iter().enumerate() {
        let row = i64::try_from(row_of(number))?;
        let at = scene.until_row(row).await.with_context(|| format!("before {}", fault.name))?;
        let before = scene.offsets().await.context("Postgres does not answer")?;
        let recovery = (fault.act)(scene, form.lengths(), before).await.context(fault.name)?;
        hits.push((fault.name, at, recovery));
    }
    Ok(hits)
}

/// Faults in an order drawn by the seed.
fn choose(scene: &mut Scene, form: Form) -> Vec<&'static Fault> {
    let mut faults = mixable();
    let mut chosen = vec![faults.remove(0)];
    faults.shuffle(&mut scene.random);
    let count = if form.is_long() { faults.len() } else { SHORT - 1 };
    chosen.extend(faults.into_iter().take(count));
    chosen.shuffle(&mut scene.random);
    chosen
}
