//! What has been kept long enough goes: flows by policy, dead letters and audit by age.
//!
//! [`policy`] says which flows go, [`plan`] shows it, [`run`] removes them a batch at a time at the speed that [`pace`]
//! allows, [`archive`] writes them to files before, [`at_once`] keeps what would go at once from being stored, and [`schedule`] has one of the collectors do it. [`erasure`] removes flows
//! that somebody names. docs/retention.md says what keeps a removed flow from coming back.

pub mod archive;
mod at_once;
pub mod erasure;
mod pace;
mod payloads;
pub mod plan;
mod policy;
pub mod run;
pub mod schedule;

use serde_json::json;

pub use self::at_once::Sparing;
pub use self::policy::{Cutoff, Fate, Policies, PolicyError, Traits};
use crate::{
    clock,
    config::Config,
    model::Micros,
    postgres::{
        audit, audit_outcome,
        connect::{self, PostgresError},
        keeps_sessions,
        retention::{Aged, Purge},
    },
};

/// Name of the sessions.
const APPLICATION: &str = "flowtrail-retention";

/// So many flows are looked at in one question.
const PAGE: i64 = 5_000;

/// So many marks are taken away in one statement.
const MARKS: usize = 1_000;

/// Why nothing is removed, or nothing more.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// A policy can't be worked with.
    #[error("retention.policies: {0}")]
    Policy(#[from] PolicyError),
    /// Postgres does not answer, or refuses.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// A transaction pooler is in between.
    #[error(
        "Postgres is reached through a pooler that pools transactions, and retention needs sessions of its own: connect \
         to the server itself, or to a pool with `pool_mode = session`"
    )]
    TransactionPooler,
    /// Somebody else is at it.
    #[error("another flowtrail is removing flows of this database; try again when it is done")]
    Busy,
    /// Collectors hold the lock that flows are marked under.
    #[error(
        "the lock of the batches could not be had {0} times; collectors are slow or stuck, try again when they are not"
    )]
    Held(u32),
    /// Flows can't be archived, so they stay.
    #[error("cannot archive to {place}; the flows stay")]
    Archive {
        /// The folder or bucket.
        place: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A file of the archive can't be read, or not be written anew.
    #[error(
        "cannot look for flows in {place}; their rows stay until that is put right and they are erased once more"
    )]
    Archived {
        /// The file, or the folder or bucket.
        place: String,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A part of it died without a word.
    #[error("a part of it ended by itself; this is a defect of flowtrail")]
    Died,
}

/// Takes back that flows were removed: what is published of them is stored again. Says how many had been removed. `actor`
/// is who asks for it.
pub async fn readmit(config: &Config, actor: &str, flows: &[String]) -> Result<u64, RetentionError> {
    let purge = purge(config).await?;
    let failed = of_statement(config);
    let note = json!({ "flows": flows.len() });
    let note = audit(purge.client(), actor, "retention.readmit", "flows", &note).await.map_err(&failed)?;
    let mut readmitted = 0;
    for flows in flows.chunks(MARKS) {
        let flows: Vec<&str> = flows.iter().map(String::as_str).collect();
        readmitted += purge.readmit(&flows).await.map_err(&failed)?;
    }
    let came = json!({ "readmitted": readmitted });
    audit_outcome(purge.client(), note, &came).await.map_err(&failed)?;
    Ok(readmitted)
}

/// A session of its own.
async fn purge(config: &Config) -> Result<Purge, RetentionError> {
    // Its turn, its settings and its locks are those of a session.
    if !keeps_sessions(&config.postgres).await? {
        return Err(RetentionError::TransactionPooler);
    }
    let client = connect::connect(&config.postgres, APPLICATION).await?;
    Purge::prepare(client).await.map_err(of_statement(config))
}

fn of_statement(config: &Config) -> impl Fn(tokio_postgres::Error) -> RetentionError {
    |error| PostgresError::of_statement(&config.postgres, error).into()
}

/// This moment, to the microsecond.
fn now() -> Micros {
    Micros::new(clock::now().as_microsecond()).unwrap_or(Micros::FIRST)
}

impl Aged {
    /// What policies go by.
    fn traits(&self) -> Traits<'_> {
        Traits {
            id: &self.flow,
            app: self.app.as_deref(),
            flow: self.name.as_deref(),
            status: self.status.as_deref(),
            finished: self.finished,
        }
    }

    /// When it started; one before all times that can be told is at the first of them.
    fn started(&self) -> Micros {
        Micros::new(self.started.as_microsecond()).unwrap_or(Micros::FIRST)
    }
}
