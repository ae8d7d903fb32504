//! The steps of a flow, and one of them.

use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Answer, Api,
    asked::{self, Cut, Piece, Place as _},
    look_whose, no_flow,
    trouble::{Problems, Trouble},
};
use crate::{
    flogo::answer::{self, StepData},
    gateway::caller::Scope,
    postgres::read::{self, Content, Execution, StepCursor, StepFilter, StepLine},
};

/// Steps in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Steps {
    /// The steps.
    steps: Vec<StepLine>,
    /// The place of the next piece; null at the end.
    next: Option<String>,
}

/// Steps that match all of what is given.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Narrow {
    /// Statuses in the runtime's own words, with commas between; letters of any case.
    status: Option<String>,
    /// Only steps that failed: with the status Failed, or an error.
    failed: Option<bool>,
    /// Task name.
    task: Option<String>,
    /// Subflow, as the runtime numbers it.
    subflow: Option<String>,
}

/// The steps of a flow without their payloads, in their order.
#[utoipa::path(
    get, path = "/flows/{id}/steps", operation_id = "steps", tag = "one flow",
    params(("id" = String, Path, description = "Flow instance id."), Narrow, Piece),
    responses((status = 200, body = Steps), Problems)
)]
pub(super) async fn list(
    State(api): State<Api>,
    Scope(only): Scope,
    Path(id): Path<String>,
    Query(narrow): Query<Narrow>,
    Query(piece): Query<Piece>,
) -> Answer<Steps> {
    let limit = piece.limit(200, 1_000)?;
    let filter = StepFilter {
        statuses: asked::list(narrow.status.as_deref()),
        failed: narrow.failed.unwrap_or(false),
        task: asked::given(narrow.task),
        subflow: asked::given(narrow.subflow),
        after: StepCursor::after(&piece)?,
    };
    let mut reader = api.shared.pool.get().await?;
    let moment = reader.short_moment().await?;
    look_whose(&moment, only.as_deref(), &id).await?;
    let (steps, are_more) = read::steps(&moment, &id, &filter, limit).await?;
    if steps.is_empty() && !read::is_known(&moment, &id).await? {
        return Err(no_flow(&id));
    }
    let last = steps.last().filter(|_| are_more);
    let next = last.map(|step| StepCursor { start: step.started, id: step.id.clone() }.told());
    Ok(Json(Steps { steps, next }))
}

/// One step with everything.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WholeStep {
    /// The step without its payloads.
    step: StepLine,
    /// A later execution took its place.
    superseded: bool,
    /// What it was given.
    input: Option<Content>,
    /// What it gave.
    output: Option<Content>,
    /// What went wrong.
    error: Option<Content>,
    /// The runtime's own record of it.
    data: Option<Content>,
    /// What else the runtime said.
    misc: Option<Content>,
    /// That record as its runtime means it, task by task; null where it is none of Flogo's.
    tasks: Option<serde_json::Value>,
    /// Its executions, the latest first; at most a hundred.
    executions: Vec<Execution>,
}

/// Which execution of a step is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Number of the execution; by itself the one that counts.
    execution: Option<i64>,
}

/// One step: what it was given, what it gave, what went wrong.
#[utoipa::path(
    get, path = "/flows/{id}/steps/{step}", operation_id = "step", tag = "one flow",
    params(
        ("id" = String, Path, description = "Flow instance id."),
        ("step" = String, Path, description = "Step id."),
        Which, Cut
    ),
    responses((status = 200, body = WholeStep), Problems)
)]
pub(super) async fn one(
    State(api): State<Api>,
    Scope(only): Scope,
    Path((id, step)): Path<(String, String)>,
    Query(which): Query<Which>,
    Query(cut): Query<Cut>,
) -> Answer<WholeStep> {
    let most = cut.bytes()?;
    let mut reader = api.shared.pool.get().await?;
    let moment = reader.short_moment().await?;
    look_whose(&moment, only.as_deref(), &id).await?;
    let found = read::whole_step(&moment, &id, &step, which.execution, most).await?;
    let no_step = || Trouble::NotThere(format!("such step of flow {}", crate::sentence::quotable(&id)));
    let found = found.ok_or_else(no_step)?;
    let executions = read::executions(&moment, &id, &step).await?;
    let data = StepData { id: step, execution: found.line.execution.unwrap_or(0), data: found.record };
    Ok(Json(WholeStep {
        tasks: tasks(&data),
        step: found.line,
        superseded: found.superseded,
        input: found.input,
        output: found.output,
        error: found.error,
        data: found.data,
        misc: found.misc,
        executions,
    }))
}

/// The tasks of a step that Flogo posted; other runtimes have words of their own for theirs.
fn tasks(data: &StepData) -> Option<serde_json::Value> {
    serde_json::to_value(answer::tasks(data).ok()?).ok()
}
