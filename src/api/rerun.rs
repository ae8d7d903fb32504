//! Asking an app to run a flow again.

use axum::{
    Extension, Json,
    extract::{Path, State},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Answer, Api, look_whose, no_flow,
    trouble::{Problems, Trouble},
};
use crate::{
    gateway::caller::Scope,
    http::Caller,
    postgres::{connect, read},
    rerun::{
        Runtime,
        order::{Order, OrderError, PlaceError, Request, Start},
    },
};

/// `application_name` of the session that writes the audit.
const APPLICATION: &str = "flowtrail-serve";

/// Where to begin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Again {
    /// A step of the main flow, to begin with under the same id; without it a run of its own begins at the start.
    from_step: Option<i64>,
}

/// That it was asked.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Asked {
    /// Where.
    asked: String,
    /// The instance that runs, where the app has said.
    instance: Option<String>,
}

/// Asks the app of a flow to run it again, as `[rerun.apps]` says, and notes in the audit who asked and what came of it.
#[utoipa::path(
    post, path = "/flows/{id}/rerun", tag = "one flow", request_body = Again,
    params(("id" = String, Path, description = "Flow instance id.")),
    responses((status = 200, body = Asked), Problems)
)]
pub(super) async fn rerun(
    State(api): State<Api>,
    Scope(only): Scope,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    Json(again): Json<Again>,
) -> Answer<Asked> {
    let mut reader = api.shared.pool.get().await?;
    look_whose(&reader.short_moment().await?, only.as_deref(), &id).await?;
    drop(reader);
    let config = &api.shared.config;
    let connecting = connect::connect(&config.postgres, APPLICATION);
    let mut client = Box::pin(connecting).await.map_err(|error| Trouble::Pool(error.into()))?;
    let flow = read::show(&mut client, &id).await?.ok_or_else(|| no_flow(&id))?;
    let app = flow.state.as_ref().and_then(|state| state.summary.app.as_deref()).unwrap_or_default();
    let address = config.rerun.apps.get(app);
    let runtime = address.and_then(|address| Runtime::parse(address).ok()).ok_or_else(|| {
        Trouble::Parameter(format!(
            "it is not configured where app {} is asked",
            crate::sentence::quotable(app)
        ))
    })?;
    let start = again.from_step.map_or(Start::Beginning, Start::Step);
    let request = Request { start, input: None, by: caller.name };
    let order = Box::pin(Order::prepare(&mut client, &flow, runtime, request)).await?;
    let instance = Box::pin(order.place(&client, &config.kafka)).await?;
    Ok(Json(Asked { asked: order.runtime.to_string(), instance }))
}

impl From<OrderError> for Trouble {
    fn from(error: OrderError) -> Self {
        match error {
            OrderError::Postgres(error) => error.into(),
            OrderError::Read(error) => error.into(),
            stored => Self::Parameter(stored.to_string()),
        }
    }
}

impl From<PlaceError> for Trouble {
    fn from(error: PlaceError) -> Self {
        match error {
            PlaceError::Postgres(error) => error.into(),
            PlaceError::Ask(error) => Self::App(error.to_string()),
        }
    }
}
