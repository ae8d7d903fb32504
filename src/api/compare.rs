//! Two flows, step by step.

use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::Serialize;
use utoipa::ToSchema;

use self::beside::{Pair, What};
use super::{
    Answer, Api,
    asked::Piece,
    look_whose, no_flow,
    trouble::{Problems, Trouble},
};
use crate::{
    gateway::caller::Scope,
    postgres::read::{self, HashedStep, Summary},
};

mod beside;

/// Steps of each flow that are compared.
const MOST_STEPS: u32 = 20_000;

/// Two flows, step by step.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Comparison {
    /// The flow that was asked for; null where only its steps are known.
    here: Option<Summary>,
    /// The other one.
    there: Option<Summary>,
    /// Steps that say the same.
    same: usize,
    /// Steps that do not.
    differs: usize,
    /// Steps that the other one has not.
    only_here: usize,
    /// Steps that the other one has more.
    only_there: usize,
    /// The steps: those of this one in their order, then what is only there.
    steps: Vec<Pair>,
    /// The place of the next piece; null at the end.
    next: Option<String>,
}

/// Two flows, step by step: the first step of a task in one beside the first of the same task in the other, and so on.
#[utoipa::path(
    get, path = "/flows/{id}/compare/{other}", tag = "one flow",
    params(
        ("id" = String, Path, description = "Flow instance id."),
        ("other" = String, Path, description = "Id of the flow to compare it with."),
        Piece
    ),
    responses((status = 200, body = Comparison), Problems)
)]
pub(super) async fn compare(
    State(api): State<Api>,
    Scope(only): Scope,
    Path((id, other)): Path<(String, String)>,
    Query(piece): Query<Piece>,
) -> Answer<Comparison> {
    let limit = usize::try_from(piece.limit(500, 1_000)?).unwrap_or(usize::MAX);
    let from = piece.number()?.unwrap_or(0);
    let from = usize::try_from(from)
        .map_err(|_| Trouble::parameter("after", "want what an answer had as its next"))?;
    let mut reader = api.shared.pool.get().await?;
    let moment = reader.short_moment().await?;
    let mut sides: Vec<(Option<Summary>, Vec<HashedStep>)> = Vec::with_capacity(2);
    for flow in [&id, &other] {
        look_whose(&moment, only.as_deref(), flow).await?;
        let summary = read::summary(&moment, flow).await?;
        let (steps, are_more) = read::hashed_steps(&moment, flow, MOST_STEPS).await?;
        if are_more {
            return Err(Trouble::TooLarge(format!("flow {flow} has more than {MOST_STEPS} steps")));
        }
        if summary.is_none() && steps.is_empty() {
            return Err(no_flow(flow));
        }
        sides.push((summary, steps));
    }
    let [here, there] =
        <[_; 2]>::try_from(sides).map_err(|_| Trouble::Own("a side is missing".to_owned()))?;
    let pairs = beside::pairs(here.1, there.1);
    let count = |what: What| pairs.iter().filter(|pair| pair.what == what).count();
    let [same, differs, only_here, others] =
        [What::Same, What::Differs, What::OnlyHere, What::OnlyThere].map(count);
    let end = from.saturating_add(limit);
    let next = (end < pairs.len()).then(|| end.to_string());
    let steps = pairs.into_iter().skip(from).take(limit).collect();
    Ok(Json(Comparison {
        here: here.0,
        there: there.0,
        same,
        differs,
        only_here,
        only_there: others,
        steps,
        next,
    }))
}
