//! `flowtrail deadletter`: messages that could not become rows.

use anyhow::bail;
use clap::Subcommand;
use jiff::Timestamp;

use super::{
    UsageError, actor,
    output::{self, Column, Format, Output, or_dash, time},
    when,
};
use crate::{
    clock,
    config::{Config, Postgres},
    postgres::{
        Removal,
        connect::{self, PostgresError},
        read::{self, LetterFilter, LetterSummary},
        remove_letters,
    },
};

mod export;
mod retry;
mod show;

/// `application_name` of these sessions.
const APPLICATION: &str = "flowtrail deadletter";

/// So many letters are held at a time.
const PAGE: u32 = 200;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail deadletter list
  flowtrail deadletter show 17
  flowtrail deadletter retry --reason refused      after the constraint is gone
  flowtrail deadletter export > letters.ndjson

A message that no row can be made of, or whose row Postgres refuses, is kept as it came; reading goes on without it.
Put the cause right, then retry; or drop what nobody needs. Both are noted in ft_audit.")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List dead letters, newest first, and how many there are of each reason
    List(List),
    /// Show one: where it came from, why it was kept, and what it holds
    Show(show::Args),
    /// Store what can be stored now, through the same pipeline; what is stored is removed here
    Retry(retry::Args),
    /// Remove dead letters for good
    Drop(DropArgs),
    /// Write dead letters to stdout byte for byte, as lines of JSON
    Export(export::Args),
}

/// Which dead letters.
#[derive(Debug, Clone, Default, clap::Args)]
struct Choice {
    /// Only this reason, such as refused or undecodable; may be repeated
    #[arg(long = "reason", value_name = "REASON")]
    reasons: Vec<String>,
    /// Only of this topic
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Kept at or after: 2026-11-21T10:00:00Z, 2026-11-21, or how long ago, like -2h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Kept before
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
}

impl Choice {
    fn filter(&self, ids: &[i64], now: Timestamp) -> Result<LetterFilter, UsageError> {
        Ok(LetterFilter {
            ids: (!ids.is_empty()).then(|| ids.to_vec()),
            reasons: (!self.reasons.is_empty()).then(|| self.reasons.clone()),
            topic: self.topic.clone(),
            since: when::given("--since", self.since.as_ref(), now)?,
            until: when::given("--until", self.until.as_ref(), now)?,
        })
    }
}

/// Which dead letters to change something about.
#[derive(Debug, Clone, Default, clap::Args)]
struct Deliberate {
    /// Numbers, as list shows them
    #[arg(value_name = "NUMBER")]
    ids: Vec<i64>,
    #[command(flatten)]
    choice: Choice,
    /// All there are
    #[arg(long, conflicts_with = "ids")]
    all: bool,
}

