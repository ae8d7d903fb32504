//! Why a question is not answered, as RFC 9457 wants it.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    extract::{Request, State},
    http::{StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use thiserror::Error;
use utoipa::{IntoResponses, ToSchema};

use crate::{
    clock,
    postgres::{PoolError, read::flogo::ReadError},
    telemetry::Seldom,
};

/// Bytes of a sentence that somebody else wrote, to be put into a problem.
const MOST_WORDS: usize = 4 << 10;

/// Why a question is not answered.
#[derive(Debug, Error)]
pub(super) enum Trouble {
    /// A parameter is not what it has to be.
    #[error("{0}")]
    Parameter(String),
    /// What is asked for is not there, or not for this caller.
    #[error("there is no {0}")]
    NotThere(String),
    /// What belongs to no user is not for a caller who is for one.
    #[error("this belongs to no user, and this token is for one")]
    NotForOneUser,
    /// There is more of it than an answer may hold.
    #[error("{0}")]
    TooLarge(String),
    /// As much as may be asked at once is asked already.
    #[error("{0}")]
    Busy(&'static str),
    /// Kafka did not say in time what was asked.
    #[error("Kafka gave no answer: {0}")]
    Kafka(String),
    /// An app that was to be asked did not take it.
    #[error("it was not asked: {0}")]
    App(String),
    /// There is no session with the database.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The database did not say what was asked.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Something that should not happen.
    #[error("{0}")]
    Own(String),
}

impl From<tokio_postgres::Error> for Trouble {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Read(error.into())
    }
}

impl Trouble {
    /// That a parameter is not what it has to be.
    pub(super) fn parameter(name: &str, why: impl std::fmt::Display) -> Self {
        Self::Parameter(format!("{name}: {why}"))
    }

    fn code(&self) -> StatusCode {
        match self {
            Self::Parameter(_) => StatusCode::BAD_REQUEST,
            Self::NotThere(_) => StatusCode::NOT_FOUND,
            Self::NotForOneUser => StatusCode::FORBIDDEN,
            Self::TooLarge(_) | Self::Read(ReadError::TooLarge) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy(_) | Self::Kafka(_) | Self::Pool(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::App(_) => StatusCode::BAD_GATEWAY,
            Self::Read(error) if error.is_refused_value() => StatusCode::BAD_REQUEST,
            Self::Read(error) if error.passes() => StatusCode::SERVICE_UNAVAILABLE,
            Self::Read(_) | Self::Own(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What the caller is told. Where the database is, and what it says of itself, is for the log.
    fn told(&self) -> String {
        match self {
            Self::Pool(_) => "the database is not available; ask again later".to_owned(),
            Self::Read(error @ ReadError::Postgres(_)) if error.is_refused_value() => {
                "the database takes no such value".to_owned()
            }
            Self::Read(error @ ReadError::Postgres(_)) if error.passes() => {
                "the database gave no answer in time; narrow the question, or ask again".to_owned()
            }
            Self::Read(ReadError::Postgres(_)) | Self::Own(_) => {
                "this server failed; its log says why".to_owned()
            }
            told => told.to_string(),
        }
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let code = self.code();
        let log = code.is_server_error().then(|| self.to_string());
        let mut response = (code, self.told()).into_response();
        response.extensions_mut().insert(Told { detail: self.told(), log });
        response
    }
}

/// What is told of a problem; an extension of the response.
#[derive(Debug, Clone)]
struct Told {
    detail: String,
    /// What the log is told, where it is ours.
    log: Option<String>,
}

/// A problem as RFC 9457 has it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Problem {
    /// Always `about:blank`: the status says what kind it is.
    r#type: &'static str,
    /// The status in words.
    title: &'static str,
    /// The status.
    status: u16,
    /// What is wrong, in a sentence.
    detail: String,
    /// The path that was asked.
    instance: String,
}

/// What a question may get instead of an answer.
#[derive(Debug, IntoResponses)]
#[expect(dead_code, reason = "the documentation is made of it")]
pub(super) enum Problems {
    /// A parameter is not what it has to be.
    #[response(status = 400, content_type = "application/problem+json")]
    Parameter(#[to_schema] Problem),
    /// No token, or one that is not known.
    #[response(status = 401, content_type = "application/problem+json")]
    Unknown(#[to_schema] Problem),
    /// The caller may not ask this.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(#[to_schema] Problem),
    /// It is not there.
    #[response(status = 404, content_type = "application/problem+json")]
    NotThere(#[to_schema] Problem),
    /// It is more than an answer may hold.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(#[to_schema] Problem),
    /// The database or Kafka gave no answer in time.
    #[response(status = 503, content_type = "application/problem+json")]
    Away(#[to_schema] Problem),
}

/// Makes a problem of every error, whoever found it: a handler, what reads parameters, or what guards the routes.
///
/// What is ours is logged; an outage is one line now and then, however often it is asked.
pub(super) async fn as_problem(
    State(seldom): State<Arc<Mutex<Seldom>>>,
    request: Request,
    next: Next,
) -> Response {
    let instance = request.uri().path().to_owned();
    let response = next.run(request).await;
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let detail = if let Some(Told { detail, log }) = parts.extensions.remove::<Told>() {
        if let Some(error) = log {
            // A panic elsewhere leaves it whole: every change to it is one call.
            let mut seldom = seldom.lock().unwrap_or_else(PoisonError::into_inner);
            if seldom.is_due(&error, clock::monotonic()) {
                tracing::warn!(event = "question_failed", error, "a question to the API was not answered");
            }
        }
        detail
    } else {
        let words = axum::body::to_bytes(body, MOST_WORDS).await.unwrap_or_default();
        String::from_utf8_lossy(&words).trim_end().to_owned()
    };
    let title = status.canonical_reason().unwrap_or_default();
    let problem = Problem { r#type: "about:blank", title, status: status.as_u16(), detail, instance };
    parts.headers.remove(header::CONTENT_LENGTH);
    let content_type = header::HeaderValue::from_static("application/problem+json");
    parts.headers.insert(header::CONTENT_TYPE, content_type);
    Response::from_parts(parts, serde_json::json!(problem).to_string().into())
}
