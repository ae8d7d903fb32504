//! Who may see one user's history alone gets at no instance of another.

use axum::{
    Router,
    extract::{RawPathParams, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::Response,
};

use super::{caller::Scope, reads::plain_text};
use crate::postgres::{Pool, read};

/// Looks up whose an instance is.
#[derive(Debug, Clone)]
pub(super) struct Own {
    pool: Pool,
}

impl Own {
    /// Asks by the sessions of this pool.
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// Lets a caller who is for one user through to that user's instances only; others are not there for it. Every route
    /// has `{flowId}` in its path.
    pub(super) fn guard<S: Clone + Send + Sync + 'static>(&self, routes: Router<S>) -> Router<S> {
        routes.route_layer(middleware::from_fn_with_state(self.clone(), check))
    }

    async fn is_of(&self, flow: &str, user: &str) -> Option<bool> {
        let mut reader = self.pool.get().await.ok()?;
        let moment = reader.moment().await.ok()?;
        let found = read::user_of(&moment, flow).await.ok()?;
        Some(found.is_some_and(|found| found == user))
    }
}

async fn check(
    State(own): State<Own>,
    Scope(only): Scope,
    parameters: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    let flow = parameters.iter().find(|(name, _)| *name == "flowId").map(|(_, flow)| flow);
    let (Some(user), Some(flow)) = (only, flow) else { return next.run(request).await };
    match Box::pin(own.is_of(flow, &user)).await {
        Some(true) => next.run(request).await,
        Some(false) => plain_text(StatusCode::NOT_FOUND, "this user has no such flow instance"),
        None => plain_text(StatusCode::SERVICE_UNAVAILABLE, "the database is not available"),
    }
}
