//! `flowtrail flow`: what was recorded, and having it erased.

use anyhow::bail;
use clap::Subcommand;
use jiff::Timestamp;
use tokio_postgres::Transaction;

use super::{
    UsageError,
    output::{self, Column, Format, Output, duration, or_dash, time},
    when,
};
use crate::{
    clock,
    config::{Config, Postgres},
    postgres::{
        connect::{self, PostgresError},
        read::{self, Filter, Summary},
    },
};

mod erase;
mod export;
mod show;
mod tail;

/// `application_name` of these sessions.
const APPLICATION: &str = "flowtrail flow";

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail flow list --status Failed --since -2h
  flowtrail flow list --app orders --limit 100 --format ndjson
  flowtrail flow show 1c4f… --payloads
  flowtrail flow tail --failed
  flowtrail flow export 1c4f… > flow.json
  flowtrail flow erase 1c4f… --dry-run")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List flows, newest first
    List(List),
    /// Show one flow: its state, re-runs and steps
    Show(Show),
    /// Show what comes onto the topic, as it comes
    Tail(tail::Args),
    /// Print the events that make flows, to publish them elsewhere
    Export(export::Args),
    /// Erase all that is held of flows, or of a user's, and keep them out for ever
    Erase(erase::Args),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail flow list
  flowtrail flow list --status Failed --since -2h
  flowtrail flow list --since 2026-11-21 --until 2026-11-22 --format json
  flowtrail flow list --app orders --failed --text 4711
  flowtrail flow list --after 1c4f…          the page behind that flow")]
