//! `flowtrail rerun`: asks a runtime to run an instance again, and notes who asked.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::{
    UsageError, actor,
    output::{Format, Output},
};
use crate::{
    config::Config,
    postgres::{
        connect::{self, PostgresError},
        read::{self, Flow, Standing},
    },
    rerun::{
        Question, Runtime, Wish,
        order::{Order, OrderError, PlaceError, Request, Start},
    },
    span::span,
};

/// `application_name` of its session.
const APPLICATION: &str = "flowtrail rerun";

/// How often it is looked whether the re-run has ended.
const LOOK_EVERY: Duration = Duration::from_millis(300);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail rerun --flow 3ecf3de9… --dry-run             what would be sent, and where
  flowtrail rerun --flow 3ecf3de9… --wait                from the start, as an instance of its own
  flowtrail rerun --flow 3ecf3de9… --from-failure        under the same id, from its last failed step
  flowtrail rerun --flow 3ecf3de9… --from-step 3 --input '{\"to\":\"bob\"}'

Apps are found by their names:
  [rerun.apps]
  shop = \"http://shop:7777\"                the app's own /app/state endpoints
  lab = \"tester+http://lab:8080\"           the open-source tester; its engine records no link to the original
  billing = \"kafka:flow.rerun\"             a RerunRequest on a topic, for other runtimes

