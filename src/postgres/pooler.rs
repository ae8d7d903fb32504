//! Tells whether a session keeps what is set in it.

use tokio_postgres::{Client, Error, SimpleQueryMessage};

use super::connect::{self, PostgresError};
use crate::config;

/// How often it is looked. A pooler that hands servers out in turn shows itself at the second look at the latest.
const LOOKS: usize = 3;

/// Whether a connection is the same session from one transaction to the next. It is not behind a pooler that pools
/// transactions (PgBouncer's `pool_mode = transaction`): such a one hands our server to others between transactions,
/// and temp tables, settings and locks of the session go with it.
///
/// A second connection takes the server that the first one has just given back; then the first looks for its setting.
pub async fn keeps_sessions(postgres: &config::Postgres) -> Result<bool, PostgresError> {
    let ours = connect::connect(postgres, "flowtrail-session").await?;
    let other = connect::connect(postgres, "flowtrail-session").await?;
    probe(&ours, &other).await.map_err(|error| PostgresError::of_statement(postgres, error))
}

async fn probe(ours: &Client, other: &Client) -> Result<bool, Error> {
    // Simple queries only: a transaction pooler may lose prepared statements, and then nothing could be asked.
    ours.batch_execute("SELECT set_config('flowtrail.session', 'kept', false)").await?;
    for _ in 0..LOOKS {
        other.batch_execute("BEGIN; SELECT 1").await?;
        let answer = ours.simple_query("SELECT current_setting('flowtrail.session', true)").await;
        other.batch_execute("ROLLBACK").await?;
        let kept = answer?
            .iter()
            .any(|message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("kept")));
        if !kept {
            return Ok(false);
        }
    }
    Ok(true)
}
