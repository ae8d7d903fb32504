//! `flowtrail collect` as a process of its own.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use flowtrail::config::Config;
use tokio::{process::Child, time::timeout};

use crate::program;

/// How long a collector may take to start, to end, or to say what is waited for.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often a wait looks.
const POLL: Duration = Duration::from_millis(10);

/// A collector that runs, killed when it is dropped.
pub struct Collector {
    child: Child,
    log: PathBuf,
    /// Where it serves health and metrics.
    pub address: String,
}

impl Collector {
    /// Starts one and waits until it serves. Its log goes to a file.
    pub async fn start(config: &Config, stall_after: Duration, log: &Path) -> anyhow::Result<Self> {
        let file = File::create(log)?;
        let child = program::configured(config, ["collect", "--http", "127.0.0.1:0"])
            .env("FLOWTRAIL_COLLECTOR__STALL_AFTER_MS", stall_after.as_millis().to_string())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()?;
        let mut collector = Self { child, log: log.to_owned(), address: String::new() };
        let line = collector.says("address=").await?;
        let (_, rest) = line.split_once("address=").context("an address")?;
        rest.split_whitespace().next().unwrap_or_default().clone_into(&mut collector.address);
        Ok(collector)
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("it has not been waited for")
    }

    /// Waits for a line of its log that holds these words.
    pub async fn says(&mut self, what: &str) -> anyhow::Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = fs::read_to_string(&self.log)?;
            // The last line may still be on its way.
            let complete = said.rsplit_once('\n').map_or("", |(complete, _)| complete);
            if let Some(line) = complete.lines().find(|line| line.contains(what)) {
                return Ok(line.to_owned());
            }
            self.runs()?;
            ensure!(Instant::now() < deadline, "it does not say {what}; see {}", self.log.display());
            tokio::time::sleep(POLL).await;
        }
    }

    /// An error, if it has ended.
    pub fn runs(&mut self) -> anyhow::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("a collector ended by itself ({status}); see {}", self.log.display());
        }
        Ok(())
    }

    /// Ends it without warning.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.runs()?;
        Ok(self.child.kill().await?)
    }

    /// Asks it to end, which it has to do well.
    pub async fn terminate(mut self) -> anyhow::Result<()> {
        self.runs()?;
        program::send(self.pid(), "TERM").await;
        let status = timeout(PATIENCE, self.child.wait()).await.context("a collector does not end")??;
        ensure!(status.success(), "a collector ended with {status}; see {}", self.log.display());
        Ok(())
    }

    /// Stops its time, or lets it go on.
    pub async fn signal(&self, name: &str) {
        program::send(self.pid(), name).await;
    }

    /// The most memory it has held, in bytes.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kilobytes << 10)
    }
}
