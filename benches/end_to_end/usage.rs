//! What a process or a server takes: processor time and memory from `/proc`, and WAL.

use std::fs;

use anyhow::{Context as _, bail, ensure};
use serde::Serialize;
use tokio_postgres::Client;

/// Clock ticks a second in `/proc`: a constant of Linux, whatever the kernel's own timer does.
const TICKS: f64 = 100.0;
/// How often it is tried to count processes none of which ends meanwhile.
const TRIES: usize = 20;

/// What a span of work took of Postgres.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct PostgresUse {
    /// Processor seconds of all its processes but the one that measures.
    pub(crate) cpu_seconds: f64,
    /// Bytes of WAL.
    pub(crate) wal_bytes: f64,
}

/// Postgres at one moment.
#[derive(Debug)]
pub(crate) struct PostgresMark {
    /// The session that asks; what it takes is not counted.
    own: i32,
    postmaster: i32,
    before: PostgresUse,
}

impl PostgresMark {
    /// The server behind a session, now.
    pub(crate) async fn set(client: &Client) -> anyhow::Result<Self> {
        let own: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
        let postmaster = Stat::of(own)?.parent;
        let before = PostgresUse { cpu_seconds: cpu(own, postmaster)?, wal_bytes: wal(client).await? };
        Ok(Self { own, postmaster, before })
    }

    /// What it took since then.
    pub(crate) async fn since(&self, client: &Client) -> anyhow::Result<PostgresUse> {
        Ok(PostgresUse {
            cpu_seconds: cpu(self.own, self.postmaster)? - self.before.cpu_seconds,
            wal_bytes: wal(client).await? - self.before.wal_bytes,
        })
    }
}

/// Bytes of WAL since the server was made, as far as it was written, to disk or not yet.
async fn wal(client: &Client) -> anyhow::Result<f64> {
    let sql = "SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::float8";
    Ok(client.query_one(sql, &[]).await?.get(0))
}

/// Of the postmaster, of its children that have ended, and of those that run, but one.
fn cpu(but: i32, postmaster: i32) -> anyhow::Result<f64> {
    // A child that ends amid this would be counted neither here nor there, or twice.
    for _ in 0..TRIES {
        let before = Stat::of(postmaster)?;
        let running = running_children(but, postmaster)?;
        let after = Stat::of(postmaster)?;
        if before.ended_children.total_cmp(&after.ended_children).is_eq() {
            return Ok(after.seconds + after.ended_children + running);
        }
    }
    bail!("the processes of Postgres come and go too fast to be counted");
}

fn running_children(but: i32, postmaster: i32) -> anyhow::Result<f64> {
    let mut seconds = 0.0;
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(stat) = Stat::of(pid) else { continue };
        if stat.parent == postmaster && pid != but {
            seconds += stat.seconds;
        }
    }
    Ok(seconds)
}

/// Processor seconds that a process took.
pub(crate) fn process_cpu(pid: u32) -> anyhow::Result<f64> {
    Ok(Stat::of(i32::try_from(pid)?)?.seconds)
}

/// The most memory that a process held at any time, in bytes.
pub(crate) fn peak_memory(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    kilobytes(&status, "VmHWM:").context("no VmHWM")
}

/// A process and all that it started and they started, as far as they run.
pub(crate) fn with_descendants(pid: u32) -> anyhow::Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(stat) = Stat::of(i32::try_from(pid)?) else { continue };
        parents.push((pid, u32::try_from(stat.parent)?));
    }
    let mut found = vec![pid];
    let mut generation = 0..1;
    while let Some(of) = found.get(generation.clone()).filter(|of| !of.is_empty()) {
        let children = parents.iter().filter(|(_, parent)| of.contains(parent)).map(|(pid, _)| *pid);
        let children: Vec<u32> = children.collect();
        generation = generation.end..generation.end + children.len();
        found.extend(children);
    }
    Ok(found)
}

/// Processor seconds that processes took, and those of their children that have ended.
pub(crate) fn cpu_of(pids: &[u32]) -> anyhow::Result<f64> {
    pids.iter().map(|pid| Stat::of(i32::try_from(*pid)?).map(|stat| stat.seconds + stat.ended_children)).sum()
}

/// The most memory that each of some processes held, added up, in bytes.
pub(crate) fn peak_of(pids: &[u32]) -> anyhow::Result<f64> {
    pids.iter().map(|pid| peak_memory(*pid)).sum()
}

/// A line like `VmHWM:   1024 kB` of a file in `/proc`, in bytes.
pub(crate) fn kilobytes(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024.0)
}

/// A process as `/proc` tells it.
struct Stat {
    parent: i32,
    seconds: f64,
    /// Seconds of children that ended and were waited for.
    ended_children: f64,
}

impl Stat {
    fn of(pid: i32) -> anyhow::Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name, in brackets, may hold anything; what follows are numbers, from the third field on.
        let (_, rest) = stat.rsplit_once(") ").context("no name in stat")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        ensure!(fields.len() > 14, "stat is too short");
        let field = |number: usize| fields.get(number - 3).copied().unwrap_or_default();
        let ticks = |number: usize| field(number).parse::<f64>();
        Ok(Self {
            parent: field(4).parse()?,
            seconds: (ticks(14)? + ticks(15)?) / TICKS,
            ended_children: (ticks(16)? + ticks(17)?) / TICKS,
        })
    }
}
