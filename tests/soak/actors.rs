//! Who does something again and again until it is over. Each says how often.

use std::{path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{
    http::ask,
    scene::{COPY, Scene},
};

/// What an actor is called, and how often it did what it does.
pub type Did = (&'static str, u64);

/// Events that are made up at a time, and how many a second.
const EVENTS: &str = "12000";
const RATE: &str = "2000";
/// How long a collector of those that come and go stays.
const STAY: Duration = Duration::from_secs(7);
/// How long it is between two replays, two purges, two postings of the recording.
const REST: Duration = Duration::from_secs(3);

/// Starts them all.
pub fn start(playing: &mut JoinSet<anyhow::Result<Did>>, scene: &Arc<Scene>, gateway: &str) {
    playing.spawn(publishes(scene.clone()));
    playing.spawn(comes_and_goes(scene.clone()));
    playing.spawn(is_killed(scene.clone()));
    playing.spawn(stores_once_more(scene.clone()));
    playing.spawn(copies(scene.clone()));
    playing.spawn(purges(scene.clone()));
    playing.spawn(posts(scene.clone(), gateway.to_owned()));
}

/// Flows with failures and re-runs, repeated and out of order, that start now.
async fn publishes(scene: Arc<Scene>) -> anyhow::Result<Did> {
    let mut times = 0;
    while !scene.is_over() {
        times += 1;
        let (seed, now) = (times.to_string(), Timestamp::now().to_string());
        let made = ["publish", "--synthetic", EVENTS, "--rate", RATE, "--seed", &seed, "--start-time", &now];
        let mixed =
            ["--rerun-percent", "3", "--duplicate-percent", "3", "--shuffle", "--shuffle-window", "200"];
        scene.done(&[&made[..], &mixed[..]].concat()).await?;
    }
    Ok(("batches of events published", times))
}

/// A collector that leaves as it should.
async fn comes_and_goes(scene: Arc<Scene>) -> anyhow::Result<Did> {
    let mut times = 0;
    while !scene.is_over() {
        let collector = scene.server("restarted", &["collect", "--http", "127.0.0.1:0"]).await?;
        scene.pause(STAY).await;
        collector.end().await?;
        times += 1;
    }
    Ok(("collectors ended", times))
}

/// A collector that never says good-bye.
async fn is_killed(scene: Arc<Scene>) -> anyhow::Result<Did> {
    let mut times = 0;
    while !scene.is_over() {
        let mut collector = scene.server("killed", &["collect", "--http", "127.0.0.1:0"]).await?;
        scene.pause(STAY * 2).await;
        collector.child.kill().await?;
        times += 1;
    }
    Ok(("collectors killed", times))
}

/// What came lately is stored once more.
async fn stores_once_more(scene: Arc<Scene>) -> anyhow::Result<Did> {
    let mut times = 0;
    while !scene.is_over() {
        scene.done(&["replay", "--into", "postgres", "--since", "-10s", "--name", "soak", "--anew"]).await?;
        times += 1;
        scene.pause(REST).await;
    }
    Ok(("replays into Postgres", times))
}

/// What came lately is copied to another topic.
async fn copies(scene: Arc<Scene>) -> anyhow::Result<Did> {
    let mut times = 0;
    while !scene.is_over() {
        let name = format!("soak-{times}");
        scene.done(&["replay", "--into-topic", COPY, "--since", "-5s", "--name", &name]).await?;
        times += 1;
        scene.pause(REST).await;
    }
    Ok(("replays onto a topic", times))
}

/// Flows that are old enough go.
async fn purges(scene: Arc<Scene>) -> anyhow::Result<Did> {
    let mut times = 0;
    while !scene.is_over() {
        scene.done(&["retention", "run", "--yes"]).await?;
        times += 1;
        scene.pause(REST).await;
    }
    Ok(("runs of retention", times))
}

/// What a Flogo app posted once, under new instance ids each time, and what it would ask.
async fn posts(scene: Arc<Scene>, gateway: String) -> anyhow::Result<Did> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/flogo/recorded.jsonl");
    let recording = std::fs::read_to_string(file)?;
    let ids: Vec<String> = recording
        .lines()
        .filter_map(|line| {
            Some(serde_json::from_str::<Value>(line).ok()?["body"]["flow_instance_id"].as_str()?.to_owned())
        })
        .collect();
    let mut times = 0;
    while !scene.is_over() {
        let mut fresh = recording.clone();
        for id in &ids {
            fresh = fresh.replace(id, &format!("{times:08x}{}", &id[8..]));
        }
        for line in fresh.lines() {
            let line: Value = serde_json::from_str(line)?;
            let request = format!("{} {}", line["method"].as_str().unwrap(), line["path"].as_str().unwrap());
            let body = if line["body"].is_null() { String::new() } else { line["body"].to_string() };
            let answer =
                ask(&gateway, &request, &[("content-type", "application/json")], body.as_bytes()).await;
            anyhow::ensure!(answer.status < 500, "{request}: {answer:?}");
        }
        let answer = ask(&gateway, "GET /v1/instances", &[], b"").await;
        anyhow::ensure!(answer.status < 500, "the list: {answer:?}");
        times += 1;
        scene.pause(REST).await;
    }
    Ok(("recordings posted", times))
}
