//! Every GET of Flogo's flow state service but the stream of steps. `docs/flogo.md` says what is answered differently.

use std::collections::HashMap;

use axum::{
    Router,
    extract::Query,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use thiserror::Error;

use super::own::Own;
use crate::{
    flogo::answer::Unreadable,
    postgres::{Pool, PoolError, read::flogo::ReadError},
};

mod apps;
mod health;
mod instances;
mod snapshots;
mod steps;

/// What the reads need. A clone is the same.
#[derive(Debug, Clone)]
pub struct Reads {
    pool: Pool,
}

impl Reads {
    /// Answers from the sessions of this pool.
    pub fn new(pool: Pool) -> Self {
        Self { pool }
    }
}

/// The routes. They have paths in common with those that write; merge them.
pub fn routes(reads: Reads) -> Router {
    let instances = Router::new()
        .route("/v1/instances/{flowId}/details", get(instances::details))
        .route("/v1/instances/{flowId}/status", get(instances::status))
        .route("/v1/instances/{flowId}/steps", get(steps::posted))
        .route("/v1/instances/{flowId}/steps/tasks", get(steps::tasks))
        .route("/v1/instances/{flowId}/steps/status", get(steps::statuses))
        .route("/v1/instances/{flowId}/step/{stepId}/taskdata", get(steps::task_data))
        .route("/v1/instances/{flowId}/failedtask", get(steps::failed_task))
        .route("/v1/instances/{flowId}/snapshot", get(snapshots::latest))
        .route("/v1/instances/{flowId}/snapshot/{stepId}", get(snapshots::at_step));
    Router::new()
        .route("/v1/health", get(health::health))
        .route("/v1/instances", get(instances::list))
        .merge(Own::new(reads.pool.clone()).guard(instances))
        .route("/v1/flows", get(apps::flows))
        .route("/v1/apps/{appName}/versions", get(apps::versions))
        .route("/v1/app/state/{appName}", get(apps::state))
        .with_state(reads)
}

/// Why a question is not answered.
#[derive(Debug, Error)]
enum Trouble {
    #[error("{0}")]
    BadRequest(String),
    #[error("step for flow instance [{0}] not found")]
    NoSteps(String),
    #[error("{0} not found")]
    Nothing(&'static str),
    #[error(transparent)]
    Pool(#[from] PoolError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Read(error.into())
    }
}

impl Trouble {
    fn code(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Pool(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Read(error) if error.is_refused_value() => StatusCode::BAD_REQUEST,
            Self::Read(error) if error.passes() => StatusCode::SERVICE_UNAVAILABLE,
            // As that service has it, also for what is not there.
            Self::NoSteps(_) | Self::Nothing(_) | Self::Read(_) | Self::Unreadable(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// What the caller is told. Where the database is, and what it says of itself, is for the log.
    fn told(&self) -> String {
        match self {
            Self::Pool(_) => "the database is not available".to_owned(),
            Self::Read(ReadError::Postgres(_)) if self.code() != StatusCode::BAD_REQUEST => {
                "the database gave no answer".to_owned()
            }
            told => told.to_string(),
        }
    }
}

/// The answer as JSON, or a sentence that begins with `what`.
fn answered<T: Serialize>(what: &'static str, answer: Result<T, Trouble>) -> Response {
    match answer {
        Ok(answer) => json(StatusCode::OK, &answer),
        Err(trouble) => {
            if matches!(&trouble, Trouble::Pool(_) | Trouble::Read(_)) {
                tracing::warn!(event = "read_failed", error = %trouble, "a question was not answered");
            }
            plain_text(trouble.code(), &format!("{what}{}", trouble.told()))
        }
    }
}

fn json<T: Serialize>(code: StatusCode, answer: &T) -> Response {
    match serde_json::to_vec(answer) {
        Ok(body) => (code, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => plain_text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// A sentence as Go's `http.Error` writes it.
pub(super) fn plain_text(code: StatusCode, sentence: &str) -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (code, headers, format!("{sentence}\n")).into_response()
}

/// What is asked for behind the `?`. Of what is given twice the first counts, and empty is not given.
struct Asked(HashMap<String, String>);

impl Asked {
    fn of(Query(parameters): Query<Vec<(String, String)>>) -> Self {
        let mut asked = HashMap::with_capacity(parameters.len());
        for (name, value) in parameters {
            asked.entry(name).or_insert(value);
        }
        Self(asked)
    }

    fn text(&self, name: &str) -> Option<String> {
        self.0.get(name).filter(|value| !value.is_empty()).cloned()
    }

    /// A number that is not negative.
    fn count(&self, name: &'static str) -> Result<Option<i64>, Trouble> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number: &i64| *number >= 0);
        number.map(Some).ok_or_else(|| Trouble::BadRequest(format!("{name} is not a number: {text}")))
    }
}
