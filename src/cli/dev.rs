//! `flowtrail dev`: everything on this machine.

mod sample;
mod status;

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal as _, Write as _},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, bail};
use secrecy::ExposeSecret as _;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    collect::{Served, stop_on_signals},
    output::Output,
};
use crate::{
    collector::{self, CollectError},
    config::{Config, Loaded, Origin, SchemaMode},
    dev::{DevInfo, Server, Stack, StackOptions, default_data_dir, reset},
    http,
    kafka::admin::Admin,
    metrics::Exposition,
    postgres::connect,
    schema,
    server::Server as Gateway,
};

/// Partitions of a topic that `dev` creates.
const PARTITIONS: i32 = 6;
/// How long Kafka may take to create the topic.
const TOPIC_LIMIT: Duration = Duration::from_secs(30);
/// How often it is looked whether the servers still run.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// How long to wait for another instance that is changing the schema.
const SCHEMA_PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug, clap::Args)]
#[expect(
    clippy::doc_markdown,
    clippy::struct_excessive_bools,
    reason = "these are options, shown on the terminal"
)]
#[command(after_help = "\
Examples:
  flowtrail dev
  flowtrail dev --kafka-port 0 --postgres-port 0 --http-port 0 --gateway-port 0 --data-dir /tmp/flows
  DATABASE_URL=postgres://me@db/flows flowtrail dev --no-sample

Starts a real Kafka and a real Postgres, fetching what this machine lacks, or uses those that
KAFKA_BOOTSTRAP_SERVERS and DATABASE_URL name. Prints the four addresses once all is up, keeps them in dev.json of the
data folder, and stops everything on Ctrl-C; the data stays for the next start.")]
pub(crate) struct Args {
    /// Folder for everything that is kept [default: $FLOWTRAIL_DATA_DIR, else flowtrail/dev in the user's data folder]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Port of Kafka; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 9092)]
    kafka_port: u16,
    /// Port of Postgres; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 54320)]
    postgres_port: u16,
    /// Port of health and metrics; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 9464)]
    http_port: u16,
    /// Port of the API of Flogo's state service; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 9190)]
    gateway_port: u16,
    /// Publish no sample traffic
    #[arg(long)]
    no_sample: bool,
    /// Sample events a second, after the recorded ones
    #[arg(long, value_name = "EVENTS", default_value_t = 50, conflicts_with = "no_sample")]
    sample_rate: u32,
    /// Run no collector
    #[arg(long)]
    no_collect: bool,
    /// Remove all data of earlier starts first
    #[arg(long)]
    reset: bool,
    /// Don't ask before removing data
    #[arg(long, short)]
    yes: bool,
}

pub(crate) async fn run(args: Args, loaded: &Loaded) -> anyhow::Result<()> {
    let data_dir = match &args.data_dir {
        Some(data_dir) => data_dir.clone(),
        None => default_data_dir()?,
    };
    if args.reset {
        // Where there is nobody to ask, whoever gave the command has decided: it is a folder of this machine.
        let question = format!("remove all data in {}?", data_dir.display());
        if !args.yes && !super::output::confirmed(&question)?.unwrap_or(true) {
            bail!("nothing was removed and nothing was started");
        }
        reset(&data_dir)?;
    }
    let stop = stop_on_signals()?;
    let options = options(&args, data_dir, loaded);
    let starting = spawn_blocking(move || Stack::start(&options));
    // Told to stop while something is fetched: the process ends, and what was started ends with it.
    let Some(started) = stop.run_until_cancelled(starting).await else { return Ok(()) };
    let stack = started.context("starting the servers")??;
    let outcome = with_servers(&args, loaded, &stack, &stop).await;
    spawn_blocking(move || stack.stop()).await.context("stopping the servers")?;
    outcome
}

fn options(args: &Args, data_dir: PathBuf, loaded: &Loaded) -> StackOptions {
    let given = *loaded.origin("kafka.bootstrap_servers") != Origin::Default;
    StackOptions {
        kafka_port: args.kafka_port,
        postgres_port: args.postgres_port,
        kafka: given.then(|| loaded.config.kafka.bootstrap_servers.clone()),
        postgres: loaded.config.postgres.url.clone(),
        ..StackOptions::new(data_dir)
    }
}

