//! `flowtrail flogo compare`: whether a dual run stores the same in both databases.

use indicatif::HumanCount;
use secrecy::SecretString;
use serde::Serialize;

use crate::{
    cli::{
        Outcome, UsageError,
        output::{Column, Format, Output, OutputError, or_dash},
        when,
    },
    clock,
    compare::{self, CompareError, Report},
    config::{self, Config},
    flogo::compare::{Difference, Kind, Reason},
    postgres::{
        connect::{self, PostgresError},
        read::compare::Window,
    },
};

/// `application_name` of these sessions.
const APPLICATION: &str = "flowtrail compare";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail flogo compare --with postgres://flogo@old-db/flogo
  flowtrail flogo compare --with postgres://flogo@old-db/flogo --since 2026-11-21T10:00:00Z --all
  flowtrail flogo compare --with postgres://flogo@old-db/flogo --format ndjson

Rows of flowstate and steps are compared column by column; nothing is changed. HERE is our database, THERE the other one.
What the other service is known to write differently is counted, and shown with --all. A URL with a password is better
named by FLOWTRAIL_COMPARE_WITH: a list of processes shows the command line.

Exit codes: 0 nothing unexplained, 3 an unexplained difference, 1 it could not be found out, 2 wrong usage.")]
pub(crate) struct Args {
    /// Database of Flogo's state service, as postgres://user:password@host:port/dbname
    #[arg(long, value_name = "URL", env = "FLOWTRAIL_COMPARE_WITH", hide_env_values = true)]
    with: SecretString,
    /// Instances that started at or after: 2026-11-21T10:00:00Z, 2026-11-21, or how long ago, like -2h
    #[arg(long, value_name = "TIME", default_value = "-1h", allow_hyphen_values = true)]
    since: String,
    /// Started before; what has just begun may be on its way to either database
    #[arg(long, value_name = "TIME", default_value = "-1m", allow_hyphen_values = true)]
    until: String,
    /// As many differences are shown; all are counted. 0 shows all
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: usize,
    /// Show differences too that are to be expected
    #[arg(long)]
    all: bool,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

const COLUMNS: [Column<Difference>; 7] = [
    Column::whole("TABLE", |found| found.table.to_owned()),
    Column::whole("FLOW", |found| found.flow.clone()),
    Column::text("STEP", |found| or_dash(found.step.as_ref())),
    Column::whole("COLUMN", |found| found.column.map_or_else(|| "(the row)".to_owned(), str::to_owned)),
    Column::text("HERE", |found| is_there(found, Kind::Here, found.here.as_ref())),
    Column::text("THERE", |found| is_there(found, Kind::There, found.there.as_ref())),
    Column::text("WHY", |found| found.reason.map_or("?", Reason::sentence).to_owned()),
];

fn is_there(found: &Difference, side: Kind, value: Option<&String>) -> String {
    match found.kind {
        Kind::Column => or_dash(value),
        kind if kind == side => "is there".to_owned(),
        _ => "missing".to_owned(),
    }
}

#[derive(Debug, Serialize)]
struct Whole<'a> {
    differences: &'a [Difference],
    summary: &'a Report,
}

pub(crate) async fn run(args: Args, config: &Config) -> anyhow::Result<Outcome> {
    let now = clock::now();
    let time =
        |flag: &str, text: &str| when::parse(text, now).map_err(|why| UsageError(format!("{flag}: {why}")));
    let window = Window { since: time("--since", &args.since)?, until: time("--until", &args.until)? };
    let other = config::Postgres { url: Some(args.with.clone()), ..config::Postgres::default() };
    let mut here = connect::connect(&config.postgres, APPLICATION).await?;
    let mut there = connect::connect(&other, APPLICATION).await?;

    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let (mut kept, mut shown, mut printing) = (Vec::new(), 0_usize, Ok(()));
    let found = |difference: Difference| {
        if !args.all && difference.reason.is_some() {
            return;
        }
        shown += 1;
        if shown > limit || printing.is_err() {
            return;
        }
        // Lines are printed as they are found; a table has to be known as a whole.
        match args.format {
            Format::Ndjson => printing = line(&difference),
            Format::Table | Format::Json => kept.push(difference),
        }
    };
    let compared = Box::pin(compare::compare((&mut here, &mut there), window, found)).await;
    let report = compared.map_err(|error| match error {
        CompareError::Here(error) => PostgresError::of_statement(&config.postgres, error),
        CompareError::There(error) => PostgresError::of_statement(&other, error),
    })?;
    printing?;
    print(&args, &kept, &report, shown.saturating_sub(limit))?;
    Ok(if report.unexplained > 0 { Outcome::Difference } else { Outcome::Done })
}

fn line(difference: &Difference) -> Result<(), OutputError> {
    let mut output = Output::stdout();
    output.line_of_json(difference)?;
    output.finish()
}

fn print(args: &Args, kept: &[Difference], report: &Report, hidden: usize) -> Result<(), OutputError> {
    let mut output = Output::stdout();
    match args.format {
        Format::Table => {
            output.table(kept, &COLUMNS)?;
            for sentence in sentences(report, hidden) {
                output.line(&sentence)?;
            }
        }
        Format::Json => output.json(&Whole { differences: kept, summary: report })?,
        Format::Ndjson => output.line_of_json(&serde_json::json!({ "summary": report }))?,
    }
    output.finish()
}

fn sentences(report: &Report, hidden: usize) -> Vec<String> {
    let mut sentences = Vec::new();
    if hidden > 0 {
        let hidden = HumanCount(u64::try_from(hidden).unwrap_or(u64::MAX));
        sentences.push(format!("… and {hidden} more; --limit 0 shows all"));
    }
    let (flows, steps) = (HumanCount(report.flows), HumanCount(report.steps));
    let found = match report.unexplained {
        0 => "no unexplained difference".to_owned(),
        1 => "1 unexplained difference".to_owned(),
        count => format!("{} unexplained differences", HumanCount(count)),
    };
    sentences.push(format!("{flows} instances and {steps} steps: {found}"));
    let expected =
        report.explained.iter().map(|(why, count)| format!("{} × {}", HumanCount(*count), why.sentence()));
    sentences.extend(expected.map(|line| format!("as expected: {line}")));
    sentences
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_compared_is_said_and_what_is_expected_is_counted_by_its_reason() {
        let explained = [(Reason::Rounded, 3), (Reason::EmptyStep, 1_200)].into();
        let report = Report { flows: 16, steps: 91, unexplained: 1, explained };
        let said = sentences(&report, 7);
        assert_eq!(said[0], "… and 7 more; --limit 0 shows all");
        assert_eq!(said[1], "16 instances and 91 steps: 1 unexplained difference");
        assert_eq!(said[2], "as expected: 3 × rounded from other digits");
        assert!(said[3].starts_with("as expected: 1,200 × without changes"), "{said:?}");
        assert_eq!(sentences(&Report::default(), 0), ["0 instances and 0 steps: no unexplained difference"]);
    }
}
