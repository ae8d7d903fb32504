//! What people had flowtrail do.

use serde_json::Value;
use tokio_postgres::{Client, Error, types::Type};

const BEGIN: &str = "INSERT INTO ft_audit (actor, action, object, detail) \
    VALUES (format('%s (%s)', $1::text, current_user), $2, $3, $4) RETURNING id";

/// Notes that something is about to be done; gives the number of the note, for [`audit_outcome`].
pub async fn audit(
    client: &Client,
    actor: &str,
    action: &str,
    object: &str,
    detail: &Value,
) -> Result<i64, Error> {
    // Postgres keeps no NUL in text.
    let plain = |text: &str| text.replace('\0', "\u{fffd}");
    let (actor, object) = (plain(actor), plain(object));
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] =
        [(&actor, Type::TEXT), (&action, Type::TEXT), (&object, Type::TEXT), (detail, Type::JSONB)];
    client.query_typed_one(BEGIN, &parameters).await?.try_get(0)
}

/// Adds to a note what came of it.
pub async fn audit_outcome(client: &Client, note: i64, outcome: &Value) -> Result<(), Error> {
    let sql = "UPDATE ft_audit SET detail = detail || $2 WHERE id = $1";
    client.execute_typed(sql, &[(&note, Type::INT8), (outcome, Type::JSONB)]).await.map(drop)
}