/// The configuration with the addresses of the servers that run.
fn configured(args: &Args, loaded: &Loaded, stack: &Stack) -> Config {
    let mut config = loaded.config.clone();
    stack.bootstrap_servers().clone_into(&mut config.kafka.bootstrap_servers);
    config.postgres.url = Some(stack.database_url().clone());
    config.http.listen = format!("127.0.0.1:{}", args.http_port);
    config.gateway.listen = format!("127.0.0.1:{}", args.gateway_port);
    if config.gateway.spool_dir.is_empty() {
        config.gateway.spool_dir = stack.data_dir().join("spool").to_string_lossy().into_owned();
    }
    config.schema.mode = SchemaMode::Update;
    config
}

async fn with_servers(
    args: &Args,
    loaded: &Loaded,
    stack: &Stack,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let config = configured(args, loaded, stack);
    let topic = config.kafka.topics.iter().find(|topic| !topic.starts_with('^')).cloned();
    if let Some(topic) = &topic {
        Admin::new(&config.kafka)?.ensure_topic(topic, PARTITIONS, &[], TOPIC_LIMIT).await?;
    }
    let mut client = connect::connect(&config.postgres, "flowtrail-dev").await?;
    schema::update(&mut client, SCHEMA_PATIENCE, config.schema.partitions).await?;
    drop(client);

    let served = Served::start(&config).await?;
    let collector = (!args.no_collect).then(|| {
        let shown = served.shown();
        let (config, stop) = (config.clone(), stop.clone());
        tokio::spawn(async move { collector::run(&config, shown, stop).await })
    });
    let (tasks, done) = (TaskTracker::new(), CancellationToken::new());
    let api = Box::pin(Gateway::open(&config, done.clone())).await?;
    let gateway = http::serve(&config.gateway.listen, api.router(), done.clone(), &tasks).await?;
    api.start(&tasks);
    announce(stack, &format!("http://{}", served.address), &format!("http://{gateway}"))?;
    let sample = match topic {
        Some(topic) if !args.no_sample => Some(sample::start(&config, topic, args.sample_rate, stop.clone())),
        _ => None,
    };
    let outcome = until_stopped(stack, &served.metrics, collector, stop).await;
    if let Some(sample) = sample {
        sample.await.context("the sample traffic ended early")??;
    }
    done.cancel();
    tasks.close();
    tasks.wait().await;
    served.end().await;
    outcome
}

/// Prints the addresses, for people and on one line, and keeps them in `dev.json`.
fn announce(stack: &Stack, http: &str, gateway: &str) -> anyhow::Result<()> {
    let mut pids = stack.pids();
    pids.insert("dev".to_owned(), std::process::id());
    let (kafka, postgres) = (stack.bootstrap_servers(), stack.database_url().expose_secret());
    let info = DevInfo {
        kafka: kafka.to_owned(),
        postgres: postgres.to_owned(),
        http: Some(http.to_owned()),
        gateway: Some(gateway.to_owned()),
        pids: BTreeMap::from_iter(pids),
    };
    info.write(stack.data_dir())
        .with_context(|| format!("writing {}", DevInfo::path(stack.data_dir()).display()))?;
    let mut output = Output::stdout();
    output.line(&format!(
        "flowtrail is up: kafka {kafka}  postgres {postgres}  http {http}  gateway {gateway}"
    ))?;
    output.finish()?;
    if io::stderr().is_terminal() {
        // On a terminal only: a log must not hold the password.
        writeln!(
            io::stderr(),
            "In another terminal:\n  export KAFKA_BOOTSTRAP_SERVERS={kafka} DATABASE_URL='{postgres}'\n  \
             flowtrail flow list; flowtrail lag\nA Flogo app records here with\n  \
             export FLOGO_FLOW_SM_ENDPOINT={gateway}"
        )?;
    }
    Ok(())
}

type Collector = JoinHandle<Result<(), CollectError>>;

/// Waits until told to stop, or until a part of it can't go on; that part says why.
async fn until_stopped(
    stack: &Stack,
    exposition: &Exposition,
    mut collector: Option<Collector>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut status = status::Status::new(exposition.clone());
    let mut ticks = tokio::time::interval(WATCH_EVERY);
    let mut outcome = Ok(());
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        status.show();
        if let Some(server) = stack.ended() {
            outcome = Err(ended(server));
            break;
        }
        if collector.as_ref().is_some_and(JoinHandle::is_finished) {
            break;
        }
    }
    status.clear();
    stop.cancel();
    if let Some(collector) = collector.take() {
        let collected = collector.await.context("the collector ended early")?;
        outcome = outcome.and(collected.map_err(anyhow::Error::from));
    }
    outcome
}

fn ended(server: &Server) -> anyhow::Error {
    anyhow::anyhow!("{} ended by itself; its log is {}", server.name(), server.log().display())
}
