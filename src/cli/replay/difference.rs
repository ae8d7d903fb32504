//! `flowtrail replay --into postgres --dry-run`: the rows that a replay would insert or change.

use std::sync::Arc;

use indicatif::HumanCount;
use serde_json::json;

use super::{
    super::{
        Outcome,
        output::{Format, Output},
        verify::{self as shown, Bar},
    },
    Args,
};
use crate::{
    config::Config,
    replay::{self, Selection},
    verify::{Difference, Progress, Report},
};

pub(super) async fn run(args: &Args, config: &Config, selection: &Selection) -> anyhow::Result<Outcome> {
    let progress = Arc::new(Progress::default());
    let bar = Bar::new(args.format, progress.clone());
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let (mut kept, mut printing, mut count) = (Vec::new(), Ok(()), 0_usize);
    let found = |difference: Difference| {
        count += 1;
        if count > limit || printing.is_err() {
            return;
        }
        // Lines are printed as they are found; a table has to be known as a whole.
        match args.format {
            Format::Ndjson => printing = shown::line(&difference),
            Format::Table | Format::Json => kept.push(difference),
        }
    };
    let report = bar.beside(Box::pin(replay::difference(config, selection, progress, found))).await?;
    printing?;
    kept.sort();
    print(args.format, &kept, &report)?;
    Ok(if report.differs() { Outcome::Difference } else { Outcome::Done })
}

fn print(format: Format, kept: &[Difference], report: &Report) -> anyhow::Result<()> {
    let mut output = Output::stdout();
    match format {
        Format::Table => {
            output.table(kept, &shown::COLUMNS)?;
            output.line(&sentence(report, kept.len()))?;
        }
        Format::Json => output.json(&json!({ "differences": kept, "summary": report }))?,
        Format::Ndjson => output.line_of_json(&json!({ "summary": report }))?,
    }
    Ok(output.finish()?)
}

fn sentence(report: &Report, shown: usize) -> String {
    let (missing, different) = (report.missing, report.different);
    let hidden = (missing + different).saturating_sub(u64::try_from(shown).unwrap_or(u64::MAX));
    let more = if hidden == 0 {
        String::new()
    } else {
        format!(" ({} are not shown; --limit 0 shows all)", HumanCount(hidden))
    };
    format!(
        "{} records, {} rows: {} would be inserted, {} changed{more}; nothing was done",
        HumanCount(report.records),
        HumanCount(report.rows),
        HumanCount(missing),
        HumanCount(different),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_shown_is_counted() {
        let report = Report { records: 1_200, rows: 300, missing: 3, different: 1, ..Report::default() };
        assert_eq!(
            sentence(&report, 4),
            "1,200 records, 300 rows: 3 would be inserted, 1 changed; nothing was done"
        );
        assert!(sentence(&report, 1).contains("(3 are not shown"));
    }
}
