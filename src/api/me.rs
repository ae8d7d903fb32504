//! Who asks: so that a page offers what its reader may do, and nothing else.

use axum::{Extension, Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Answer, Api, trouble::Problems};
use crate::http::{Caller, Role};

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Me {
    /// The token's name, or the user's.
    name: String,
    /// The only user whose flows this caller sees; null for all.
    user: Option<String>,
    /// What the caller may do: `read`, `record`, `operate`.
    #[schema(value_type = Vec<String>)]
    roles: Vec<Role>,
    /// Apps that can be asked for re-runs; empty for who may not ask.
    reruns: Vec<String>,
}

/// Who asks, and what may be offered.
#[utoipa::path(get, path = "/me", tag = "operations", responses((status = 200, body = Me), Problems))]
pub(super) async fn me(State(api): State<Api>, Extension(caller): Extension<Caller>) -> Answer<Me> {
    let may_ask = caller.roles.contains(&Role::Operate);
    let apps = api.shared.config.rerun.apps.keys().filter(|_| may_ask).cloned();
    Ok(Json(Me { name: caller.name, user: caller.user, roles: caller.roles, reruns: apps.collect() }))
}
