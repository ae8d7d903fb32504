//! `flowtrail schema`: look at the tables and bring them up to date.

use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;

use super::output::{Column, Format, Output};
use crate::{
    config::Config,
    postgres::connect,
    schema::{self, State, Status},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail schema status
  flowtrail schema update
  flowtrail schema status --format json | jq -r '.[] | select(.state != \"applied\") | .name'

Changes only go forward, one transaction each. An instance that finds another one at it waits for it.")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make the tables, or apply what they miss
    #[command(after_help = "\
Examples:
  flowtrail schema update --dry-run
  flowtrail schema update --wait 300")]
    Update {
        /// How long to wait while another instance applies changes, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 60)]
        wait: u64,
        /// Say what would be applied, and apply nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Show which changes are applied
    #[command(after_help = "\
Examples:
  flowtrail schema status
  flowtrail schema status --format json")]
    Status {
        /// How to print it
        #[arg(long, value_name = "FORMAT", default_value = "table")]
        format: Format,
    },
}

#[derive(Serialize)]
struct Row {
    number: i32,
    name: String,
    state: &'static str,
    applied_at: Option<String>,
}

impl From<Status> for Row {
    fn from(status: Status) -> Self {
        let Status { number, name, state, applied_at, .. } = status;
        Self { number, name, state: state.name(), applied_at }
    }
}

const COLUMNS: [Column<Row>; 4] = [
    Column::number("CHANGE", |row| row.number.to_string()),
    Column::whole("NAME", |row| row.name.clone()),
    Column::whole("STATE", |row| row.state.to_owned()),
    Column::whole("APPLIED", |row| row.applied_at.clone().unwrap_or_else(|| "-".to_owned())),
];

pub(crate) async fn run(args: Args, config: &Config) -> anyhow::Result<()> {
    let mut client = connect::connect(&config.postgres, "flowtrail-schema").await?;
    let mut output = Output::stdout();
    match args.command {
        Command::Status { format } => {
            let rows: Vec<Row> = schema::status(&client).await?.into_iter().map(Row::from).collect();
            output.items(format, &rows, &COLUMNS)?;
        }
        Command::Update { dry_run: true, .. } => {
            let status = schema::status(&client).await?;
            for change in status.iter().filter(|change| change.state == State::Pending) {
                output.line(&format!("would apply {} {}", change.number, change.name))?;
            }
        }
        Command::Update { wait, dry_run: false } => {
            let applied = schema::update(&mut client, Duration::from_secs(wait)).await?;
            for change in &applied {
                output.line(&format!("applied {} {}", change.number, change.name))?;
            }
            if applied.is_empty() {
                output.line("nothing to apply, the tables are up to date")?;
            }
        }
    }
    Ok(output.finish()?)
}
