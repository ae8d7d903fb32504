//! `flowtrail doctor`: looks at everything a collector needs, and says what to do.

use super::{
    Outcome, UsageError,
    output::{self, Column, Format, Output},
};
use crate::{
    config::Config,
    doctor::{self, Finding, Options, Verdict},
    span::span,
};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  flowtrail doctor
  flowtrail doctor --backup-age 24h
  flowtrail doctor --format json | jq -r '.[] | select(.verdict == \"fail\") | .check + \": \" + .advice'

It changes nothing, joins no group and publishes nothing, but for --probe. Exit codes: 0 nothing fails (a warning is no
failure), 3 something does.")]
pub(crate) struct Args {
    /// How old the newest backup may be when it is needed, as 24h or 7d: is Kafka's retention longer than that?
    #[arg(long, value_name = "AGE")]
    backup_age: Option<String>,
    /// How many of the newest records of each partition to look at, for partitioners and clocks of producers
    #[arg(long, value_name = "RECORDS", default_value_t = Options::default().sample)]
    sample: usize,
    /// Make a topic for a moment, and remove it, to learn the broker's clock
    #[arg(long)]
    probe: bool,
    /// How to print it
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: Format,
}

const COLUMNS: [Column<Finding>; 3] = [
    Column::whole("VERDICT", |row| row.verdict.name().to_owned()),
    Column::whole("CHECK", |row| row.check.to_owned()),
    Column::text("FOUND", |row| match &row.advice {
        Some(advice) => format!("{}\n→ {advice}", row.said),
        None => row.said.clone(),
    }),
];

pub(crate) async fn run(args: Args, config: &Config) -> anyhow::Result<Outcome> {
    let backup_age = args.backup_age.as_deref().map(|age| {
        span(age).ok_or_else(|| UsageError(format!("--backup-age {age}: want an age like 90m, 24h or 7d")))
    });
    let options = Options { backup_age: backup_age.transpose()?, sample: args.sample, probe: args.probe };
    let findings = Box::pin(doctor::examine(config, &options)).await;
    let mut output = Output::stdout();
    output.items(args.format, &findings, &COLUMNS)?;
    output.finish()?;
    if args.format == Format::Table {
        output::hint(&summary(&findings));
    }
    Ok(if doctor::has_failed(&findings) { Outcome::Difference } else { Outcome::Done })
}

/// What a person looks at last, beside the prompt.
fn summary(findings: &[Finding]) -> String {
    let of = |verdict| findings.iter().filter(move |finding| finding.verdict == verdict);
    let mut failed: Vec<&str> = of(Verdict::Fail).map(|finding| finding.check).collect();
    failed.dedup();
    let names = if failed.is_empty() { String::new() } else { format!(" ({})", failed.join(", ")) };
    let counts = [Verdict::Fail, Verdict::Warn, Verdict::Skipped, Verdict::Ok]
        .map(|verdict| format!("{} {}", of(verdict).count(), verdict.name()));
    let [fail, warn, skipped, ok] = counts;
    format!("{fail}{names}, {warn}, {skipped}, {ok}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_counts_and_names_what_fails() {
        let findings = [
            Finding::ok("a", ""),
            Finding::fail("b", "", ""),
            Finding::fail("b", "", ""),
            Finding::warn("c", "", ""),
            Finding::fail("d", "", ""),
        ];
        assert_eq!(summary(&findings), "3 fail (b, d), 1 warn, 0 skipped, 1 ok");
        assert_eq!(summary(&findings[..1]), "0 fail, 0 warn, 0 skipped, 1 ok");
    }
}
