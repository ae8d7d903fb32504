//! Reads stored offsets over a session of its own, outside the lanes.

use tokio::sync::Mutex;
use tokio_postgres::Client;

use super::{
    connect::{self, PostgresError},
    offset,
};
use crate::{
    config,
    model::{Offset, Partition},
};

/// Reads stored offsets of one group; connects when first asked, and again when the session is lost.
#[derive(Debug)]
pub struct OffsetReader {
    postgres: config::Postgres,
    group: String,
    session: Mutex<Option<Client>>,
}

impl OffsetReader {
    /// For one group.
    pub fn new(postgres: config::Postgres, group: String) -> Self {
        Self { postgres, group, session: Mutex::new(None) }
    }

    /// What is stored of partitions; those without a row are not in the answer.
    ///
    /// Dropping the future drops the session if it was being used, and the next call opens another.
    pub async fn read(&self, partitions: &[Partition]) -> Result<Vec<(Partition, Offset)>, PostgresError> {
        let mut slot = self.session.lock().await;
        let session = match slot.take().filter(|session| !session.is_closed()) {
            Some(session) => session,
            None => connect::connect(&self.postgres, "flowtrail-offsets").await?,
        };
        let found = offset::read(&session, &self.group, partitions).await;
        let found = found.map_err(|error| PostgresError::of_statement(&self.postgres, error))?;
        *slot = Some(session);
        Ok(found)
    }
}
