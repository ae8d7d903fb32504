//! Flow instances.

use axum::{
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};

use super::{Asked, Reads, Trouble};
use crate::{
    flogo::answer::{FlowInfo, Instances, Status, flow_number},
    gateway::caller::User,
    postgres::read::flogo::{self, MOST_INSTANCES, Wanted},
};

/// Instances of an app, the newest first.
pub(super) async fn list(
    State(reads): State<Reads>,
    User(user): User,
    asked: Query<Vec<(String, String)>>,
) -> Response {
    let asked = Asked::of(asked);
    let wanted = match of_app(&asked, user) {
        Ok(wanted) => wanted,
        Err(trouble) => return reads.refused("", &trouble),
    };
    let instances = async {
        let (offset, limit) = (asked.count("offset")?, asked.count("limit")?);
        let wanted = Wanted {
            flow: asked.text("flow"),
            status: asked.text("status"),
            instance: asked.text("flowinstanceid"),
            interval: asked.text("interval"),
            between: asked.text("startTime").zip(asked.text("endTime")),
            ..wanted
        };
        let mut reader = reads.pool.get().await?;
        let moment = reader.moment().await?;
        let count = flogo::count(&moment, &wanted).await?;
        let limit = limit.unwrap_or(MOST_INSTANCES);
        let shown = flogo::list(&moment, &wanted, offset.unwrap_or(0), limit).await?;
        Ok::<_, Trouble>(Instances::new(count, shown))
    };
    reads.answered("Getting flow instance error:", instances.await)
}

/// One instance, as a re-run from the beginning needs it.
pub(super) async fn details(
    State(reads): State<Reads>,
    User(user): User,
    Path(flow): Path<String>,
    asked: Query<Vec<(String, String)>>,
) -> Response {
    let asked = Asked::of(asked);
    let wanted = Wanted {
        user,
        app: asked.text("app"),
        version: asked.text("version"),
        host: asked.text("host"),
        ..Wanted::default()
    };
    let details = async {
        let mut reader = reads.pool.get().await?;
        let instance = flogo::instance(&reader.moment().await?, &flow, &wanted).await?;
        instance.map(FlowInfo::details).ok_or(Trouble::NotThere(""))
    };
    reads.answered("get flow details error: ", details.await)
}

/// The number of its status; 404 without a body for one that is not known.
pub(super) async fn status(State(reads): State<Reads>, Path(flow): Path<String>) -> Response {
    let word = async {
        let mut reader = reads.pool.get().await?;
        Ok::<_, Trouble>(flogo::status(&reader.moment().await?, &flow).await?)
    };
    match word.await {
        Ok(Some(word)) => reads.answered("", Ok(Status { status: flow_number(&word).to_string() })),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(trouble) => reads.refused("get status error:", &trouble),
    }
}

/// Instances of one version of an app, on one host if that is asked for.
pub(super) fn of_app(asked: &Asked, user: String) -> Result<Wanted, Trouble> {
    let needed = |name: &str, sentence: &str| {
        asked.text(name).map(Some).ok_or_else(|| Trouble::BadRequest(sentence.to_owned()))
    };
    Ok(Wanted {
        user,
        app: needed("app", "Please provide app name")?,
        version: needed("version", "Please provide app version")?,
        host: asked.text("host"),
        ..Wanted::default()
    })
}
