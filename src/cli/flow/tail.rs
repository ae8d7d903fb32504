//! `flowtrail flow tail`.

use anyhow::bail;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::super::{
    UsageError,
    output::{self, Format, Output, duration, or_dash, time},
};
use crate::{
    api::posted::{EventKind, Posted, PostedFilter},
    config::Config,
    kafka::{
        shared_tail::{Listening, SharedTail},
        tail::Record,
    },
    pipeline::decode::foreign::Foreign,
    redaction::Rules,
};

/// Events that the terminal may be behind before it misses some; each is about 500 bytes.
const MOST_BEHIND: usize = 65_536;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail flow tail
  flowtrail flow tail --failed
  flowtrail flow tail --kind flow --app orders --format ndjson | jq -r .id

It shows what comes onto the topic from now on, whether a collector has stored it or not.")]
pub(super) struct Args {
    /// Only events of this flow instance
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// Only events that speak of this
    #[arg(long)]
    kind: Option<EventKind>,
    /// Only events of flows of this name
    #[arg(long, value_name = "NAME")]
    flow: Option<String>,
    /// Only events of flows of this app; steps don't name it
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
    /// Only this status; may be repeated
    #[arg(long = "status", value_name = "STATUS")]
    statuses: Vec<String>,
    /// Only what failed
    #[arg(long)]
    failed: bool,
    /// Topic [default: the first of kafka.topics]
    #[arg(long)]
    topic: Option<String>,
    /// How to print it; as a table is a line of text for each
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

pub(super) async fn run(args: Args, config: &Config) -> anyhow::Result<()> {
    let topic = args.topic.or_else(|| config.kafka.topics.first().cloned()).unwrap_or_default();
    if topic.starts_with('^') {
        return Err(UsageError(format!("{topic} is a regular expression: name a topic by --topic")).into());
    }
    let filter = PostedFilter {
        id: args.id,
        kind: args.kind,
        flow: args.flow,
        app: args.app,
        status: Some(args.statuses.join(",")),
        failed: Some(args.failed),
    };
    let (rules, of_tail) = (Rules::compile(&config.redaction)?, topic.clone());
    let foreign = Foreign::of(&config.flowable);
    let read = move |record: &Record| Posted::of(&of_tail, record, rules.as_deref(), &foreign);
    let tail = SharedTail::new(&config.kafka, &topic, MOST_BEHIND, CancellationToken::new(), read);
    let Listening { mut receiver, .. } = tail.listen().await.map_err(anyhow::Error::msg)?;
    output::hint(&format!("listening to {topic}; Ctrl-C ends it"));
    loop {
        match receiver.recv().await {
            Ok(posted) if filter.takes(&posted) => print(&posted, args.format)?,
            Ok(_) => {}
            Err(RecvError::Lagged(count)) => output::hint(&format!("{count} events were missed")),
            Err(RecvError::Closed) => bail!("topic {topic} is not read any more"),
        }
    }
}

fn print(posted: &Posted, format: Format) -> anyhow::Result<()> {
    let mut output = Output::stdout();
    match format {
        Format::Table => output.line(&line(posted))?,
        // A list would end with the topic, which it never does.
        Format::Json | Format::Ndjson => output.line_of_json(posted)?,
    }
    Ok(output.finish()?)
}

fn line(posted: &Posted) -> String {
    let kind = match posted.kind {
        EventKind::Flow => "flow",
        EventKind::Step => "step",
        EventKind::Rewind => "rewind",
        EventKind::Deleted => "deleted",
        EventKind::Variable => "variable",
        EventKind::Snapshot => "snapshot",
    };
    let name = posted.task.as_ref().or(posted.flow.as_ref());
    let step = posted.step.as_ref().map(|step| format!("/{step}")).unwrap_or_default();
    format!(
        "{}  {kind}  {}{step}  {}  {}  {}",
        time(posted.timestamp),
        posted.id,
        or_dash(name),
        or_dash(posted.status.as_ref()),
        duration(posted.duration_ms),
    )
}
