//! How far a replay is, and what came of it.

use std::{
    io::{self, IsTerminal as _},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use indicatif::{HumanBytes, HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use serde::Serialize;

use super::super::output::{Format, Output};
use crate::{
    postgres::Ops,
    replay::{Copied, Counted, Part, Phase, Progress, Read, Stored},
};

/// How often the bar moves.
const TICK: Duration = Duration::from_millis(100);

/// How often the log says how far it is, where there is no terminal.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// A bar on stderr; off a terminal, lines of the log.
pub(super) struct Bar {
    drawn: ProgressBar,
    is_terminal: bool,
    progress: Arc<Progress>,
}

impl Bar {
    pub(super) fn new(format: Format, progress: Arc<Progress>) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let is_seen = format == Format::Table && is_terminal;
        let bar = if is_seen { ProgressBar::new(0) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{msg} {bar:30} {percent:>3} %, {per_sec:.0}, {eta} left");
        Self { drawn: bar.with_style(style.expect("the template is a constant")), is_terminal, progress }
    }

    /// Moves while the work goes on.
    pub(super) async fn beside<T>(&self, mut work: impl Future<Output = T> + Unpin) -> T {
        let every = if self.is_terminal { TICK } else { LOG_EVERY };
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
        let done = loop {
            tokio::select! {
                done = &mut work => break done,
                _ = tick.tick() => self.draw(),
            }
        };
        self.drawn.finish_and_clear();
        done
    }

    fn draw(&self) {
        let message = match self.progress.phase() {
            Phase::Comparing => "comparing",
            Phase::Choosing => "choosing ",
            Phase::Replaying => "replaying",
        };
        let of = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::Relaxed);
        let (done, total) = (of(&self.progress.done), of(&self.progress.offsets));
        if !self.is_terminal {
            tracing::info!(
                event = "replay_progress",
                phase = message.trim_end(),
                done,
                total,
                "a replay goes on"
            );
        }
        if self.drawn.message() != message {
            // Each phase has a pace of its own.
            self.drawn.reset_eta();
            self.drawn.set_message(message);
        }
        self.drawn.set_length(total);
        self.drawn.set_position(done);
    }
}

#[derive(Debug, Serialize)]
struct Whole<'a, T> {
    #[serde(flatten)]
    came: &'a T,
    seconds: f64,
}

pub(super) fn stored(stored: &Stored, format: Format, rebuild: bool, began: Instant) -> anyhow::Result<()> {
    let mut sentences = vec![
        format!("{} → Postgres: {}", stored.group, many(stored.replayed, "record")),
        of_rows("steps", stored.steps),
        of_rows("flows", stored.flows),
    ];
    if stored.variables != Ops::default() {
        sentences.push(of_rows("variables", stored.variables));
    }
    if stored.superseded + stored.dead_letters > 0 {
        let superseded = many(stored.superseded, "superseded step");
        sentences.push(format!("{superseded}, {} that are new", many(stored.dead_letters, "dead letter")));
    }
    if stored.partitions.iter().any(|part| part.resumed) {
        sentences.push(
            "what an earlier process had stored of it was left out; --anew replays all of it".to_owned(),
        );
    }
    if rebuild {
        sentences.extend(stored.partitions.iter().filter_map(lost));
    }
    sentences.push(read(&stored.partitions, stored.read, began));
    print(stored, &sentences, format, began)
}

pub(super) fn copied(copied: &Copied, format: Format, began: Instant) -> anyhow::Result<()> {
    let records = many(copied.replayed, "record");
    let mut sentences = vec![format!(
        "{} → {}: {records} in {}",
        copied.group,
        copied.topic,
        many(copied.transactions, "transaction")
    )];
    let is_left = |part: &Part| part.to > part.from;
    if !copied.partitions.iter().any(is_left) && copied.partitions.iter().any(|part| part.resumed) {
        sentences.push("all of it was copied before; --name NAME makes another replay of it".to_owned());
    }
    sentences.push(read(&copied.partitions, copied.read, began));
    print(copied, &sentences, format, began)
}

pub(super) fn counted(counted: &Counted, topic: &str, format: Format, began: Instant) -> anyhow::Result<()> {
    let sentences = [
        format!("{} would go to {topic}; nothing was done", many(counted.replayed, "record")),
        read(&counted.partitions, counted.read, began),
    ];
    print(counted, &sentences, format, began)
}

fn print<T: Serialize>(came: &T, sentences: &[String], format: Format, began: Instant) -> anyhow::Result<()> {
    let mut output = Output::stdout();
    let whole = Whole { came, seconds: began.elapsed().as_secs_f64() };
    match format {
        Format::Table => sentences.iter().try_for_each(|sentence| output.line(sentence))?,
        Format::Json => output.json(&whole)?,
        Format::Ndjson => output.line_of_json(&whole)?,
    }
    Ok(output.finish()?)
}

fn of_rows(table: &str, Ops { insert, update, unchanged, kept_out, left_out }: Ops) -> String {
    let [insert, update, unchanged] = [insert, update, unchanged].map(HumanCount);
    // Only where something was deleted or removed is there anything to say of it.
    let not_stored =
        |rows, what| if rows == 0 { String::new() } else { format!(", {} {what}", HumanCount(rows)) };
    let (kept_out, left_out) = (not_stored(kept_out, "kept out"), not_stored(left_out, "left out"));
    format!("{table}: {insert} inserted, {update} changed, {unchanged} unchanged{kept_out}{left_out}")
}

/// What a rebuild can't bring back.
fn lost(part: &Part) -> Option<String> {
    let Part { topic, partition, from, resumed, .. } = part;
    let is_lost = *from > 0 && !resumed;
    is_lost.then(|| {
        format!(
            "{topic}[{partition}] begins at offset {from}: what was before is not on it any more, nor in the tables"
        )
    })
}

fn read(partitions: &[Part], read: Read, began: Instant) -> String {
    let resumed = partitions.iter().filter(|part| part.resumed).count();
    let resumed = if resumed == 0 { String::new() } else { format!(", {resumed} of them begun before") };
    format!(
        "read: {} and {} of {}{resumed}, in {}",
        many(read.records, "record"),
        HumanBytes(read.bytes),
        many(u64::try_from(partitions.len()).unwrap_or(0), "partition"),
        HumanDuration(began.elapsed()),
    )
}

fn many(count: u64, thing: &str) -> String {
    format!("{} {thing}{}", HumanCount(count), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_rebuild_can_not_bring_back_is_said() {
        let part = |from, resumed| Part { topic: "t".to_owned(), partition: 3, from, to: 9, resumed };
        assert!(lost(&part(5, false)).is_some_and(|said| said.starts_with("t[3] begins at offset 5")));
        assert_eq!((lost(&part(0, false)), lost(&part(5, true))), (None, None));
    }

    #[test]
    fn rows_are_told_by_what_became_of_them() {
        let ops = Ops { insert: 1_000, update: 2, ..Ops::default() };
        assert_eq!(of_rows("steps", ops), "steps: 1,000 inserted, 2 changed, 0 unchanged");
        let ops = Ops { kept_out: 7, ..ops };
        assert_eq!(of_rows("steps", ops), "steps: 1,000 inserted, 2 changed, 0 unchanged, 7 kept out");
    }
}
