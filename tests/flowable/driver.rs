//! The driver: an engine of some version with the jar, some traffic, and what the engine itself has kept of it.

use std::path::PathBuf;

use flowtrail::config::Config;
use tokio::{process::Command, task::spawn_blocking};

use crate::{
    jar,
    program::{self, Ran},
    servers,
};

/// An engine that is yet to run, with a topic and a database of flowtrail's for it.
pub struct Driver {
    pub config: Config,
    /// Where the engine's own rows are written to.
    pub folder: tempfile::TempDir,
    engine: &'static str,
    settings: Vec<String>,
}

impl Driver {
    /// None if there is no jar.
    pub async fn new(engine: &'static str, mode: &str) -> Option<Self> {
        spawn_blocking(jar::jar).await.unwrap()?;
        let config = servers::config(3).await;
        let driver = Self { config, folder: tempfile::tempdir().unwrap(), engine, settings: Vec::new() };
        let (brokers, topic) =
            (driver.config.kafka.bootstrap_servers.clone(), driver.config.kafka.topics[0].clone());
        Some(driver.with("bootstrap.servers", &brokers).with("topic", &topic).with("mode", mode))
    }

    /// With a setting of the jar's; the last of a name counts.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.settings.push(format!("-Dflowtrail.{name}={value}"));
        self
    }

    /// The program with its arguments: so many rounds, on a database of the engine's.
    pub fn command(&self, rounds: usize, database: &str) -> Command {
        let mut command = Command::new("java");
        // The engine writes its times in the zone of the JVM.
        command
            .args(["-Xmx384m", "-XX:+UseSerialGC", "-Duser.timezone=America/New_York"])
            .args(&self.settings);
        command.arg("-cp").arg(jar::class_path(self.engine)).arg("io.flowtrail.flowable.Driver");
        command
            .arg("rounds")
            .arg(rounds.to_string())
            .arg(self.folder.path())
            .arg(database)
            .kill_on_drop(true);
        command
    }

    /// Runs it to its end, which has to be a good one.
    pub async fn run(&self, rounds: usize, database: &str) -> Ran {
        let ran = program::run(&mut self.command(rounds, database)).await;
        assert_eq!(ran.code, 0, "{ran:?}");
        ran
    }

    /// The address of a database of the engine's in a file that is there after it has died; what it has committed is on the disk.
    pub fn on_disk(&self) -> String {
        let file: PathBuf = self.folder.path().join("engine");
        format!("jdbc:h2:file:{};WRITE_DELAY=0", file.display())
    }
}

/// A database of the engine's that is gone with it.
pub const IN_MEMORY: &str = "jdbc:h2:mem:driver;DB_CLOSE_DELAY=-1";

/// What the jar says of itself when the engine is closed: events sent, dropped, failed.
pub fn counted(ran: &Ran) -> [u64; 3] {
    let line = ran
        .stderr
        .lines()
        .find(|line| line.contains("flowtrail has sent "))
        .expect("it does not say what it sent");
    let numbers: Vec<u64> = line.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().unwrap()
}
