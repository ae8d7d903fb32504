//! Reads stored offsets, and keeps gaps, over a session of its own, outside the lanes.

use tokio::sync::Mutex;
use tokio_postgres::{Client, Error};

use super::{
    connect::{self, PostgresError},
    gap::{self, Gap},
    offset::{self, Stored},
};
use crate::{config, model::Partition};

/// Reads stored offsets of one group; connects when first asked, and again when the session is lost.
#[derive(Debug)]
pub(super) struct OffsetReader {
    postgres: config::Postgres,
    group: String,
    session: Mutex<Option<Client>>,
}

impl OffsetReader {
    /// For one group.
    pub(super) fn new(postgres: config::Postgres, group: String) -> Self {
        Self { postgres, group, session: Mutex::new(None) }
    }

    /// What is stored of partitions; those without a row are not in the answer.
    ///
    /// Dropping the future drops the session if it was being used, and the next call opens another.
    pub(super) async fn read(
        &self,
        partitions: &[Partition],
    ) -> Result<Vec<(Partition, Stored)>, PostgresError> {
        self.with_session(async |session| offset::read(session, &self.group, partitions).await).await
    }

    /// Keeps a gap in `ft_gap`, once, whatever happens to the process after it.
    pub(super) async fn keep_gap(&self, found: &Gap) -> Result<(), PostgresError> {
        self.with_session(async |session| gap::keep(session, &self.group, found).await).await
    }

    async fn with_session<T>(
        &self,
        ask: impl AsyncFnOnce(&Client) -> Result<T, Error>,
    ) -> Result<T, PostgresError> {
        let mut slot = self.session.lock().await;
        let session = match slot.take().filter(|session| !session.is_closed()) {
            Some(session) => session,
            None => connect::connect(&self.postgres, "flowtrail-offsets").await?,
        };
        let answer =
            ask(&session).await.map_err(|error| PostgresError::of_statement(&self.postgres, error))?;
        *slot = Some(session);
        Ok(answer)
    }
}
