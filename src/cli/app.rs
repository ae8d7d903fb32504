//! `flowtrail app`: which apps' history is to be kept.

use std::time::Duration;

use clap::Subcommand;
use prost::Message as _;
use serde_json::json;

use super::{
    actor,
    output::{self, Column, Format, Output, or_dash, time},
};
use crate::{
    clock,
    config::Config,
    flogo,
    kafka::confirmed::ConfirmedProducer,
    postgres::{
        audit,
        connect::{self, PostgresError},
        read::{self, AppState},
    },
    publish::Record,
};

/// `application_name` of these sessions.
const APPLICATION: &str = "flowtrail app";

/// How long Kafka may take to confirm a switch.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail app list
  flowtrail app off shop --user ann
  flowtrail app on shop --user ann

A switch is an event on the topic, and a row of appstate once a collector has stored it. Flogo's tools ask for it; flowtrail
serve leaves out what an app that is off begins only with gateway.enforce_appstate = true. Who switched is in ft_audit.")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List the apps that were ever switched
    #[command(after_help = "\
Examples:
  flowtrail app list
  flowtrail app list --format ndjson")]
    List(List),
    /// Keep an app's history from now on
    #[command(after_help = "\
Examples:
  flowtrail app on shop --user ann")]
    On(Switch),
    /// Keep an app's history no more
    #[command(after_help = "\
Examples:
  flowtrail app off shop --user ann")]
    Off(Switch),
}

#[derive(Debug, clap::Args)]
struct List {
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct Switch {
    /// App
    app: String,
    /// User who runs it, as its history names one
    #[arg(long)]
    user: String,
    /// Topic [default: gateway.topic]
    #[arg(long)]
    topic: Option<String>,
}

const COLUMNS: [Column<AppState>; 5] = [
    Column::text("USER", |app| app.user.clone()),
    Column::text("APP", |app| app.app.clone()),
    Column::text("VERSION", |app| or_dash(app.version.as_ref())),
    Column::whole("KEPT", |app| app.kept.map_or("-", |kept| if kept { "yes" } else { "no" }).to_owned()),
    Column::whole("SINCE", |app| time(app.since)),
];

pub(crate) async fn run(args: Args, config: &Config) -> anyhow::Result<()> {
    match args.command {
        Command::List(list) => list.run(config).await,
        Command::On(switch) => switch.run(config, true).await,
        Command::Off(switch) => switch.run(config, false).await,
    }
}

impl List {
    async fn run(self, config: &Config) -> anyhow::Result<()> {
        let client = connect::connect(&config.postgres, APPLICATION).await?;
        let failed = |error| PostgresError::of_statement(&config.postgres, error);
        let apps = read::app_states(&client).await.map_err(failed)?;
        let mut output = Output::stdout();
        output.items(self.format, &apps, &COLUMNS)?;
        Ok(output.finish()?)
    }
}

impl Switch {
    async fn run(self, config: &Config, on: bool) -> anyhow::Result<()> {
        let Self { app, user, topic } = self;
        let record = Record::from(flogo::app_state(&user, &app, on, clock::now())?);
        let topic = topic.as_ref().unwrap_or(&config.gateway.topic);
        let client = connect::connect(&config.postgres, APPLICATION).await?;
        let failed = |error| PostgresError::of_statement(&config.postgres, error);
        let action = if on { "app.on" } else { "app.off" };
        let detail = json!({ "user": user, "topic": topic });
        audit(&client, &actor(), action, &app, &detail).await.map_err(failed)?;
        let producer = ConfirmedProducer::new(&config.kafka, topic, PATIENCE)?;
        producer.send(&record.key, &record.event.encode_to_vec()).await?;
        let kept = if on { "is kept" } else { "is not to be kept" };
        output::hint(&format!("the history of {app} of {user} {kept} from now on"));
        Ok(())
    }
}
