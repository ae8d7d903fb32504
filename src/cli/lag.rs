//! `flowtrail lag`: how far a consumer group is behind.

use std::time::Duration;

use anyhow::Context as _;

use super::{
    UsageError,
    output::{Column, Format, Output, or_dash},
};
use crate::{
    config::Config,
    kafka::{
        client,
        lag::{self, PartitionLag, Topics},
    },
};

/// How long the whole look may take.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail lag
  flowtrail lag --group billing --topic orders --topic payments
  flowtrail lag --format json | jq '[.[].lag_records] | add'

What counts is what the group has committed to Kafka. Where it has committed nothing, everything there is to read is
its lag. Seconds are the age of the oldest record that is not yet read.")]
pub(crate) struct Args {
    /// Consumer group, flowtrail's or any other [default: kafka.group]
    #[arg(long)]
    group: Option<String>,
    /// Topic; may be repeated [default: kafka.topics, or for another group all of which it has committed offsets]
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

const COLUMNS: [Column<PartitionLag>; 6] = [
    Column::whole("TOPIC", |row| row.topic.clone()),
    Column::number("PARTITION", |row| row.partition.to_string()),
    Column::number("COMMITTED", |row| or_dash(row.committed.as_ref())),
    Column::number("END", |row| or_dash(row.end.as_ref())),
    Column::number("LAG", |row| or_dash(row.lag_records.as_ref())),
    Column::number("SECONDS", |row| {
        row.lag_seconds.map_or_else(|| "-".to_owned(), |age| format!("{age:.1}"))
    }),
];

pub(crate) async fn run(args: Args, config: &Config) -> anyhow::Result<()> {
    let topics = topics(&args, config)?;
    let group = args.group.unwrap_or_else(|| config.kafka.group.clone());
    let client = client::settings(&config.kafka, &[], &[]);
    // librdkafka blocks.
    let look = tokio::task::spawn_blocking(move || lag::read(&client, &group, &topics, LIMIT));
    let rows = look.await.context("the look at Kafka ended early")??;
    let mut output = Output::stdout();
    output.items(args.format, &rows, &COLUMNS)?;
    Ok(output.finish()?)
}

fn topics(args: &Args, config: &Config) -> Result<Topics, UsageError> {
    let is_pattern = |topic: &String| topic.starts_with('^');
    if let Some(pattern) = args.topics.iter().find(|topic| is_pattern(topic)) {
        return Err(UsageError(format!(
            "--topic {pattern}: name the topic itself, not a regular expression"
        )));
    }
    if !args.topics.is_empty() {
        return Ok(Topics::Named(args.topics.clone()));
    }
    let foreign = args.group.as_ref().is_some_and(|group| *group != config.kafka.group);
    // Which topics match a pattern only librdkafka knows; those that the group reads are those it has commits of.
    if foreign || config.kafka.topics.iter().any(is_pattern) {
        return Ok(Topics::Committed);
    }
    Ok(Topics::Named(config.kafka.topics.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(group: Option<&str>, topics: &[&str], configured: &[&str]) -> Result<Topics, UsageError> {
        let mut config = Config::default();
        config.kafka.topics = configured.iter().map(ToString::to_string).collect();
        let topics = topics.iter().map(ToString::to_string).collect();
        super::topics(&Args { group: group.map(str::to_owned), topics, format: Format::Table }, &config)
    }

    #[test]
    fn the_topics_are_those_named_or_configured_or_committed() {
        let named = |topic: &str| Topics::Named(vec![topic.to_owned()]);
        assert_eq!(of(None, &[], &["a"]).unwrap(), named("a"));
        assert_eq!(of(Some("flowtrail"), &[], &["a"]).unwrap(), named("a"));
        assert_eq!(of(Some("other"), &[], &["a"]).unwrap(), Topics::Committed);
        assert_eq!(of(Some("other"), &["b"], &["a"]).unwrap(), named("b"));
        assert_eq!(of(None, &[], &["^a"]).unwrap(), Topics::Committed);
        assert!(of(None, &["^a"], &["a"]).is_err());
    }
}
