//! What came of it: a table, for people.

use std::{fmt, time::Duration};

use crate::oracle::Difference;

/// A row of the table.
#[derive(Debug, Default)]
pub struct Row {
    pub fault: String,
    pub sentence: String,
    pub times: u32,
    pub events: i64,
    /// What was stored when the fault came, in records.
    pub at: Vec<i64>,
    pub rows: u64,
    pub lost: u64,
    pub doubled: u64,
    pub wrong: u64,
    pub recovery: Vec<Duration>,
    /// Why it was not done.
    pub skipped: Option<String>,
}

impl Row {
    pub fn add(&mut self, at: Option<i64>, recovery: Option<Duration>, difference: &Difference) {
        self.times += 1;
        self.at.extend(at);
        self.recovery.extend(recovery);
        self.rows += difference.rows;
        self.lost += difference.lost;
        self.doubled += difference.doubled;
        self.wrong += difference.wrong;
    }
}

/// What was measured beside the table.
#[derive(Debug)]
pub struct Measured {
    pub title: String,
    pub text: String,
}

/// Everything.
#[derive(Debug, Default)]
pub struct Report {
    pub events: usize,
    pub times: u32,
    pub seed: u64,
    pub backlog: usize,
    pub made_of: String,
    pub rows: Vec<Row>,
    pub measured: Vec<Measured>,
    pub took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let command = |name, arguments: &[&str]| {
            let output = std::process::Command::new(name).args(arguments).output();
            output.map_or_else(
                |_| "?".to_owned(),
                |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
            )
        };
        let date = command("date", &["-u", "+%F"]);
        let commit = command("git", &["rev-parse", "--short", "HEAD"]);
        // Reports are written while others are not committed yet.
        let changed = command("git", &["status", "--porcelain", "--", ".", ":!docs"]);
        let commit = if changed.is_empty() { commit } else { format!("{commit} with changes") };
        let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
        let release = if cfg!(debug_assertions) { "" } else { " --release" };
        writeln!(f, "# Reliability\n")?;
        writeln!(
            f,
            "Written on {date} of commit {commit}, on {cores} cores, in {} s, by\n\n```console\n$ IT_FAULTS_EVENTS={} \
             IT_FAULTS_TIMES={} IT_FAULTS_SEED={} IT_FAULTS_BACKLOG_MB={} \\\n    IT_FAULTS_REPORT=docs/reliability.md \
             cargo test{release} --test faults\n```\n",
            self.took.as_secs(),
            self.events,
            self.times,
            self.seed,
            self.backlog >> 20
        )?;
        writeln!(f, "{INTRODUCTION}")?;
        writeln!(f, "{}\n", self.made_of)?;
        writeln!(
            f,
            "| fault | times | events | at row | rows compared | lost | doubled | wrong | recovery (s) |"
        )?;
        writeln!(f, "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | --- |")?;
        for row in &self.rows {
            writeln!(f, "{row}")?;
        }
        writeln!(f, "\n## What is done, and what happens\n")?;
        for row in &self.rows {
            writeln!(f, "- **{}**: {}", row.fault, row.sentence)?;
        }
        for Measured { title, text } in &self.measured {
            writeln!(f, "\n## {title}\n\n{text}")?;
        }
        Ok(())
    }
}

const INTRODUCTION: &str = "\
Real servers and real processes: a topic of six partitions is drained into an empty database by `flowtrail collect`, and in
the middle of it something is done to one of them. Afterwards every column of every row of every table is compared with what
an oracle expects: Python that reads the bytes of the topic by itself and shares no code with flowtrail
(`tests/faults/oracle`, with the merge law of `tests/law/model.py`). *Lost* rows are not there, *doubled* ones are there twice or
should not be there or count too much, *wrong* ones have another value in some column. *At row* is how many events were stored
when the fault came; *recovery* is from the end of the fault (for what was killed, from the kill) until every partition had
gone on: the least, the median and the greatest. A round that fails is not tried again.\n";

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(reason) = &self.skipped {
            return write!(f, "| {} | skipped: {reason} | | | | | | | |", self.fault);
        }
        let at: Vec<String> = self.at.iter().map(i64::to_string).collect();
        let mut recovery = self.recovery.clone();
        recovery.sort_unstable();
        let seconds = |of: Duration| format!("{:.1}", of.as_secs_f64());
        let recovery = match recovery[..] {
            [] => "–".to_owned(),
            [only] => seconds(only),
            [first, .., last] => {
                format!("{} / {} / {}", seconds(first), seconds(recovery[recovery.len() / 2]), seconds(last))
            }
        };
        write!(
            f,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {recovery} |",
            self.fault,
            self.times,
            self.events,
            at.join(", "),
            self.rows,
            self.lost,
            self.doubled,
            self.wrong
        )
    }
}
