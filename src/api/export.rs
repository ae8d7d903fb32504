//! A flow as the events that make it.

use axum::{
    extract::{Path, State},
    http::header,
    response::{IntoResponse, Response},
};

use super::{
    Api, look_whose, no_flow,
    trouble::{Problems, Trouble},
};
use crate::{export, gateway::caller::Scope, postgres::read};

/// The events that make a flow, one a line in proto3 JSON, as `flowtrail publish --from json` reads them.
#[utoipa::path(
    get, path = "/flows/{id}/export", operation_id = "export", tag = "one flow",
    params(("id" = String, Path, description = "Flow instance id.")),
    responses((status = 200, content_type = "application/x-ndjson", body = String), Problems)
)]
pub(super) async fn events(
    State(api): State<Api>,
    Scope(only): Scope,
    Path(id): Path<String>,
) -> Result<Response, Trouble> {
    let mut reader = api.shared.pool.get().await?;
    let moment = reader.short_moment().await?;
    look_whose(&moment, only.as_deref(), &id).await?;
    let stored = Box::pin(read::stored_flow(&moment, &id)).await?.ok_or_else(|| no_flow(&id))?;
    let lines = export::lines(&id, &stored).map_err(|error| Trouble::Own(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response())
}
