//! `flowtrail schema`: look at the tables and bring them up to date.

use std::{io::Write, time::Duration};

use clap::Subcommand;
use serde::Serialize;

use super::{
    Outcome, UsageError,
    output::{Column, Format, Output},
};
use crate::{
    config::Config,
    postgres::connect,
    schema::{self, CHANGES, Difference, SchemaError, Status},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail schema status
  flowtrail schema validate
  flowtrail schema update
  flowtrail schema export --create > create.sql

Changes only go forward. An instance that finds another one at it says whom it waits for.")]
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
  flowtrail schema update --wait 300

Tables that the Go service made are taken over where they lie; no row is rewritten.")]
    Update {
        /// How long to wait while another instance applies changes, or somebody holds a table, in seconds
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
  flowtrail schema status --format json | jq -r '.[] | select(.state != \"applied\") | .name'")]
    Status {
        /// How to print it
        #[arg(long, value_name = "FORMAT", default_value = "table")]
        format: Format,
    },
    /// Compare every column, key and index with what the changes made
    #[command(after_help = "\
Examples:
  flowtrail schema validate
  flowtrail schema validate --format json | jq -r '.[] | .mend'

Needs no right on the tables. Exit codes: 0 all is as it should be, 3 something is not.")]
    Validate {
        /// How to print it
        #[arg(long, value_name = "FORMAT", default_value = "table")]
        format: Format,
    },
    /// Print the changes as SQL, for a DBA; asks no database
    #[command(after_help = "\
Examples:
  flowtrail schema export --create > create.sql
  flowtrail schema export --upgrade-from 3 | psql --set ON_ERROR_STOP=1 history")]
    Export(ExportArgs),
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct ExportArgs {
    /// All changes, for a database without tables or with those of the Go service
    #[arg(long)]
    create: bool,
    /// The changes after this one, as `flowtrail schema status` numbers them
    #[arg(long, value_name = "CHANGE")]
    upgrade_from: Option<i32>,
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

/// Something that is not as it should be. The words of `effect` stay.
#[derive(Serialize)]
struct Found {
    object: String,
    effect: &'static str,
    said: String,
    mend: String,
}

impl From<Difference> for Found {
    fn from(found: Difference) -> Self {
        let Difference { object, said, mend, breaks } = found;
        Self { object, effect: if breaks { "breaks" } else { "slows" }, said, mend }
    }
}

const DIFFERENCES: [Column<Found>; 3] = [
    Column::whole("OBJECT", |row| row.object.clone()),
    Column::whole("EFFECT", |row| row.effect.to_owned()),
    Column::text("FOUND", |row| format!("{}\n→ {}", row.said, row.mend)),
];

pub(crate) async fn run(args: Args, config: &Config) -> anyhow::Result<Outcome> {
    let mut output = Output::stdout();
    let outcome = match args.command {
        Command::Export(args) => {
            export(&args, config.schema.partitions, &mut output)?;
            Outcome::Done
        }
        Command::Status { format } => {
            let client = connect::connect(&config.postgres, "flowtrail-schema").await?;
            let rows: Vec<Row> = schema::status(&client).await?.into_iter().map(Row::from).collect();
            output.items(format, &rows, &COLUMNS)?;
            Outcome::Done
        }
        Command::Validate { format } => validate(format, config, &mut output).await?,
        Command::Update { wait, dry_run } => {
            update(Duration::from_secs(wait), dry_run, config, &mut output).await?;
            Outcome::Done
        }
    };
    output.finish()?;
    Ok(outcome)
}

async fn update<W: Write>(
    wait: Duration,
    dry_run: bool,
    config: &Config,
    output: &mut Output<W>,
) -> anyhow::Result<()> {
    let mut client = connect::connect(&config.postgres, "flowtrail-schema").await?;
    let (did, changes) = if dry_run {
        ("would apply", schema::would_apply(&client, config.schema.partitions).await?)
    } else {
        ("applied", schema::update(&mut client, wait, config.schema.partitions).await?)
    };
    for change in &changes {
        output.line(&format!("{did} {} {}", change.number, change.name))?;
    }
    if changes.is_empty() {
        output.line("nothing to apply, the tables are up to date")?;
    }
    Ok(())
}

async fn validate<W: Write>(
    format: Format,
    config: &Config,
    output: &mut Output<W>,
) -> anyhow::Result<Outcome> {
    let client = connect::connect(&config.postgres, "flowtrail-schema").await?;
    let found: Vec<Found> = match schema::validate(&client).await {
        // What only slows is told too.
        Ok(_) | Err(SchemaError::Differs(_)) => {
            schema::differences(&client).await?.into_iter().map(Found::from).collect()
        }
        Err(error @ SchemaError::Postgres { .. }) => return Err(error.into()),
        Err(error) => vec![changes_differ(&error)],
    };
    if found.is_empty() && format == Format::Table {
        output.line("every column, key and index is as the changes made it")?;
    } else {
        output.items(format, &found, &DIFFERENCES)?;
    }
    Ok(if found.is_empty() { Outcome::Done } else { Outcome::Difference })
}

/// The changes themselves are not those that are wanted: then nothing else can be compared.
fn changes_differ(error: &SchemaError) -> Found {
    let sentence = error.to_string();
    let (said, mend) = sentence.rsplit_once("; ").unwrap_or((&sentence, ""));
    let (said, mend) = (said.to_owned(), mend.to_owned());
    Found { object: "ft_schema_change".to_owned(), effect: "breaks", said, mend }
}

fn export<W: Write>(args: &ExportArgs, partitions: usize, output: &mut Output<W>) -> anyhow::Result<()> {
    let sql = match args.upgrade_from {
        None => schema::create_sql(partitions),
        Some(from) => schema::upgrade_sql(from, partitions).ok_or_else(|| {
            UsageError(format!("--upgrade-from {from}: there are changes 1 to {}", CHANGES.len()))
        })?,
    };
    sql.lines().try_for_each(|line| output.line(line))?;
    Ok(())
}