impl Deliberate {
    /// Everything has to be asked for in so many words.
    fn filter(&self) -> Result<LetterFilter, UsageError> {
        let filter = self.choice.filter(&self.ids, clock::now())?;
        let narrows = filter.ids.is_some() || filter.reasons.is_some() || filter.topic.is_some();
        if narrows || filter.since.is_some() || filter.until.is_some() || self.all {
            return Ok(filter);
        }
        Err(UsageError("say which: numbers, --reason, --topic, --since, --until, or --all".to_owned()))
    }
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail deadletter list
  flowtrail deadletter list --reason refused --since -1d --format json
  flowtrail deadletter list --before 1200          the page behind that number")]
struct List {
    #[command(flatten)]
    choice: Choice,
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Only with a number below this
    #[arg(long, value_name = "NUMBER")]
    before: Option<i64>,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail deadletter drop 17 18
  flowtrail deadletter drop --reason undecodable --until -30d --yes")]
struct DropArgs {
    #[command(flatten)]
    which: Deliberate,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

const COLUMNS: [Column<LetterSummary>; 8] = [
    Column::number("NUMBER", |letter| letter.id.to_string()),
    Column::whole("KEPT", |letter| time(letter.kept_at)),
    Column::whole("REASON", |letter| letter.reason.clone()),
    Column::whole("SQLSTATE", |letter| or_dash(letter.sqlstate.as_ref())),
    Column::text("TOPIC", |letter| letter.topic.clone()),
    Column::number("PARTITION", |letter| letter.partition.to_string()),
    Column::number("OFFSET", |letter| letter.offset.to_string()),
    Column::text("DETAIL", |letter| or_dash(letter.detail.as_ref())),
];

pub(crate) async fn run(args: Args, config: &Config) -> anyhow::Result<()> {
    match args.command {
        Command::List(args) => list(args, &config.postgres).await,
        Command::Show(args) => show::run(&args, &config.postgres).await,
        Command::Retry(args) => Box::pin(retry::run(args, config)).await,
        Command::Drop(args) => drop_letters(args, &config.postgres).await,
        Command::Export(args) => export::run(&args, &config.postgres).await,
    }
}

async fn list(args: List, postgres: &Postgres) -> anyhow::Result<()> {
    let filter = args.choice.filter(&[], clock::now())?;
    let client = connect::connect(postgres, APPLICATION).await?;
    let failed = |error| PostgresError::of_statement(postgres, error);
    let letters = read::letters(&client, &filter, args.before, args.limit).await.map_err(failed)?;
    let mut output = Output::stdout();
    output.items(args.format, &letters, &COLUMNS)?;
    output.finish()?;
    if args.format == Format::Table {
        let counts = read::count_letters(&client, &filter).await.map_err(failed)?;
        output::hint(&summary(&letters, &counts));
    }
    Ok(())
}

/// How many there are, and how to see those that are not shown.
fn summary(shown: &[LetterSummary], counts: &[(String, i64)]) -> String {
    let all: i64 = counts.iter().map(|(_, count)| count).sum();
    if all == 0 {
        return "there are no dead letters".to_owned();
    }
    let reasons: Vec<String> = counts.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
    let said = format!("{} of {all} dead letters: {}", shown.len(), reasons.join(", "));
    let more = i64::try_from(shown.len()).is_ok_and(|shown| shown < all);
    match shown.last().filter(|_| more) {
        Some(last) => format!("{said}; those before: --before {}", last.id),
        None => said,
    }
}

async fn drop_letters(args: DropArgs, postgres: &Postgres) -> anyhow::Result<()> {
    let filter = args.which.filter()?;
    let client = connect::connect(postgres, APPLICATION).await?;
    let failed = |error| PostgresError::of_statement(postgres, error);
    let counts = read::count_letters(&client, &filter).await.map_err(failed)?;
    let all: i64 = counts.iter().map(|(_, count)| count).sum();
    if all == 0 {
        output::hint("there are no such dead letters");
        return Ok(());
    }
    if !args.yes {
        match output::confirmed(&format!("Drop {all} dead letters for good?"))? {
            Some(true) => {}
            Some(false) => bail!("nothing was dropped"),
            None => bail!(UsageError("there is nobody to ask; add --yes to drop them".to_owned())),
        }
    }
    let (mut before, mut dropped) = (None, 0);
    loop {
        let page = read::letters(&client, &filter, before, PAGE).await.map_err(failed)?;
        let ids: Vec<i64> = page.iter().map(|letter| letter.id).collect();
        let Some(last) = ids.last() else { break };
        before = Some(*last);
        dropped += remove_letters(&client, &ids, &actor(), Removal::Dropped).await.map_err(failed)?;
    }
    let mut output = Output::stdout();
    output.line(&format!("{dropped} dead letters dropped"))?;
    Ok(output.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(id: i64) -> LetterSummary {
        LetterSummary {
            id,
            kept_at: None,
            reason: "refused".to_owned(),
            sqlstate: None,
            detail: None,
            topic: "t".to_owned(),
            partition: 0,
            offset: 0,
            time: None,
            bytes: None,
            group: "g".to_owned(),
        }
    }

    #[test]
    fn the_list_says_how_many_there_are_and_how_to_go_on() {
        assert_eq!(summary(&[], &[]), "there are no dead letters");
        let counts = [("refused".to_owned(), 2), ("no_id".to_owned(), 1)];
        let shown = [letter(9), letter(8)];
        assert_eq!(
            summary(&shown, &counts),
            "2 of 3 dead letters: 2 refused, 1 no_id; those before: --before 8"
        );
        assert_eq!(summary(&shown, &counts[..1]), "2 of 2 dead letters: 2 refused");
    }

    #[test]
    fn changing_everything_has_to_be_asked_for() {
        assert!(Deliberate::default().filter().is_err());
        assert!(Deliberate { all: true, ..Deliberate::default() }.filter().is_ok());
        let one = Deliberate { ids: vec![1], ..Deliberate::default() };
        assert_eq!(one.filter().unwrap().ids, Some(vec![1]));
        let choice = Choice { reasons: vec!["refused".to_owned()], ..Choice::default() };
        assert!(Deliberate { choice, ..Deliberate::default() }.filter().is_ok());
        let choice = Choice { since: Some("yesterday-ish".to_owned()), ..Choice::default() };
        let wrong = Deliberate { choice, all: true, ..Deliberate::default() };
        assert!(wrong.filter().unwrap_err().0.starts_with("--since: "));
    }
}
