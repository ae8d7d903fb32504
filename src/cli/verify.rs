//! `flowtrail verify`: whether the tables hold what is on the topic.

use std::{
    env,
    io::{self, IsTerminal as _},
    path::PathBuf,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{
    Outcome,
    output::{Column, Format, Output, OutputError},
    slice,
};
use crate::{
    clock,
    config::Config,
    verify::{self, Difference, Options, Progress, Report, judge::Kind},
};

/// How often the bar moves.
const TICK: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail verify
  flowtrail verify --since -2h
  flowtrail verify --flow 5c5a8fbc3ab0cbe5
  flowtrail verify --since 3:1200 --until 3:1300 --format ndjson

Records are read from Kafka, merged as a collector would merge them, and compared with the tables; nothing is changed.
A row is missing, different, or extra. What the group has not stored yet, what Postgres refused and what retention
removed is no difference. Extra rows, and values that go beyond what was said, can be told only of flows whose whole
story is in the slice: it has no --until, and begins with the partition or a minute before the flow was opened.

Exit codes: 0 no difference, 3 a difference, 1 it could not be found out, 2 wrong usage.")]
pub(crate) struct Args {
    /// Consumer group whose stored offsets say how far the slice goes [default: kafka.group]
    #[arg(long)]
    group: Option<String>,
    /// Compare records too that the group has not stored yet
    #[arg(long)]
    with_lag: bool,
    /// As many differences are shown; all are counted. 0 shows all
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    limit: usize,
    /// Megabytes of records to keep in memory before they go to files
    #[arg(long, value_name = "MB", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    memory: u32,
    /// Folder for those files; they have no names and are gone with the command [default: $TMPDIR, else /tmp]
    #[arg(long, value_name = "FOLDER")]
    spill_dir: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
    #[command(flatten)]
    slice: slice::SliceArgs,
}

pub(super) const COLUMNS: [Column<Difference>; 6] = [
    Column::whole("TABLE", |found| found.row.table.to_owned()),
    Column::whole("FLOW", |found| found.of.clone()),
    Column::text("STEP", |found| found.row.key.step.clone().unwrap_or_else(|| "-".to_owned())),
    Column::whole("IS", |found| word(found.row.kind).to_owned()),
    Column::text("WHAT", what),
    Column::text("RECORDS", |found| {
        found.records.as_ref().map_or_else(|| "-".to_owned(), |(first, last)| format!("{first} … {last}"))
    }),
];

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Missing => "missing",
        Kind::Different => "different",
        Kind::Extra => "extra",
    }
}

fn what(found: &Difference) -> String {
    let key = &found.row.key;
    let variable = key.name.as_deref().map(|name| match key.scope.as_deref() {
        Some(scope) if !scope.is_empty() => format!("variable {name} of {scope}"),
        _ => format!("variable {name}"),
    });
    let number = key.number.map(|number| format!("number {number}"));
    let hash = key.hash.as_ref().map(|hash| format!("hash {hash}"));
    let columns = found.row.columns.iter();
    let columns = columns
        .map(|differing| format!("{} is {}, not {}", differing.column, differing.stored, differing.wanted));
    let parts: Vec<String> = variable.into_iter().chain(number).chain(hash).chain(columns).collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join("; ") }
}

#[derive(Debug, Serialize)]
struct Whole<'a> {
    differences: &'a [Difference],
    summary: Summary<'a>,
}

#[derive(Debug, Serialize)]
struct Summary<'a> {
    #[serde(flatten)]
    report: &'a Report,
    seconds: f64,
}

