//! The variables of a flow.

use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Answer, Api,
    asked::{self, Piece, Place as _},
    look_whose, no_flow,
    trouble::{Problems, Trouble},
};
use crate::{
    gateway::caller::Scope,
    postgres::read::{self, Variable, VariableCursor, VariableFilter},
};

/// Values are cut here, if nothing else is asked for.
const VALUE_BYTES: usize = 4_096;

/// A piece is no larger than its most variables with so many bytes each.
const MOST_VALUE_BYTES: usize = 65_536;

/// Variables by scope and name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Variables {
    /// The variables.
    variables: Vec<Variable>,
    /// The place of the next piece; null at the end.
    next: Option<String>,
}

/// Which variables, and how much of each.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Only those of this scope. Empty: those of the instance itself.
    scope: Option<String>,
    /// Only those of this name.
    name: Option<String>,
    /// Values are cut after so many bytes; at most 65 536, by itself 4 096.
    value_bytes: Option<usize>,
}

/// The variables of a flow as they were last set or removed, and the parts of records that its runtime keeps.
#[utoipa::path(
    get, path = "/flows/{id}/variables", operation_id = "variables", tag = "one flow",
    params(("id" = String, Path, description = "Flow instance id."), Which, Piece),
    responses((status = 200, body = Variables), Problems)
)]
pub(super) async fn list(
    State(api): State<Api>,
    Scope(only): Scope,
    Path(id): Path<String>,
    Query(which): Query<Which>,
    Query(piece): Query<Piece>,
) -> Answer<Variables> {
    let limit = piece.limit(100, 200)?;
    let most = which.value_bytes.unwrap_or(VALUE_BYTES);
    if most > MOST_VALUE_BYTES {
        let why = format!("want at most {MOST_VALUE_BYTES} bytes, not {most}");
        return Err(Trouble::parameter("value_bytes", why));
    }
    let after = VariableCursor::after(&piece)?;
    let filter = VariableFilter { scope: which.scope, name: asked::given(which.name), after };
    let mut reader = api.shared.pool.get().await?;
    let moment = reader.short_moment().await?;
    look_whose(&moment, only.as_deref(), &id).await?;
    let (variables, are_more) = read::variables(&moment, &id, &filter, limit, most).await?;
    if variables.is_empty() && !read::is_known(&moment, &id).await? {
        return Err(no_flow(&id));
    }
    let last = variables.last().filter(|_| are_more);
    let next = last.map(|last| VariableCursor { scope: last.scope.clone(), name: last.name.clone() }.told());
    Ok(Json(Variables { variables, next }))
}