Who asked for what is noted in ft_audit.")]
pub(crate) struct Args {
    /// Flow instance
    #[arg(long, value_name = "ID")]
    flow: String,
    /// Begin with this step, under the same id
    #[arg(long, value_name = "NUMBER", conflicts_with = "from_failure", value_parser = clap::value_parser!(i64).range(0..))]
    from_step: Option<i64>,
    /// Begin with the last step of the main flow that failed
    #[arg(long)]
    from_failure: bool,
    /// Other input than was recorded: the task's, or the flow's without a step
    #[arg(long, value_name = "JSON")]
    input: Option<String>,
    /// Where the app is asked, if not as rerun.apps says
    #[arg(long, value_name = "ADDRESS")]
    app: Option<String>,
    /// Only say what would be sent
    #[arg(long)]
    dry_run: bool,
    /// Wait until the re-run has ended and is stored; a re-run that fails ends with 1
    #[arg(long)]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "SPAN", default_value = "5m", requires = "wait")]
    timeout: String,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Outcome {
    /// The instance that was asked for.
    flow: String,
    /// The instance that runs; nothing while nobody has said.
    instance: Option<String>,
    /// Where it was asked.
    app: String,
    /// The runtime's own word, once the re-run has ended.
    status: Option<String>,
}

pub(crate) async fn run(args: Args, config: &Config) -> anyhow::Result<()> {
    let patience = span(&args.timeout)
        .ok_or_else(|| UsageError("--timeout: want a span like 90s, 5m or 1h".to_owned()))?;
    let input = args.input.as_deref().map(serde_json::from_str::<Value>).transpose();
    let input = input.map_err(|error| UsageError(format!("--input is not JSON: {error}")))?;
    let postgres = &config.postgres;
    let failed = |error| PostgresError::of_statement(postgres, error);
    let mut client = connect::connect(postgres, APPLICATION).await?;
    let flow = read::show(&mut client, &args.flow).await.map_err(failed)?;
    let flow = flow.with_context(|| format!("there is no flow {}", args.flow))?;
    let runtime = runtime(&args, &flow, config)?;
    let start = match (args.from_step, args.from_failure) {
        (Some(step), _) => Start::Step(step),
        (None, true) => Start::LastFailure,
        (None, false) => Start::Beginning,
    };
    let request = Request { start, input, by: actor() };
    let order = Order::prepare(&mut client, &flow, runtime, request).await.map_err(|error| match error {
        OrderError::Refused(why) => UsageError(why).into(),
        OrderError::Postgres(error) => failed(error).into(),
        other => anyhow::Error::from(other),
    })?;
    if args.dry_run {
        return print_question(&order.question, args.format);
    }
    let wish = &order.wish;
    let before = Before::of(&client, wish).await.map_err(failed)?;
    let instance = order.place(&client, &config.kafka).await.map_err(|error| match error {
        PlaceError::Postgres(error) => anyhow::Error::from(failed(error)),
        PlaceError::Ask(error) => error.into(),
    })?;
    let mut outcome =
        Outcome { flow: wish.flow.clone(), instance, app: order.runtime.to_string(), status: None };
    if args.wait {
        let ended = ended(&client, wish, &before, outcome.instance.as_deref());
        let ended = tokio::time::timeout(patience, ended).await;
        let ended = ended
            .with_context(|| format!("the re-run was asked for and has not ended within {}", args.timeout))?;
        let ended = ended.map_err(failed)?;
        (outcome.instance, outcome.status) = (Some(ended.flow), Some(ended.status));
    }
    print_outcome(&outcome, wish, args.format)
}

/// How the app of a flow is asked.
fn runtime(args: &Args, flow: &Flow, config: &Config) -> anyhow::Result<Runtime> {
    if let Some(address) = &args.app {
        return Ok(Runtime::parse(address).map_err(|why| UsageError(format!("--app: {why}")))?);
    }
    let app = flow.state.as_ref().and_then(|state| state.summary.app.clone());
    let Some(app) = app else {
        bail!("nobody has said of which app {} is; say where to ask with --app", flow.id);
    };
    let address = config.rerun.apps.get(&app).with_context(|| {
        format!("it is not configured where app {app} is asked: add it under [rerun.apps], or use --app")
    })?;
    Runtime::parse(address).map_err(|why| anyhow::anyhow!("rerun.apps.{app}: {why}"))
}

/// How things stood before anybody was asked.
struct Before {
    run: i64,
    reruns: Vec<String>,
}

impl Before {
    async fn of(client: &Client, wish: &Wish) -> Result<Self, tokio_postgres::Error> {
        let run = read::standing(client, &wish.flow).await?.map_or(i64::MIN, |standing| standing.run);
        Ok(Self { run, reruns: read::reruns(client, &wish.flow).await? })
    }
}

/// Waits until the re-run has ended: the instance that was named, another run of this one, or another re-run of it.
async fn ended(
    client: &Client,
    wish: &Wish,
    before: &Before,
    instance: Option<&str>,
) -> Result<Standing, tokio_postgres::Error> {
    loop {
        let standing = match instance {
            Some(other) if other != wish.flow => read::standing(client, other).await?,
            _ => {
                let again =
                    read::standing(client, &wish.flow).await?.filter(|standing| standing.run > before.run);
                let another = read::another_rerun(client, &wish.flow, &before.reruns).await?;
                again.or(another)
            }
        };
        if let Some(standing) = standing.filter(|standing| standing.ended) {
            return Ok(standing);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn print_question(question: &Question, format: Format) -> anyhow::Result<()> {
    let (place, body) = match question {
        Question::Http { url, body } => (format!("POST {url}"), body.clone()),
        Question::Record { topic, request } => {
            (format!("a record on topic {topic}"), serde_json::to_value(request)?)
        }
    };
    let mut output = Output::stdout();
    match format {
        Format::Table => {
            output.line(&place)?;
            output.json(&body)?;
        }
        Format::Json => output.json(&json!({ "to": place, "body": body }))?,
        Format::Ndjson => output.line_of_json(&json!({ "to": place, "body": body }))?,
    }
    Ok(output.finish()?)
}

fn print_outcome(outcome: &Outcome, wish: &Wish, format: Format) -> anyhow::Result<()> {
    let mut output = Output::stdout();
    match format {
        Format::Table => {
            let place = wish.from.as_ref().map_or_else(
                || "from its start".to_owned(),
                |from| format!("from step {} ({})", from.step, from.task),
            );
            let instance = outcome.instance.as_ref().map_or_else(String::new, |id| format!(", as {id}"));
            let status = outcome
                .status
                .as_ref()
                .map_or_else(|| "asked".to_owned(), |status| format!("ended as {status}"));
            output.line(&format!("re-run of {} {place}{instance}: {status}", outcome.flow))?;
        }
        Format::Json => output.json(outcome)?,
        Format::Ndjson => output.line_of_json(outcome)?,
    }
    output.finish()?;
    match outcome.status.as_deref() {
        None | Some("Completed") => Ok(()),
        Some(status) => bail!("the re-run ended as {status}"),
    }
}
