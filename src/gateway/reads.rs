//! Every GET of Flogo's flow state service but the stream of steps. `docs/flogo.md` says what is answered differently.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

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
    clock,
    flogo::answer::Unreadable,
    postgres::{Pool, PoolError, read::flogo::ReadError},
    telemetry::Seldom,
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
    trouble: Arc<Mutex<Seldom>>,
}

impl Reads {
    /// Answers from the sessions of this pool.
    pub fn new(pool: Pool) -> Self {
        Self { pool, trouble: Arc::default() }
    }

    /// The answer as JSON, or a sentence that begins with `what`.
    fn answered<T: Serialize>(&self, what: &'static str, answer: Result<T, Trouble>) -> Response {
        match answer {
            Ok(answer) => json(StatusCode::OK, &answer),
            Err(trouble) => self.refused(what, &trouble),
        }
    }

    fn refused(&self, what: &'static str, trouble: &Trouble) -> Response {
        self.note(trouble);
        plain_text(trouble.code(), &format!("{what}{}", trouble.told()))
    }

    /// Logs what the database did not do; an outage is one line now and then, however often it is asked.
    fn note(&self, trouble: &Trouble) {
        let is_ours = matches!(trouble, Trouble::Pool(_) | Trouble::Read(ReadError::Postgres(_)));
        if !is_ours || trouble.code() == StatusCode::BAD_REQUEST {
            return;
        }
        let said = trouble.to_string();
        // A panic elsewhere leaves it whole: every change to it is one call.
        let mut seldom = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if seldom.is_due(&said, clock::monotonic()) {
            tracing::warn!(event = "read_failed", error = said, "a question was not answered");
        }
    }
}

/// The routes. They have paths in common with those that write: to be merged, those need the same names in braces.
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
    #[error("{0}")]
    NotThere(&'static str),
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
            Self::NoSteps(_) | Self::NotThere(_) | Self::Read(_) | Self::Unreadable(_) => {
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

#[cfg(test)]
mod tests {
    use axum::routing::post;

    use super::*;

    #[tokio::test]
    async fn those_that_write_have_paths_in_common_with_these() {
        let pool = Pool::new(&crate::config::Postgres::default(), "test", 1);
        let nothing = async || ();
        // It would panic.
        let _ = routes(Reads::new(pool)).merge(
            Router::new()
                .route("/v1/app/state/{appName}", post(nothing).delete(nothing))
                .route("/v1/instances/{flowId}", axum::routing::delete(nothing))
                .route("/v1/instances/{flowId}/step/{stepId}", axum::routing::delete(nothing))
                .route("/v1/instances/steps", post(nothing)),
        );
    }

    #[test]
    fn what_is_given_twice_counts_once_and_empty_is_not_given() {
        let given =
            [("a", "1"), ("a", "2"), ("b", "")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let asked = Asked::of(Query(given.to_vec()));
        assert_eq!((asked.text("a").as_deref(), asked.text("b"), asked.text("c")), (Some("1"), None, None));
    }
}
