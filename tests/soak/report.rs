//! What came of it, for people.

use std::{fmt, process::ExitStatus, time::Duration};

use tokio_postgres::Client;

use crate::samples::{Sample, Thirds};

/// Of the whole time so much is for warming up: buffers that grow to their bounds, rows that retention does not remove yet.
const WARM_UP: f64 = 0.25;
/// A process may have so many open files more than before: connections of a moment.
const FILES: u64 = 3;

/// What is said in the end.
#[derive(Debug)]
pub struct Report {
    length: Duration,
    did: Vec<(&'static str, u64)>,
    lines: Vec<String>,
    /// What is not as it should be.
    pub faults: Vec<String>,
}

impl Report {
    pub fn new(length: Duration) -> Self {
        Self { length, did: Vec::new(), lines: Vec::new(), faults: Vec::new() }
    }

    /// Notes how often something was done; what never was proves nothing.
    pub fn did(&mut self, what: &'static str, times: u64) {
        if times == 0 {
            self.faults.push(format!("{what}: none"));
        }
        self.did.push((what, times));
    }

    pub fn caught_up(&mut self, took: Duration) {
        self.lines.push(format!("Nothing was behind {:.1} s after the last event.", took.as_secs_f64()));
    }

    /// Notes how much a process had, and whether it grew.
    pub fn flat(&mut self, process: &str, samples: &[Sample]) {
        let warm_up = self.length.mul_f64(WARM_UP);
        let memory = Thirds::of(samples, warm_up, |sample| sample.memory >> 10);
        let files = Thirds::of(samples, warm_up, |sample| sample.files);
        let (Some(memory), Some(files)) = (memory, files) else {
            self.faults.push(format!("{process}: too few samples"));
            return;
        };
        let highest = samples.iter().map(|sample| sample.memory >> 10).max().unwrap_or_default();
        self.lines.push(format!(
            "`{process}`: resident memory {} MB in the first third behind the warm-up, {} MB in the last, {highest} MB at \
             most; open files {} and {}.",
            memory.first, memory.last, files.first, files.last
        ));
        for (what, thirds, slack) in [("memory", memory, 0), ("open files", files, FILES)] {
            if !thirds.is_flat(slack) {
                self.faults.push(format!("{process}: {what} grew from {} to {}", thirds.first, thirds.last));
            }
        }
    }

    /// Notes what is left in the tables; retention that removed nothing, or all, proves nothing.
    pub async fn kept(&mut self, client: &Client) -> anyhow::Result<()> {
        let sql = "SELECT (SELECT count(*) FROM flowstate), (SELECT count(*) FROM steps), \
                   (SELECT count(*) FROM ft_tombstone WHERE removedat IS NOT NULL), \
                   (SELECT sum(nextoffset)::bigint FROM ft_offset WHERE consumergroup = 'soak')";
        let row = client.query_one(sql, &[]).await?;
        let [flows, steps, removed, records] = [0, 1, 2, 3].map(|column| row.get::<_, i64>(column));
        self.lines.push(format!(
            "{records} records were stored. {removed} flows were removed by retention; {flows} flows and {steps} steps are left."
        ));
        if flows == 0 || removed == 0 {
            self.faults.push(format!("{flows} flows are left and {removed} were removed"));
        }
        Ok(())
    }

    /// Notes how `verify` ended.
    pub fn verified(&mut self, status: ExitStatus, said: &str) {
        self.lines.push(format!("`flowtrail verify`: {said}"));
        if !status.success() {
            self.faults.push(format!("verify ended with {status}: {said}"));
        }
    }
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
        let commit = command("git", &["describe", "--always", "--dirty"]);
        let release = if cfg!(debug_assertions) { "" } else { " --release" };
        let (date, seconds) = (command("date", &["-u", "+%F"]), self.length.as_secs());
        writeln!(f, "# Soak\n")?;
        writeln!(f, "Written on {date} of commit {commit} by\n")?;
        writeln!(
            f,
            "```console\n$ IT_SOAK_SECONDS={seconds} IT_SOAK_REPORT=docs/soak.md cargo test{release} --test soak\n```\n"
        )?;
        writeln!(f, "{INTRODUCTION}")?;
        writeln!(f, "| what | times |\n| --- | ---: |")?;
        for (what, times) in &self.did {
            writeln!(f, "| {what} | {times} |")?;
        }
        writeln!(f)?;
        for line in &self.lines {
            writeln!(f, "- {line}")?;
        }
        for fault in &self.faults {
            writeln!(f, "- **{fault}**")?;
        }
        Ok(())
    }
}

const INTRODUCTION: &str = "\
Real servers and real processes, all at once: events are made up and published, repeated and out of order; a recording of a
Flogo app is posted to the gateway; of three collectors one comes and goes, one is killed again and again, and one stays; what
came lately is replayed into the tables and onto another topic; retention removes flows that did not fail after 20 seconds.
The collector that stays and the gateway are looked at twice a second. The first quarter is for warming up; of the rest, the
medians of the first and of the last third are compared, and the last may be 1.05 times the first.\n";
