//! `flowtrail publish`

mod input;

use std::{
    io::{self, BufWriter, IsTerminal as _, Write as _},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::{ArgGroup, Args as ClapArgs};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use self::input::Input;
use super::output::Format as Output;
use crate::{
    config::{self as configuration, Config},
    kafka::{
        admin::Admin,
        producer::{Partitioner, Producer},
    },
    publish::{self, Options, Sent, source::Format},
};

const EXAMPLES: &str = "\
Examples:
  A recording of a Flogo app, onto a topic that is created with six partitions if it is missing:
    flowtrail publish --from flogo-recording recorded.jsonl --topic flow.history --partitions 6
  Events from another program, one JSON object a line:
    my-runtime | flowtrail publish --from json -
  The asynchronous history of a Flowable engine, whose ids are told from those of others by a name:
    flowtrail publish --from flowable-async-history jobs.jsonl.gz --source orders
  What an engine keeps in its own tables:
    flowtrail publish --from flowable-database postgres://reader@db/flowable --time-zone Europe/Berlin --source orders
  What would be sent, without Kafka:
    flowtrail publish --from flogo-recording recorded.jsonl --dry-run
  A load of a million events at 20 000 a second:
    flowtrail publish --synthetic 1000000 --rate 20000
  The same events mixed up and some of them repeated, which must change nothing in Postgres:
    flowtrail publish --synthetic 10000 --shuffle --duplicate-percent 10";

/// A topic answers within this, or Kafka counts as unreachable.
const METADATA_TIMEOUT: Duration = Duration::from_secs(10);

/// Put events on a topic: from a file, from standard input, or made up
#[derive(Debug, ClapArgs)]
#[command(after_help = EXAMPLES, group(ArgGroup::new("what").required(true).args(["from", "synthetic"])))]
pub(crate) struct Args {
    /// Read events of this format from FILE
    #[arg(long, value_name = "FORMAT", requires = "file")]
    from: Option<Format>,

    /// The file to read, - is standard input; or the URL of what retention archived in object storage; or the address of a
    /// database
    #[arg(requires = "from")]
    file: Option<PathBuf>,

    /// Go on after input that is no event, and count it; otherwise the first ends the command
    #[arg(long, requires = "from")]
    skip_bad: bool,

    /// Make up N events instead
    #[arg(long, value_name = "N")]
    synthetic: Option<usize>,

    /// Print the events as JSON lines and send nothing
    #[arg(long)]
    dry_run: bool,

    /// Print a summary on standard output in this format; a table is a sentence on standard error
    #[arg(long, value_enum, default_value = "table")]
    format: Output,

    #[command(flatten, next_help_heading = "Synthetic events")]
    traffic: Traffic,

    #[command(flatten, next_help_heading = "History of a Flowable engine")]
    engine: Engine,

    #[command(flatten, next_help_heading = "Order")]
    order: Order,

    #[command(flatten, next_help_heading = "Kafka")]
    target: Target,
}

#[derive(Debug, ClapArgs)]
struct Traffic {
    /// Steps of each flow
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    steps_per_flow: u32,

    /// Bytes of JSON text in each event
    #[arg(long, value_name = "BYTES", default_value_t = 200)]
    payload_bytes: usize,

    /// Flows that fail, in a hundred
    #[arg(long, value_name = "PERCENT", default_value_t = 3.0, value_parser = percent)]
    failed_percent: f64,

    /// Flows that are run again, in a hundred
    #[arg(long, value_name = "PERCENT", default_value_t = 1.0, value_parser = percent)]
    rerun_percent: f64,

    /// When the first flow starts [default: 2026-01-01T00:00:00Z]
    #[arg(long, value_name = "TIME")]
    start_time: Option<jiff::Timestamp>,
}

#[derive(Debug, ClapArgs)]
struct Engine {
    /// Name of the engine, which its ids get before them [default: flowable]
    #[arg(long, value_name = "NAME", requires = "from", value_parser = source)]
    source: Option<String>,

    /// Sequence flows become steps too
    #[arg(long, requires = "from")]
    sequence_flows: bool,

    /// Time zone of the engine's JVM, in which its tables have their times
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    time_zone: String,
}

#[derive(Debug, ClapArgs)]
struct Order {
    /// Seed of everything random; the same seed gives the same events in the same order
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,

    /// Send in random order; holds all events in memory unless there is a window
    #[arg(long)]
    shuffle: bool,

    /// Shuffle within the N events that are next
    #[arg(long, value_name = "N", requires = "shuffle", value_parser = clap::value_parser!(u32).range(1..))]
    shuffle_window: Option<u32>,

    /// Events that are sent twice, in a hundred
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    duplicate_percent: f64,

    /// Events per second; 0 is as fast as possible
    #[arg(long, value_name = "EVENTS", default_value_t = 0)]
    rate: u32,
}

#[derive(Debug, ClapArgs)]
struct Target {
    /// The topic [default: the first of `kafka.topics`]
    #[arg(long)]
    topic: Option<String>,

    /// Create the topic with N partitions if it is missing
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..))]
    partitions: Option<i32>,

    /// How a record's key chooses its partition
    #[arg(long, value_name = "NAME", default_value = "murmur2")]
    partitioner: Partitioner,

    /// Put the events of this flow on all partitions in turn
    #[arg(long, value_name = "ID")]
    spread_flow: Option<String>,

    /// Seconds until an event that Kafka does not acknowledge is given up
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
}

