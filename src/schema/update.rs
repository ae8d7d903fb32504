//! Applying what is missing.

use std::time::{Duration, Instant};

use tokio_postgres::{Client, error::SqlState};

use super::{
    SchemaError, adopt,
    changes::{CHANGES, Change},
    failed,
    holder::{POLL, lock, unlock},
    partition::{self, Parts},
    status::{State, Status, check, status},
};
use crate::clock;

/// The table of changes, which has to be there before the first of them.
pub(super) const BOOKKEEPING: &str = include_str!("sql/schema_change.sql");

/// For the session that applies changes. A table is waited for this long only: all others who want it queue up behind a
/// change that waits. And Postgres is to notice within a second that whoever applied changes was killed.
const SETTINGS: &str =
    "SET statement_timeout = 0; SET lock_timeout = '3s'; SET client_connection_check_interval = '1s'";

/// An index that is made beside writers waits for transactions that were open before, and keeps nobody waiting meanwhile.
const WAIT: &str = "SET lock_timeout = 0";

/// Applies what is missing; waits up to `patience` while another instance does so, and as long for each change whose tables
/// somebody else holds. Says what it applied. Tables that the Go service made are taken over as they are.
///
/// Where there are no tables yet, the large ones are made in so many partitions, 0 for none; elsewhere that is of no account.
/// Each change is one transaction, but for those that make an index beside writers: what is left of one that was broken off is
/// removed and made again. Dropping the future leaves every change either applied or to be applied.
pub async fn update(
    client: &mut Client,
    patience: Duration,
    partitions: usize,
) -> Result<Vec<&'static Change>, SchemaError> {
    client.batch_execute(SETTINGS).await.map_err(failed("setting limits for schema changes"))?;
    lock(client, patience).await?;
    let outcome = apply_missing(client, patience, partitions).await;
    let unlocked = unlock(client).await;
    let outcome = outcome?;
    unlocked?;
    Ok(outcome)
}

/// What [`update`] would apply, if it would apply anything. Changes nothing.
pub async fn would_apply(client: &Client, partitions: usize) -> Result<Vec<&'static Change>, SchemaError> {
    missing(client, &status(client).await?, partitions).await
}

async fn apply_missing(
    client: &mut Client,
    patience: Duration,
    partitions: usize,
) -> Result<Vec<&'static Change>, SchemaError> {
    let missing = missing(client, &status(client).await?, partitions).await?;
    if !missing.is_empty() {
        client.batch_execute(BOOKKEEPING).await.map_err(failed("creating ft_schema_change"))?;
    }
    for change in &missing {
        // Only those that make the tables.
        let first = if change.number == adopt::CHANGE {
            partition::tables(partitions) + adopt::SQL
        } else {
            String::new()
        };
        apply_patiently(client, change, &first, clock::monotonic() + patience).await?;
    }
    Ok(missing)
}

/// The changes that are to be applied, unless something speaks against it.
async fn missing(
    client: &Client,
    found: &[Status],
    partitions: usize,
) -> Result<Vec<&'static Change>, SchemaError> {
    match check(found) {
        Ok(()) => return Ok(Vec::new()),
        Err(SchemaError::Behind { .. }) => {}
        Err(error) => return Err(error),
    }
    let is_pending = |change: &&Change| {
        found.iter().any(|status| status.number == change.number && status.state == State::Pending)
    };
    let missing: Vec<&'static Change> = CHANGES.iter().filter(is_pending).collect();
    if missing.iter().any(|change| change.number == adopt::CHANGE) {
        adopt::check(client).await?;
        if partitions > 0 {
            partition::check(client).await?;
        }
    }
    Ok(missing)
}

/// Tries again where somebody holds a table; others get at it in between.
async fn apply_patiently(
    client: &mut Client,
    change: &Change,
    first: &str,
    until: Instant,
) -> Result<(), SchemaError> {
    loop {
        let outcome = match change.index {
            None => apply(client, change, first).await,
            Some(index) => make_index(client, change, index).await,
        };
        match outcome {
            Err(SchemaError::Postgres { source, .. })
                if source.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) && clock::monotonic() < until =>
            {
                tracing::warn!(
                    event = "schema_change_delayed",
                    number = change.number,
                    name = change.name,
                    "somebody holds a table that a schema change needs; it is tried again"
                );
                tokio::time::sleep(POLL).await;
            }
            outcome => return outcome,
        }
    }
}

fn applying(change: &Change) -> impl FnOnce(tokio_postgres::Error) -> SchemaError + use<> {
    failed(format!("applying schema change {} ({})", change.number, change.name))
}

async fn apply(client: &mut Client, change: &Change, first: &str) -> Result<(), SchemaError> {
    let transaction = client.transaction().await.map_err(applying(change))?;
    transaction.batch_execute(first).await.map_err(applying(change))?;
    transaction.batch_execute(change.sql).await.map_err(applying(change))?;
    record(&transaction, change).await?;
    transaction.commit().await.map_err(applying(change))
}

/// Makes an index beside those who write; of a parted table, part by part.
async fn make_index(client: &Client, change: &Change, index: &str) -> Result<(), SchemaError> {
    let parts = Parts::of(change);
    let partitions = match &parts {
        Some(parts) => parts.partitions(client).await.map_err(applying(change))?,
        None => Vec::new(),
    };
    match parts.filter(|_| !partitions.is_empty()) {
        None => make_whole_index(client, index, change.sql).await.map_err(applying(change))?,
        Some(parts) => {
            client.batch_execute(&parts.whole()).await.map_err(applying(change))?;
            for partition in &partitions {
                let made = make_whole_index(client, &parts.name(partition), &parts.part(partition)).await;
                made.map_err(applying(change))?;
                client.batch_execute(&parts.attach(partition)).await.map_err(applying(change))?;
            }
        }
    }
    record(client, change).await
}

/// Postgres leaves an index that was broken off behind, as one that is not valid.
async fn make_whole_index(
    client: &Client,
    index: &str,
    statement: &str,
) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(WAIT).await?;
    let sql = "SELECT indisvalid AND indisready FROM pg_index WHERE indexrelid = to_regclass($1)";
    let is_whole = client.query_opt(sql, &[&index]).await?.map(|row| row.get::<_, bool>(0));
    if is_whole == Some(false) {
        client.batch_execute(&format!("DROP INDEX CONCURRENTLY {index}")).await?;
    }
    if is_whole != Some(true) {
        client.batch_execute(statement).await?;
    }
    client.batch_execute(SETTINGS).await
}

async fn record(client: &impl tokio_postgres::GenericClient, change: &Change) -> Result<(), SchemaError> {
    let insert = "INSERT INTO ft_schema_change (number, name, checksum, needs) VALUES ($1, $2, $3, $4)";
    let checksum = change.checksum();
    client
        .execute(insert, &[&change.number, &change.name, &checksum, &change.needs])
        .await
        .map_err(applying(change))?;
    Ok(())
}
