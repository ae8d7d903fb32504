//! `flowtrail serve`: takes what Flogo apps post, and answers what people and tools ask.

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::collect::{stop_on_signals, tell_manager};
use crate::{
    config::{self as configuration, Config},
    http, metrics,
    server::Server,
};

#[derive(Debug, clap::Args)]
#[expect(clippy::doc_markdown, reason = "these are shown on the terminal")]
#[command(after_help = "\
Examples:
  flowtrail serve
  flowtrail serve --listen 127.0.0.1:9190 --spool-dir /var/lib/flowtrail/spool
  flowtrail serve --also http://old:9190       every write goes to another state service too
  FLOGO_FLOW_SM_ENDPOINT=http://127.0.0.1:9190 ./my-flogo-app    the app that records here

It speaks the API of Flogo's state service, so an app needs no change. A request is answered when Kafka has the event, or
with a spool when the disk has it. It needs a collector beside it, which stores what was posted: flowtrail collect.
Without tokens whoever reaches the address may write and read, so keep it on loopback or behind what you trust.")]
pub(crate) struct Args {
    /// Address to listen on; port 0 takes a free one [default: gateway.listen]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Topic that events are put on [default: gateway.topic]
    #[arg(long)]
    topic: Option<String>,
    /// Folder that keeps events while Kafka is away [default: gateway.spool_dir]
    #[arg(long, value_name = "FOLDER")]
    spool_dir: Option<String>,
    /// Another state service that every write is sent to as well, as http://host:port [default: gateway.also]
    #[arg(long, value_name = "URL", value_parser = service_address)]
    also: Option<String>,
}

fn service_address(text: &str) -> Result<String, String> {
    configuration::check_service(text).map(|()| text.to_owned())
}

pub(crate) async fn run(args: Args, config: &Config) -> anyhow::Result<()> {
    let mut config = config.clone();
    if let Some(listen) = args.listen {
        config.gateway.listen = listen;
    }
    if let Some(topic) = args.topic {
        config.gateway.topic = topic;
    }
    if let Some(folder) = args.spool_dir {
        config.gateway.spool_dir = folder;
    }
    if let Some(service) = args.also {
        config.gateway.also = service;
    }
    let told = stop_on_signals()?;
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let metrics = metrics::install()?;
    let server = Server::open(&config, stop.clone()).await?;
    let (listen, door) = (&config.gateway.listen, http::Door::new(&config.http)?);
    let readers = http::readers_of_metrics(&config.http, listen, server.access()).await;
    let shown = http::probes(server.health().clone(), metrics.clone(), readers.as_ref());
    let address = door.open(listen, shown.merge(server.router()), stop.clone(), &tasks).await?;
    tasks.spawn(metrics.upkeep(stop.clone()));
    tell_manager(server.health(), &told, &tasks);
    server.start(&tasks);
    let topic = &config.gateway.topic;
    tracing::info!(event = "server_started", %address, topic, "serving");
    told.cancelled().await;
    stop.cancel();
    tasks.close();
    tasks.wait().await;
    tracing::info!(event = "server_stopped", "server stopped");
    Ok(())
}
