//! A flow as one list to draw.

use axum::{
    Json,
    extract::{Path, Query, State},
};

use self::bars::{Gap, Timeline};
use super::{
    Answer, Api,
    asked::Piece,
    look_whose, no_flow,
    trouble::{Problems, Trouble},
};
use crate::{
    gateway::caller::Scope,
    model::millis,
    postgres::read::{self, StepFilter},
};

mod bars;
mod chart;
mod critical;
mod lanes;

/// Steps of a flow that are drawn; they are held in memory without their payloads, some 20 MB of them.
const MOST_STEPS: u32 = 50_000;

/// Bars of one answer.
const MOST_BARS: u32 = 5_000;

/// A flow as one list to draw: bars, idle gaps, the critical path.
#[utoipa::path(
    get, path = "/flows/{id}/timeline", tag = "one flow",
    params(("id" = String, Path, description = "Flow instance id."), Piece),
    responses((status = 200, body = Timeline), Problems)
)]
pub(super) async fn timeline(
    State(api): State<Api>,
    Scope(only): Scope,
    Path(id): Path<String>,
    Query(piece): Query<Piece>,
) -> Answer<Timeline> {
    let limit = usize::try_from(piece.limit(MOST_BARS, MOST_BARS)?).unwrap_or(usize::MAX);
    let mut reader = api.shared.pool.get().await?;
    let moment = reader.short_moment().await?;
    look_whose(&moment, only.as_deref(), &id).await?;
    let flow = read::summary(&moment, &id).await?;
    let (steps, are_more) = read::steps(&moment, &id, &StepFilter::default(), MOST_STEPS).await?;
    if are_more {
        return Err(Trouble::TooLarge(format!(
            "the flow has more than {MOST_STEPS} steps; list them instead"
        )));
    }
    if flow.is_none() && steps.is_empty() {
        return Err(no_flow(&id));
    }
    let children = match &flow {
        Some(flow) => read::children(&moment, flow, only.as_deref()).await?.0,
        None => Vec::new(),
    };
    let chart = chart::draw(flow.as_ref(), &steps, &children);
    let total = chart.bars.len();
    let from = match piece.after.as_deref().filter(|after| !after.is_empty()) {
        None => 0,
        Some(after) => {
            let place = chart.bars.iter().position(|bar| bar.place() == after);
            place.ok_or_else(|| Trouble::parameter("after", "want what an answer had as its next"))? + 1
        }
    };
    let depth = chart.bars.iter().map(|bar| bar.depth + 1).max().unwrap_or(0);
    let bars: Vec<_> = chart.bars.into_iter().skip(from).take(limit).collect();
    let next = bars.last().filter(|_| from + bars.len() < total).map(bars::Bar::place);
    let gaps = chart.gaps.iter().map(|(start, end)| Gap { start_ms: millis(*start), end_ms: millis(*end) });
    Ok(Json(Timeline {
        id,
        start: chart.start,
        duration_ms: millis(chart.whole),
        open: chart.is_open,
        depth,
        total,
        bars,
        gaps: gaps.collect(),
        next,
    }))
}