fn source(text: &str) -> Result<String, String> {
    configuration::check_source(text).map(|()| text.to_owned())
}

fn percent(text: &str) -> Result<f64, String> {
    let value = text.parse().ok().filter(|value| (0.0..=100.0).contains(value));
    value.ok_or_else(|| "a number from 0 to 100".to_owned())
}

/// Runs the command; an error where input was bad or an event was not delivered.
pub(crate) async fn run(args: Args, config: &Config) -> anyhow::Result<()> {
    if args.dry_run {
        return tokio::task::spawn_blocking(move || print(&args)).await?;
    }
    let configured = || config.kafka.topics.iter().find(|name| !name.starts_with('^')).cloned();
    let topic =
        args.target.topic.clone().or_else(configured).context("no topic to publish to: give --topic")?;
    let timeout = Duration::from_secs(args.target.timeout);
    // Made first, as it takes half a second to be given its id by the brokers.
    let producer = Producer::new(&config.kafka, args.target.partitioner, timeout)?;
    let partitions = partitions(&args.target, &topic, config).await?;
    let stop = CancellationToken::new();
    let options = Options {
        topic: topic.clone(),
        rate: args.order.rate,
        // Records give up by themselves before that.
        timeout: timeout * 2,
        stop_at_failure: true,
        stop: stop.clone(),
    };
    let (format, bar) = (args.format, progress_bar(&args));

    let mut sending = tokio::task::spawn_blocking(move || {
        let mut input = Input::open(&args, partitions)?;
        let sent = publish::send(&producer, &mut input, &options, |count| bar.set_position(count));
        bar.finish_and_clear();
        let sent = sent?;
        let trouble = producer.last_error().filter(|_| sent.deliveries.failed_total() > 0);
        summary(format, &topic, partitions, &sent, input.bad())?;
        input.end()?;
        if sent.deliveries.failed_total() > 0 {
            let why =
                trouble.map(|reason| format!("; Kafka's last trouble was: {reason}")).unwrap_or_default();
            bail!("{} of {} events were not delivered{why}", sent.deliveries.failed_total(), sent.queued);
        }
        Ok(())
    });
    tokio::select! {
        ended = &mut sending => ended?,
        // Ends the input; what is queued is delivered still.
        _ = tokio::signal::ctrl_c() => {
            stop.cancel();
            sending.await?
        }
    }
}

/// How many partitions the topic has; created if that was asked for.
async fn partitions(target: &Target, topic: &str, config: &Config) -> anyhow::Result<i32> {
    let admin = Admin::new(&config.kafka)?;
    let timeout = METADATA_TIMEOUT.min(Duration::from_secs(target.timeout));
    let Some(wanted) = target.partitions else {
        let found = admin.topic(topic, timeout).await?;
        let found =
            found.with_context(|| format!("topic {topic} does not exist; --partitions N creates it"))?;
        return Ok(found.partitions);
    };
    let found = admin.ensure_topic(topic, wanted, &[], timeout).await?;
    if found.created {
        tracing::info!(topic, partitions = found.partitions, "created the topic");
    } else if found.partitions != wanted {
        tracing::warn!(
            topic,
            partitions = found.partitions,
            wanted,
            "the topic is there already and stays as it is"
        );
    }
    Ok(found.partitions)
}

/// Prints what would be sent, one JSON object a line.
fn print(args: &Args) -> anyhow::Result<()> {
    let mut input = Input::open(args, args.target.partitions.unwrap_or(1))?;
    let mut out = BufWriter::new(io::stdout().lock());
    for record in &mut input {
        match serde_json::to_writer(&mut out, &record.event)
            .map_err(io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
        {
            // Whoever reads it has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
    out.flush()?;
    input.end()?;
    Ok(())
}

/// A sentence for people, or an object for programs.
fn summary(format: Output, topic: &str, partitions: i32, sent: &Sent, bad: u64) -> anyhow::Result<()> {
    let (delivered, failed) = (sent.deliveries.delivered, sent.deliveries.failed_total());
    let seconds = sent.took.as_secs_f64();
    if format == Output::Table {
        let passed_over = if bad > 0 { format!(", {bad} passed over") } else { String::new() };
        let mut out = io::stderr().lock();
        writeln!(
            out,
            "published {delivered} events to {topic} ({partitions} partitions) in {seconds:.1} s, {failed} failed{passed_over}"
        )?;
        for (reason, count) in &sent.deliveries.failed {
            writeln!(out, "  {count} failed: {reason}")?;
        }
        return Ok(());
    }
    let summary = serde_json::json!({
        "topic": topic, "partitions": partitions, "delivered": delivered, "failed": failed,
        "failed_by_reason": sent.deliveries.failed, "passed_over": bad, "seconds": seconds,
    });
    let text = if format == Output::Json { format!("{summary:#}") } else { summary.to_string() };
    writeln!(io::stdout().lock(), "{text}")?;
    Ok(())
}

/// A bar where the number of events is known and a count where it is not; nothing off a terminal.
fn progress_bar(args: &Args) -> ProgressBar {
    if args.format != Output::Table || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let (bar, template) = match args.synthetic {
        Some(count) => (
            ProgressBar::new(u64::try_from(count).unwrap_or(u64::MAX)),
            "{bar:30} {pos}/{len} events, {per_sec:.0}, {eta} left",
        ),
        None => (ProgressBar::no_length(), "{spinner} {pos} events, {per_sec:.0}"),
    };
    bar.with_style(ProgressStyle::with_template(template).expect("the template is a constant"))
}
