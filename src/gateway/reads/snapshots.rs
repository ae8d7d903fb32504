//! The state of an instance.

use axum::{
    extract::{Path, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};

use super::{Reads, Trouble};
use crate::{
    flogo::answer::{self as stored, StepData},
    gateway::answer,
    postgres::read::flogo,
};

/// The state after the last step; where an instance has no steps, the one that its engine posted.
pub(super) async fn latest(State(reads): State<Reads>, Path(flow): Path<String>) -> Response {
    const WHAT: &str = "get getSnapshot error:";
    match Sources::of(&reads, &flow).await {
        Ok(sources) if sources.steps.is_empty() => match stored::latest_posted(&sources.posted) {
            Some(posted) => ([(header::CONTENT_TYPE, "application/json")], posted.to_owned()).into_response(),
            None => reads.refused(WHAT, &Trouble::NoSteps(flow)),
        },
        Ok(sources) => reads.answered(WHAT, sources.after(&flow, None)),
        Err(trouble) => reads.refused(WHAT, &trouble),
    }
}

/// The state after a step: 400 with a JSON sentence where the number is none, or lies beyond the last step.
pub(super) async fn at_step(
    State(reads): State<Reads>,
    Path((flow, step)): Path<(String, String)>,
) -> Response {
    const WHAT: &str = "get getSnapshotAtStep error:";
    let sources = match Sources::of(&reads, &flow).await {
        Ok(sources) if sources.steps.is_empty() => {
            return reads.refused(WHAT, &Trouble::NoSteps(flow));
        }
        Ok(sources) => sources,
        Err(trouble) => return reads.refused(WHAT, &trouble),
    };
    let Some(number) = step.parse().ok().filter(|number: &i64| *number >= 0) else {
        return answer::error(StatusCode::BAD_REQUEST, &format!("invalid stepId: {step}"));
    };
    let exist = stored::count_up_to_last(&sources.steps);
    if number >= exist {
        return answer::error(
            StatusCode::BAD_REQUEST,
            &format!("invalid stepId: {number}, only {exist} exists"),
        );
    }
    reads.answered(WHAT, sources.after(&flow, Some(number)))
}

/// What a state is made from, as of one moment.
struct Sources {
    /// In order.
    steps: Vec<StepData>,
    superseded: Vec<StepData>,
    /// Read only where there are no steps.
    posted: Vec<Vec<u8>>,
}

impl Sources {
    async fn of(reads: &Reads, flow: &str) -> Result<Self, Trouble> {
        let mut reader = reads.pool.get().await?;
        let moment = reader.moment().await?;
        let steps = flogo::steps(&moment, flow).await?;
        let superseded = flogo::superseded(&moment, flow).await?;
        let posted =
            if steps.is_empty() { flogo::posted_snapshots(&moment, flow).await? } else { Vec::new() };
        Ok(Self { steps, superseded, posted })
    }

    fn after(&self, flow: &str, step: Option<i64>) -> Result<stored::Snapshot<'_>, Trouble> {
        Ok(stored::snapshot(flow, &self.steps, &self.superseded, step)?)
    }
}
