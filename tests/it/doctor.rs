//! `flowtrail doctor` on real servers: each of its lines is made to say what it is there to say.

use flowtrail::{
    config::Config,
    doctor::{self, Finding, Options, Verdict},
};

mod cluster;
mod database;
pub mod own;
mod rights;

/// What it finds with these settings.
pub async fn examine(config: &Config) -> Vec<Finding> {
    examine_with(config, &Options::default()).await
}

/// What it finds with these settings and options.
pub async fn examine_with(config: &Config, options: &Options) -> Vec<Finding> {
    Box::pin(doctor::examine(config, options)).await
}

/// The findings of one check, of which there is one at least.
pub fn of<'a>(findings: &'a [Finding], check: &str) -> Vec<&'a Finding> {
    let found: Vec<&Finding> = findings.iter().filter(|finding| finding.check == check).collect();
    assert!(!found.is_empty(), "nothing is said of {check} in {findings:#?}");
    found
}

/// The worst that is said of a check has this verdict, and holds these words in what is said and advised.
pub fn assert_says(findings: &[Finding], check: &str, verdict: Verdict, words: &[&str]) {
    let found = of(findings, check);
    let order = [Verdict::Fail, Verdict::Warn, Verdict::Skipped, Verdict::Ok];
    let worst = order.into_iter().find(|verdict| found.iter().any(|finding| finding.verdict == *verdict));
    assert_eq!(worst, Some(verdict), "{found:#?}");
    let fits = |finding: &&&Finding| {
        let text = format!("{} → {}", finding.said, finding.advice.as_deref().unwrap_or_default());
        finding.verdict == verdict && words.iter().all(|word| text.contains(word))
    };
    assert!(found.iter().any(|finding| fits(&finding)), "no {words:?} in {found:#?}");
    for finding in found {
        let advised = matches!(finding.verdict, Verdict::Warn | Verdict::Fail);
        assert_eq!(finding.advice.is_some(), advised, "{finding:?}");
    }
}
