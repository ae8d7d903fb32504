//! `flowtrail flow erase`.

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};

use super::super::{
    UsageError, actor,
    collect::stop_on_signals,
    output::{self, Column, Format, Output},
};
use crate::{
    config::Config,
    model::MAX_ID_BYTES,
    pipeline::decode::is_id,
    retention::erasure::{Erasure, Whose, erase, plan},
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail flow erase 1c4f… --dry-run
  flowtrail flow erase 1c4f… 2d5e… --yes
  flowtrail flow erase --user ann

All that is held of these flows goes: rows, runs, superseded steps, snapshots, variables, dead letters, and what the archive
(retention.archive) has of them. They are kept out for ever, whatever is replayed. Kafka is not touched: its
records go by the topic's own retention. Killed, it goes on when it is asked for the same once more. Noted in ft_audit.")]
pub(super) struct Args {
    /// Flow instance ids
    #[arg(value_name = "ID", required_unless_present = "user")]
    ids: Vec<String>,
    /// Flows of which any run is this user's, up to now; what the user runs later is kept
    #[arg(long, value_name = "USER", conflicts_with = "ids")]
    user: Option<String>,
    /// Show what would go, and erase nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

const COLUMNS: [Column<Erasure>; 9] = [
    Column::number("FLOWS", |erasure| erasure.flows.to_string()),
    Column::number("RUNS", |erasure| erasure.rows.runs.to_string()),
    Column::number("STEPS", |erasure| erasure.rows.steps.to_string()),
    Column::number("SUPERSEDED", |erasure| erasure.rows.superseded.to_string()),
    Column::number("REWINDS", |erasure| erasure.rows.rewinds.to_string()),
    Column::number("SNAPSHOTS", |erasure| erasure.rows.snapshots.to_string()),
    Column::number("VARIABLES", |erasure| erasure.rows.variables.to_string()),
    Column::number("DEAD LETTERS", |erasure| erasure.dead_letters.to_string()),
    Column::number("ARCHIVED", |erasure| erasure.archived.to_string()),
];

pub(super) async fn run(args: Args, config: &Config) -> anyhow::Result<()> {
    let whose = whose(args.ids, args.user)?;
    if args.dry_run {
        let planned = plan(config, &whose).await?;
        show(args.format, &planned)?;
        if args.format == Format::Table {
            output::hint(&said(&planned));
        }
        return Ok(());
    }
    if !args.yes {
        let planned = plan(config, &whose).await?;
        match output::confirmed(&format!("{}. Erase them for good?", said(&planned)))? {
            Some(true) => {}
            Some(false) => bail!("nothing was erased"),
            None => bail!(UsageError("there is nobody to ask; add --yes to erase them".to_owned())),
        }
    }
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {msg}, {elapsed}")?);
    let stop = stop_on_signals()?;
    let actor = actor();
    let erasing = erase(config, &actor, &whose, &stop, |erased| {
        bar.set_message(format!("{} flows with {} steps are gone", erased.rows.flows, erased.rows.steps));
    });
    let erased = Box::pin(erasing).await;
    bar.finish_and_clear();
    let erased = erased?;
    show(args.format, &erased)?;
    for sentence in left(config, &erased) {
        output::hint(&sentence);
    }
    if erased.stopped {
        bail!("stopped before all was erased; ask for the same once more");
    }
    Ok(())
}

fn whose(ids: Vec<String>, user: Option<String>) -> Result<Whose, UsageError> {
    let no_id = || UsageError(format!("an id has 1 to {MAX_ID_BYTES} bytes"));
    match user {
        Some(user) if user.is_empty() => Err(UsageError("--user: a user has a name".to_owned())),
        Some(user) => Ok(Whose::User(user)),
        None if ids.iter().all(|id| is_id(id)) => Ok(Whose::Flows(ids)),
        None => Err(no_id()),
    }
}

fn show(format: Format, erasure: &Erasure) -> anyhow::Result<()> {
    let mut output = Output::stdout();
    match format {
        Format::Table => output.table(std::slice::from_ref(erasure), &COLUMNS)?,
        Format::Json => output.json(erasure)?,
        Format::Ndjson => output.line_of_json(erasure)?,
    }
    Ok(output.finish()?)
}

/// What there is, in a sentence.
fn said(planned: &Erasure) -> String {
    let Erasure { flows, rows, dead_letters, archived, .. } = planned;
    let executions = rows.steps + rows.superseded;
    format!(
        "{flows} flows are to be kept out for ever; {} of them are stored, with {executions} executions of steps, \
         {dead_letters} dead letters and {archived} events in the archive",
        rows.flows
    )
}

/// What is not gone by this, and whose it is.
fn left(config: &Config, erased: &Erasure) -> Vec<String> {
    let topics = config.kafka.topics.join(", ");
    let mut left = vec![format!(
        "Kafka still holds their records on {topics} until the topic's own retention takes them: that is for whoever \
         runs Kafka; docs/erasure.md says how to find them and how to have them go earlier"
    )];
    if config.retention.archive.is_empty() {
        left.push("no archive is configured here (retention.archive), so none was looked into".to_owned());
    }
    if erased.unfinished_files > 0 {
        left.push(format!(
            "{} files of the archive were never finished and may hold anything: remove what ends in .partial",
            erased.unfinished_files
        ));
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_an_id_or_a_user_is_wrong_usage() {
        let long = "x".repeat(MAX_ID_BYTES + 1);
        for id in ["", "a\0b", &long] {
            assert!(whose(vec!["f".to_owned(), id.to_owned()], None).is_err(), "{id:?}");
        }
        assert_eq!(whose(vec!["f".to_owned()], None).unwrap(), Whose::Flows(vec!["f".to_owned()]));
        assert!(whose(Vec::new(), Some(String::new())).is_err());
        assert_eq!(whose(Vec::new(), Some("ann".to_owned())).unwrap(), Whose::User("ann".to_owned()));
    }

    #[test]
    fn what_stays_is_said_with_whose_it_is() {
        let mut config = Config::default();
        config.kafka.topics = vec!["orders".to_owned()];
        let sentences = left(&config, &Erasure { unfinished_files: 2, ..Erasure::default() });
        assert!(sentences[0].contains("Kafka still holds their records on orders"), "{sentences:?}");
        assert!(sentences[1].contains("no archive") && sentences[2].starts_with("2 files"), "{sentences:?}");
    }
}
