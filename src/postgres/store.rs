//! Postgres as the pipeline meets it: every error is told by what is to be done about it.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio_postgres::{Error, error::SqlState};

use super::{
    batch::{Batch, Written},
    connect::{self, PostgresError},
    fault::{Fault, sentence},
    gap::Gap,
    offset::Stored,
    offset_reader::OffsetReader,
    refusal::Refusal,
    session::Session,
    write::write,
};
use crate::{config, metrics, model::Partition};

/// Why something was not done, by what is to be done about it.
#[derive(Debug)]
pub enum Trouble {
    /// It passes: try again. Nothing is lost.
    Retry(String),
    /// A row is refused for what it holds.
    Refused(Refusal),
    /// A person has to put something right.
    Halt(StoreError),
}

impl Trouble {
    /// What follows from it.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Retry(_) => Fault::Retry,
            Self::Refused(_) => Fault::Reject,
            Self::Halt(_) => Fault::Halt,
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Retry(reason) => f.write_str(reason),
            Self::Refused(refusal) => f.write_str(&refusal.sentence),
            Self::Halt(error) => error.fmt(f),
        }
    }
}

/// Why nothing can be stored until a person has put something right.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Postgres refused the batch.
    #[error(
        "Postgres refused to store a batch: {0}; nothing is lost, it will be stored once this is put right"
    )]
    Refused(String),
    /// Postgres refused to say where partitions begin.
    #[error(
        "Postgres does not say what is stored: {0}; nothing is lost, reading begins once this is put right"
    )]
    Unread(String),
    /// A session could not be opened.
    #[error(transparent)]
    Session(#[from] PostgresError),
}

/// Where batches are stored. Postgres is it, and so is the simulation's database.
pub trait Database: Send + Sync + 'static {
    /// What one writer writes over.
    type Session: Send;

    /// Opens a session.
    fn open(&self) -> impl Future<Output = Result<Self::Session, Trouble>> + Send;

    /// The session is gone.
    fn is_closed(session: &Self::Session) -> bool;

    /// Writes a batch, as [`write`](super::write()) has it. A session whose future was dropped is not to be used again.
    fn write(
        &self,
        session: &mut Self::Session,
        batch: &Batch,
    ) -> impl Future<Output = Result<Written, Trouble>> + Send;

    /// What is stored of partitions; those without a row are not in the answer.
    fn read(
        &self,
        partitions: &[Partition],
    ) -> impl Future<Output = Result<Vec<(Partition, Stored)>, Trouble>> + Send;

    /// Keeps a gap, once, whatever happens to the process after it.
    fn keep_gap(&self, gap: &Gap) -> impl Future<Output = Result<(), String>> + Send;
}

/// Postgres, for one group.
#[derive(Debug)]
pub struct Store {
    postgres: config::Postgres,
    group: String,
    reader: OffsetReader,
    was_there: AtomicBool,
}

impl Store {
    /// Nothing is connected yet.
    pub fn new(postgres: config::Postgres, group: String) -> Self {
        let reader = OffsetReader::new(postgres.clone(), group.clone());
        Self { postgres, group, reader, was_there: AtomicBool::new(false) }
    }

    /// Whether no session can be had for now. A database that was there and is not, or takes no sessions, is being put
    /// in the place of another one, from a backup say.
    fn is_for_now(&self, error: &Error) -> bool {
        let is_gone = matches!(
            error.code(),
            Some(&SqlState::INVALID_CATALOG_NAME | &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE)
        );
        Fault::of(error) == Fault::Retry || (is_gone && self.was_there.load(Relaxed))
    }
}

impl Database for Store {
    type Session = Session;

    async fn open(&self) -> Result<Session, Trouble> {
        let opened = connect::connect(&self.postgres, "flowtrail-collect").await;
        let client = opened.map_err(|error| match error {
            PostgresError::Connect { ref error, .. } if self.is_for_now(error) => retry(sentence(error)),
            PostgresError::Timeout { .. } => retry(error.to_string()),
            error => Trouble::Halt(error.into()),
        })?;
        self.was_there.store(true, Relaxed);
        Session::prepare(client).await.map_err(|error| match Fault::of(&error) {
            Fault::Retry => retry(sentence(&error)),
            Fault::Reject | Fault::Halt => Trouble::Halt(StoreError::Refused(sentence(&error))),
        })
    }

    fn is_closed(session: &Session) -> bool {
        session.is_closed()
    }

    async fn write(&self, session: &mut Session, batch: &Batch) -> Result<Written, Trouble> {
        let error = match write(session, &self.group, batch).await {
            Ok(written) => return Ok(written),
            Err(error) => error,
        };
        metrics::postgres_error(error.fault().name());
        if error.error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
            session.end_frozen().await;
        }
        Err(match error.fault() {
            Fault::Reject => Trouble::Refused(error.into_refusal()),
            Fault::Retry => Trouble::Retry(sentence(&error.error)),
            Fault::Halt => Trouble::Halt(StoreError::Refused(sentence(&error.error))),
        })
    }

    async fn read(&self, partitions: &[Partition]) -> Result<Vec<(Partition, Stored)>, Trouble> {
        self.reader.read(partitions).await.map_err(|error| match &error {
            PostgresError::Statement { error: cause, .. } if Fault::of(cause) != Fault::Retry => {
                Trouble::Halt(StoreError::Unread(sentence(cause)))
            }
            // Whether a session can be had at all, the lanes find out.
            _ => Trouble::Retry(error.to_string()),
        })
    }

    async fn keep_gap(&self, gap: &Gap) -> Result<(), String> {
        self.reader.keep_gap(gap).await.map_err(|error| error.to_string())
    }
}

fn retry(reason: String) -> Trouble {
    metrics::postgres_error(Fault::Retry.name());
    Trouble::Retry(reason)
}
