//! The servers that faults are done to, and the ways to them that can be cut.

use std::{os::unix::fs::MetadataExt as _, path::PathBuf, sync::Arc};

use anyhow::Context as _;
use flowtrail::dev::{self, Server, Stack, StackOptions};
use secrecy::ExposeSecret as _;
use tokio::task::spawn_blocking;

use crate::{
    faults::disk,
    proxy::{Mode, Proxy, free_port},
};

/// Where everything is kept.
pub fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("faults")
}

/// Kafka and Postgres, each reached directly and through a proxy.
pub struct Servers {
    stack: Arc<Stack>,
    /// Kafka gives its clients addresses, so those who come through the proxy need a listener of their own.
    pub kafka_proxy: Proxy,
    pub postgres_proxy: Proxy,
}

impl Servers {
    /// Starts both, in a folder that held nothing.
    pub async fn start() -> anyhow::Result<Self> {
        let data_dir = folder();
        disk::unmount(&data_dir).await?;
        let [client, proxied, controller] = [free_port(), free_port(), free_port()];
        let kafka_proxy = Proxy::to(proxied).await;
        let mut options = StackOptions::new(&data_dir);
        options.kafka_port = client;
        let listeners = format!(
            "CLIENT://127.0.0.1:{client},PROXIED://127.0.0.1:{proxied},CONTROLLER://127.0.0.1:{controller}"
        );
        let advertised = format!("CLIENT://127.0.0.1:{client},PROXIED://127.0.0.1:{}", kafka_proxy.port());
        let protocols = "CLIENT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT";
        for (name, value) in [
            ("listeners", listeners.as_str()),
            ("advertised.listeners", &advertised),
            ("listener.security.protocol.map", protocols),
            ("controller.quorum.voters", &format!("1@127.0.0.1:{controller}")),
        ] {
            options.kafka_settings.push((name.to_owned(), value.to_owned()));
        }
        // The log then names the SQLSTATE of each error.
        options.postgres_settings.push(("log_error_verbosity".to_owned(), "verbose".to_owned()));
        let start = move || {
            dev::reset(&options.data_dir)?;
            anyhow::Ok(Stack::start(&options)?)
        };
        let stack = Arc::new(spawn_blocking(start).await??);
        let postgres = stack.postgres().context("an own Postgres")?.port();
        Ok(Self { stack, kafka_proxy, postgres_proxy: Proxy::to(postgres).await })
    }

    pub fn kafka(&self) -> String {
        self.stack.bootstrap_servers().to_owned()
    }

    pub fn kafka_through_proxy(&self) -> String {
        format!("127.0.0.1:{}", self.kafka_proxy.port())
    }

    /// URL of a database.
    pub fn database(&self, name: &str) -> String {
        let url = self.stack.database_url().expose_secret();
        let (server, _) = url.rsplit_once('/').expect("the stack's URL ends with a database");
        format!("{server}/{name}")
    }

    /// The same database through the proxy.
    pub fn through_proxy(&self, url: &str) -> String {
        self.postgres_proxy.url(url)
    }

    /// Where logs and what else the tests write are kept.
    pub fn folder(&self) -> PathBuf {
        self.stack.data_dir().to_owned()
    }

    /// Whom Postgres runs as: user and group.
    pub fn postgres_account(&self) -> anyhow::Result<(u32, u32)> {
        let pid = self.stack.postgres().and_then(Server::pid).context("Postgres runs")?;
        let process = std::fs::metadata(format!("/proc/{pid}"))?;
        Ok((process.uid(), process.gid()))
    }

    pub fn postgres_log(&self) -> PathBuf {
        self.stack.postgres().expect("an own Postgres").log()
    }

    /// Does something to Postgres that blocks.
    pub async fn postgres(&self, act: fn(&Server)) -> anyhow::Result<()> {
        let stack = self.stack.clone();
        Ok(spawn_blocking(move || act(stack.postgres().expect("an own Postgres"))).await?)
    }

    /// Does something to the broker that blocks.
    pub async fn broker(&self, act: fn(&Server)) -> anyhow::Result<()> {
        let stack = self.stack.clone();
        Ok(spawn_blocking(move || act(stack.kafka().expect("an own Kafka"))).await?)
    }

    /// Has everything run and pass again, whatever a fault that went wrong left behind.
    pub async fn restore(&self) -> anyhow::Result<()> {
        self.kafka_proxy.set(Mode::Pass);
        self.postgres_proxy.set(Mode::Pass);
        self.postgres(Server::resume).await?;
        self.postgres(run).await?;
        self.broker(run).await
    }
}

/// Starts a server that does not run.
pub fn run(server: &Server) {
    server.start().unwrap_or_else(|error| panic!("{error}"));
}
