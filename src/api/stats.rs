//! How long flows take and how often they fail, and the newest runs of one beside each other.

use axum::{
    Json,
    extract::{Query, State},
};
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use self::{grid::Grid, percentiles::FlowStats};
use super::{
    Answer, Api,
    asked::{self, count},
    histogram::Axis,
    trouble::{Problems, Trouble},
};
use crate::{
    clock,
    gateway::caller::Scope,
    postgres::read::{self, Filter, SlowTask},
};

mod grid;
mod percentiles;

/// Flows by name that are told of.
const MOST_FLOWS: usize = 200;

/// What statistics are about.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct About {
    /// App that holds the flow.
    app: Option<String>,
    /// Flow name.
    flow: Option<String>,
    /// Started at or after: RFC 3339, a date, or how long ago; by itself -24h.
    since: Option<String>,
    /// Started before; by itself now.
    until: Option<String>,
    /// Stretches of time at most: 1 to 60, by itself 24.
    buckets: Option<u32>,
}

/// How long flows take and how often they fail.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Stats {
    /// From when on.
    since: Timestamp,
    /// Until when.
    until: Timestamp,
    /// There are older flows that were not looked at.
    sampled: bool,
    /// Since when all were looked at; null where that is `since`.
    complete_since: Option<Timestamp>,
    /// Flows by app and name, the most frequent first; at most two hundred.
    flows: Vec<FlowStats>,
    /// Tasks whose steps take longest, of the newest five hundred of these flows.
    slowest_steps: Vec<SlowTask>,
}

/// How long flows take and how often they fail, over time; which steps are slowest.
#[utoipa::path(get, path = "/stats", tag = "over many flows", params(About), responses((status = 200, body = Stats), Problems))]
pub(super) async fn stats(
    State(api): State<Api>,
    Scope(only): Scope,
    Query(about): Query<About>,
) -> Answer<Stats> {
    let now = clock::now();
    let buckets = count("buckets", about.buckets, 24, 60)?;
    let until = asked::time("until", about.until.as_deref(), now)?.unwrap_or(now);
    let since = match asked::time("since", about.since.as_deref(), now)? {
        Some(since) => since,
        None => until.checked_sub(24.hours()).map_err(|why| Trouble::parameter("until", why))?,
    };
    if since >= until {
        return Err(Trouble::parameter("since", "want a time before until"));
    }
    let filter = Filter {
        app: asked::given(about.app),
        flow: asked::given(about.flow),
        since: Some(since),
        until: Some(until),
        only_user: only,
        ..Filter::default()
    };
    let mut reader = api.shared.pool.get().await?;
    let moment = reader.short_moment().await?;
    let (flows, complete_since) = read::counted(&moment, &filter).await?;
    let slowest_steps = read::slow_tasks(&moment, &filter).await?;
    // What begins at `until` is no more in it.
    let last = until.checked_sub(1.microsecond()).unwrap_or(until);
    let axis = Axis::over(since, last, buckets);
    let mut flows = percentiles::by_flow(&flows, axis);
    flows.truncate(MOST_FLOWS);
    Ok(Json(Stats { since, until, sampled: complete_since.is_some(), complete_since, flows, slowest_steps }))
}

/// Whose runs a grid shows.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Whose {
    /// App that holds the flow.
    app: String,
    /// Flow name.
    flow: String,
    /// How many of the newest: 1 to 100, by itself 25.
    #[serde(default)]
    runs: Option<u32>,
}

/// The newest runs of a flow beside each other, step by step.
#[utoipa::path(get, path = "/grid", tag = "over many flows", params(Whose), responses((status = 200, body = Grid), Problems))]
pub(super) async fn grid(
    State(api): State<Api>,
    Scope(only): Scope,
    Query(whose): Query<Whose>,
) -> Answer<Grid> {
    let runs = count("runs", whose.runs, 25, 100)?;
    let filter =
        Filter { app: Some(whose.app), flow: Some(whose.flow), only_user: only, ..Filter::default() };
    let mut reader = api.shared.pool.get().await?;
    let moment = reader.short_moment().await?;
    let runs = read::page(&moment, &filter, runs).await?.flows;
    let ids: Vec<String> = runs.iter().map(|run| run.id.clone()).collect();
    let steps = read::steps_of(&moment, &ids).await?;
    Ok(Json(grid::grid(runs, steps)))
}