pub(crate) async fn run(args: Args, config: &Config) -> anyhow::Result<Outcome> {
    let mut config = config.clone();
    if let Some(group) = &args.group {
        config.kafka.group.clone_from(group);
    }
    let config = &config;
    let chosen = Box::pin(args.slice.narrowed(config)).await?;
    let options = Options {
        wanted: chosen.wanted,
        flows: chosen.flows,
        with_lag: args.with_lag,
        only_unstored: false,
        memory: usize::try_from(args.memory).unwrap_or(64) << 20,
        spill_folder: args.spill_dir.clone().unwrap_or_else(env::temp_dir),
    };
    let (progress, began) = (Arc::new(Progress::default()), clock::monotonic());
    let bar = Bar::new(args.format, progress.clone());
    let (mut kept, mut printing) = (Vec::new(), Ok(()));
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let mut shown = 0_usize;
    let found = |difference: Difference| {
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
    let report = bar.beside(Box::pin(verify::verify(config, options, progress, found))).await?;
    printing?;
    kept.sort();
    print(&args, &kept, &report, began)?;
    Ok(if report.differs() { Outcome::Difference } else { Outcome::Done })
}

pub(super) fn line(difference: &Difference) -> Result<(), OutputError> {
    let mut output = Output::stdout();
    output.line_of_json(difference)?;
    output.finish()
}

fn print(args: &Args, kept: &[Difference], report: &Report, began: Instant) -> anyhow::Result<()> {
    let mut output = Output::stdout();
    let summary = Summary { report, seconds: began.elapsed().as_secs_f64() };
    match args.format {
        Format::Table => {
            output.table(kept, &COLUMNS)?;
            for sentence in sentences(report, kept.len()) {
                output.line(&sentence)?;
            }
        }
        Format::Json => output.json(&Whole { differences: kept, summary })?,
        Format::Ndjson => output.line_of_json(&serde_json::json!({ "summary": summary }))?,
    }
    Ok(output.finish()?)
}

/// What was compared, and what of it has to be known to trust it.
fn sentences(report: &Report, shown: usize) -> Vec<String> {
    let many = |count: u64, thing: &str| {
        format!("{} {thing}{}", HumanCount(count), if count == 1 { "" } else { "s" })
    };
    let total = report.missing + report.different + report.extra;
    let mut sentences = Vec::new();
    let hidden = total.saturating_sub(u64::try_from(shown).unwrap_or(u64::MAX));
    if hidden > 0 {
        sentences.push(format!("… and {} more; --limit 0 shows all", HumanCount(hidden)));
    }
    let found = if total == 0 {
        "no difference".to_owned()
    } else {
        let (missing, different) = (HumanCount(report.missing), HumanCount(report.different));
        format!("{missing} missing, {different} different, {} extra", HumanCount(report.extra))
    };
    let partitions = many(u64::try_from(report.partitions.len()).unwrap_or(0), "partition");
    sentences.push(format!(
        "{} of {partitions}: {}, {}: {found}",
        many(report.records, "record"),
        many(report.flows, "flow"),
        many(report.rows, "row"),
    ));
    let waiting: u64 = report.partitions.iter().map(|part| part.not_yet_stored).sum();
    if waiting > 0 {
        sentences.push(format!(
            "left out: {} that the group has not stored yet (--with-lag)",
            many(waiting, "offset")
        ));
    }
    if report.rejected + report.refused > 0 {
        let dead = many(report.rejected + report.refused, "dead letter");
        sentences.push(format!("left out: {dead} (flowtrail deadletter list)"));
    }
    if report.removed_by_retention > 0 {
        sentences
            .push(format!("left out: {} that retention removed", many(report.removed_by_retention, "flow")));
    }
    if report.flows_in_motion > 0 {
        let flows = many(report.flows_in_motion, "flow");
        sentences.push(format!(
            "{flows} changed too fast to look for extra rows; try again, or while the collector rests"
        ));
    }
    let cut = report.flows.saturating_sub(report.flows_told_whole);
    if cut > 0 {
        sentences.push(format!(
            "of {} the slice has not the whole story: extra rows of these are not told",
            many(cut, "flow")
        ));
    }
    sentences
}

/// A bar on stderr, on a terminal only.
pub(super) struct Bar {
    bar: ProgressBar,
    progress: Arc<Progress>,
}

impl Bar {
    pub(super) fn new(format: Format, progress: Arc<Progress>) -> Self {
        let is_seen = format == Format::Table && io::stderr().is_terminal();
        let bar = if is_seen { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{msg} {bar:30} {percent:>3} %, {eta} left");
        Self { bar: bar.with_style(style.expect("the template is a constant")), progress }
    }

    /// Moves while the work goes on.
    pub(super) async fn beside<T>(self, mut work: impl Future<Output = T> + Unpin) -> T {
        let mut tick = tokio::time::interval(TICK);
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                _ = tick.tick() => self.draw(),
            }
        };
        self.bar.finish_and_clear();
        done
    }

    fn draw(&self) {
        let Progress { offsets, read, bytes, compared } = &*self.progress;
        let of = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
        let (message, done, total) = match of(bytes) {
            0 => ("reading  ", of(read), of(offsets)),
            bytes => ("comparing", of(compared), bytes),
        };
        if self.bar.message() != message {
            // Each half has a pace of its own.
            self.bar.reset_eta();
            self.bar.set_message(message);
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_out_is_said() {
        let report = Report {
            records: 1_200,
            flows: 10,
            flows_told_whole: 9,
            rows: 1,
            missing: 3,
            rejected: 1,
            partitions: vec![verify::Part {
                topic: "t".to_owned(),
                partition: 0,
                from: 0,
                to: 9,
                not_yet_stored: 2,
            }],
            ..Report::default()
        };
        let said = sentences(&report, 1);
        assert_eq!(said[0], "… and 2 more; --limit 0 shows all");
        assert_eq!(said[1], "1,200 records of 1 partition: 10 flows, 1 row: 3 missing, 0 different, 0 extra");
        assert!(
            said[2].contains("2 offsets")
                && said[3].contains("1 dead letter (")
                && said[4].contains("1 flow ")
        );
        assert_eq!(
            sentences(&Report::default(), 0),
            ["0 records of 0 partitions: 0 flows, 0 rows: no difference"]
        );
    }
}
