//! `flowtrail collect`: a member of the consumer group.

use std::{net::SocketAddr, sync::Arc};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    collector::{self, Shown},
    config::Config,
    http::{self, Access, Door, Health},
    metrics::{self, Exposition},
    notify::Manager,
    retention::schedule,
    sentence::with_causes,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail collect
  KAFKA_BOOTSTRAP_SERVERS=kafka:9092 DATABASE_URL=postgres://flowtrail@db/flows flowtrail collect
  flowtrail collect --group audit --http 127.0.0.1:0

Run as many as there are partitions: they share them. SIGTERM or Ctrl-C finishes what is being written and leaves the
group. An outage of Kafka or Postgres is waited for; nothing is lost and nothing is stored twice.")]
pub(crate) struct Args {
    /// Consumer group [default: kafka.group]
    #[arg(long)]
    group: Option<String>,
    /// Topic to read, or ^regular expression; may be repeated [default: kafka.topics]
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
    /// Address for /metrics, /livez and /readyz; port 0 takes a free one [default: http.listen]
    #[arg(long, value_name = "HOST:PORT")]
    http: Option<String>,
}

pub(crate) async fn run(args: Args, config: &Config) -> anyhow::Result<()> {
    let mut config = config.clone();
    if let Some(group) = args.group {
        config.kafka.group = group;
    }
    if !args.topics.is_empty() {
        config.kafka.topics = args.topics;
    }
    if let Some(listen) = args.http {
        config.http.listen = listen;
    }
    let stop = stop_on_signals()?;
    let served = Served::start(&config).await?;
    let (address, topics) = (served.address, config.kafka.topics.join(" "));
    tracing::info!(event = "collector_started", %address, group = config.kafka.group, topics, "collecting");
    tell_manager(&served.health, &stop, &served.tasks);
    served.keep_retention(&config, &stop);
    let outcome = collector::run(&config, served.shown(), stop.clone()).await;
    // However it ended, nothing beside it goes on.
    stop.cancel();
    served.end().await;
    if outcome.is_ok() {
        tracing::info!(event = "collector_stopped", "collector stopped");
    }
    Ok(outcome?)
}

/// Metrics and health of this process over HTTP.
pub(super) struct Served {
    pub(super) address: SocketAddr,
    pub(super) metrics: Exposition,
    health: Arc<Health>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Served {
    /// Takes the metrics of this process and serves them on the configured address.
    pub(super) async fn start(config: &Config) -> anyhow::Result<Self> {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut metrics = metrics::install()?;
        if config.http.consumergroup_lag {
            metrics = metrics.with_lag_of_group(&config.kafka.group);
        }
        let health = collector::health(config);
        let (listen, access) = (&config.http.listen, Access::new(&config.http)?);
        let readers = http::readers_of_metrics(&config.http, listen, &access).await;
        let router = http::router(health.clone(), metrics.clone(), readers.as_ref());
        let address = Door::new(&config.http)?.open(listen, router, stop.clone(), &tasks).await?;
        access.start(&tasks, stop.clone());
        tasks.spawn(metrics.clone().upkeep(stop.clone()));
        Ok(Self { address, metrics, health, stop, tasks })
    }

    /// Where a collector shows itself.
    pub(super) fn shown(&self) -> Shown {
        Shown { health: self.health.clone(), lag: self.metrics.lag().clone() }
    }

    /// Runs retention when it is due, until `stop`.
    fn keep_retention(&self, config: &Config, stop: &CancellationToken) {
        let (config, stop) = (config.clone(), stop.clone());
        self.tasks.spawn(async move { schedule::keep(&config, &stop).await });
    }

    /// Stops serving, once what runs beside the collector has ended.
    pub(super) async fn end(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Tells the service manager that started this process, if one did, how it is, until `stop`.
pub(super) fn tell_manager(health: &Arc<Health>, stop: &CancellationToken, tasks: &TaskTracker) {
    match Manager::of_environment() {
        Ok(Some(manager)) => {
            tasks.spawn(manager.follow(health.clone(), stop.clone()));
        }
        Ok(None) => {}
        Err(error) => {
            let error = with_causes(&error);
            tracing::warn!(
                event = "manager_not_told",
                error,
                "the service manager will not hear of this process"
            );
        }
    }
}

/// A token that SIGTERM or SIGINT cancels.
pub(super) fn stop_on_signals() -> anyhow::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let told = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        told.cancel();
    });
    Ok(stop)
}
