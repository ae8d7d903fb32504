//! The local stack: a real Kafka and a real Postgres on this machine, from nothing but a registry of packages.
//!
//! [`Stack::start`] finds what is installed or fetches what is not (once per user), starts both servers on 127.0.0.1 and
//! waits until they answer. What they hold stays in the stack's folder from one start to the next. No server outlives the
//! process that started it, however that ends; `process` says how. `flowtrail dev` and the integration tests both use it.
//!
//! Everything here blocks: from asynchronous code go through `tokio::task::spawn_blocking`.

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use secrecy::SecretString;

pub use self::data_dir::{DataDirError, default_data_dir, reset};
pub use self::download::DownloadError;
pub use self::go::go;
pub use self::info::DevInfo;
pub use self::kafka::KafkaError;
pub use self::postgres::PostgresError;
pub use self::server::{Server, ServerError};

use self::cache::Cache;
use self::data_dir::DataDir;
use self::kafka::Kafka;
use self::postgres::Postgres;

mod server;

mod kafka;
mod postgres;
mod postgres_home;
mod postgres_programs;

mod go;
mod java;

mod account;
mod identity;
mod leftover;
mod process;

mod data_dir;
mod info;

mod archive;
mod artifact;
mod cache;
mod download;
mod find;
mod progress;

/// If set to anything but `0`, the machine's own Java and Postgres are left alone.
const PACKAGED: &str = "FLOWTRAIL_DEV_PACKAGED";
/// What a server has until it must be ready: a cold start takes seconds, on a machine that is busy compiling far more.
const START_TIMEOUT: Duration = Duration::from_mins(2);

/// Why there is no stack.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// Its folder can't be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// A server doesn't run.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// There is no place for downloads.
    #[error(transparent)]
    Cache(#[from] DownloadError),
    /// No port could be had.
    #[error("no free port on 127.0.0.1")]
    Port(#[source] io::Error),
}

/// What a stack is made of.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Where everything is kept; made if it doesn't exist. One stack at a time.
    pub data_dir: PathBuf,
    /// Kafka's port; 0 takes a free one.
    pub kafka_port: u16,
    /// Postgres's port; 0 takes a free one.
    pub postgres_port: u16,
    /// Bootstrap servers of a Kafka that runs already; then none is started.
    pub kafka: Option<String>,
    /// URL of a Postgres that runs already; then none is started.
    pub postgres: Option<SecretString>,
    /// Broker settings that win over the stack's own.
    pub kafka_settings: Vec<(String, String)>,
    /// Server settings that win over the stack's own.
    pub postgres_settings: Vec<(String, String)>,
    /// Leave the machine's own Java and Postgres alone and use packaged ones.
    pub packaged: bool,
    /// Use the packaged Postgres of this major version and no other. For tests: 14 to 18 on Linux on x86-64, elsewhere 17.
    pub postgres_major: Option<u32>,
    /// Draw a bar while something is fetched, if standard error is a terminal.
    pub progress: bool,
    /// What a server has until it must be ready, not counting downloads.
    pub start_timeout: Duration,
}

impl StackOptions {
    /// Both servers on free ports, with the environment's word on packaged programs (`FLOWTRAIL_DEV_PACKAGED=1`).
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            kafka_port: 0,
            postgres_port: 0,
            kafka: None,
            postgres: None,
            kafka_settings: Vec::new(),
            postgres_settings: Vec::new(),
            packaged: env::var_os(PACKAGED).is_some_and(|value| !value.is_empty() && value != "0"),
            postgres_major: None,
            progress: true,
            start_timeout: START_TIMEOUT,
        }
    }
}

/// A running stack. Dropping it stops its servers and gives its folder free.
#[derive(Debug)]
pub struct Stack {
    kafka: Option<Server>,
    postgres: Option<Server>,
    bootstrap_servers: String,
    database_url: SecretString,
    // After the servers, because fields are dropped in this order and the folder is theirs while they run.
    data_dir: DataDir,
}

