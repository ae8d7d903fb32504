//! Which flows there are, how many, and one of them.

use axum::{
    Json,
    extract::{Path, Query, State},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Answer, Api,
    asked::{Cut, Narrow, Piece, Place as _, count},
    histogram::{self, Counts},
    look_whose, no_flow,
    trouble::Problems,
};
use crate::{
    gateway::caller::Scope,
    postgres::read::{self, Cursor, Detail, Summary},
};

/// Flows, newest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Flows)]
pub(super) struct Listed {
    /// The flows.
    flows: Vec<Summary>,
    /// The place of the next piece; null at the end.
    next: Option<String>,
    /// Where fewer were found than asked for though there are more to look at: how far back it was looked.
    searched_to: Option<Timestamp>,
}

/// Flows, newest first.
#[utoipa::path(get, path = "/flows", operation_id = "flows", tag = "flows", params(Narrow, Piece), responses((status = 200, body = Listed), Problems))]
pub(super) async fn list(
    State(api): State<Api>,
    Scope(only): Scope,
    Query(narrow): Query<Narrow>,
    Query(piece): Query<Piece>,
) -> Answer<Listed> {
    let mut filter = narrow.filter(only)?;
    filter.after = Cursor::after(&piece)?;
    let limit = piece.limit(50, 500)?;
    let mut reader = api.shared.pool.get().await?;
    let page = read::page(&reader.short_moment().await?, &filter, limit).await?;
    let next = page.next.map(|next| next.told());
    Ok(Json(Listed { flows: page.flows, next, searched_to: page.searched_to }))
}

/// How a histogram is made.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Buckets {
    /// How many buckets at most: 1 to 60, by itself 60.
    buckets: Option<u32>,
}

/// How many flows there are of each status, and when they began.
#[utoipa::path(get, path = "/counts", tag = "flows", params(Narrow, Buckets), responses((status = 200, body = Counts), Problems))]
pub(super) async fn counts(
    State(api): State<Api>,
    Scope(only): Scope,
    Query(narrow): Query<Narrow>,
    Query(wanted): Query<Buckets>,
) -> Answer<Counts> {
    let filter = narrow.filter(only)?;
    let buckets = count("buckets", wanted.buckets, 60, 60)?;
    let mut reader = api.shared.pool.get().await?;
    let (flows, complete_since) = read::counted(&reader.short_moment().await?, &filter).await?;
    Ok(Json(histogram::counts(&flows, complete_since, buckets)))
}

/// One flow: its payloads, its kin, its runs, its steps counted.
#[utoipa::path(
    get, path = "/flows/{id}", operation_id = "flow", tag = "one flow",
    params(("id" = String, Path, description = "Flow instance id."), Cut),
    responses((status = 200, body = Detail), Problems)
)]
pub(super) async fn detail(
    State(api): State<Api>,
    Scope(only): Scope,
    Path(id): Path<String>,
    Query(cut): Query<Cut>,
) -> Answer<Detail> {
    let most = cut.bytes()?;
    let mut reader = api.shared.pool.get().await?;
    let moment = reader.short_moment().await?;
    look_whose(&moment, only.as_deref(), &id).await?;
    let found = read::detail(&moment, &id, only.as_deref(), most).await?;
    found.map(Json).ok_or_else(|| no_flow(&id))
}
