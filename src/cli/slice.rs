//! Which part of the topics a command is about, as flags.

use std::{
    collections::{BTreeSet, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use jiff::{Timestamp, ToSpan as _};

use super::{UsageError, when};
use crate::{
    clock,
    config::Config,
    kafka::{
        partitioner::Hash,
        slice::{Edge, Slicer, Wanted},
    },
    verify,
};

/// A flow's records may bear a time a little before the start that its runtime tells, where clocks disagree. In minutes.
const MARGIN: i64 = 10;

#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Which records")]
pub(crate) struct SliceArgs {
    /// From this time on (2026-11-21T10:00:00Z, 2026-11-21, -2h), or from an offset of a partition (3:1200); may be repeated
    #[arg(long, value_name = "TIME|P:OFFSET", allow_hyphen_values = true)]
    since: Vec<String>,
    /// Up to this time, or up to an offset of a partition, without it; may be repeated
    #[arg(long, value_name = "TIME|P:OFFSET", allow_hyphen_values = true)]
    until: Vec<String>,
    /// Topic; may be repeated [default: kafka.topics]
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
    /// Partition number; may be repeated [default: all, or those that offsets are given of]
    #[arg(long = "partition", value_name = "NUMBER")]
    partitions: Vec<i32>,
    /// Flow instance; may be repeated. Only its own partition is read, from its start
    #[arg(long = "flow", value_name = "ID")]
    flows: Vec<String>,
    /// File with a flow instance id a line; - is stdin
    #[arg(long, value_name = "FILE")]
    flow_file: Option<PathBuf>,
    /// Look for the flows on all partitions: their producers choose partitions in another way than Kafka's own clients
    #[arg(long)]
    all_partitions: bool,
}

/// What the flags say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Stretches of topics.
    pub(crate) wanted: Wanted,
    /// Flows, if any were named.
    pub(crate) flows: Option<HashSet<String>>,
}

impl SliceArgs {
    /// Reads the flags.
    pub(crate) fn chosen(&self, config: &Config) -> anyhow::Result<Chosen> {
        let topics = if self.topics.is_empty() { &config.kafka.topics } else { &self.topics };
        if let Some(pattern) = topics.iter().find(|topic| topic.starts_with('^')) {
            let sentence = format!("{pattern} is a regular expression: name the topics by --topic");
            return Err(UsageError(sentence).into());
        }
        let now = clock::now();
        let (since, until) = (edge("--since", &self.since, now)?, edge("--until", &self.until, now)?);
        if topics.len() > 1 && !(since.offsets.is_empty() && until.offsets.is_empty()) {
            return Err(UsageError("an offset is one of a topic: name one by --topic".to_owned()).into());
        }
        let partitions = (!self.partitions.is_empty()).then(|| self.partitions.iter().copied().collect());
        let wanted = Wanted { topics: topics.clone(), partitions, since, until };
        Ok(Chosen { wanted, flows: self.flows()? })
    }

    fn flows(&self) -> anyhow::Result<Option<HashSet<String>>> {
        let mut flows: HashSet<String> = self.flows.iter().cloned().collect();
        if let Some(file) = &self.flow_file {
            let text = if file == Path::new("-") {
                io::read_to_string(io::stdin())
            } else {
                fs::read_to_string(file)
            };
            let text =
                text.with_context(|| format!("cannot read flow instance ids from {}", file.display()))?;
            flows.extend(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned));
            if flows.is_empty() {
                return Err(
                    UsageError(format!("--flow-file {}: there is no id in it", file.display())).into()
                );
            }
        }
        Ok((!flows.is_empty()).then_some(flows))
    }

    /// Reads the flags. Flows are looked for where and when they can be, so that one of them does not take reading
    /// everything; when they began, the database says, if one is configured.
    pub(crate) async fn narrowed(&self, config: &Config) -> anyhow::Result<Chosen> {
        let mut chosen = self.chosen(config)?;
        let Some(flows) = chosen.flows.clone() else { return Ok(chosen) };
        if config.postgres.url.is_some()
            && let Some(start) = verify::earliest_start(config, flows.iter().map(String::as_str)).await?
        {
            chosen.begin_at(start);
        }
        if self.on_their_own_partitions()
            && let [topic] = chosen.wanted.topics.clone().as_slice()
        {
            let (kafka, topic) = (config.kafka.clone(), topic.clone());
            let count = move || Slicer::new(&kafka)?.partitions(&topic);
            let count =
                tokio::task::spawn_blocking(count).await.context("the look at the topic ended early")??;
            chosen.wanted.partitions = own_partitions(&flows, count.len());
        }
        Ok(chosen)
    }

    /// Whether flows are looked for on their own partitions only.
    fn on_their_own_partitions(&self) -> bool {
        !self.all_partitions && self.partitions.is_empty()
    }

    /// The flags as they were given: the same for the same command.
    pub(crate) fn words(&self) -> String {
        format!("{self:?}")
    }
}

