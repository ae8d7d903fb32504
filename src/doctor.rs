//! Looks at Kafka, Postgres and the clocks, and says of each thing whether it is fit for collecting, and what to do.
//!
//! Looking and judging are apart: [`crate::kafka::look`] and [`crate::postgres::look`] read and change nothing, the
//! modules below are functions of what was read. What can't be read is a finding of its own, never the end of the others.

use std::{sync::Arc, time::Duration};

use serde::Serialize;

use crate::{
    clock,
    config::Config,
    kafka::look::{self as kafka_look, Facts as KafkaFacts, Look as KafkaLook, Standing},
    postgres::look::{self as postgres_look, Facts as PostgresFacts, Look as PostgresLook},
};

mod clocks;
mod cluster;
mod database;
mod marks;
mod producers;
mod progress;
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

/// What is wanted beside the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How old the newest backup may be when it is needed.
    pub backup_age: Option<Duration>,
    /// How many of the newest records of each partition are looked at.
    pub sample: usize,
    /// Make a topic for a moment, to learn the broker's clock.
    pub probe: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { backup_age: None, sample: 1_000, probe: false }
    }
}

/// Looks at everything. But for the topic of a probe nothing is changed, no group is joined and nothing is published.
/// Takes a few seconds, and no more than about a minute whatever does not answer.
pub async fn examine(config: &Config, options: &Options) -> Vec<Finding> {
    let (kafka, postgres) = tokio::join!(kafka(config, options), postgres(config));
    let mut found = Vec::new();
    match &kafka {
        Ok((_, facts)) => {
            let now = clock::now().as_millisecond();
            found.extend(cluster::judge(facts, config));
            let there = facts.topics.iter().filter(|topic| topic.standing == Standing::There);
            found.extend(there.clone().map(|topic| progress::backup(topic, options.backup_age)));
            found.extend(there.filter_map(|topic| marks::judge(topic, &config.retention)));
            found.extend(producers::judge(&facts.topics, now));
        }
        Err(why) => {
            found.push(Finding::fail(cluster::REACHABLE, why, cluster::NOT_REACHED));
            found.extend(WITH_KAFKA.map(|check| Finding::skipped(check, "Kafka does not answer")));
        }
    }
    match &postgres {
        Ok(facts) => {
            found.extend(database::judge(facts, config));
            match &facts.kept {
                Ok(kept) => found.extend(progress::kept_aside(*kept)),
                Err(why) => found.extend(KEPT_ASIDE.map(|check| Finding::skipped(check, why))),
            }
        }
        Err(why) => {
            found.push(Finding::fail(database::REACHABLE, why, database::NOT_REACHED));
            found.extend(WITH_POSTGRES.map(|check| Finding::skipped(check, "Postgres does not answer")));
        }
    }
    found.extend(stored(kafka.as_ref().ok(), postgres.as_ref().ok()).await);
    if kafka.is_ok() {
        found.push(broker_clock(config, options).await);
    }
    found
}

/// Checks that need Kafka, and those that need Postgres.
const WITH_KAFKA: [&str; 6] = [
    "kafka.topic",
    "kafka.rights",
    "kafka.group",
    "producers.partitioner",
    "producers.clock",
    "clock.broker",
];
const WITH_POSTGRES: [&str; 5] =
    ["postgres.schema", "postgres.rights", "postgres.connections", "postgres.disk", "clock.database"];
const KEPT_ASIDE: [&str; 2] = ["progress.dead_letters", "progress.gaps"];

async fn kafka(config: &Config, options: &Options) -> Result<(Arc<KafkaLook>, KafkaFacts), String> {
    let look = Arc::new(KafkaLook::new(&config.kafka).map_err(|error| error.to_string())?);
    let facts = Arc::clone(&look).facts(config, options.sample).await?;
    Ok((look, facts))
}

async fn postgres(config: &Config) -> Result<PostgresFacts, String> {
    let look = PostgresLook::open(&config.postgres).await.map_err(|error| error.to_string())?;
    Ok(postgres_look::facts(&look, config).await)
}

/// What is stored beside what Kafka has; that takes both.
async fn stored(
    kafka: Option<&(Arc<KafkaLook>, KafkaFacts)>,
    postgres: Option<&PostgresFacts>,
) -> Vec<Finding> {
    let skip =
        |why: &str| ["progress.offsets", "progress.lag"].map(|check| Finding::skipped(check, why)).to_vec();
    let (Some((look, facts)), Some(postgres)) = (kafka, postgres) else {
        return skip("that takes both Kafka and Postgres");
    };
    let stored = match &postgres.offsets {
        Ok(stored) => stored,
        Err(why) => return skip(&format!("stored offsets can't be read: {why}")),
    };
    let times = Arc::clone(look).times(progress::unread(&facts.topics, stored)).await;
    progress::judge(&facts.topics, stored, &times, clock::now().as_millisecond())
}

async fn broker_clock(config: &Config, options: &Options) -> Finding {
    if !options.probe {
        return clocks::broker_unasked();
    }
    clocks::broker(&kafka_look::broker_clock(&config.kafka).await)
}
