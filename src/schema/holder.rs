//! The lock that one applying instance holds, and who holds it.

use std::{fmt, time::Duration};

use tokio_postgres::Client;

use super::{SchemaError, failed};
use crate::clock;

/// Key of the advisory lock that one applying instance holds: "flowtrai" as bytes.
pub(super) const LOCK: i64 = i64::from_be_bytes(*b"flowtrai");

/// How often a waiting instance tries the lock again.
pub(super) const POLL: Duration = Duration::from_millis(200);

/// A session that applies changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Process id of the session.
    pub pid: i32,
    /// Database user, program and address, as far as one is told.
    pub who: String,
    /// How long the session has been there.
    pub age: Duration,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {} ({}), there for {} s,", self.pid, self.who, self.age.as_secs())
    }
}

/// Takes the lock, waiting up to `patience`. It is tried for and not waited for in Postgres: whoever waits in a statement
/// would hold up an index that the holder makes beside those who write. Postgres frees it when its holder is gone.
pub(super) async fn lock(client: &Client, patience: Duration) -> Result<(), SchemaError> {
    let since = clock::monotonic();
    let mut told = None;
    loop {
        let row = client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await;
        if row.map_err(failed("taking the schema lock"))?.get::<_, bool>(0) {
            return Ok(());
        }
        let holder = holder(client).await?;
        if since.elapsed() >= patience {
            return Err(SchemaError::Busy { waited: patience, holder });
        }
        let pid = holder.as_ref().map(|holder| holder.pid);
        if let Some(holder) = holder.filter(|_| pid != told) {
            tracing::info!(
                event = "schema_awaited",
                holder.pid,
                holder.who,
                age_s = holder.age.as_secs(),
                "waiting for another instance that applies schema changes"
            );
            told = pid;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Gives the lock back.
pub(super) async fn unlock(client: &Client) -> Result<(), SchemaError> {
    client
        .query_one("SELECT pg_advisory_unlock($1)", &[&LOCK])
        .await
        .map_err(failed("releasing the schema lock"))?;
    Ok(())
}

/// Who holds the lock; nobody if it was given back meanwhile.
async fn holder(client: &Client) -> Result<Option<Holder>, SchemaError> {
    // A lock of one key has its halves as numbers without a sign, and `objsubid` 1.
    let sql =
        "SELECT l.pid, COALESCE(a.usename, '?') || COALESCE(' by ' || NULLIF(a.application_name, ''), '')
            || COALESCE(' from ' || host(a.client_addr), ''),
            EXTRACT(epoch FROM clock_timestamp() - a.backend_start)::float8
        FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
            AND l.classid::bigint = $1::bigint >> 32 AND l.objid::bigint = $1::bigint & 4294967295
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let row = client.query_opt(sql, &[&LOCK]).await.map_err(failed("looking who holds the schema lock"))?;
    Ok(row.map(|row| Holder {
        pid: row.get(0),
        who: row.get(1),
        age: Duration::try_from_secs_f64(row.get::<_, Option<f64>>(2).unwrap_or(0.0)).unwrap_or_default(),
    }))
}
