//! Many small apps at once, each with one connection that it keeps, each waiting for an answer before its next request.
//!
//! *Closed*: an app posts again as soon as it is answered, which says how many requests a second are answered at most.
//! *Open*: each request has its time, and what counts is how long after that its answer came, so that a request which waits
//! for a slow one before it counts as slow too.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{bail, ensure};
use flowtrail::clock;
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::sleep_until,
};

use super::shapes::{App, Shapes};

/// What every request is answered with begins so.
const OK: &[u8] = b"HTTP/1.1 200 ";
/// And so it ends.
const END: &[u8] = b"\r\n\r\n";

/// Where the apps post, and how many they are.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) apps: u32,
    pub(crate) shapes: Arc<Shapes>,
}

/// When an app posts, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Pace {
    /// As soon as it is answered.
    Closed(Duration),
    /// All of them together so many requests a second.
    Open(f64, Duration),
}

/// What was answered.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Answered {
    pub(crate) requests: u64,
    /// Those of them that make a row.
    pub(crate) rows: u64,
    pub(crate) requests_per_second: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) greatest_ms: f64,
}

impl Load {
    /// Posts at this pace; fails at the first answer that is not 200. Ids of instances are this `run`'s alone.
    pub(crate) async fn run(&self, run: u32, pace: Pace) -> anyhow::Result<Answered> {
        let mut connections = Vec::new();
        for _ in 0..self.apps {
            connections.push(Connection::open(self.address).await?);
        }
        let began = clock::monotonic();
        let mut apps = JoinSet::new();
        for (number, connection) in (0..self.apps).zip(connections) {
            let (shapes, all) = (self.shapes.clone(), self.apps);
            let schedule = Schedule { began, pace, number, all };
            apps.spawn(async move { connection.post_all(shapes.app(run, number), schedule).await });
        }
        let (mut latencies, mut rows) = (Vec::new(), 0);
        while let Some(ended) = apps.join_next().await {
            let (own, own_rows) = ended??;
            latencies.extend(own);
            rows += own_rows;
        }
        answered(latencies, rows, began.elapsed())
    }
}

fn answered(mut latencies: Vec<f64>, rows: u64, took: Duration) -> anyhow::Result<Answered> {
    ensure!(!latencies.is_empty(), "nothing was answered");
    latencies.sort_by(f64::total_cmp);
    let at = |percent: usize| latencies.get(latencies.len() * percent / 100).copied().unwrap_or(f64::NAN);
    Ok(Answered {
        requests: u64::try_from(latencies.len())?,
        rows,
        requests_per_second: f64::from(u32::try_from(latencies.len())?) / took.as_secs_f64(),
        p50_ms: at(50),
        p99_ms: at(99),
        greatest_ms: latencies.last().copied().unwrap_or(f64::NAN),
    })
}

/// When an app makes its requests.
struct Schedule {
    began: Instant,
    pace: Pace,
    /// Of the app.
    number: u32,
    /// Apps there are.
    all: u32,
}

impl Schedule {
    /// When the request of this number is due; nothing if there is no such request any more.
    fn due(&self, request: u32) -> Option<Instant> {
        match self.pace {
            Pace::Closed(span) => {
                let now = clock::monotonic();
                (now < self.began + span).then_some(now)
            }
            Pace::Open(rate, span) => {
                // The apps take turns.
                let place = f64::from(request) * f64::from(self.all) + f64::from(self.number);
                let after = Duration::from_secs_f64(place / rate);
                (after < span).then(|| self.began + after)
            }
        }
    }
}

/// One app's connection.
struct Connection {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Connection {
    async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, answer: Vec::with_capacity(1024) })
    }

    /// Milliseconds from when each request was due to its answer, and how many rows were made.
    async fn post_all(mut self, mut app: App<'_>, schedule: Schedule) -> anyhow::Result<(Vec<f64>, u64)> {
        let (mut latencies, mut bytes) = (Vec::new(), Vec::new());
        for number in 0.. {
            let Some(due) = schedule.due(number) else { break };
            app.next(&mut bytes);
            if due > clock::monotonic() {
                sleep_until(due.into()).await;
            }
            self.post(&bytes).await?;
            latencies.push(due.elapsed().as_secs_f64() * 1e3);
        }
        Ok((latencies, app.rows))
    }

    /// Sends a request and reads its answer, which has no body.
    async fn post(&mut self, request: &[u8]) -> anyhow::Result<()> {
        self.stream.write_all(request).await?;
        self.answer.clear();
        while !self.answer.ends_with(END) {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                bail!("the connection was closed amid an answer");
            }
        }
        ensure!(self.answer.starts_with(OK), "answered {}", String::from_utf8_lossy(&self.answer));
        Ok(())
    }
}
