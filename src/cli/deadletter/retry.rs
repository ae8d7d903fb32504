//! `flowtrail deadletter retry`.

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{
    super::output::{Column, Format, Output},
    APPLICATION, Deliberate, PAGE, actor,
};
use crate::{
    config::Config,
    pipeline::retry::{Reading, retry},
    postgres::{
        Removal, Session,
        connect::{self, PostgresError},
        read, remove_letters,
    },
    redaction::Rules,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail deadletter retry 17
  flowtrail deadletter retry --reason refused --since -1d
  flowtrail deadletter retry --all --format json

What is stored is removed from the dead letters and noted in ft_audit; the rest stays, and the exit code is 1. Rows are
idempotent: a retry that was cut off is simply repeated.")]
pub(super) struct Args {
    #[command(flatten)]
    which: Deliberate,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

/// A letter that stays.
#[derive(Debug, Serialize)]
struct Left {
    id: i64,
    why: String,
}

#[derive(Debug, Serialize)]
struct Report {
    stored: u64,
    left: Vec<Left>,
}

const COLUMNS: [Column<Left>; 2] = [
    Column::number("NUMBER", |left| left.id.to_string()),
    Column::text("STILL A DEAD LETTER BECAUSE", |left| left.why.clone()),
];

pub(super) async fn run(args: Args, config: &Config) -> anyhow::Result<()> {
    let postgres = &config.postgres;
    let reading = Reading::of(config, Rules::compile(&config.redaction)?);
    let filter = args.which.filter()?;
    let failed = |error| PostgresError::of_statement(postgres, error);
    // Rows are written as a collector writes them; letters and audit with a commit that waits for the disk, which
    // then has the rows too.
    let client = connect::connect(postgres, APPLICATION).await?;
    let writing = connect::connect(postgres, APPLICATION).await?;
    let mut session = Session::prepare(writing).await.map_err(failed)?;

    let count: i64 =
        read::count_letters(&client, &filter).await.map_err(failed)?.iter().map(|(_, count)| count).sum();
    let bar = ProgressBar::new(count.unsigned_abs());
    bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} dead letters, {eta} left")?);
    let mut report = Report { stored: 0, left: Vec::new() };
    let mut after = i64::MIN;
    loop {
        let page = read::whole_letters(&client, &filter, after, PAGE).await.map_err(failed)?;
        let Some(last) = page.last() else { break };
        after = last.summary.id;
        let retried = retry(&mut session, &page, &reading).await;
        let retried = retried.map_err(|error| failed(error.error))?;
        let removed = remove_letters(&client, &retried.stored, &actor(), Removal::Retried).await;
        report.stored += removed.map_err(failed)?;
        report.left.extend(retried.left.into_iter().map(|(id, why)| Left { id, why }));
        bar.inc(u64::try_from(page.len()).unwrap_or(0));
    }
    bar.finish_and_clear();
    print(&report, args.format)?;
    if !report.left.is_empty() {
        bail!("{} of {count} dead letters still can't be stored", report.left.len());
    }
    Ok(())
}

fn print(report: &Report, format: Format) -> anyhow::Result<()> {
    let mut output = Output::stdout();
    match format {
        Format::Table => {
            output.table(&report.left, &COLUMNS)?;
            output.line(&format!("{} stored, {} left", report.stored, report.left.len()))?;
        }
        Format::Json => output.json(report)?,
        Format::Ndjson => output.line_of_json(report)?,
    }
    Ok(output.finish()?)
}