struct List {
    /// How many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
    /// Only this status, in the runtime's own word; may be repeated
    #[arg(long = "status", value_name = "STATUS")]
    statuses: Vec<String>,
    /// Only flows of this name
    #[arg(long, value_name = "NAME")]
    flow: Option<String>,
    /// Only flows of this app
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
    /// Only flows of this version of the app
    #[arg(long, value_name = "VERSION")]
    app_version: Option<String>,
    /// Only flows of this host
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Only flows of this user
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only flows that failed: with the status Failed, or an error
    #[arg(long)]
    failed: bool,
    /// Only flows with a step that failed, whatever became of the flow
    #[arg(long)]
    failed_step: bool,
    /// Only flows that took at least so many milliseconds
    #[arg(long, value_name = "MILLISECONDS")]
    min_duration: Option<f64>,
    /// Only re-runs of this flow
    #[arg(long, value_name = "ID")]
    rerun_of: Option<String>,
    /// Only flows whose id begins so
    #[arg(long, value_name = "BEGINNING")]
    id: Option<String>,
    /// Only flows with these characters in input, output or error
    #[arg(long, value_name = "TEXT")]
    text: Option<String>,
    /// Started at or after: 2026-11-21T10:00:00Z, 2026-11-21, or how long ago, like -2h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    since: Option<String>,
    /// Started before
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    until: Option<String>,
    /// Only what comes after this flow in the list
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail flow show 1c4f…
  flowtrail flow show 1c4f… --payloads
  flowtrail flow show 1c4f… --format json | jq '.steps[] | select(.status == \"Failed\")'")]
struct Show {
    /// Flow instance id
    id: String,
    /// Print what the flow and its steps were given and gave (JSON always has it)
    #[arg(long)]
    payloads: bool,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

const COLUMNS: [Column<Summary>; 9] = [
    Column::whole("ID", |flow| flow.id.clone()),
    Column::text("FLOW", |flow| or_dash(flow.flow.as_ref())),
    Column::text("APP", |flow| or_dash(flow.app.as_ref())),
    Column::text("VERSION", |flow| or_dash(flow.version.as_ref())),
    Column::text("STATUS", |flow| or_dash(flow.status.as_ref())),
    Column::whole("STARTED", |flow| time(flow.started)),
    Column::number("DURATION", |flow| duration(flow.duration_ms)),
    Column::number("RERUNS", |flow| flow.reruns.to_string()),
    Column::text("HOST", |flow| or_dash(flow.host.as_ref())),
];

pub(crate) async fn run(args: Args, config: &Config) -> anyhow::Result<()> {
    match args.command {
        Command::List(args) => list(args, &config.postgres).await,
        Command::Show(args) => show(args, &config.postgres).await,
        Command::Tail(args) => tail::run(args, config).await,
        Command::Export(args) => export::run(args, &config.postgres).await,
        Command::Erase(args) => Box::pin(erase::run(args, config)).await,
    }
}

async fn list(args: List, postgres: &Postgres) -> anyhow::Result<()> {
    let mut filter = filter(&args, clock::now())?;
    let mut client = connect::connect(postgres, APPLICATION).await?;
    let failed = |error| PostgresError::of_statement(postgres, error);
    let moment = client.build_transaction().read_only(true).start().await.map_err(failed)?;
    if let Some(id) = args.after {
        filter.after = read::place_of(&moment, &id).await.map_err(failed)?;
        if filter.after.is_none() {
            bail!("there is no flow {id} to begin after");
        }
    }
    let flows = all(&moment, filter.clone(), args.limit).await.map_err(failed)?;
    let mut output = Output::stdout();
    output.items(args.format, &flows, &COLUMNS)?;
    output.finish()?;
    if args.format == Format::Table {
        hint(&flows, args.limit, &filter);
    }
    Ok(())
}

/// At most `limit` flows, in as many questions as that takes: a person at a terminal can wait, and can press Ctrl-C.
async fn all(
    moment: &Transaction<'_>,
    mut filter: Filter,
    limit: u32,
) -> Result<Vec<Summary>, tokio_postgres::Error> {
    let mut flows = Vec::new();
    loop {
        let missing = limit.saturating_sub(u32::try_from(flows.len()).unwrap_or(u32::MAX));
        let page = read::page(moment, &filter, missing).await?;
        flows.extend(page.flows);
        let is_full = u32::try_from(flows.len()).is_ok_and(|count| count >= limit);
        if is_full || page.next.is_none() {
            return Ok(flows);
        }
        filter.after = page.next;
    }
}

fn filter(args: &List, now: Timestamp) -> Result<Filter, UsageError> {
    Ok(Filter {
        statuses: args.statuses.clone(),
        flow: args.flow.clone(),
        app: args.app.clone(),
        version: args.app_version.clone(),
        host: args.host.clone(),
        user: args.user.clone(),
        failed: args.failed,
        failed_step: args.failed_step,
        min_duration_ms: args.min_duration,
        rerun_of: args.rerun_of.clone(),
        id: args.id.clone(),
        text: args.text.clone(),
        since: when::given("--since", args.since.as_ref(), now)?,
        until: when::given("--until", args.until.as_ref(), now)?,
        ..Filter::default()
    })
}

/// Tells a person what a table can't: why it is empty, or how to go on.
fn hint(flows: &[Summary], limit: u32, filter: &Filter) {
    let full = u32::try_from(flows.len()).is_ok_and(|count| count == limit);
    if let (true, Some(last)) = (full, flows.last()) {
        output::hint(&format!("there may be more: --after {}", last.id));
    } else if flows.is_empty() {
        output::hint(&emptied_by(filter));
    }
}

fn emptied_by(filter: &Filter) -> String {
    let mut reasons: Vec<String> = filter.statuses.iter().map(|status| format!("status {status}")).collect();
    reasons.extend(filter.flow.as_ref().map(|flow| format!("flow {flow}")));
    let named = [
        ("app", &filter.app),
        ("version", &filter.version),
        ("host", &filter.host),
        ("user", &filter.user),
        ("an id that begins with", &filter.id),
        ("the text", &filter.text),
    ];
    reasons.extend(named.iter().filter_map(|(what, value)| Some(format!("{what} {}", value.as_ref()?))));
    reasons.extend(filter.rerun_of.as_ref().map(|original| format!("{original} as the one that it re-runs")));
    reasons.extend(filter.min_duration_ms.map(|least| format!("{least} ms or more")));
    reasons.extend(filter.failed.then(|| "a failure".to_owned()));
    reasons.extend(filter.failed_step.then(|| "a step that failed".to_owned()));
    reasons.extend(filter.since.map(|since| format!("started since {since}")));
    reasons.extend(filter.until.map(|until| format!("started before {until}")));
    reasons.extend(filter.after.as_ref().map(|after| format!("after {}", after.id)));
    if reasons.is_empty() {
        return "no flow has been recorded yet".to_owned();
    }
    format!("no flow is recorded with {}", reasons.join(", "))
}

async fn show(args: Show, postgres: &Postgres) -> anyhow::Result<()> {
    let mut client = connect::connect(postgres, APPLICATION).await?;
    let found = read::show(&mut client, &args.id).await;
    let Some(flow) = found.map_err(|error| PostgresError::of_statement(postgres, error))? else {
        bail!("there is no flow {}", args.id);
    };
    let mut output = Output::stdout();
    match args.format {
        Format::Table => show::print(&mut output, &flow, args.payloads)?,
        Format::Json => output.json(&flow)?,
        Format::Ndjson => output.line_of_json(&flow)?,
    }
    Ok(output.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_says_what_emptied_it() {
        assert_eq!(emptied_by(&Filter::default()), "no flow has been recorded yet");
        let statuses = ["failed", "Started"].map(str::to_owned).to_vec();
        let filter = Filter { statuses, app: Some("orders".to_owned()), ..Filter::default() };
        assert_eq!(emptied_by(&filter), "no flow is recorded with status failed, status Started, app orders");
    }
}
