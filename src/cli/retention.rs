//! `flowtrail retention`: what has been kept long enough.

use std::collections::BTreeSet;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use super::{
    UsageError, actor,
    collect::stop_on_signals,
    output::{self, Column, Format, Output, or_dash, time},
};
use crate::{
    config::Config,
    retention::{
        self, archive,
        plan::{MEASURED, Removes, Share, plan},
        run::{self, Removed},
    },
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail retention plan
  flowtrail retention run --yes

What goes is said under [retention]: flows by policy, dead letters and audit by age. Ingest goes on meanwhile, and goes
first. docs/retention.md says what keeps a removed flow from coming back.")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show which flows would go, by policy and app, and what they take
    Plan(Plan),
    /// Remove what has been kept long enough
    Run(RunArgs),
    /// Let flows that were removed be stored again, before they are published from their archive
    Readmit(Readmit),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail retention plan
  flowtrail retention plan --format json | jq 'map(.bytes) | add'

Removes nothing. Flows are counted; of more than 5000 of one policy and app, steps and bytes are reckoned from the oldest.")]
struct Plan {
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail retention run --dry-run
  flowtrail retention run --yes --format json

Ctrl-C ends it after the batch under way; the next run goes on. Each run is noted in ft_audit.")]
struct RunArgs {
    /// Show what would go, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail retention readmit archive/2026-08-24/*.ndjson.gz
  zcat archive/2026-08-24/*.ndjson.gz | flowtrail publish --from json -
  flowtrail retention readmit s3://bucket/prefix/2026-08-24
  flowtrail publish --from json s3://bucket/prefix/2026-08-24

The next run removes them again, unless a policy keeps them. Noted in ft_audit.")]
struct Readmit {
    /// Archived files; in object storage a file or a day, by its URL
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,
}

const SHARES: [Column<Share>; 8] = [
    Column::text("POLICY", |share| share.policy.clone()),
    Column::text("REMOVES", |share| share.removes.name().to_owned()),
    Column::text("APP", |share| or_dash(share.app.as_ref())),
    Column::number("FLOWS", |share| share.flows.to_string()),
    Column::number("STEPS", |share| format!("{}{}", about(share), share.steps)),
    Column::number("SIZE", |share| format!("{}{}", about(share), HumanBytes(share.bytes))),
    Column::whole("OLDEST", |share| time(Some(share.oldest))),
    Column::whole("NEWEST", |share| time(Some(share.newest))),
];

const REMOVED: [Column<Removed>; 7] = [
    Column::number("FLOWS", |removed| removed.flows.to_string()),
    Column::number("STEPS", |removed| removed.steps.to_string()),
    Column::number("BARE", |removed| removed.bare.to_string()),
    Column::number("ARCHIVED", |removed| removed.archived.to_string()),
    Column::number("DEAD LETTERS", |removed| removed.dead_letters.to_string()),
    Column::number("AUDIT", |removed| removed.audit.to_string()),
    Column::number("FORGOTTEN", |removed| removed.forgotten.to_string()),
];

pub(crate) async fn run(args: Args, config: &Config) -> anyhow::Result<()> {
    match args.command {
        Command::Plan(args) => show_plan(args.format, config).await,
        Command::Run(args) if args.dry_run => show_plan(args.format, config).await,
        Command::Run(args) => remove(args, config).await,
        Command::Readmit(args) => readmit(args, config).await,
    }
}

/// What is reckoned is marked as such.
fn about(share: &Share) -> &'static str {
    if share.flows > MEASURED { "~" } else { "" }
}

async fn show_plan(format: Format, config: &Config) -> anyhow::Result<()> {
    let shares = plan(config).await?;
    let mut output = Output::stdout();
    output.items(format, &shares, &SHARES)?;
    output.finish()?;
    if format == Format::Table {
        output::hint(&summary(config, &shares));
    }
    Ok(())
}

fn summary(config: &Config, shares: &[Share]) -> String {
    if config.retention.policies.is_empty() {
        return "there are no policies: flows stay for ever; see retention.policies".to_owned();
    }
    let sum = |removes, of: fn(&Share) -> u64| -> u64 {
        shares.iter().filter(|share| share.removes == removes).map(of).sum()
    };
    let [flows, payloads] = [Removes::Flows, Removes::Payloads]
        .map(|removes| (sum(removes, |share| share.flows), HumanBytes(sum(removes, |share| share.bytes))));
    let said = format!("{} flows are to go, about {}; indexes come on top", flows.0, flows.1);
    match payloads {
        (0, _) => said,
        (bare, bytes) => format!("{said}; {bare} more are to lose their payloads, about {bytes}"),
    }
}

async fn remove(args: RunArgs, config: &Config) -> anyhow::Result<()> {
    if !args.yes {
        let shares = plan(config).await?;
        let said = summary(config, &shares);
        match output::confirmed(&format!("{said}. Remove them for good?"))? {
            Some(true) => {}
            Some(false) => bail!("nothing was removed"),
            None => bail!(UsageError("there is nobody to ask; add --yes to remove them".to_owned())),
        }
    }
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {msg}, {per_sec}, {elapsed}")?);
    let stop = stop_on_signals()?;
    let actor = actor();
    let removed = run::run(config, &actor, &stop, |removed| {
        bar.set_position(removed.flows);
        bar.set_message(format!("{} flows with {} steps are gone", removed.flows, removed.steps));
    });
    let removed = Box::pin(removed).await;
    bar.finish_and_clear();
    let removed = removed?;
    let mut output = Output::stdout();
    match args.format {
        Format::Table => output.table(std::slice::from_ref(&removed), &REMOVED)?,
        Format::Json => output.json(&removed)?,
        Format::Ndjson => output.line_of_json(&removed)?,
    }
    output.finish()?;
    if removed.stopped {
        output::hint("stopped before all was done; the next run goes on");
    }
    Ok(())
}

async fn readmit(args: Readmit, config: &Config) -> anyhow::Result<()> {
    let mut flows = BTreeSet::new();
    for file in &args.files {
        flows.extend(archive::flows_of(file).with_context(|| format!("cannot read {file}"))?);
    }
    let flows: Vec<String> = flows.into_iter().collect();
    let readmitted = retention::readmit(config, &actor(), &flows).await?;
    output::hint(&format!("{readmitted} of {} flows may be stored again; publish them now", flows.len()));
    Ok(())
}
