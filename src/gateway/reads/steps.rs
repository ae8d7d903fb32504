//! Steps of an instance.

use axum::{
    extract::{Path, Query, State},
    response::Response,
};

use super::{Asked, Reads, Trouble};
use crate::{
    flogo::answer::{self, StepData, StepRow},
    postgres::read::flogo,
};

/// Steps as they were posted.
pub(super) async fn posted(State(reads): State<Reads>, Path(flow): Path<String>) -> Response {
    const WHAT: &str = "get steps error:";
    match of_instance(&reads, &flow).await {
        Ok(steps) => reads.answered(WHAT, answer::steps(&steps).map_err(Trouble::from)),
        Err(trouble) => reads.refused(WHAT, &trouble),
    }
}

/// Steps by task: `[[Task]]`.
pub(super) async fn tasks(State(reads): State<Reads>, Path(flow): Path<String>) -> Response {
    const WHAT: &str = "get tasks error:";
    match of_instance(&reads, &flow).await {
        Ok(steps) => {
            let tasks: Result<Vec<_>, _> = steps.iter().map(answer::tasks).collect();
            reads.answered(WHAT, tasks.map_err(Trouble::from))
        }
        Err(trouble) => reads.refused(WHAT, &trouble),
    }
}

/// How each task ended; an empty list for an instance that is not known.
pub(super) async fn statuses(State(reads): State<Reads>, Path(flow): Path<String>) -> Response {
    reads.answered("get steps status error:", rows(&reads, &flow).await.map(answer::statuses))
}

/// The last task that failed; empty fields where none did.
pub(super) async fn failed_task(State(reads): State<Reads>, Path(flow): Path<String>) -> Response {
    let rows = rows(&reads, &flow).await;
    reads.answered("get getSnapshotAtStep error:", rows.map(|rows| answer::failed_task(&flow, rows)))
}

/// What a task was given and gave. Of a step in which a task began to wait for its subflow, the step with which the
/// subflow's end was noticed says so; it is answered under the number that was asked for.
pub(super) async fn task_data(
    State(reads): State<Reads>,
    Path((flow, step)): Path<(String, String)>,
    asked: Query<Vec<(String, String)>>,
) -> Response {
    const WHAT: &str = "get tasks error:";
    let task = Asked::of(asked).text("taskName");
    let (step, closing) = match step_and_closing(&reads, &flow, &step, task.as_deref()).await {
        Ok(steps) => steps,
        Err(trouble) => return reads.refused(WHAT, &trouble),
    };
    let tasks = answer::tasks(&step).and_then(|own| {
        let Some(closing) = &closing else { return Ok(own) };
        let mut tasks = answer::tasks(closing)?;
        if let (Some(begun), Some(task)) = (own.first(), tasks.first_mut()) {
            task.step_id = begun.step_id;
        }
        Ok(tasks)
    });
    reads.answered(WHAT, tasks.map_err(Trouble::from))
}

async fn step_and_closing(
    reads: &Reads,
    flow: &str,
    step: &str,
    task: Option<&str>,
) -> Result<(StepData, Option<StepData>), Trouble> {
    let mut reader = reads.pool.get().await?;
    let moment = reader.moment().await?;
    let step = flogo::step(&moment, flow, step, task).await?;
    let step = step.ok_or(Trouble::NotThere("No step data found for matching input"))?;
    let tasks = answer::tasks(&step)?;
    let closing = match (answer::waits_for(&tasks), tasks.first()) {
        (Some(waits), Some(begun)) => flogo::closing_step(&moment, flow, begun.step_id, waits).await?,
        _ => None,
    };
    drop(tasks);
    Ok((step, closing))
}

/// The steps of an instance in order; it is an error if there is none.
pub(super) async fn of_instance(reads: &Reads, flow: &str) -> Result<Vec<StepData>, Trouble> {
    let mut reader = reads.pool.get().await?;
    let steps = flogo::steps(&reader.moment().await?, flow).await?;
    if steps.is_empty() {
        return Err(Trouble::NoSteps(flow.to_owned()));
    }
    Ok(steps)
}

async fn rows(reads: &Reads, flow: &str) -> Result<Vec<StepRow>, Trouble> {
    let mut reader = reads.pool.get().await?;
    Ok(flogo::step_rows(&reader.moment().await?, flow).await?)
}
