//! The requests by which a Flogo app, or who drives it, changes history.

use std::{future::Future, sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{MatchedPath, Path, Request, State},
    http::{Method, StatusCode, request::Parts},
    middleware::{self, Next},
    response::Response,
    routing::{delete, post},
};
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Gateway,
    also::Repeat,
    answer, bulk,
    caller::{Scope, User},
    own::Own,
    whole,
};
use crate::{clock, flogo, http::Caller, metrics, postgres::read, proto::v1::HistoryEvent, publish};

type Shared = State<Arc<Gateway>>;

/// What an app posts while it records, `POST /v1/instances/events` for many of it at once, and the rewind before a re-run.
pub fn recording(gateway: Arc<Gateway>) -> Router {
    let own = Own::new(gateway.pool.clone());
    let rewinds = Router::new().route("/v1/instances/{flowId}/step/{stepId}", delete(rewind));
    Router::new()
        .route("/v1/instances/start", post(|g, s, r| record(g, s, r, flogo::start)))
        .route("/v1/instances/end", post(|g, s, r| record(g, s, r, flogo::end)))
        .route("/v1/instances/steps", post(|g, s, r| record(g, s, r, flogo::step)))
        .route("/v1/instances/snapshot", post(|g, s, r| record(g, s, r, flogo::snapshot)))
        .route("/v1/instances/events", post(bulk::record))
        .merge(own.guard(rewinds))
        .layer(middleware::from_fn_with_state(gateway.clone(), within_the_deadline))
        .with_state(gateway)
}

/// What a person does: deletes an instance, switches an app.
pub fn operating(gateway: Arc<Gateway>) -> Router {
    let own = Own::new(gateway.pool.clone());
    let deletions = Router::new().route("/v1/instances/{flowId}", delete(delete_flow));
    Router::new()
        .route("/v1/app/state/{appName}", post(switch).delete(switch))
        .merge(own.guard(deletions))
        .layer(middleware::from_fn_with_state(gateway.clone(), within_the_deadline))
        .with_state(gateway)
}

/// Counts the request, and ends it when its time is over.
async fn within_the_deadline(State(gateway): Shared, request: Request, next: Next) -> Response {
    let began = clock::monotonic();
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let deadline = gateway.limits.deadline;
    let response = tokio::time::timeout(deadline, next.run(request)).await.unwrap_or_else(|_| {
        let message = format!("nothing was confirmed within {} ms; try again later", deadline.as_millis());
        answer::error(StatusCode::SERVICE_UNAVAILABLE, &message)
    });
    metrics::gateway_request(route, response.status().as_u16(), clock::monotonic() - began);
    response
}

/// A body that becomes one event.
async fn record(
    State(gateway): Shared,
    scope: Scope,
    request: Request,
    read: fn(&Bytes) -> Result<HistoryEvent, flogo::Error>,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = match whole(body, gateway.limits.body_bytes).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    match read(&body) {
        Ok(event) if !scope.allows(&event) => answer::of_another_user(),
        Ok(event) => answer(&gateway, &parts, body, event).await,
        Err(why) => answer::no_event(&why),
    }
}

/// Keeps the event of a request, and sends the request on where that is wanted.
async fn answer(gateway: &Gateway, request: &Parts, body: Bytes, event: HistoryEvent) -> Response {
    let also = gateway.also_for(&request.headers).map(|also| (also, publish::key(&event)));
    match gateway.keep(event).await {
        Ok(is_kept) => {
            if let (Some((also, name)), true) = (also, is_kept) {
                also.pass_on(&name, Repeat::new(request, body));
            }
            answer::kept(&request.headers)
        }
        Err(why) => answer::not_kept(&why),
    }
}

/// `DELETE /v1/instances/{flowId}`: the history of the instance goes, from the tables too.
async fn delete_flow(
    State(gateway): Shared,
    Path(flow): Path<String>,
    caller: Option<Extension<Caller>>,
    request: Request,
) -> Response {
    match flogo::deleted(&flow) {
        Ok(event) => {
            note(&gateway, caller.as_deref(), "flow.delete", &flow, json!({})).await;
            answer(&gateway, &request.into_parts().0, Bytes::new(), event).await
        }
        Err(why) => answer::no_event(&why),
    }
}

/// Notes who did what. It is done even if nobody can note it now; then the log says who.
async fn note(gateway: &Gateway, caller: Option<&Caller>, action: &str, object: &str, detail: Value) {
    let by = caller.map_or("anybody", |caller| &caller.name);
    let noting = async {
        let session = Box::pin(gateway.pool.get()).await.map_err(|error| error.to_string())?;
        session.note(by, action, object, &detail).await.map_err(|error| error.to_string())
    };
    let noted = tokio::time::timeout(gateway.limits.deadline / 2, noting).await;
    if let Err(why) = noted.unwrap_or_else(|_| Err("Postgres did not answer in time".to_owned())) {
        tracing::warn!(event = "not_noted", by, action, object, why, "what somebody did is not in ft_audit");
    }
}

/// `DELETE /v1/instances/{flow}/step/{step}`: a re-run from that step begins; what was recorded of it and of those
/// behind it is superseded.
async fn rewind(
    State(gateway): Shared,
    Path((flow, step)): Path<(String, String)>,
    request: Request,
) -> Response {
    let before = seen(&gateway, &flow).await;
    match flogo::rewind(&flow, &step, before) {
        Ok(event) => answer(&gateway, &request.into_parts().0, Bytes::new(), event).await,
        Err(why) => answer::no_event(&why),
    }
}

/// 1 + the greatest execution that is stored of a flow; 0 if none is, or if the database can't say in time: the re-run's
/// own steps supersede what came before them too, only later.
async fn seen(gateway: &Gateway, flow: &str) -> i64 {
    let ask = async {
        let mut reader = gateway.pool.get().await.ok()?;
        let moment = reader.moment().await.ok()?;
        read::greatest_execution(&moment, flow).await.ok()?
    };
    let greatest = ask_within(gateway.limits.deadline / 2, ask).await;
    greatest.map_or(0, |execution| execution.saturating_add(1))
}

async fn ask_within<T>(limit: Duration, ask: impl Future<Output = Option<T>>) -> Option<T> {
    tokio::time::timeout(limit, ask).await.ok().flatten()
}

/// `POST` and `DELETE` of `/v1/app/state/{app}`: the app's history is to be kept from now on, or not.
async fn switch(
    State(gateway): Shared,
    Path(app): Path<String>,
    User(user): User,
    caller: Option<Extension<Caller>>,
    request: Request,
) -> Response {
    let (on, at): (bool, Timestamp) = (request.method() == Method::POST, clock::now());
    match flogo::app_state(&user, &app, on, at) {
        Ok(event) => {
            let action = if on { "app.on" } else { "app.off" };
            note(&gateway, caller.as_deref(), action, &app, json!({ "user": user })).await;
            let answer = answer(&gateway, &request.into_parts().0, Bytes::new(), event).await;
            if answer.status().is_success() {
                gateway.apps.note(&user, &app, on);
            }
            answer
        }
        Err(why) => answer::no_event(&why),
    }
}