impl Stack {
    /// Starts both servers, side by side, and waits until they answer. Servers that an earlier run left behind are stopped
    /// first. If one can't be started, the other doesn't stay.
    pub fn start(options: &StackOptions) -> Result<Self, StackError> {
        let data_dir = DataDir::open(&options.data_dir)?;
        let path = data_dir.path();
        leftover::stop_all(path).map_err(DataDirError::io(path))?;
        DevInfo::remove(path).map_err(DataDirError::io(path))?;
        let cache = Cache::of_user(options.progress)?;
        let (kafka, postgres) = thread::scope(|scope| {
            let kafka = scope.spawn(|| start_kafka(options, path, &cache));
            let postgres = start_postgres(options, path, &cache);
            let kafka = kafka.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            (kafka, postgres)
        });
        let (kafka, bootstrap_servers) = kafka?;
        let (postgres, database_url) = postgres?;
        Ok(Self { kafka, postgres, bootstrap_servers, database_url, data_dir })
    }

    /// Where clients find Kafka.
    pub fn bootstrap_servers(&self) -> &str {
        &self.bootstrap_servers
    }

    /// Where clients find the database, with its password. The stack's own user is a superuser, so that tests may make
    /// databases of their own.
    pub fn database_url(&self) -> &SecretString {
        &self.database_url
    }

    /// The stack's folder, by its one true name.
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// The stack's Kafka; none if an external one is used.
    pub fn kafka(&self) -> Option<&Server> {
        self.kafka.as_ref()
    }

    /// The stack's Postgres; none if an external one is used.
    pub fn postgres(&self) -> Option<&Server> {
        self.postgres.as_ref()
    }

    /// The process ids of the stack's own servers that run, as `kafka` and `postgres`.
    pub fn pids(&self) -> BTreeMap<String, u32> {
        let servers = self.servers();
        servers.filter_map(|server| Some((server.name().to_lowercase(), server.pid()?))).collect()
    }

    /// A server of the stack that has ended, whoever ended it.
    pub fn ended(&self) -> Option<&Server> {
        self.servers().find(|server| !server.is_running())
    }

    /// Stops the servers, side by side and in order, and removes `dev.json`. The folder keeps what they hold.
    pub fn stop(self) {
        drop(self);
    }

    fn servers(&self) -> impl Iterator<Item = &Server> {
        self.kafka.iter().chain(&self.postgres)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // Removed first: what it says stops being true now.
        let _ = DevInfo::remove(self.data_dir.path());
        thread::scope(|scope| {
            for server in self.servers() {
                scope.spawn(|| server.stop());
            }
        });
    }
}

fn start_kafka(
    options: &StackOptions,
    data_dir: &Path,
    cache: &Cache,
) -> Result<(Option<Server>, String), StackError> {
    if let Some(external) = &options.kafka {
        return Ok((None, external.clone()));
    }
    let port = port(options.kafka_port)?;
    let settings = options.kafka_settings.clone();
    let kafka = Kafka::new(data_dir, cache, options.packaged, port, settings).map_err(ServerError::from)?;
    let bootstrap_servers = kafka.bootstrap_servers();
    Ok((Some(Server::launch(Box::new(kafka), options.start_timeout)?), bootstrap_servers))
}

fn start_postgres(
    options: &StackOptions,
    data_dir: &Path,
    cache: &Cache,
) -> Result<(Option<Server>, SecretString), StackError> {
    if let Some(external) = &options.postgres {
        return Ok((None, external.clone()));
    }
    let port = port(options.postgres_port)?;
    let settings = options.postgres_settings.clone();
    let postgres = Postgres::new(data_dir, cache, (options.packaged, options.postgres_major), port, settings)
        .map_err(ServerError::from)?;
    let url = postgres.url();
    Ok((Some(Server::launch(Box::new(postgres), options.start_timeout)?), url))
}

fn port(wanted: u16) -> Result<u16, StackError> {
    if wanted == 0 { server::free_port().map_err(StackError::Port) } else { Ok(wanted) }
}