impl Chosen {
    /// Leaves out what was recorded before the flows began, if nothing else was said. The time is what is stored.
    pub(crate) fn begin_at(&mut self, start: Timestamp) {
        if self.wanted.since == Edge::default() {
            self.wanted.since.time = start.checked_sub(MARGIN.minutes()).ok();
        }
    }
}

fn edge(flag: &str, given: &[String], now: Timestamp) -> Result<Edge, UsageError> {
    let mut edge = Edge::default();
    for text in given {
        if let Some((partition, offset)) = offset(text) {
            if edge.offsets.insert(partition, offset).is_some() {
                return Err(UsageError(format!("{flag}: partition {partition} is given twice")));
            }
            continue;
        }
        let time = when::parse(text, now)
            .map_err(|why| UsageError(format!("{flag}: {why}, or an offset of a partition, like 3:1200")))?;
        if edge.time.replace(time).is_some() {
            return Err(UsageError(format!("{flag}: two times are given")));
        }
    }
    Ok(edge)
}

/// `partition:offset`.
fn offset(text: &str) -> Option<(i32, i64)> {
    let (partition, offset) = text.split_once(':')?;
    let (partition, offset) = (partition.trim().parse().ok()?, offset.trim().parse().ok()?);
    (partition >= 0 && offset >= 0).then_some((partition, offset))
}

/// The partitions on which Kafka's own clients put these keys.
fn own_partitions(flows: &HashSet<String>, count: usize) -> Option<BTreeSet<i32>> {
    let count = i32::try_from(count).ok()?;
    flows.iter().map(|flow| Hash::Murmur2.partition(flow.as_bytes(), count)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: SliceArgs,
    }

    fn chosen(flags: &[&str]) -> anyhow::Result<Chosen> {
        let mut config = Config::default();
        config.kafka.topics = vec!["events".to_owned()];
        Cli::try_parse_from([&["x"], flags].concat())?.args.chosen(&config)
    }

    #[test]
    fn a_slice_is_by_time_or_by_offset() {
        let wanted = chosen(&["--since", "-2h", "--until", "2026-11-21T10:00:00Z"]).unwrap().wanted;
        assert!(wanted.since.time.is_some_and(|time| time < clock::now()) && wanted.since.offsets.is_empty());
        assert_eq!(wanted.until.time, "2026-11-21T10:00:00Z".parse().ok());
        let wanted = chosen(&["--since", "3:1200", "--since", "0:7", "--until", "3:1300"]).unwrap().wanted;
        assert_eq!(wanted.since, Edge { time: None, offsets: BTreeMap::from([(3, 1200), (0, 7)]) });
        assert_eq!(wanted.until.offsets, BTreeMap::from([(3, 1300)]));
        assert_eq!(wanted.topics, ["events"]);
    }

    #[test]
    fn what_can_not_be_meant_is_said() {
        for (flags, word) in [
            (&["--since", "yesterday"][..], "3:1200"),
            (&["--since", "-2h", "--since", "-1h"], "two times"),
            (&["--since", "1:2", "--since", "1:3"], "given twice"),
            (&["--topic", "^a"], "regular expression"),
            (&["--topic", "a", "--topic", "b", "--since", "0:1"], "name one"),
            (&["--flow-file", "/nowhere"], "/nowhere"),
        ] {
            let error = format!("{:#}", chosen(flags).unwrap_err());
            assert!(error.contains(word), "{flags:?}: {error}");
        }
    }

    #[test]
    fn flows_are_named_one_by_one_or_in_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(&file, "b\n\n  c \n").unwrap();
        let found = chosen(&["--flow", "a", "--flow-file", file.path().to_str().unwrap()]).unwrap().flows;
        assert_eq!(found, Some(["a", "b", "c"].map(str::to_owned).into()));
        assert_eq!(chosen(&[]).unwrap().flows, None);
    }

    #[test]
    fn flows_begin_where_they_are_stored_to_unless_told() {
        let start: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let mut found = chosen(&["--flow", "a"]).unwrap();
        found.begin_at(start);
        assert_eq!(found.wanted.since.time, "2026-11-21T09:50:00Z".parse().ok());
        let mut found = chosen(&["--flow", "a", "--since", "0:0"]).unwrap();
        found.begin_at(start);
        assert_eq!(found.wanted.since.time, None);
    }
}
