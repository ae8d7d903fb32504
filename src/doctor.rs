//! Looks at Kafka, Postgres and the clocks, and says of each thing whether it is fit for collecting, and what to do.
//!
//! Looking and judging are apart: [`crate::kafka::look`] and [`crate::postgres::look`] read and change nothing, the
//! modules below are functions of what was read. What can't be read is a finding of its own, never the end of the others.

use serde::Serialize;

use crate::{
    config::Config,
    postgres::look::{self as postgres_look, Look},
};

mod clock;
mod database;
mod sessions;
mod storage;
mod unit;

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// It works, and something will go wrong with it some day, or is worth knowing.
    Warn,
    /// A collector can't work with it, or history is lost by it.
    Fail,
    /// It could not be looked at.
    Skipped,
}

impl Verdict {
    /// The word people read.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skipped => "skipped",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was checked; a name that stays.
    pub check: &'static str,
    /// Of what: a topic, a table, a session; empty where there is only one.
    pub subject: String,
    /// How it stands.
    pub verdict: Verdict,
    /// What was found, in one sentence with its figures.
    pub said: String,
    /// What to do about it.
    pub advice: Option<String>,
}

impl Finding {
    fn new(check: &'static str, verdict: Verdict, said: impl Into<String>) -> Self {
        Self { check, subject: String::new(), verdict, said: said.into(), advice: None }
    }

    pub(crate) fn ok(check: &'static str, said: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, said)
    }

    pub(crate) fn warn(check: &'static str, said: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..Self::new(check, Verdict::Warn, said) }
    }

    pub(crate) fn fail(check: &'static str, said: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..Self::new(check, Verdict::Fail, said) }
    }

    pub(crate) fn skipped(check: &'static str, why: impl Into<String>) -> Self {
        Self::new(check, Verdict::Skipped, why)
    }

    /// The finding, about this.
    #[must_use]
    pub(crate) fn of(mut self, subject: impl Into<String>) -> Self {
        self.subject = subject.into();
        self
    }
}

/// Whether any of these fails.
pub fn has_failed(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.verdict == Verdict::Fail)
}

/// Judges what was read; what could not be read is skipped, with the reason.
fn judged<T>(check: &'static str, read: &Result<T, String>, judge: impl FnOnce(&T) -> Finding) -> Finding {
    match read {
        Ok(facts) => judge(facts),
        Err(why) => Finding::skipped(check, format!("it could not be looked at: {why}")),
    }
}

/// Looks at everything. Nothing is changed, no group is joined and nothing is published. Takes a few seconds, and not
/// more than about half a minute whatever does not answer.
pub async fn examine(config: &Config) -> Vec<Finding> {
    postgres(config).await
}

/// The database's part.
async fn postgres(config: &Config) -> Vec<Finding> {
    let look = match Look::open(&config.postgres).await {
        Ok(look) => look,
        Err(error) => {
            return vec![Finding::fail(database::REACHABLE, error.to_string(), database::NOT_REACHED)];
        }
    };
    let facts = postgres_look::facts(&look, config).await;
    database::judge(&facts, config)
}
