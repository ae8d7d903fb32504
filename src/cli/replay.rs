//! `flowtrail replay`: a slice of the topic once more, into the tables or onto another topic.

use std::{env, path::PathBuf, sync::Arc};

use anyhow::bail;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use self::report::Bar;
use super::{
    Outcome, UsageError, actor,
    output::{self, Format},
    slice,
};
use crate::{
    clock,
    config::Config,
    replay::{self, Job, Progress, Rebuild, ReplayError, Selection, Stored, Target},
};

mod difference;
mod report;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail replay --into postgres --since -2h --dry-run        what would be inserted or changed
  flowtrail replay --into postgres --since -2h                  stores what is missing; the rest stays as it is
  flowtrail replay --into postgres --where-missing              only flows that `verify` finds incomplete
  flowtrail replay --into postgres --flow 5c5a8fbc3ab0cbe5      one flow: its own partition, from its start
  flowtrail replay --into postgres --rebuild                    fills emptied tables, while collectors go on
  flowtrail replay --into-topic flow.test --app shop --rate 500 --new-instance-ids

How far it is, is kept with what it did: the same command goes on where a killed one stopped, and the offsets of
collectors stay as they are. Onto a topic each record goes once, also if the command is repeated after its end;
--name NAME makes it another replay.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 a dry run found a difference.")]
pub(crate) struct Args {
    /// Store the records, as a collector does
    #[arg(long, value_name = "SINK", required_unless_present = "into_topic", conflicts_with = "into_topic")]
    into: Option<Sink>,
    /// Copy the records to this topic, which has to be there
    #[arg(long, value_name = "TOPIC")]
    into_topic: Option<String>,
    /// Change nothing: show what would be stored, or count what would be copied
    #[arg(long)]
    dry_run: bool,
    /// Begin at the beginning, though an earlier process has stored some of it
    #[arg(long, conflicts_with = "into_topic")]
    anew: bool,
    /// Name of the replay: one that was begun under it goes on [default: made of these flags]
    #[arg(long, value_name = "NAME", value_parser = name)]
    name: Option<String>,
    /// How to print what came of it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    /// As many differences a dry run shows; all are counted. 0 shows all
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: usize,
    /// Folder for what a comparison can't keep in memory [default: $TMPDIR, else /tmp]
    #[arg(long, value_name = "FOLDER")]
    spill_dir: Option<PathBuf>,
    #[command(flatten)]
    slice: slice::SliceArgs,
    #[command(flatten)]
    narrowing: Narrowing,
    #[command(flatten)]
    copying: Copying,
    #[command(flatten)]
    rebuilding: Rebuilding,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which records")]
struct Narrowing {
    /// Only flows of this app
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
    /// Only flows that told this status at some time, such as Failed
    #[arg(long, value_name = "STATUS")]
    status: Option<String>,
    /// Only flows of which the tables lack something that the group has stored
    #[arg(long)]
    where_missing: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Onto a topic")]
struct Copying {
    /// Records a second [default: as fast as possible]
    #[arg(long, value_name = "N", conflicts_with = "into", value_parser = clap::value_parser!(u32).range(1..))]
    rate: Option<u32>,
    /// Copy flows as new ones, which name the old ones as what they re-run
    #[arg(long, conflicts_with = "into")]
    new_instance_ids: bool,
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Into emptied tables")]
struct Rebuilding {
    /// Fill tables that were emptied from all that is on the topic
    #[arg(long, conflicts_with_all = ["into_topic", "since", "until", "partitions", "flows", "flow_file", "app", "status", "where_missing", "dry_run"])]
    rebuild: bool,
    /// Make the index that lists of flows use when all is stored, not before; takes the role that owns the tables
    #[arg(long, requires = "rebuild")]
    index_last: bool,
    /// Rebuild tables that hold rows already, without being asked
    #[arg(long, requires = "rebuild")]
    yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Sink {
    /// The tables
    Postgres,
}

/// What Kafka and Postgres take as a part of a group's name, and a person can copy.
fn name(text: &str) -> Result<String, String> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=100).contains(&text.len()) && text.chars().all(is_fine) {
        return Ok(text.to_owned());
    }
    Err("want up to 100 letters, digits, - _ and .".to_owned())
}

pub(crate) async fn run(args: Args, config: &Config) -> anyhow::Result<Outcome> {
    let chosen = Box::pin(args.slice.narrowed(config)).await?;
    let selection = Selection {
        wanted: chosen.wanted,
        flows: chosen.flows,
        app: args.narrowing.app.clone(),
        status: args.narrowing.status.clone(),
        where_missing: args.narrowing.where_missing,
        spill_folder: args.spill_dir.clone().unwrap_or_else(env::temp_dir),
    };
    if args.dry_run && args.into.is_some() {
        return Box::pin(difference::run(&args, config, &selection)).await;
    }
    let job = job(&args, selection, config)?;
    let (progress, stop) = (Arc::new(Progress::default()), CancellationToken::new());
    let (bar, began) = (Bar::new(args.format, progress.clone()), clock::monotonic());
    let Some(topic) = args.into_topic.clone() else {
        let storing = Box::pin(store(&args, config, &job, &bar, progress, stop.clone()));
        let stored = or_stopped(storing, &stop).await?;
        report::stored(&stored, args.format, args.rebuilding.rebuild, began)?;
        return Ok(Outcome::Done);
    };
    if args.dry_run {
        let counting = Box::pin(replay::count(config, &job.selection, progress, stop.clone()));
        let counted = or_stopped(bar.beside(counting), &stop).await?;
        report::counted(&counted, &topic, args.format, began)?;
        return Ok(Outcome::Done);
    }
    let target = Target {
        topic,
        rate: args.copying.rate.unwrap_or(0),
        new_instance_ids: args.copying.new_instance_ids,
    };
    let copying = Box::pin(replay::into_topic(config, &job, target, progress, stop.clone()));
    let copied = or_stopped(bar.beside(copying), &stop).await?;
    report::copied(&copied, args.format, began)?;
    Ok(Outcome::Done)
}

/// The replay that the flags ask for.
fn job(args: &Args, selection: Selection, config: &Config) -> anyhow::Result<Job> {
    let mut flows: Vec<&str> = selection.flows.iter().flatten().map(String::as_str).collect();
    flows.sort_unstable();
    let sink = args.into_topic.as_deref().map_or("postgres".to_owned(), |topic| format!("topic {topic}"));
    let ways = (args.copying.new_instance_ids, args.rebuilding.rebuild);
    let narrowed = format!("{:?} {ways:?}", args.narrowing);
    let topics = selection.wanted.topics.join(" ");
    let slice = args.slice.words();
    let words = [&[sink.as_str(), &topics, &slice, &narrowed, &config.kafka.group], &flows[..]].concat();
    let name = args.name.clone().unwrap_or_else(|| replay::name_of(&words));
    let group = replay::group(&name);
    if group == config.kafka.group {
        // Its offsets would be moved, and forgotten at the end.
        let sentence = format!("{group} is the group of the collectors; choose another --name");
        return Err(UsageError(sentence).into());
    }
    let asked = json!({
        "into": sink,
        "topics": selection.wanted.topics,
        "partitions": selection.wanted.partitions,
        "since": edge(&selection.wanted.since),
        "until": edge(&selection.wanted.until),
        "flows": selection.flows.as_ref().map(std::collections::HashSet::len),
        "app": args.narrowing.app,
        "status": args.narrowing.status,
        "where_missing": args.narrowing.where_missing,
        "new_instance_ids": args.copying.new_instance_ids,
        "rebuild": args.rebuilding.rebuild,
    });
    Ok(Job { group, selection, anew: args.anew, by: actor(), asked })
}

fn edge(edge: &crate::kafka::slice::Edge) -> serde_json::Value {
    json!({ "time": edge.time.map(|time| time.to_string()), "offsets": edge.offsets })
}

/// Stores the slice. Before tables with rows are rebuilt, a person is asked.
async fn store(
    args: &Args,
    config: &Config,
    job: &Job,
    bar: &Bar,
    progress: Arc<Progress>,
    stop: CancellationToken,
) -> anyhow::Result<Stored> {
    let mut rebuild = args.rebuilding.rebuild.then_some(Rebuild {
        put_off_index: args.rebuilding.index_last,
        even_if_not_empty: args.rebuilding.yes,
    });
    loop {
        let storing = replay::into_postgres(config, job, rebuild, progress.clone(), stop.clone());
        let stored = bar.beside(Box::pin(storing)).await;
        let Some(asked) = rebuild.as_mut().filter(|_| matches!(stored, Err(ReplayError::NotEmpty))) else {
            return Ok(stored?);
        };
        let question = "The tables hold rows already, which are merged with. Go on?";
        match tokio::task::spawn_blocking(move || output::confirmed(question)).await?? {
            Some(true) => asked.even_if_not_empty = true,
            Some(false) => bail!("nothing was done"),
            None => {
                let sentence = "the tables hold rows already, which a rebuild merges with; --yes goes on";
                return Err(UsageError(sentence.to_owned()).into());
            }
        }
    }
}

/// Brings the work to its end; at the first Ctrl-C, to an early one.
async fn or_stopped<T, E: Into<anyhow::Error>>(
    work: impl Future<Output = Result<T, E>>,
    stop: &CancellationToken,
) -> anyhow::Result<T> {
    tokio::pin!(work);
    tokio::select! {
        done = &mut work => return done.map_err(Into::into),
        _ = tokio::signal::ctrl_c() => stop.cancel(),
    }
    work.await.map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn group(flags: &[&str]) -> String {
        let args = Cli::try_parse_from([&["x"], flags].concat()).unwrap().args;
        let chosen = args.slice.chosen(&Config::default()).unwrap();
        let selection = Selection { wanted: chosen.wanted, flows: chosen.flows, ..Selection::default() };
        job(&args, selection, &Config::default()).unwrap().group
    }

    #[test]
    fn the_same_flags_are_the_same_replay_and_others_another() {
        let flags = ["--into", "postgres", "--since", "-2h", "--flow", "a", "--flow", "b"];
        assert_eq!(group(&flags), group(&flags), "a time that is told from now moves on");
        let others = [
            group(&["--into", "postgres", "--since", "-3h", "--flow", "a", "--flow", "b"]),
            group(&["--into-topic", "t", "--since", "-2h", "--flow", "a", "--flow", "b"]),
            group(&["--into", "postgres", "--since", "-2h", "--flow", "a"]),
            group(&["--into", "postgres"]),
            group(&["--into", "postgres", "--rebuild"]),
            group(&["--into-topic", "t"]),
            group(&["--into-topic", "t", "--new-instance-ids"]),
            group(&["--into-topic", "u"]),
            group(&["--into-topic", "t", "--status", "Failed"]),
        ];
        let mut all: Vec<_> = others.into_iter().chain([group(&flags)]).collect();
        let count = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), count, "{all:?}");
        assert_eq!(group(&["--into-topic", "t", "--name", "night"]), "replay-night");
    }

    #[test]
    fn what_can_not_be_meant_is_wrong_usage() {
        for flags in [
            &[][..],
            &["--into", "postgres", "--into-topic", "t"],
            &["--into", "postgres", "--rate", "5"],
            &["--into", "postgres", "--new-instance-ids"],
            &["--into", "postgres", "--rebuild", "--since", "-2h"],
            &["--into", "postgres", "--rebuild", "--flow", "a"],
            &["--into", "postgres", "--index-last"],
            &["--into-topic", "t", "--rebuild"],
            &["--into-topic", "t", "--anew"],
            &["--into-topic", "t", "--name", "a b"],
        ] {
            assert!(Cli::try_parse_from([&["x"], flags].concat()).is_err(), "{flags:?}");
        }
    }
}
