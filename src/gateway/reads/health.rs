//! Whether questions can be answered.

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Serialize;

use super::{Reads, Trouble, json};
use crate::postgres::read::flogo;

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Health {
    /// 2.0 is the one whose tables hold inputs and outputs of flows, as ours do.
    sm_version: &'static str,
    connected: bool,
    tables_exists: bool,
    message: &'static str,
    status: bool,
}

/// 200 where they can, 503 with the same fields where they can't.
pub(super) async fn health(State(reads): State<Reads>) -> Response {
    let tables = async {
        let mut reader = reads.pool.get().await?;
        Ok::<_, Trouble>(flogo::tables_exist(&reader.moment().await?).await?)
    };
    let mut health = Health { sm_version: "2.0", ..Health::default() };
    match tables.await {
        Ok(true) => {
            (health.connected, health.tables_exists, health.status) = (true, true, true);
            return json(StatusCode::OK, &health);
        }
        Ok(false) => {
            health.connected = true;
            health.message = "One or more required tables are missing in the database schema";
        }
        Err(trouble) => {
            health.message = "the database is not available";
            reads.note(&trouble);
        }
    }
    json(StatusCode::SERVICE_UNAVAILABLE, &health)
}
